//! The settings of Kafka clients in a connector's configuration: `producer.override.*` and its like.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use model::{
    config::{ConfigInfo, ValueInfo},
    connector::Props,
};

use crate::{
    herder::{Refusal, base_keys, client_keys, isolated, worker_config::WorkerConfig},
    plugins::Plugin,
    runtime::{Tasks, Threads, Transport},
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
    let refused = refused_settings(&tasks.threads, tasks.transport.clone(), props).await?;
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

/// What is wrong with the settings of Kafka clients. Some of them name files, such as key stores,
/// which may lie where nobody answers.
async fn refused_settings(
    threads: &Threads,
    transport: Arc<dyn Transport>,
    props: &Props,
) -> Result<BTreeMap<String, String>, Refusal> {
    let files: Vec<&str> = (props.keys().map(String::as_str))
        .filter(|key| key.contains(".override.") && key.ends_with(".location"))
        .collect();
    if files.is_empty() {
        return Ok(transport.refused_settings(props).into_iter().collect());
    }
    let given = props.clone();
    let code = async move { transport.refused_settings(&given).into_iter().collect() };
    isolated::run(threads, FILES_MAX, code).await.map_err(|fault| {
        let text = format!(
            "reading the files that {} name was to show whether a Kafka client can start with them \
             and {fault}; check that the files can be reached",
            files.join(", ")
        );
        Refusal::new(500, text)
    })
}

/// Whether a setting of a Kafka client is a password, by its name.
fn secret(key: &str) -> bool {
    key.contains("password") || key == "sasl.jaas.config" || key == "ssl.keystore.key"
}
