//! Creating the topics a source writes to, as `topic.creation.*` says.
//!
//! Without any such key the broker creates topics by itself, or somebody has before.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fancy_regex::Regex;
use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::RDKafkaErrorCode,
};

use super::{Context, config};
use crate::runtime::transport::Client;

/// The topic-creation groups of a connector, and the client that creates.
pub(super) struct Topics {
    /// Empty when topics are not created here.
    groups: Vec<Group>,
    /// How to open a client, which is done for the first topic that is to be created.
    client: Option<(config::Settings, Client)>,
    admin: Mutex<Option<Arc<AdminClient<Context>>>>,
}

#[derive(Debug)]
struct Group {
    name: String,
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    partitions: i32,
    replication: i32,
    configs: BTreeMap<String, String>,
}

impl Topics {
    /// Creates none.
    pub(super) fn none() -> Self {
        Self { groups: Vec::new(), client: None, admin: Mutex::default() }
    }

    pub(super) fn new(worker: &Props, client: &Client) -> Result<Self> {
        let enabled = worker
            .get("topic.creation.enable")
            .is_none_or(|text| !text.trim().eq_ignore_ascii_case("false"));
        let groups = if enabled { groups(&client.props)? } else { Vec::new() };
        if groups.is_empty() {
            return Ok(Self::none());
        }
        let settings = config::admin(worker, &client.connector, client.task, &client.props)?;
        Ok(Self { groups, client: Some((settings, client.clone())), admin: Mutex::default() })
    }

    /// Some threads and connections of its own, which few tasks ever need.
    fn open(settings: &config::Settings, client: &Client) -> Result<AdminClient<Context>> {
        let who = format!("{}|task-{}", client.connector, client.task);
        let mut config = settings.client.clone();
        let context = Context::measured(who, &mut config, &client.metrics);
        config.create_with_context(context).map_err(|error| {
            Error::fatal(format!("Kafka client for {} cannot start", settings.servers))
                .caused_by(error)
        })
    }

    /// Creates the topic unless it exists. Does nothing when no group matches it.
    pub(super) async fn create(&self, topic: &str) -> Result<()> {
        let Some((settings, client)) = &self.client else { return Ok(()) };
        let Some(group) = self.groups.iter().find(|group| group.matches(topic)) else {
            return Ok(());
        };
        let admin = {
            let mut open = self.admin.lock().unwrap_or_else(PoisonError::into_inner);
            match &*open {
                Some(admin) => admin.clone(),
                None => open.insert(Arc::new(Self::open(settings, client)?)).clone(),
            }
        };
        let mut wanted =
            NewTopic::new(topic, group.partitions, TopicReplication::Fixed(group.replication));
        for (key, value) in &group.configs {
            wanted = wanted.set(key, value);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(Duration::from_secs(30)))
            .operation_timeout(Some(Duration::from_secs(30)));
        let answer = admin.create_topics([&wanted], &options).await.map_err(|error| {
            Error::retriable(format!("topic {topic} was not created on Kafka {}", settings.servers))
                .caused_by(error)
        })?;
        for result in answer {
            match result {
                Ok(name) => {
                    tracing::info!("created topic {name} by topic creation group {}", group.name);
                }
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((
                    _,
                    code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed),
                )) => {
                    // The topic may exist and be writable all the same: then all is well, and if
                    // not, the look-up that follows says so.
                    tracing::warn!("topic {topic} may not be created by this user: {code}");
                }
                Err((
                    _,
                    code @ (RDKafkaErrorCode::RequestTimedOut
                    | RDKafkaErrorCode::NotController
                    | RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::ThrottlingQuotaExceeded),
                )) => {
                    return Err(
                        Error::retriable(format!("topic {topic} was not created")).caused_by(code)
                    );
                }
                Err((_, code)) => return Err(group.failure(topic).caused_by(code)),
            }
        }
        Ok(())
    }
}

impl Group {
    fn matches(&self, topic: &str) -> bool {
        let any = |patterns: &[Regex]| {
            // A pattern too costly to match (it backtracks without end) matches nothing.
            patterns.iter().any(|pattern| pattern.is_match(topic).unwrap_or(false))
        };
        any(&self.include) && !any(&self.exclude)
    }

    fn failure(&self, topic: &str) -> Error {
        let configs: Vec<String> =
            self.configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        Error::fatal(format!(
            "Task failed to create new topic (name={topic}, numPartitions={}, \
             replicationFactor={}, replicasAssignments=null, configs={{{}}}). Ensure that the \
             task is authorized to create topics or that the topic exists and restart the task",
            self.partitions,
            self.replication,
            configs.join(", ")
        ))
    }
}

const PREFIX: &str = "topic.creation.";

/// The groups in the order in which they are tried: as listed, `default` last.
fn groups(props: &Props) -> Result<Vec<Group>> {
    if !props.keys().any(|key| key.starts_with(PREFIX)) {
        return Ok(Vec::new());
    }
    let mut names = list(props.get("topic.creation.groups").map_or("", String::as_str));
    names.retain(|name| name != "default");
    let default = group(props, "default", None)?;
    let mut groups = Vec::with_capacity(names.len() + 1);
    for name in &names {
        groups.push(group(props, name, Some(&default))?);
    }
    groups.push(default);
    Ok(groups)
}

fn group(props: &Props, name: &str, default: Option<&Group>) -> Result<Group> {
    let prefix = format!("{PREFIX}{name}.");
    let mut configs: BTreeMap<String, String> = props
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())))
        .collect();
    let include = configs.remove("include");
    let exclude = configs.remove("exclude");
    let mut number = |key: &str, inherited: Option<i32>, wrong: &str| {
        let full = format!("{prefix}{key}");
        let Some(text) = configs.remove(key) else {
            return inherited.ok_or_else(|| {
                Error::fatal(format!(
                    "Missing required configuration \"{full}\" which has no default value."
                ))
            });
        };
        let number = text.trim().parse::<i32>().ok().filter(|&number| number == -1 || number > 0);
        number.ok_or_else(|| {
            Error::fatal(format!("Invalid value {text} for configuration {full}: {wrong}"))
        })
    };
    let replication = number(
        "replication.factor",
        default.map(|default| default.replication),
        "Replication factor must be positive and not larger than the number of brokers in the \
         Kafka cluster, or -1 to use the broker's default",
    )?;
    let partitions = number(
        "partitions",
        default.map(|default| default.partitions),
        "Number of partitions must be positive, or -1 to use the broker's default",
    )?;
    let all = if default.is_none() { ".*" } else { "" };
    Ok(Group {
        name: name.to_owned(),
        include: patterns(&prefix, "include", include.as_deref().unwrap_or(all))?,
        exclude: patterns(&prefix, "exclude", exclude.as_deref().unwrap_or_default())?,
        partitions,
        replication,
        configs,
    })
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

fn patterns(prefix: &str, key: &str, text: &str) -> Result<Vec<Regex>> {
    list(text)
        .into_iter()
        .map(|pattern| {
            Regex::new(&format!("^(?:{})$", model::java::regex(&pattern))).map_err(|error| {
                Error::fatal(format!(
                    "Invalid value {pattern} for configuration {prefix}{key}: not a regular \
                     expression"
                ))
                .caused_by(error)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which group a topic falls to, and what the group makes of it.
    #[test]
    fn groups_by_topic() {
        let props: Props = [
            ("topic.creation.groups", "small, big"),
            ("topic.creation.default.partitions", "3"),
            ("topic.creation.default.replication.factor", "1"),
            ("topic.creation.default.cleanup.policy", "compact"),
            ("topic.creation.small.include", "a.*,b"),
            ("topic.creation.small.exclude", "ab.*"),
            ("topic.creation.small.partitions", "1"),
            ("topic.creation.big.include", ".*b.*"),
            ("topic.creation.big.replication.factor", "-1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let groups = groups(&props).unwrap();
        let cases = [
            ("ac", "small 1 1 {}"),
            ("b", "small 1 1 {}"),
            ("abc", "big 3 -1 {}"),
            ("xbx", "big 3 -1 {}"),
            ("c", "default 3 1 {\"cleanup.policy\": \"compact\"}"),
        ];
        for (topic, answer) in cases {
            let group = groups.iter().find(|group| group.matches(topic)).unwrap();
            let shown = format!(
                "{} {} {} {:?}",
                group.name, group.partitions, group.replication, group.configs
            );
            assert_eq!(shown, answer, "{topic}");
        }
    }

    #[test]
    fn wrong_groups() {
        let check = |pairs: &[(&str, &str)]| {
            let props = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string()));
            groups(&props.collect()).map(|groups| groups.len()).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[("name", "x")]), Ok(0));
        assert_eq!(
            check(&[("topic.creation.default.partitions", "1")]).unwrap_err(),
            "Missing required configuration \"topic.creation.default.replication.factor\" which \
             has no default value."
        );
        assert_eq!(
            check(&[
                ("topic.creation.default.partitions", "0"),
                ("topic.creation.default.replication.factor", "1")
            ])
            .unwrap_err(),
            "Invalid value 0 for configuration topic.creation.default.partitions: Number of \
             partitions must be positive, or -1 to use the broker's default"
        );
    }
}
