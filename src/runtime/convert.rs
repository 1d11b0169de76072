//! The converters of a task: the connector's own where it names any, else the worker's.

use codec::Role;
use model::{
    connector::Props,
    convert::{Converter, HeaderConverter},
    error::{Error, Result},
};

/// Key, value and header converter of one task, and their class names for messages.
pub struct Converters {
    pub key: Box<dyn Converter>,
    pub value: Box<dyn Converter>,
    pub header: Box<dyn HeaderConverter>,
    pub key_class: String,
    pub value_class: String,
    pub header_class: String,
}

const HEADER_DEFAULT: &str = "org.apache.kafka.connect.storage.SimpleHeaderConverter";

impl Converters {
    pub fn new(task: &Props, worker: &Props) -> Result<Self> {
        let (key_class, key_options) =
            choose("key.converter", task, worker).ok_or_else(|| missing("key.converter"))?;
        let (value_class, value_options) =
            choose("value.converter", task, worker).ok_or_else(|| missing("value.converter"))?;
        let (header_class, header_options) = choose("header.converter", task, worker)
            .unwrap_or_else(|| (HEADER_DEFAULT.to_owned(), Props::new()));
        Ok(Self {
            key: codec::converter(&key_class, &key_options, Role::Key)
                .map_err(|problems| invalid("key.converter", problems))?,
            value: codec::converter(&value_class, &value_options, Role::Value)
                .map_err(|problems| invalid("value.converter", problems))?,
            header: codec::header_converter(&header_class, &header_options)
                .map_err(|problems| invalid("header.converter", problems))?,
            key_class,
            value_class,
            header_class,
        })
    }
}

/// The class under `key` and the options below it, both from the one that names the class.
fn choose(key: &str, task: &Props, worker: &Props) -> Option<(String, Props)> {
    let props = [task, worker].into_iter().find(|props| props.contains_key(key))?;
    let class = props.get(key)?.trim().to_owned();
    let prefix = format!("{key}.");
    let options = props
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())));
    Some((class, options.collect()))
}

fn invalid(key: &str, problems: Vec<codec::Problem>) -> Error {
    let problems = problems.into_iter().map(|(option, message)| {
        let dot = if option.is_empty() { "" } else { "." };
        format!("{key}{dot}{option}: {message}")
    });
    Error::fatal(problems.collect::<Vec<_>>().join("; "))
}

fn missing(key: &str) -> Error {
    Error::fatal(format!(
        "{key} is set neither in the connector's configuration nor in the worker's properties; \
         set it, for example to org.apache.kafka.connect.json.JsonConverter"
    ))
}
