//! What Kafka's validators say. They look at null, too: a key without a value is told to be missing,
//! and then once more in the words of its validator.

use model::{config::Parsed, pattern::syntax_error};

/// `ConfigDef.NonNullValidator`.
pub(crate) fn given(value: &Parsed) -> Result<(), String> {
    match value {
        Parsed::Null => Err("entry must be non null".to_owned()),
        _ => Ok(()),
    }
}

/// `NonEmptyListValidator`.
pub(crate) fn some(value: &Parsed) -> Result<(), String> {
    match value {
        Parsed::List(items) if !items.is_empty() => Ok(()),
        _ => Err("Empty list".to_owned()),
    }
}

/// `ConfigDef.ValidString`.
pub(crate) fn one_of(allowed: &[&str], value: &Parsed) -> Result<(), String> {
    match value {
        Parsed::String(value) if allowed.contains(&value.as_str()) => Ok(()),
        _ => Err(format!("String must be one of: {}", allowed.join(", "))),
    }
}

/// `RegexValidator`.
pub(crate) fn pattern(value: &Parsed) -> Result<(), String> {
    let wrong = match value {
        Parsed::String(pattern) => syntax_error(pattern),
        _ => Some("Cannot invoke \"String.isEmpty()\" because \"this.pattern\" is null".to_owned()),
    };
    wrong.map_or(Ok(()), |wrong| Err(format!("Invalid regex: {wrong}")))
}

/// `ConfigDef.ValidList` for a list that has something, nothing empty and nothing twice.
pub(crate) fn some_unique(key: &str, value: &Parsed) -> Result<(), String> {
    let wrong = match value {
        Parsed::List(items) if items.is_empty() => {
            "must not be empty. Valid values include: any non-empty value"
        }
        Parsed::List(items) => {
            if items.iter().enumerate().any(|(at, item)| items[..at].contains(item)) {
                "values must not be duplicated."
            } else if items.iter().any(String::is_empty) {
                "values must not be empty."
            } else {
                return Ok(());
            }
        }
        _ => "values must not be null.",
    };
    Err(format!("Configuration '{key}' {wrong}"))
}

/// The renames of `ReplaceField`: each is `old:new`.
pub(crate) fn renames(value: &Parsed) -> Result<(), String> {
    let Parsed::List(items) = value else { return Ok(()) };
    match items.iter().find(|item| split(item).len() != 2) {
        Some(item) => Err(format!("Invalid rename mapping: {item}")),
        None => Ok(()),
    }
}

/// The casts of `Cast`: each is `field:type`, or there is one that is a type.
pub(crate) fn cast(_key: &str, value: &Parsed) -> Result<(), String> {
    let items = match value {
        Parsed::List(items) if !items.is_empty() => items,
        _ => return Err("Must specify at least one field to cast.".to_owned()),
    };
    let mut whole = false;
    for item in items {
        let parts = split(item);
        let kind = match parts.as_slice() {
            [_, kind] => kind,
            [kind] => {
                whole = true;
                kind
            }
            _ => {
                // Kafka names the key of another transform here.
                return Err(format!(
                    "Invalid value [{}] for configuration renames: Invalid rename mapping: {item}",
                    items.join(", ")
                ));
            }
        };
        cast_type(kind.trim())?;
    }
    match whole && items.len() > 1 {
        true => {
            Err("Cast transformations that specify a type to cast the entire value to may only \
                     specify a single cast in their spec"
                .to_owned())
        }
        false => Ok(()),
    }
}

fn cast_type(name: &str) -> Result<(), String> {
    let upper = name.to_uppercase();
    match upper.as_str() {
        "INT8" | "INT16" | "INT32" | "INT64" | "FLOAT32" | "FLOAT64" | "BOOLEAN" | "STRING" => {
            Ok(())
        }
        "BYTES" | "ARRAY" | "MAP" | "STRUCT" => Err(format!(
            "Cast transformation does not support casting to {upper}; supported types are [INT8, \
             INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING]"
        )),
        _ => Err(format!(
            "Invalid value java.lang.IllegalArgumentException: No enum constant \
             org.apache.kafka.connect.data.Schema.Type.{upper} for configuration Invalid type found \
             in casting spec: {name}"
        )),
    }
}

/// `String.split(":")`, which leaves out what is empty at the end.
fn split(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(':').collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Parsed {
        let items = text.split(',').filter(|_| !text.is_empty());
        Parsed::List(items.map(|item| item.trim().to_owned()).collect())
    }

    #[test]
    fn casts() {
        for (spec, wanted) in [
            ("int8", ""),
            ("a:boolean, b : string", ""),
            (":int8", ""),
            ("", "Must specify at least one field to cast."),
            ("a:b:c", "Invalid value [a:b:c] for configuration renames: Invalid rename mapping"),
            ("a:", "Invalid value java.lang.IllegalArgumentException: No enum constant"),
            ("a:struct", "Cast transformation does not support casting to STRUCT;"),
            ("int32,string", "Cast transformations that specify a type"),
        ] {
            let said = cast("spec", &list(spec)).err().unwrap_or_default();
            assert!(said.starts_with(wanted) && said.is_empty() == wanted.is_empty(), "{said}");
        }
    }

    #[test]
    fn lists() {
        for (given, wanted) in [
            ("a,b", ""),
            ("", "must not be empty. Valid values include: any non-empty value"),
            ("a,,a", "values must not be duplicated."),
            ("a,", "values must not be empty."),
        ] {
            let said = some_unique("fields", &list(given)).err().unwrap_or_default();
            assert!(said.ends_with(wanted) && said.is_empty() == wanted.is_empty(), "{said}");
        }
        assert_eq!(renames(&list("a:b,c:d:")), Ok(()));
        assert_eq!(renames(&list("a:b,c")), Err("Invalid rename mapping: c".to_owned()));
    }
}
