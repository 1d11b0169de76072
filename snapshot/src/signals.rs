//! Signals: what a user asks of a running connector, `{id, type, data}`, by any channel.
//!
//! Types and fields are those of Debezium 3.7 (`io.debezium.pipeline.signal`). A signal that can't be
//! followed is never dropped in silence: [`Signal::parse`] says why, and what to do.

use fancy_regex::Regex;
use serde_json::{Map, Value};

/// A signal as it comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Empty when it has none.
    pub id: String,
    /// `execute-snapshot`, and so on.
    pub kind: String,
    /// JSON; empty for none.
    pub data: String,
}

/// What a signal asks for.
#[derive(Debug)]
pub enum Action {
    /// Write a message to the log, with the offset in place of `{}`.
    Log(String),
    Execute(Execute),
    /// Take these collections out of the incremental snapshot; all when there are none.
    Stop(Vec<String>),
    Pause,
    Resume,
    /// The id is that of a chunk with `-open`.
    OpenWindow,
    /// The id is that of a chunk with `-close`.
    CloseWindow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Incremental,
    Blocking,
}

/// `execute-snapshot`
#[derive(Debug)]
pub struct Execute {
    pub kind: Kind,
    /// Regular expressions of whole names; one that matches nothing is a name.
    pub collections: Vec<String>,
    pub conditions: Vec<Condition>,
    /// The column that chunks follow instead of the key.
    pub surrogate_key: Option<String>,
}

/// One of `additional-conditions`.
#[derive(Debug)]
pub struct Condition {
    /// As it was given.
    pub collection: String,
    pattern: Regex,
    /// What follows WHERE; for a blocking snapshot the whole statement.
    pub filter: String,
}

impl Signal {
    /// Reads a signal that is a JSON object with `id`, `type` and `data`, as files and topics have it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let text = |field: &str| match value.get(field) {
            Some(Value::String(text)) => Some(text.clone()),
            // A file's line or a record may hold the data itself or a text with it.
            Some(value @ (Value::Object(_) | Value::Number(_) | Value::Bool(_))) => {
                Some(value.to_string())
            }
            _ => None,
        };
        Ok(Self {
            id: text("id").unwrap_or_default(),
            kind: text("type").ok_or("it has no \"type\"")?,
            data: text("data").unwrap_or_default(),
        })
    }

    /// Whether it is a mark of a chunk, which nobody sends by hand.
    pub fn is_mark(&self) -> bool {
        self.kind.starts_with("snapshot-window-")
    }

    /// Whether it stops an incremental snapshot.
    pub fn is_stop(&self) -> bool {
        self.kind == "stop-snapshot"
    }

    /// # Errors
    ///
    /// Why the signal can't be followed, and what to do.
    pub fn parse(&self) -> Result<Action, String> {
        let data = || -> Result<Map<String, Value>, String> {
            if self.data.trim().is_empty() {
                return Ok(Map::new());
            }
            match serde_json::from_str(&self.data) {
                Ok(Value::Object(data)) => Ok(data),
                Ok(_) => Err("its data is no JSON object; send an object in data".to_owned()),
                Err(error) => {
                    Err(format!("its data is no JSON ({error}); send a JSON object in data"))
                }
            }
        };
        match self.kind.as_str() {
            "log" => match data()?.get("message").and_then(Value::as_str) {
                Some(message) if !message.is_empty() => Ok(Action::Log(message.to_owned())),
                _ => Err("its data has no message; send {\"message\": \"…\"} in data".to_owned()),
            },
            "execute-snapshot" => execute(&data()?).map(Action::Execute),
            "stop-snapshot" => {
                let data = data()?;
                if kind(&data)? == Kind::Blocking {
                    return Err(
                        "a blocking snapshot can't be stopped; it ends by itself".to_owned()
                    );
                }
                Ok(Action::Stop(collections(&data)?))
            }
            "pause-snapshot" => Ok(Action::Pause),
            "resume-snapshot" => Ok(Action::Resume),
            "snapshot-window-open" => Ok(Action::OpenWindow),
            "snapshot-window-close" => Ok(Action::CloseWindow),
            "schema-changes" => Err("schema-changes is for connectors that keep a history of \
                                     schemas; this one reads them from the database"
                .to_owned()),
            other => Err(format!(
                "its type {other} is not known; known are execute-snapshot, stop-snapshot, \
                 pause-snapshot, resume-snapshot and log"
            )),
        }
    }
}

fn kind(data: &Map<String, Value>) -> Result<Kind, String> {
    match data.get("type") {
        None | Some(Value::Null) => Ok(Kind::Incremental),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("incremental") => {
            Ok(Kind::Incremental)
        }
        Some(Value::String(text)) if text.eq_ignore_ascii_case("blocking") => Ok(Kind::Blocking),
        Some(other) => Err(format!(
            "its snapshot type {other} is neither incremental nor blocking; send one of these as type in data"
        )),
    }
}

/// None at all when the list is missing or empty.
fn collections(data: &Map<String, Value>) -> Result<Vec<String>, String> {
    let list = match data.get("data-collections") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("its data-collections are no list; send a list of names".to_owned()),
    };
    let name = |value: &Value| value.as_str().map(|name| name.trim().to_owned());
    let names: Option<Vec<String>> = list.iter().map(name).collect();
    names.ok_or_else(|| {
        "its data-collections hold what is no text; send a list of names, each in quotes".to_owned()
    })
}

fn execute(data: &Map<String, Value>) -> Result<Execute, String> {
    let collections = collections(data)?;
    if collections.is_empty() {
        return Err("its data-collections are missing or empty; name the tables to read, as \
                    {\"data-collections\": [\"schema.table\"]} in data"
            .to_owned());
    }
    for collection in &collections {
        whole(collection, "")?;
    }
    if data.contains_key("additional-condition") {
        tracing::warn!(
            "a signal's additional-condition is not read any more; send additional-conditions, a list of {{\"data-collection\", \"filter\"}}"
        );
    }
    let conditions = match data.get("additional-conditions") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(condition).collect::<Result<_, _>>()?,
        Some(_) => return Err("its additional-conditions are no list".to_owned()),
    };
    let surrogate_key = data.get("surrogate-key").and_then(Value::as_str);
    Ok(Execute {
        kind: kind(data)?,
        collections,
        conditions,
        surrogate_key: surrogate_key.filter(|key| !key.trim().is_empty()).map(str::to_owned),
    })
}

fn condition(value: &Value) -> Result<Condition, String> {
    let text = |field: &str| {
        value.get(field).and_then(Value::as_str).ok_or_else(|| {
            format!(
                "one of its additional-conditions has no {field}; each needs data-collection and filter"
            )
        })
    };
    let (collection, filter) = (text("data-collection")?, text("filter")?);
    Ok(Condition {
        pattern: whole(collection, "(?i)")?,
        collection: collection.to_owned(),
        filter: filter.to_owned(),
    })
}

fn whole(pattern: &str, flags: &str) -> Result<Regex, String> {
    let translated = model::java::regex(pattern);
    Regex::new(&format!("{flags}^(?:{translated})$"))
        .map_err(|error| format!("{pattern} is no regular expression: {error}"))
}

impl Condition {
    pub fn is_for(&self, collection: &str) -> bool {
        self.pattern.is_match(collection).unwrap_or(false)
    }
}

/// The names that the patterns match among `known`, each once, in the order of the patterns; a pattern
/// that matches none stands for itself. `ignore_case` as blocking snapshots do it.
///
/// # Errors
///
/// When a pattern is none, which [`Signal::parse`] rules out.
pub fn expand(
    patterns: &[String],
    known: &[String],
    ignore_case: bool,
) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = Vec::new();
    for text in patterns {
        let pattern = whole(text, if ignore_case { "(?i)" } else { "" })?;
        let found: Vec<&String> =
            known.iter().filter(|name| pattern.is_match(name).unwrap_or(false)).collect();
        for name in if found.is_empty() { vec![text] } else { found } {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(kind: &str, data: &str) -> Signal {
        Signal { id: "1".into(), kind: kind.into(), data: data.into() }
    }

    #[test]
    fn snapshots_are_asked_for() {
        let data = r#"{"type": "BLOCKING", "data-collections": [" s.a ", "s\\.b.*"], "surrogate-key": "c",
            "additional-conditions": [{"data-collection": "S.A", "filter": "x > 1"}]}"#;
        let Ok(Action::Execute(execute)) = signal("execute-snapshot", data).parse() else {
            panic!("no snapshot")
        };
        assert_eq!(execute.kind, Kind::Blocking);
        assert_eq!(execute.collections, ["s.a", "s\\.b.*"]);
        assert_eq!(execute.surrogate_key.as_deref(), Some("c"));
        let condition = &execute.conditions[0];
        assert!(condition.is_for("s.a") && !condition.is_for("s.ab"));
        assert_eq!(condition.filter, "x > 1");
        let known = ["s.b1", "s.c", "s.b2", "s.a"].map(str::to_owned);
        assert_eq!(expand(&execute.collections, &known, false).unwrap(), ["s.a", "s.b1", "s.b2"]);
        let nothing = ["S.A".to_owned(), "s.a".to_owned()];
        assert_eq!(expand(&nothing, &known, false).unwrap(), ["S.A", "s.a"]);
        assert_eq!(expand(&nothing, &known, true).unwrap(), ["s.a"]);
    }

    #[test]
    fn what_cannot_be_followed_is_said() {
        for (kind, data, wanted) in [
            ("execute-snapshot", "{}", "data-collections are missing"),
            ("execute-snapshot", r#"{"data-collections": [1]}"#, "no text"),
            ("execute-snapshot", r#"{"data-collections": ["a"], "type": "x"}"#, "neither"),
            ("execute-snapshot", r#"{"data-collections": ["a("]}"#, "no regular expression"),
            ("execute-snapshot", "{", "no JSON"),
            ("execute-snapshot", "[]", "no JSON object"),
            (
                "execute-snapshot",
                r#"{"data-collections": ["a"], "additional-conditions": [{"filter": "x"}]}"#,
                "no data-collection",
            ),
            ("log", "", "no message"),
            ("stop-snapshot", r#"{"type": "blocking"}"#, "can't be stopped"),
            ("tea", "", "type tea is not known"),
        ] {
            let reason = signal(kind, data).parse().unwrap_err();
            assert!(reason.contains(wanted), "{kind} {data}: {reason}");
        }
    }

    #[test]
    fn a_line_holds_its_data_as_it_is_or_as_text() {
        let line = r#"{"id": 7, "type": "log", "data": {"message": "m {}"}}"#;
        let signal = Signal::from_json(line).unwrap();
        assert_eq!((signal.id.as_str(), signal.data.as_str()), ("7", r#"{"message":"m {}"}"#));
        assert!(matches!(signal.parse(), Ok(Action::Log(text)) if text == "m {}"));
        let text =
            r#"{"id": "x", "type": "stop-snapshot", "data": "{\"data-collections\": [\"a\"]}"}"#;
        let signal = Signal::from_json(text).unwrap();
        assert!(matches!(signal.parse(), Ok(Action::Stop(list)) if list == ["a"]));
        assert!(Signal::from_json("{").is_err() && Signal::from_json(r#"{"id": "a"}"#).is_err());
    }
}
