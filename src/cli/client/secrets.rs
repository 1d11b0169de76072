//! Which values of a configuration, and which pieces of values, are not shown.
//!
//! A key that is a secret's hides its whole value. In other values a password may stand within: of a
//! user in a URL, or behind a name such as `password=`, as in JDBC URLs and entries of JAAS. Where it
//! is not clear how far a secret goes, more is hidden rather than less. A reference to a config
//! provider (`${file:…}`) is no secret.

use std::{borrow::Cow, sync::LazyLock};

use fancy_regex::Regex;
use serde_json::{Map, Value};

pub(super) const HIDDEN: &str = "[hidden]";

/// What a secret's key has in its name, without the dots and the like between words. The keys of
/// plugins that a worker knows are known to it, those of clients, converters and transforms are not.
const WORDS: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    // `ssl.keystore.key`, a private key as text.
    "keystorekey",
    "sasljaasconfig",
    "basicauthuserinfo",
];

/// The secrets within a value, and the references that are none. It neither looks ahead nor back, so
/// that the time it takes grows with the value alone.
static WITHIN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?xi)
        \$\{[^{}]*\}
        # scheme://user:PASSWORD@host. A password may have an @ in it, and, though it should be
        # encoded, a slash; what looks like a port is none.
        | [a-z][a-z0-9+.\-]* :// [^\s/?\#:]* :
          (?<password>
            (?: \$\{[^{}]*\} | [^\s/?\#] )*
            | (?: [^\d\s] | \d+ [^\d\s/?\#,] ) \S* )
          @
        # jdbc:oracle:thin:user/PASSWORD@host
        | jdbc:oracle:\w+: [^\s/@]+ / (?<tiger> \S+ ) @
        # password=VALUE, also in JSON, in quotes or in braces as in URLs of SQL Server
        | (?: passwd | password | passphrase | pwd | secret | token | credentials?
            | (?: api | access | account | private ) [._\-]? key | authorization )
          (?: \\?["'] )? \s* [=:] \s*
          (?<value>
            " (?: [^"\\] | \\. )* "
            | ' (?: [^'\\] | \\. )* '
            | \{ (?: [^}] | \}\} )* \}
            | (?: \$\{[^{}]*\} | [^;&\r\n] )+ )
        "#,
    )
    .expect("the expression is a constant")
});

/// The keys whose values are secrets.
#[derive(Default)]
pub(super) struct Secrets {
    /// Those that the plugin declares as passwords.
    declared: Vec<String>,
    shown: bool,
}

impl Secrets {
    /// `keys` is what `GET /connector-plugins/{plugin}/config` answers, if it is known.
    pub(super) fn new(keys: Option<&Value>, shown: bool) -> Self {
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        let passwords = keys.filter(|key| key["type"] == "PASSWORD");
        let names = passwords.filter_map(|key| key["name"].as_str().map(str::to_owned));
        Self { declared: names.collect(), shown }
    }

    /// The value as it may be shown.
    pub(super) fn mask<'v>(&self, key: &str, value: &'v str) -> Cow<'v, str> {
        if self.shown {
            return value.into();
        }
        let plain: String = key.chars().filter(|char| char.is_alphanumeric()).collect();
        let plain = plain.to_lowercase();
        let secret = self.declared.iter().any(|name| name == key)
            || WORDS.iter().any(|word| plain.contains(word))
            || value.contains("PRIVATE KEY-----");
        match secret {
            true => hidden(value),
            false => masked_within(value),
        }
    }

    /// A configuration as it may be shown.
    pub(super) fn masked(&self, config: &Value) -> Value {
        let Some(config) = config.as_object() else { return config.clone() };
        let mask = |(key, value): (&String, &Value)| {
            let value = match value.as_str() {
                Some(text) => Value::from(self.mask(key, text)),
                None => value.clone(),
            };
            (key.clone(), value)
        };
        Value::Object(config.iter().map(mask).collect::<Map<_, _>>())
    }
}

/// What is shown in the place of a secret: itself, when all of it are references.
fn hidden(secret: &str) -> Cow<'_, str> {
    if behind_references(secret).is_empty() { secret.into() } else { HIDDEN.into() }
}

/// What comes after the references that a text begins with.
fn behind_references(text: &str) -> &str {
    let mut rest = text;
    while let Some((reference, behind)) = rest.strip_prefix("${").and_then(|it| it.split_once('}'))
    {
        if reference.contains(['{', '$']) {
            break;
        }
        rest = behind;
    }
    rest
}

fn masked_within(value: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut behind = 0;
    for found in WITHIN.captures_iter(value) {
        // An expression that gives up has not seen what is in there.
        let Ok(found) = found else { return HIDDEN.into() };
        let secret = ["password", "tiger", "value"].iter().find_map(|name| found.name(name));
        let Some(secret) = secret else { continue };
        out.push_str(&value[behind..secret.start()]);
        out.push_str(&masked_piece(secret.as_str()));
        behind = secret.end();
    }
    if behind == 0 {
        return value.into();
    }
    out.push_str(&value[behind..]);
    out.into()
}

fn masked_piece(secret: &str) -> Cow<'_, str> {
    for quote in ['"', '\''] {
        let inner = secret.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            return format!("{quote}{}{quote}", hidden(inner)).into();
        }
    }
    // Without quotes more may follow a reference, where it is clear that it is something else.
    let rest = behind_references(secret);
    match rest.starts_with([' ', '\t', ',']) && rest.len() < secret.len() {
        true => format!("{}{}", &secret[..secret.len() - rest.len()], masked_within(rest)).into(),
        false => hidden(secret),
    }
}
