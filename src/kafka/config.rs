//! From the Java client's properties, which users have, to librdkafka's, which the client takes.
//!
//! Later layers win: Connect's defaults for a source's producer, the worker's `producer.*`, the
//! connector's `producer.override.*`; for admin clients the worker's own client keys, `admin.*` and
//! `admin.override.*`. A key that neither side knows is passed over with one warning; a key whose
//! meaning cannot be kept (Kerberos, a list of cipher suites) is refused, because a connection that
//! is less protected than asked for is worse than none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError, types::RDKafkaConfRes};

use super::security;

mod consumer;
mod keys;
mod refusals;
#[cfg(test)]
mod tests;
mod topics;

pub(super) use consumer::{ConsumerSettings, consumer};
pub(super) use refusals::refused_overrides;
pub(crate) use refusals::{refused_group_settings, refused_worker_settings};
pub(super) use topics::{topic_admin, topic_consumer, topic_producer};

use self::{
    keys::{Action, action},
    refusals::{Origin, lines, refused, refused_by_library},
};

/// What a client is made of.
pub(super) struct Settings {
    pub(super) client: ClientConfig,
    /// The addresses, for messages.
    pub(super) servers: String,
    /// `max.block.ms`: how long a topic that does not exist is waited for.
    pub(super) block_max: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Producer,
    Consumer,
    Admin,
}

/// The producer of a source task.
pub(super) fn producer(
    worker: &Props,
    connector: &str,
    task: usize,
    props: &Props,
) -> Result<Settings> {
    producer_named(worker, format!("connector-producer-{connector}-{task}"), props)
}

/// The admin client of a source task, which creates topics.
pub(super) fn admin(
    worker: &Props,
    connector: &str,
    task: usize,
    props: &Props,
) -> Result<Settings> {
    connector_admin(worker, format!("connector-adminclient-{connector}-{task}"), props)
}

/// The producer of a sink task's dead letters, which takes what a source's takes.
pub(super) fn letters_producer(
    worker: &Props,
    connector: &str,
    task: usize,
    props: &Props,
) -> Result<Settings> {
    producer_named(worker, format!("connector-dlq-producer-{connector}-{task}"), props)
}

fn producer_named(worker: &Props, client_id: String, props: &Props) -> Result<Settings> {
    let mut layers: BTreeMap<String, String> = BTreeMap::new();
    layers.insert("client.id".into(), client_id);
    copy(worker, "bootstrap.servers", &mut layers);
    layers.extend(under(worker, "producer."));
    layers.extend(under(props, "producer.override."));
    build(Kind::Producer, layers, &Origin { worker, prefix: "producer.", connector: Some(props) })
}

/// An admin client that works for a connector under the name `client_id`.
pub(super) fn connector_admin(
    worker: &Props,
    client_id: String,
    props: &Props,
) -> Result<Settings> {
    let mut layers = connector_admin_keys(worker, props);
    layers.insert("client.id".into(), client_id);
    build(Kind::Admin, layers, &Origin { worker, prefix: "admin.", connector: Some(props) })
}

/// The same in Java's keys.
pub(super) fn connector_admin_keys(worker: &Props, props: &Props) -> BTreeMap<String, String> {
    let mut layers = client_keys(worker);
    layers.extend(under(worker, "admin."));
    layers.extend(under(props, "admin.override."));
    layers
}

/// The worker's own client, for the cluster's id and whether Kafka answers.
pub(super) fn worker(worker: &Props) -> Result<Settings> {
    let mut layers = client_keys(worker);
    layers.entry("client.id".into()).or_insert_with(|| "connect-admin".into());
    layers.extend(under(worker, "admin."));
    let origin = Origin { worker, prefix: "admin.", connector: None };
    let mut settings = build(Kind::Admin, layers, &origin)?;
    // It asks for a topic only to have something to ask for.
    settings.client.set("allow.auto.create.topics", "false");
    Ok(settings)
}

/// The clients of one of the worker's own topics.
pub(crate) struct OwnTopic {
    pub(crate) producer: ClientConfig,
    pub(crate) consumer: ClientConfig,
    pub(crate) admin: ClientConfig,
    /// The addresses, for messages.
    pub(crate) servers: String,
}

/// How the worker's own topics are written and read, whatever the worker's file says: each record in
/// its order and on all replicas, so that what one worker reads is what another wrote.
const OWN_PRODUCER: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "false"),
    ("max.in.flight.requests.per.connection", "1"),
    ("delivery.timeout.ms", "2147483647"),
    ("retries", "2147483647"),
];

/// All of the topic, from its beginning, without a group. The small queues are enough for a topic
/// that is read once and then followed.
const OWN_CONSUMER: &[(&str, &str)] = &[
    ("auto.offset.reset", "earliest"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // Java's default, and what the JVM's workers use here.
    ("isolation.level", "read_uncommitted"),
    // Tells when the end is reached where the last thing in the log is no record but the mark of a
    // transaction's end.
    ("enable.partition.eof", "true"),
    ("queued.min.messages", "1000"),
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.error.backoff.ms", "100"),
    ("topic.metadata.refresh.fast.interval.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
];

/// The clients of the worker's own topic that is known by `suffix`: `configs`, `offsets` or
/// `statuses`. They take the worker's own client keys, without `producer.*` and the like.
pub(crate) fn own_topic(worker: &Props, suffix: &str) -> Result<OwnTopic> {
    let group = worker.get("group.id").map(|group| group.trim()).unwrap_or_default();
    if group.is_empty() {
        return Err(Error::fatal("group.id is not set; it names the cluster of workers"));
    }
    let given = worker.get("client.id").map(|id| id.trim()).filter(|id| !id.is_empty());
    let id = match given {
        Some(client) => format!("{group}-{client}-{suffix}"),
        None => format!("{group}-{suffix}"),
    };
    let mut layers = client_keys(worker);
    layers.insert("client.id".into(), id);
    let origin = Origin { worker, prefix: "", connector: None };
    let admin = build(Kind::Admin, layers.clone(), &origin);
    for key in worker.keys() {
        let producers =
            matches!(action(Kind::Producer, key), Some(Action::To(_) | Action::Special));
        if producers && action(Kind::Admin, key).is_none() {
            copy(worker, key, &mut layers);
        }
    }
    layers.extend(OWN_PRODUCER.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    let producer = build(Kind::Producer, layers, &origin);
    let (admin, producer) = match (admin, producer) {
        (Ok(admin), Ok(producer)) => (admin, producer.client),
        (admin, producer) => {
            let errors = admin.err().into_iter().chain(producer.err());
            return Err(Error::fatal(lines(errors).join("\n")));
        }
    };
    let mut consumer = admin.client.clone();
    for (key, value) in OWN_CONSUMER {
        consumer.set(*key, *value);
    }
    // The library asks for one; the worker's users have the right to it. Nothing is joined with it
    // and nothing committed.
    consumer.set("group.id", group);
    consumer.create_native_config().map_err(|error| refused_by_library(&error))?;
    Ok(OwnTopic { producer, consumer, admin: admin.client, servers: admin.servers })
}

fn copy(from: &Props, key: &str, to: &mut BTreeMap<String, String>) {
    if let Some(value) = from.get(key) {
        to.insert(key.to_owned(), value.trim().to_owned());
    }
}

/// The properties that begin with `prefix`, without it.
fn under<'p>(
    props: &'p Props,
    prefix: &'p str,
) -> impl Iterator<Item = (String, String)> + use<'p> {
    props.iter().filter_map(move |(key, value)| {
        let rest = key.strip_prefix(prefix).filter(|rest| !rest.starts_with("override."))?;
        Some((rest.to_owned(), value.trim().to_owned()))
    })
}

/// The keys of a worker's file that are about clients; all others there are the worker's.
fn client_keys(worker: &Props) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for key in worker.keys() {
        let known = matches!(key.as_str(), "bootstrap.servers" | "client.id" | "security.protocol")
            || (key.starts_with("ssl.") && key != "ssl.client.auth")
            || key.starts_with("sasl.")
            || matches!(action(Kind::Admin, key), Some(Action::To(_)));
        if known {
            copy(worker, key, &mut keys);
        }
    }
    keys
}

/// Connect's defaults for a source's producer, and ours where Connect leaves a choice.
const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "false"),
    ("max.in.flight.requests.per.connection", "1"),
    ("delivery.timeout.ms", "2147483647"),
    ("retries", "2147483647"),
    // Kafka 4's own default is 5. With one request in flight a backlog fills batches by itself, so
    // waiting only costs latency; 1 ms lets the records of one transaction travel together.
    ("linger.ms", "1"),
    // Java counts 16 KiB per partition; librdkafka sends one partition a request, so a request has
    // to be large to be worth its round trip.
    ("batch.size", "1000000"),
    ("batch.num.messages", "100000"),
    // Keyed records go where Java's murmur2 puts them, others anywhere.
    ("partitioner", "murmur2_random"),
    // Nothing is lost by more requests to find a partition's leader; a new topic is found sooner.
    ("topic.metadata.refresh.fast.interval.ms", "50"),
];

/// `buffer.memory` in Kafka.
const BUFFER_BYTES: u64 = 32 << 20;

/// librdkafka counts only key and value, so small messages are limited by their number. With four
/// headers one costs some 1,600 bytes and the allocator keeps as much again in reserve; 10,000 messages
/// are still several full requests ahead of the one in flight.
const BYTES_PER_MESSAGE: u64 = 3_200;

fn buffer(client: &mut ClientConfig, bytes: u64) {
    // librdkafka's ranges are 1 to 2,147,483,647 KiB and up to as many messages.
    let limit = u64::from(i32::MAX.unsigned_abs());
    let messages = (bytes / BYTES_PER_MESSAGE).clamp(1_000, limit);
    client.set("queue.buffering.max.kbytes", (bytes >> 10).clamp(1, limit).to_string());
    client.set("queue.buffering.max.messages", messages.to_string());
}

/// Tells all properties that are refused, a line each.
fn build(kind: Kind, layers: BTreeMap<String, String>, origin: &Origin<'_>) -> Result<Settings> {
    let servers = layers.get("bootstrap.servers").cloned().unwrap_or_default();
    if servers.is_empty() {
        return Err(Error::fatal("bootstrap.servers is not set; name at least one host:port"));
    }
    let mut client = ClientConfig::new();
    // The crate would take the level from a logger that is not ours.
    client.set_log_level(if tracing::enabled!(tracing::Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Warning
    });
    let mut block_max = Duration::MAX;
    // Java's default; librdkafka would leave it to the broker.
    client.set("connections.max.idle.ms", "540000");
    if kind == Kind::Producer {
        for (key, value) in PRODUCER_DEFAULTS {
            client.set(*key, *value);
        }
        // A restarting broker is tried again soon; Java's producer does not give up either.
        client.set("reconnect.backoff.max.ms", "1000");
        buffer(&mut client, BUFFER_BYTES);
        client.set("message.max.bytes", "1048576");
    }
    let mut errors: Vec<Error> = Vec::new();
    for (key, value) in &layers {
        let told = || origin.name(key);
        match action(kind, key) {
            Some(Action::To(name)) => {
                client.set(name, value);
            }
            Some(Action::Ignore) => {}
            Some(Action::Refuse(why)) => {
                errors.push(Error::fatal(format!("client property {} is refused: {why}", told())));
            }
            Some(Action::Special) => match special(&mut client, key, value) {
                Ok(Some(limit)) => block_max = limit,
                Ok(None) => {}
                Err(why) => {
                    errors.push(Error::fatal(format!("client property {} {why}", told())));
                }
            },
            None => match alone(key, value) {
                Ok(()) => {
                    client.set(key, value);
                }
                Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                    warn_once(&told());
                }
                Err(error) => errors.push(refused(&told(), &error)),
            },
        }
    }
    // Of the levels only that of the chosen type has an effect, as in Java.
    if let Some(level) = layers
        .get("compression.type")
        .and_then(|chosen| layers.get(&format!("compression.{}.level", chosen.trim())))
    {
        client.set("compression.level", level.trim());
    }
    if let Err(error) = security::translate(&layers, &mut client) {
        errors.push(origin.security(&layers, error));
    }
    // A request may not be waited for longer than its socket is.
    if let Some(timeout) = client.get("request.timeout.ms").and_then(|text| text.parse().ok()) {
        let timeout: u64 = timeout;
        if timeout > 60_000 {
            client.set("socket.timeout.ms", timeout.to_string());
        }
    }
    if let Err(error) = client.create_native_config() {
        // The library tells the first, by its own name.
        let before = errors.len();
        for (key, value) in &layers {
            let name = match action(kind, key) {
                Some(Action::To(name)) => name,
                Some(Action::Special) if key == "compression.type" => "compression.type",
                _ => continue,
            };
            errors.extend(alone(name, value).err().map(|error| refused(&origin.name(key), &error)));
        }
        if errors.len() == before {
            errors.push(refused_by_library(&error));
        }
    }
    match errors.len() {
        0 => Ok(Settings { client, servers, block_max }),
        1 => Err(errors.remove(0)),
        _ => {
            let lines: Vec<String> = errors.iter().map(Error::trace).collect();
            Err(Error::fatal(lines.join("\n")))
        }
    }
}

/// The error says what the value is.
fn special(
    client: &mut ClientConfig,
    key: &str,
    value: &str,
) -> std::result::Result<Option<Duration>, String> {
    let number =
        || value.parse::<u64>().map_err(|_| format!("is {value:?}, which is no whole number"));
    match key {
        "max.block.ms" => return Ok(Some(Duration::from_millis(number()?))),
        "request.timeout.ms" => {
            client.set("request.timeout.ms", number()?.to_string());
        }
        "buffer.memory" => {
            buffer(client, number()?);
        }
        "connections.max.idle.ms" => {
            let idle_ms = match value.trim().parse::<i64>() {
                // Below zero Java closes none, and librdkafka at zero.
                Ok(..0) => 0,
                Ok(idle_ms @ 1..) => idle_ms.min(i32::MAX.into()),
                Ok(0) | Err(_) => {
                    return Err(format!(
                        "is {value:?}; it can be a number of milliseconds, or -1 to leave idle \
                         connections open"
                    ));
                }
            };
            client.set(key, idle_ms.to_string());
        }
        "max.request.size" => {
            // librdkafka's range is 1,000 bytes to 1,000,000,000.
            let bytes = number()?.clamp(1_000, 1_000_000_000);
            client.set("message.max.bytes", bytes.to_string());
        }
        "compression.type" => {
            client.set("compression.type", value);
        }
        "partitioner.ignore.keys" if value.eq_ignore_ascii_case("true") => {
            client.set("partitioner", "random");
        }
        // Compression's level and the security keys are read together, by `build`.
        _ => {}
    }
    Ok(None)
}

/// Whether librdkafka takes this value for this key of its own.
fn alone(name: &str, value: &str) -> std::result::Result<(), KafkaError> {
    let mut alone = ClientConfig::new();
    alone.set(name, value);
    alone.create_native_config().map(drop)
}

fn warn_once(key: &str) {
    static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned()) {
        tracing::warn!("client property {key} is unknown and has no effect");
    }
}
