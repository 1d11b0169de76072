//! Connector files, as the worker's command line takes them, and directories of them.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value};

use super::{Failure, Result};
use crate::{
    cli::connector_file,
    herder::{RawConfig, Target},
};

/// What a file says a connector is to be.
pub(super) struct Wanted {
    pub(super) file: String,
    pub(super) name: String,
    /// With its `name`.
    pub(super) config: Map<String, Value>,
    /// What it is to be once it is created.
    pub(super) initial: Target,
}

impl Wanted {
    pub(super) fn class(&self) -> &str {
        self.config.get("connector.class").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn config(&self) -> Value {
        Value::Object(self.config.clone())
    }
}

/// Reads files, and all `*.json` and `*.properties` of directories. No connector may come twice.
pub(super) fn read(paths: &[String]) -> Result<Vec<Wanted>> {
    let mut files = Vec::new();
    for path in paths {
        match Path::new(path).is_dir() {
            true => files.extend(directory(path)?),
            false => files.push(path.clone()),
        }
    }
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut all = Vec::new();
    for file in files {
        let read = connector_file::read(&file).map_err(Failure::usage)?;
        let mut config = flat(&read.config);
        config.entry("name").or_insert_with(|| read.name.clone().into());
        if let Some(other) = seen.insert(read.name.clone(), file.clone()) {
            let name = &read.name;
            let text = format!("connector {name} is in two files, {other} and {file}; keep one");
            return Err(Failure::usage(text));
        }
        all.push(Wanted { file, name: read.name, config, initial: read.initial });
    }
    Ok(all)
}

fn directory(path: &str) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| Failure::usage(format!("read directory {path}: {error}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let known = |end: &std::ffi::OsStr| end == "json" || end == "properties";
        if file.extension().is_some_and(known) && file.is_file() {
            files.push(file.to_string_lossy().into_owned());
        }
    }
    if files.is_empty() {
        let text = format!("directory {path} has no *.json or *.properties files");
        return Err(Failure::usage(text));
    }
    files.sort();
    Ok(files)
}

fn flat(config: &RawConfig) -> Map<String, Value> {
    config.iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}
