//! `response.http.headers.config`: headers that every answer gets. A rule is `action name:value`;
//! rules are separated by commas, and one that has a comma in it stands in double quotes.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

#[derive(Debug)]
pub(super) struct Rule {
    replaces: bool,
    name: HeaderName,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Text(HeaderValue),
    /// A moment so many milliseconds after the answer.
    Later(i64),
}

/// Reads the rules. Errors are those of Kafka Connect.
pub(super) fn rules(config: &str) -> Result<Vec<Rule>, String> {
    match config.trim() {
        "" => Ok(Vec::new()),
        config => split(config).iter().map(|rule| rule_of(rule.trim())).collect(),
    }
}

/// At commas outside of quotes, which are taken off. Nothing stands for nothing after the last.
fn split(config: &str) -> Vec<String> {
    let mut rules = vec![String::new()];
    let mut quoted = false;
    for char in config.chars() {
        match char {
            '"' => quoted = !quoted,
            ',' if !quoted => rules.push(String::new()),
            _ => {
                if let Some(rule) = rules.last_mut() {
                    rule.push(char);
                }
            }
        }
    }
    if rules.last().is_some_and(|last| last.trim().is_empty()) {
        rules.pop();
    }
    rules
}

fn rule_of(rule: &str) -> Result<Rule, String> {
    let (action, pair) = rule.split_once(char::is_whitespace).ok_or_else(|| {
        format!(
            "Invalid format of header config '{rule}'. Expected: '[action] [header name]:[header \
             value]'"
        )
    })?;
    let (replaces, date) = match action.to_ascii_lowercase().as_str() {
        "set" => (true, false),
        "add" => (false, false),
        "setdate" => (true, true),
        "adddate" => (false, true),
        _ => {
            return Err(format!(
                "Invalid header config action: '{action}'. Expected one of [set, add, setDate, \
                 addDate]"
            ));
        }
    };
    let pair = pair.trim();
    let malformed = || {
        format!(
            "Invalid format of header name and header value pair '{pair}'. Expected: '[header \
             name]:[header value]'"
        )
    };
    let (name, value) = pair.split_once(':').ok_or_else(malformed)?;
    if value.contains(':') || value.is_empty() {
        return Err(malformed());
    }
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!(
            "Invalid header name '{name}'. The '[header name]' cannot contain whitespace"
        ));
    }
    let unusable = |why: &dyn std::fmt::Display| format!("Invalid header config '{rule}': {why}");
    let value = match date {
        true => Value::Later(value.parse().map_err(|error| unusable(&error))?),
        false => Value::Text(HeaderValue::try_from(value).map_err(|error| unusable(&error))?),
    };
    let name = HeaderName::try_from(name).map_err(|error| unusable(&error))?;
    Ok(Rule { replaces, name, value })
}

/// Adds the headers to those of an answer.
pub(super) fn apply(rules: &[Rule], headers: &mut HeaderMap) {
    for rule in rules {
        let value = match &rule.value {
            Value::Text(text) => Some(text.clone()),
            Value::Later(millis) => date(*millis),
        };
        let Some(value) = value else { continue };
        match rule.replaces {
            true => drop(headers.insert(&rule.name, value)),
            false => drop(headers.append(&rule.name, value)),
        }
    }
}

/// A date as HTTP writes it, `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(millis: i64) -> Option<HeaderValue> {
    let span = Duration::from_millis(millis.unsigned_abs());
    let now = SystemTime::now();
    let then = if millis < 0 { now.checked_sub(span) } else { now.checked_add(span) }?;
    let then: chrono::DateTime<chrono::Utc> = then.into();
    HeaderValue::try_from(then.format("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_what_is_wrong_with_them() {
        let check = |config: &str| match rules(config) {
            Ok(rules) => {
                let mut headers = HeaderMap::new();
                headers.insert("x", "0".parse().unwrap());
                apply(&rules, &mut headers);
                let all = headers.iter().filter(|(name, _)| name.as_str() != "when");
                all.map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
                    .collect::<Vec<_>>()
                    .join("; ")
            }
            Err(wrong) => wrong,
        };
        for (config, wanted) in [
            ("", "x=0"),
            ("add x: 1, SET y:2", "x=0; x=1; y=2"),
            ("set x:1,", "x=1"),
            (r#"add x: 1, "set y: a, b""#, "x=0; x=1; y=a, b"),
            ("addDate when: 1000", "x=0"),
            (
                "setx",
                "Invalid format of header config 'setx'. Expected: '[action] [header name]:[header value]'",
            ),
            (
                "put x:1",
                "Invalid header config action: 'put'. Expected one of [set, add, setDate, addDate]",
            ),
            (
                "set x",
                "Invalid format of header name and header value pair 'x'. Expected: '[header name]:[header value]'",
            ),
            (
                "set x:a:b",
                "Invalid format of header name and header value pair 'x:a:b'. Expected: '[header name]:[header value]'",
            ),
            (
                "set x y:1",
                "Invalid header name 'x y'. The '[header name]' cannot contain whitespace",
            ),
            ("set :1", "Invalid header name ''. The '[header name]' cannot contain whitespace"),
        ] {
            assert_eq!(check(config), wanted, "{config}");
        }
        let mut headers = HeaderMap::new();
        apply(&rules("setDate when: 0").unwrap(), &mut headers);
        assert!(headers["when"].to_str().unwrap().ends_with(" GMT"));
        assert!(check("setDate when: soon").starts_with("Invalid header config"));
    }
}
