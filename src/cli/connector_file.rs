//! Connector files given on the command line: tried as Connect tries them.

use std::path::Path;

use serde_json::{Map, Value};

use crate::herder::{RawConfig, Target, providers::read_properties};

/// A connector to start.
pub(super) struct ConnectorFile {
    pub(super) name: String,
    pub(super) config: RawConfig,
    pub(super) initial: Target,
}

/// A request like that of `POST /connectors`, else a flat JSON map, else Java properties.
pub(super) fn read(path: &str) -> Result<ConnectorFile, String> {
    let told = |error: &dyn std::fmt::Display| {
        format!("failed to read the connector configuration {path}: {error}")
    };
    let bytes = std::fs::read(path).map_err(|error| told(&error))?;
    if let Ok(Value::Object(fields)) = serde_json::from_slice(&bytes) {
        if let Some(request) = request(path, &fields)? {
            return Ok(request);
        }
        if let Some(config) = flat(&fields) {
            return with_name(path, config);
        }
    }
    let properties = read_properties(Path::new(path)).map_err(|error| told(&error))?;
    let config: RawConfig = properties.into_iter().map(|(key, value)| (key, Some(value))).collect();
    with_name(path, config.in_hash_order())
}

fn with_name(path: &str, config: RawConfig) -> Result<ConnectorFile, String> {
    match config.get("name").map(str::to_owned) {
        Some(name) => Ok(ConnectorFile { name, config, initial: Target::Running }),
        None => Err(format!(
            "Connector configuration at '{path}' is missing the mandatory 'name' configuration"
        )),
    }
}

/// `None` when the file is no such request.
fn request(path: &str, fields: &Map<String, Value>) -> Result<Option<ConnectorFile>, String> {
    let Some(Value::Object(config)) = fields.get("config") else { return Ok(None) };
    let Some(mut config) = flat(config) else { return Ok(None) };
    let name = match fields.get("name") {
        Some(Value::String(name)) => name.trim().to_owned(),
        None | Some(Value::Null) => String::new(),
        Some(_) => return Ok(None),
    };
    let initial = match fields.get("initial_state").and_then(Value::as_str) {
        None => Target::Running,
        Some(state) if state.eq_ignore_ascii_case("running") => Target::Running,
        Some(state) if state.eq_ignore_ascii_case("paused") => Target::Paused,
        Some(state) if state.eq_ignore_ascii_case("stopped") => Target::Stopped,
        Some(_) => return Ok(None),
    };
    match config.get("name") {
        Some(given) if given != name => {
            return Err(format!(
                "Connector name configuration in 'config' doesn't match the one specified in \
                 'name' at '{path}'."
            ));
        }
        Some(_) => {}
        None => config.set("name", Some(name.clone())),
    }
    Ok(Some(ConnectorFile { name, config, initial }))
}

/// `None` when a value is an array or an object.
fn flat(fields: &Map<String, Value>) -> Option<RawConfig> {
    let text = |(key, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(bool) => Some(bool.to_string()),
            Value::Array(_) | Value::Object(_) => return None,
        };
        Some((key.clone(), text))
    };
    fields.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, String), String> {
        let name = format!("riverrun-connector-{}-{:p}", std::process::id(), text);
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let read = read(path.to_str().unwrap());
        std::fs::remove_file(&path).unwrap();
        read.map(|file| (file.name, file.config.to_string()))
            .map_err(|wrong| wrong.replace(path.to_str().unwrap(), "FILE"))
    }

    #[test]
    fn the_three_forms() {
        let of = |name: &str, config: &str| Ok((name.to_owned(), config.to_owned()));
        assert_eq!(parse(r#"{"name":"a","config":{"x":1},"more":[]}"#), of("a", "{x=1, name=a}"));
        assert_eq!(parse(r#"{"name":"a","x":"1"}"#), of("a", "{name=a, x=1}"));
        assert_eq!(parse("name=a\nx = 1\n"), of("a", "{name=a, x=1}"));
        assert_eq!(
            parse(r#"{"name":"a","config":{"name":"b"}}"#),
            Err("Connector name configuration in 'config' doesn't match the one specified in \
                 'name' at 'FILE'."
                .to_owned())
        );
        for text in [r#"{"x":"1"}"#, "x=1", ""] {
            let missing =
                "Connector configuration at 'FILE' is missing the mandatory 'name' configuration";
            assert_eq!(parse(text), Err(missing.to_owned()), "{text}");
        }
    }
}
