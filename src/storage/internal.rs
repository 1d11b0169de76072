//! Which topics there are, and making sure that each is there and is kept the way it has to be.

use std::{collections::BTreeMap, time::Duration};

use model::{
    connector::Props,
    error::{Error, Result},
    java,
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::time::{Instant, sleep};

use crate::kafka::Context;

/// One of the worker's own topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Configs,
    Offsets,
    Statuses,
}

impl Which {
    /// What the worker's keys about this topic begin with.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Which::Configs => "config.storage.",
            Which::Offsets => "offset.storage.",
            Which::Statuses => "status.storage.",
        }
    }

    /// How the clients' names end.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Which::Configs => "configs",
            Which::Offsets => "offsets",
            Which::Statuses => "statuses",
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Which::Configs => "connector configurations",
            Which::Offsets => "source connector offsets",
            Which::Statuses => "connector and task statuses",
        }
    }

    fn partitions(self) -> i32 {
        match self {
            Which::Configs => 1,
            Which::Offsets => 25,
            Which::Statuses => 5,
        }
    }
}

/// A topic as the worker's properties describe it.
pub(super) struct Internal {
    pub(super) which: Which,
    pub(super) name: String,
    partitions: i32,
    replication: i32,
    configs: BTreeMap<String, String>,
    /// `default.api.timeout.ms`: how long the topic's creation is tried.
    patience: Duration,
    pause: Duration,
}

impl Internal {
    pub(super) fn new(worker: &Props, which: Which) -> Result<Self> {
        let prefix = which.prefix();
        let mut configs: BTreeMap<String, String> = worker
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone())))
            .collect();
        let name = configs.remove("topic").unwrap_or_default().trim().to_owned();
        if name.is_empty() {
            return Err(Error::fatal(format!(
                "{prefix}topic is not set; it names the topic that keeps {}",
                which.purpose()
            )));
        }
        let mut number = |key: &str, default: i32| {
            match configs.remove(key) {
            None => Ok(default),
            Some(text) => text.trim().parse().ok().filter(|n| *n == -1 || *n > 0).ok_or_else(|| {
                Error::fatal(format!(
                    "Invalid value {text} for configuration {prefix}{key}: it must be a positive \
                     number, or -1 to use the broker's default"
                ))
            }),
        }
        };
        let partitions = number("partitions", which.partitions())?;
        let replication = number("replication.factor", 3)?;
        if which == Which::Configs && partitions != 1 {
            tracing::warn!(
                "ignoring {prefix}partitions={partitions}: the config topic always has 1 partition"
            );
        }
        if let Some(policy) = configs.remove("cleanup.policy").filter(|policy| policy != "compact")
        {
            tracing::warn!("ignoring {prefix}cleanup.policy={policy}: this topic is compacted");
        }
        configs.insert("cleanup.policy".to_owned(), "compact".to_owned());
        let millis = |key: &str, default: u64| {
            let given = worker.get(key).and_then(|text| text.trim().parse().ok());
            Duration::from_millis(given.unwrap_or(default))
        };
        Ok(Self {
            which,
            name,
            partitions: if which == Which::Configs { 1 } else { partitions },
            replication,
            configs,
            patience: millis("default.api.timeout.ms", 60_000),
            pause: millis("retry.backoff.ms", 100).max(Duration::from_millis(20)),
        })
    }

    /// Creates the topic, or checks that the one that is there is compacted and nothing else.
    pub(super) async fn ensure(&self, admin: &AdminClient<Context>, servers: &str) -> Result<()> {
        let deadline = Instant::now() + self.patience;
        let mut told = false;
        loop {
            let failed = match self.attempt(admin, deadline).await {
                Ok(()) => return Ok(()),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::Now(cause)) => cause,
            };
            if Instant::now() + self.pause >= deadline {
                return Err(self.failure(servers, admin.inner().context(), failed));
            }
            if !told {
                tracing::info!("topic {} is not there yet: {failed}; trying again", self.name);
                told = true;
            }
            sleep(self.pause).await;
        }
    }

    async fn attempt(
        &self,
        admin: &AdminClient<Context>,
        deadline: Instant,
    ) -> std::result::Result<(), Failed> {
        let left = deadline.saturating_duration_since(Instant::now()).max(self.pause);
        let options = AdminOptions::new().request_timeout(Some(left)).operation_timeout(Some(left));
        let replication = TopicReplication::Fixed(self.replication);
        let mut wanted = NewTopic::new(&self.name, self.partitions, replication);
        for (key, value) in &self.configs {
            wanted = wanted.set(key, value);
        }
        let answer = admin.create_topics([&wanted], &options).await.map_err(Failed::Now)?;
        match answer.into_iter().next() {
            None => return Err(Failed::Now(KafkaError::AdminOp(Code::BadMessage))),
            Some(Ok(_)) => {
                tracing::info!("created topic {} for {}", self.name, self.which.purpose());
                return Ok(());
            }
            Some(Err((_, Code::TopicAlreadyExists))) => {}
            // It may exist all the same; if not, the look-up of its partitions says so.
            Some(Err((
                _,
                code @ (Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature),
            ))) => {
                tracing::info!("topic {} cannot be created by this worker: {code}", self.name);
            }
            Some(Err((
                _,
                code @ (Code::InvalidReplicationFactor
                | Code::RequestTimedOut
                | Code::OperationTimedOut
                | Code::NotController
                | Code::ThrottlingQuotaExceeded
                | Code::BrokerTransportFailure),
            ))) => return Err(Failed::Now(KafkaError::AdminOp(code))),
            Some(Err((_, code))) => {
                return Err(Failed::For(
                    Error::fatal(format!("failed to create {}", self.described())).caused_by(code),
                ));
            }
        }
        let named = [ResourceSpecifier::Topic(&self.name)];
        let answer = admin.describe_configs(&named, &options).await.map_err(Failed::Now)?;
        let policy = match answer.into_iter().next() {
            Some(Ok(found)) => found.get("cleanup.policy").and_then(|entry| entry.value.clone()),
            Some(Err(
                code @ (Code::RequestTimedOut
                | Code::OperationTimedOut
                | Code::BrokerTransportFailure),
            )) => return Err(Failed::Now(KafkaError::AdminOp(code))),
            _ => None,
        };
        match policy {
            Some(policy) => self.check(&policy).map_err(Failed::For),
            None => {
                tracing::warn!(
                    "whether topic {} has cleanup.policy=compact cannot be verified: this worker \
                     may not describe it",
                    self.name
                );
                Ok(())
            }
        }
    }

    fn check(&self, policy: &str) -> Result<()> {
        let policies = policy.split(',').map(|one| one.trim().to_lowercase());
        let policies = policies.filter(|one| !one.is_empty());
        // A set's order, as the JVM prints it.
        let policies = java::hash_map(policies.map(|one| (one, serde_json::Value::Null)));
        let policies: Vec<&str> = policies.keys().map(String::as_str).collect();
        if policies.is_empty() || policies == ["compact"] {
            return Ok(());
        }
        let (topic, prefix, purpose) = (&self.name, self.which.prefix(), self.which.purpose());
        Err(Error::fatal(format!(
            "Topic '{topic}' supplied via the '{prefix}topic' property is required to have \
             'cleanup.policy=compact' to guarantee consistency and durability of {purpose}, but \
             found the topic currently has 'cleanup.policy={}'. Continuing would likely result in \
             eventually losing {purpose} and problems restarting this Connect cluster in the \
             future. Change the '{prefix}topic' property in the Connect worker configurations to \
             use a topic with 'cleanup.policy=compact'.",
            policies.join(",")
        )))
    }

    /// Refuses a config topic of several partitions: its records would have no common order.
    pub(super) fn check_partitions(&self, found: usize) -> Result<()> {
        if self.which != Which::Configs || found <= 1 {
            return Ok(());
        }
        Err(Error::fatal(format!(
            "Topic '{}' supplied via the '{}topic' property is required to have a single partition \
             in order to guarantee consistency of connector configurations, but found {found} \
             partitions.",
            self.name,
            self.which.prefix()
        )))
    }

    fn described(&self) -> String {
        let configs: Vec<String> =
            self.configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!(
            "topic {} with {} partitions, {} replicas and {}",
            self.name,
            self.partitions,
            self.replication,
            configs.join(", ")
        )
    }

    fn failure(&self, servers: &str, context: &Context, cause: KafkaError) -> Error {
        let few = matches!(cause, KafkaError::AdminOp(Code::InvalidReplicationFactor));
        let hint = if few {
            format!(
                "; there are fewer brokers than that, so set {}replication.factor",
                self.which.prefix()
            )
        } else {
            "; check bootstrap.servers, the network and security.protocol".to_owned()
        };
        let error = Error::fatal(format!(
            "failed to create {} on Kafka {servers} within {} ms{hint}",
            self.described(),
            self.patience.as_millis()
        ));
        match context.last_error().filter(|_| !few) {
            Some(last) => error.caused_by(last),
            None => error.caused_by(cause),
        }
    }
}

enum Failed {
    /// May pass.
    Now(KafkaError),
    For(Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn internal(which: Which, lines: &[(&str, &str)]) -> Result<Internal> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Internal::new(&lines.iter().map(own).collect(), which)
    }

    #[test]
    fn what_the_properties_describe() {
        type Lines<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(Which, Lines<'_>, &str)] = &[
            (
                Which::Configs,
                &[("config.storage.topic", "c"), ("config.storage.partitions", "7")],
                "topic c with 1 partitions, 3 replicas and cleanup.policy=compact",
            ),
            (
                Which::Offsets,
                &[
                    ("offset.storage.topic", " o "),
                    ("offset.storage.replication.factor", "-1"),
                    ("offset.storage.cleanup.policy", "delete"),
                    ("offset.storage.segment.bytes", "1048576"),
                    ("status.storage.segment.bytes", "9"),
                ],
                "topic o with 25 partitions, -1 replicas and cleanup.policy=compact, \
                 segment.bytes=1048576",
            ),
            (
                Which::Statuses,
                &[("status.storage.topic", "s"), ("status.storage.partitions", "-1")],
                "topic s with -1 partitions, 3 replicas and cleanup.policy=compact",
            ),
            (Which::Statuses, &[], "status.storage.topic is not set"),
            (
                Which::Offsets,
                &[("offset.storage.topic", "o"), ("offset.storage.partitions", "0")],
                "Invalid value 0 for configuration offset.storage.partitions",
            ),
        ];
        for (which, lines, answer) in cases {
            let told = match internal(*which, lines) {
                Ok(topic) => topic.described(),
                Err(error) => error.to_string(),
            };
            assert!(told.starts_with(answer), "{told}");
        }
    }

    #[test]
    fn only_compacted_topics() {
        let topic = internal(Which::Offsets, &[("offset.storage.topic", "o")]).unwrap();
        topic.check("compact").unwrap();
        topic.check(" Compact ,").unwrap();
        for (policy, shown) in [
            ("delete", "delete"),
            ("compact,delete", "compact,delete"),
            ("delete,compact", "compact,delete"),
        ] {
            let error = topic.check(policy).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "Topic 'o' supplied via the 'offset.storage.topic' property is required to \
                     have 'cleanup.policy=compact' to guarantee consistency and durability of \
                     source connector offsets, but found the topic currently has \
                     'cleanup.policy={shown}'. Continuing would likely result in eventually \
                     losing source connector offsets and problems restarting this Connect cluster \
                     in the future. Change the 'offset.storage.topic' property in the Connect \
                     worker configurations to use a topic with 'cleanup.policy=compact'."
                )
            );
        }
    }
}
