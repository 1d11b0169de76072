//! The settings of Kafka clients in a connector's configuration: `producer.override.*` and its like.

use std::{collections::BTreeMap, time::Duration};

use model::{
    config::{ConfigInfo, ValueInfo},
    connector::Props,
};

use crate::{
    herder::{Refusal, base_keys, client_keys, isolated, worker_config::WorkerConfig},
    plugins::Plugin,
    runtime::{Tasks, Threads},
};

/// How long reading key stores may take.
const FILES_MAX: Duration = Duration::from_secs(30);

/// The settings of Kafka clients that the connector will use.
pub(super) async fn client_overrides(
    worker: &WorkerConfig,
    tasks: &Tasks,
    plugin: Plugin,
    props: &Props,
) -> Result<Vec<ConfigInfo>, Refusal> {
    let (transport, given) = (tasks.transport.clone(), props.clone());
    let ask = move || transport.refused_settings(&given);
    let refused = refused_settings(&tasks.threads, FILES_MAX, props, ask).await?;
    let creates = props.keys().any(|key| key.starts_with("topic.creation."));
    let given = |key: &str| props.get(key).is_some_and(|value| !value.trim().is_empty());
    let dlq = given(base_keys::DLQ_TOPIC_NAME.spec.name);
    // A source with an offsets topic of its own reads and makes it, where there is a group.
    let offsets = given("offsets.storage.topic") && worker.props.contains_key("group.id");
    let (producer, consumer, admin) =
        ("producer.override.", "consumer.override.", "admin.override.");
    let prefixes: &[&str] = match plugin {
        Plugin::Source(_) if offsets => &[producer, consumer, admin],
        Plugin::Source(_) if creates => &[producer, admin],
        Plugin::Source(_) => &[producer],
        Plugin::Sink(_) if dlq => &[producer, consumer, admin],
        Plugin::Sink(_) => &[consumer],
    };
    let mut configs = Vec::new();
    for prefix in prefixes {
        let client = prefix.chars().next().unwrap_or_default();
        for (name, value) in props {
            let Some(key) = name.strip_prefix(prefix) else { continue };
            configs.push(ConfigInfo {
                definition: client_keys::definition(client, key, name),
                value: ValueInfo {
                    name: name.clone(),
                    value: Some(if secret(key) { "[hidden]".to_owned() } else { value.clone() }),
                    recommended_values: Vec::new(),
                    errors: (worker.override_policy.refuses(key).into_iter())
                        .chain(refused.get(name).cloned())
                        .collect(),
                    visible: true,
                },
            });
        }
    }
    Ok(configs)
}

/// What is wrong with the settings of Kafka clients. Some of them, and of the worker's, name files, such
/// as key stores, which may lie where nobody answers.
async fn refused_settings(
    threads: &Threads,
    within: Duration,
    props: &Props,
    ask: impl FnOnce() -> Vec<(String, String)> + Send + 'static,
) -> Result<BTreeMap<String, String>, Refusal> {
    let overrides: Vec<&str> =
        props.keys().map(String::as_str).filter(|key| key.contains(".override.")).collect();
    if overrides.is_empty() {
        return Ok(BTreeMap::new());
    }
    let refused = isolated::run(threads, within, async move { ask() }).await;
    refused.map(|refused| refused.into_iter().collect()).map_err(|fault| {
        Refusal::new(
            500,
            format!(
                "a Kafka client was to be tried with {} and the worker's settings, and {fault}; \
                 check that the files these name, such as key stores, can be reached",
                overrides.join(", ")
            ),
        )
    })
}

/// Whether a setting of a Kafka client is a password, by its name.
fn secret(key: &str) -> bool {
    key.contains("password") || key == "sasl.jaas.config" || key == "ssl.keystore.key"
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// On a runtime of one thread, which goes on.
    #[tokio::test]
    async fn a_key_store_that_hangs_holds_nobody() {
        let key = "producer.override.ssl.keystore.location";
        let props: Props = [(key.to_owned(), "/mnt/far/store".to_owned())].into();
        let threads = Threads::here();
        let within = Duration::from_secs(1);
        let (release, released) = mpsc::channel::<()>();
        let hangs = move || {
            released.recv().unwrap_or_default();
            Vec::new()
        };
        let late = refused_settings(&threads, within, &props, hangs);
        let quick = async {
            let wrong = (key.to_owned(), "no such file".to_owned());
            let told = vec![wrong.clone()];
            let refused = refused_settings(&threads, FILES_MAX, &props, move || told).await;
            (refused.unwrap(), BTreeMap::from([wrong]))
        };
        let (late, (refused, told)) = tokio::join!(late, quick);
        assert_eq!(refused, told);
        let late = late.unwrap_err();
        assert_eq!(late.status, 500);
        assert_eq!(
            late.message,
            "a Kafka client was to be tried with producer.override.ssl.keystore.location and the \
             worker's settings, and did not answer within 1 s; check that the files these name, \
             such as key stores, can be reached"
        );
        drop(release);
        let none = refused_settings(&threads, within, &Props::new(), || unreachable!()).await;
        assert_eq!(none.unwrap(), BTreeMap::new(), "nothing is tried without a setting");
    }
}
