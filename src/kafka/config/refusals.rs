//! What is said of settings that no client can start with: all of them at once, and under the names
//! that they have in a worker's file or a connector's configuration.

use std::collections::BTreeMap;

use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::error::{IsError, KafkaError};

use super::{admin, consumer, own_topic, producer, worker};

/// What is wrong with the settings of a worker's own clients, a line each.
pub(crate) fn refused_worker_settings(given: &Props) -> Vec<String> {
    match without_kafka(given) {
        true => Vec::new(),
        false => lines(worker(given).err()),
    }
}

/// The same of a worker that is one of a group, and keeps topics of its own.
pub(crate) fn refused_group_settings(given: &Props) -> Vec<String> {
    if without_kafka(given) {
        return Vec::new();
    }
    // That there is no group is said of its key.
    let mut named = given.clone();
    named.entry("group.id".to_owned()).or_insert_with(|| "group".to_owned());
    lines(worker(given).err().into_iter().chain(own_topic(&named, "configs").err()))
}

/// Without Kafka there are no clients; that the list of its addresses is empty is said of the list.
fn without_kafka(given: &Props) -> bool {
    given.get("bootstrap.servers").is_none_or(|servers| servers.trim().is_empty())
}

/// Each thing once, though several clients tell it.
pub(super) fn lines(errors: impl IntoIterator<Item = Error>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for error in errors {
        for line in error.trace().lines() {
            if !lines.iter().any(|told| told == line) {
                lines.push(line.to_owned());
            }
        }
    }
    lines
}

/// Where the properties of a client come from, for what is said of them.
pub(super) struct Origin<'p> {
    pub(super) worker: &'p Props,
    /// Of the worker's keys that are for this kind of clients.
    pub(super) prefix: &'static str,
    /// Of a connector's client: its properties, with `override.` behind the prefix.
    pub(super) connector: Option<&'p Props>,
}

impl Origin<'_> {
    /// The key as it stands in a file or a configuration.
    pub(super) fn name(&self, key: &str) -> String {
        let Self { worker, prefix, connector } = self;
        let own = format!("{prefix}override.{key}");
        if connector.is_some_and(|props| props.contains_key(&own)) {
            return own;
        }
        let prefixed = format!("{prefix}{key}");
        if worker.contains_key(&prefixed) { prefixed } else { key.to_owned() }
    }

    /// An error of the keys of security, under the prefix that they have.
    pub(super) fn security(&self, layers: &BTreeMap<String, String>, error: Error) -> Error {
        let mut names = layers
            .keys()
            .filter(|key| ["security.", "ssl.", "sasl."].iter().any(|part| key.starts_with(part)))
            .map(|key| (self.name(key), key));
        match names.find(|(name, key)| name != *key) {
            Some((name, key)) => {
                let prefix = name.strip_suffix(key.as_str()).unwrap_or(&name);
                Error::fatal(format!("client properties {prefix}* are refused")).caused_by(error)
            }
            None => error,
        }
    }
}

/// The `producer.override.*`, `consumer.override.*` and `admin.override.*` of a connector that its
/// clients cannot start with, and why. Where only several together are wrong, the first of them stands for all.
pub(in crate::kafka) fn refused_overrides(worker: &Props, props: &Props) -> Vec<(String, String)> {
    type Build = fn(&Props, &str, usize, &Props) -> Result<()>;
    let kinds: [(&str, Build); 3] = [
        ("producer.override.", |worker, name, task, props| {
            producer(worker, name, task, props).map(drop)
        }),
        ("consumer.override.", |worker, name, task, props| {
            consumer(worker, name, task, props).map(drop)
        }),
        ("admin.override.", |worker, name, task, props| admin(worker, name, task, props).map(drop)),
    ];
    let mut refused = Vec::new();
    for (prefix, build) in kinds {
        let given: Vec<_> = props.iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        let Some((first, _)) = given.first() else { continue };
        let Err(together) = build(worker, "", 0, props) else { continue };
        let before = refused.len();
        for (key, value) in &given {
            let alone = Props::from([((*key).clone(), (*value).clone())]);
            if let Err(error) = build(worker, "", 0, &alone) {
                refused.push(((*key).clone(), error.trace()));
            }
        }
        if refused.len() == before {
            refused.push(((*first).clone(), together.trace()));
        }
    }
    refused
}

/// `key` as it stands in a file or a configuration.
pub(super) fn refused(key: &str, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(code, why, _, value) if code.is_error() => {
            // Passwords are among the values.
            let value =
                if key.contains("password") || key.contains("pem") { "[hidden]" } else { value };
            Error::fatal(format!("client property {key} is {value:?}: {why}"))
        }
        other => refused_by_library(other),
    }
}

pub(super) fn refused_by_library(error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => refused(key, error),
        other => Error::fatal(format!("the Kafka client refuses its configuration: {other}")),
    }
}
