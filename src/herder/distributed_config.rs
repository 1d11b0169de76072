//! The keys of a worker that is one of a group, Kafka's `DistributedConfig`.

use std::time::Duration;

use model::config::{
    Check, Config, Group,
    Importance::{High, Low, Medium},
    Key,
};

use super::signing::{self, Signing};

/// How the group shares the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Eager,
    Compatible,
    Sessioned,
}

/// What makes a worker one of a group.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    pub group_id: String,
    pub client_id: String,
    pub protocol: Protocol,
    pub config_topic: String,
    pub offset_topic: String,
    pub status_topic: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub heartbeat_interval: Duration,
    /// How long work that a worker left is kept for its return.
    pub rebalance_delay: Duration,
    /// How long a worker that is behind may read the config topic.
    pub sync_timeout: Duration,
    /// How long a worker of an eager group then stays away that could not.
    pub unsync_backoff: Duration,
    pub request_timeout: Duration,
    pub retry_backoff: Duration,
    /// How long a session key is used; zero is for ever.
    pub key_ttl: Duration,
    pub signing: Signing,
}

pub(super) const KEYS: Group = Group {
    name: "",
    keys: &[
        &GROUP_ID.spec,
        &CONFIG_TOPIC.spec,
        &CONFIG_REPLICATION.spec,
        &OFFSET_TOPIC.spec,
        &OFFSET_PARTITIONS.spec,
        &OFFSET_REPLICATION.spec,
        &STATUS_TOPIC.spec,
        &STATUS_PARTITIONS.spec,
        &STATUS_REPLICATION.spec,
        &PROTOCOL.spec,
        &CLIENT_ID.spec,
        &SESSION_TIMEOUT.spec,
        &REBALANCE_TIMEOUT.spec,
        &HEARTBEAT_INTERVAL.spec,
        &REBALANCE_DELAY.spec,
        &SYNC_TIMEOUT.spec,
        &UNSYNC_BACKOFF.spec,
        &REQUEST_TIMEOUT.spec,
        &RETRY_BACKOFF.spec,
        &signing::KEY_ALGORITHM.spec,
        &signing::KEY_SIZE.spec,
        &KEY_TTL.spec,
        &signing::SIGNATURE_ALGORITHM.spec,
        &signing::VERIFICATION_ALGORITHMS.spec,
    ],
};

static GROUP_ID: Key<String> = Key::string("group.id").importance(High);
static CONFIG_TOPIC: Key<String> = Key::string("config.storage.topic").importance(High);
static CONFIG_REPLICATION: Key<i32> = Key::int("config.storage.replication.factor").default("3");
static OFFSET_TOPIC: Key<String> = Key::string("offset.storage.topic").importance(High);
static OFFSET_PARTITIONS: Key<i32> = Key::int("offset.storage.partitions").default("25");
static OFFSET_REPLICATION: Key<i32> = Key::int("offset.storage.replication.factor").default("3");
static STATUS_TOPIC: Key<String> = Key::string("status.storage.topic").importance(High);
static STATUS_PARTITIONS: Key<i32> = Key::int("status.storage.partitions").default("5");
static STATUS_REPLICATION: Key<i32> = Key::int("status.storage.replication.factor").default("3");
static PROTOCOL: Key<String> = Key::string("connect.protocol")
    .default("sessioned")
    .importance(Low)
    .check(Check::OneOfAnyCase(&["eager", "compatible", "sessioned"]));
static CLIENT_ID: Key<String> = Key::string("client.id").default("");
static SESSION_TIMEOUT: Key<i32> = Key::int("session.timeout.ms").default("10000").importance(High);
static REBALANCE_TIMEOUT: Key<i32> =
    Key::int("rebalance.timeout.ms").default("60000").importance(High);
static HEARTBEAT_INTERVAL: Key<i32> =
    Key::int("heartbeat.interval.ms").default("3000").importance(High);
static REBALANCE_DELAY: Key<i32> = Key::int("scheduled.rebalance.max.delay.ms").default("300000");
static SYNC_TIMEOUT: Key<i32> = Key::int("worker.sync.timeout.ms").default("3000");
static UNSYNC_BACKOFF: Key<i32> = Key::int("worker.unsync.backoff.ms").default("300000");
static REQUEST_TIMEOUT: Key<i32> = Key::int("request.timeout.ms").default("40000");
static RETRY_BACKOFF: Key<i64> = Key::long("retry.backoff.ms").default("100").importance(Medium);
static KEY_TTL: Key<i32> = Key::int("inter.worker.key.ttl.ms").default("3600000");
impl GroupConfig {
    /// Puts what is wrong among the errors.
    pub(super) fn read(config: &Config, errors: &mut Vec<String>) -> Option<Self> {
        let mut millis = |name: &str, value: i64, least: i64| match u64::try_from(value) {
            Ok(millis) if value >= least => Duration::from_millis(millis),
            _ => {
                errors.push(format!(
                    "Invalid value {value} for configuration {name}: Value must be at least {least}"
                ));
                Duration::ZERO
            }
        };
        let mut of =
            |key: &Key<i32>, least: i64| millis(key.spec.name, i64::from(config.get(key)), least);
        let session_timeout = of(&SESSION_TIMEOUT, 1);
        let rebalance_timeout = of(&REBALANCE_TIMEOUT, 1);
        let heartbeat_interval = of(&HEARTBEAT_INTERVAL, 1);
        let rebalance_delay = of(&REBALANCE_DELAY, 0);
        let sync_timeout = of(&SYNC_TIMEOUT, 0);
        let unsync_backoff = of(&UNSYNC_BACKOFF, 0);
        let key_ttl = of(&KEY_TTL, 0);
        let request_timeout = of(&REQUEST_TIMEOUT, 0);
        let retry_backoff = millis(RETRY_BACKOFF.spec.name, config.get(&RETRY_BACKOFF), 0);
        for (key, name) in [
            (&CONFIG_REPLICATION, "replication factor"),
            (&OFFSET_REPLICATION, "replication factor"),
            (&STATUS_REPLICATION, "replication factor"),
            (&OFFSET_PARTITIONS, "number of partitions"),
            (&STATUS_PARTITIONS, "number of partitions"),
        ] {
            let value = config.get(key);
            if value < 1 && value != -1 {
                errors.push(format!(
                    "Invalid value {value} for configuration {}: {name} must be -1 or at least 1",
                    key.spec.name
                ));
            }
        }
        if heartbeat_interval >= session_timeout {
            errors.push(format!(
                "Invalid value {} for configuration heartbeat.interval.ms: it must be lower than \
                 session.timeout.ms, which is {}",
                heartbeat_interval.as_millis(),
                session_timeout.as_millis()
            ));
        }
        let signing = Signing::read(config, errors);
        let protocol = match config.get(&PROTOCOL).to_ascii_lowercase().as_str() {
            "eager" => Protocol::Eager,
            "compatible" => Protocol::Compatible,
            _ => Protocol::Sessioned,
        };
        Some(Self {
            group_id: config.find(&GROUP_ID)?,
            client_id: config.get(&CLIENT_ID),
            protocol,
            config_topic: config.find(&CONFIG_TOPIC)?,
            offset_topic: config.find(&OFFSET_TOPIC)?,
            status_topic: config.find(&STATUS_TOPIC)?,
            session_timeout,
            rebalance_timeout,
            heartbeat_interval,
            rebalance_delay,
            sync_timeout,
            unsync_backoff,
            request_timeout,
            retry_backoff,
            key_ttl,
            signing,
        })
    }
}
