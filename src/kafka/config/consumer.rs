//! The consumer of a sink task, from Java's properties.

use std::{collections::BTreeMap, time::Duration};

use model::{
    connector::Props,
    error::{Error, Result},
};
use rdkafka::{ClientConfig, Offset};

use super::{Kind, Origin, Settings, build, copy, under};

/// What a sink's consumer is made of.
pub(crate) struct ConsumerSettings {
    pub(crate) client: ClientConfig,
    /// The addresses, for messages.
    pub(crate) servers: String,
    /// `group.id`.
    pub(crate) group: String,
    /// `max.poll.records`.
    pub(crate) records_max: usize,
    /// `metadata.max.age.ms`: how soon new topics are seen.
    pub(crate) refresh: Duration,
    /// Whether `topics.regex` passes Kafka's own topics over: `exclude.internal.topics`.
    pub(crate) internal_excluded: bool,
    /// Where a partition without a committed offset begins; `None` is an error.
    pub(crate) reset: Option<Offset>,
}

/// Connect's defaults for a sink's consumer, and Java's where librdkafka's own differ.
const DEFAULTS: &[(&str, &str)] = &[
    ("auto.offset.reset", "earliest"),
    // What librdkafka has in its place: read_committed, unchecked, no creation.
    ("isolation.level", "read_uncommitted"),
    ("check.crcs", "true"),
    ("allow.auto.create.topics", "true"),
    // Java's default is range and cooperative-sticky, of which a group with both uses range. The
    // members may be tasks on JVM workers, and must have one in common.
    ("partition.assignment.strategy", "range"),
];

/// What is fetched ahead of the sink, in KiB: two full polls of everyday records, so that the sink
/// never waits for the network, and little memory for hundreds of tasks.
const AHEAD_KIB: &str = "16384";

pub(crate) fn consumer(
    worker: &Props,
    connector: &str,
    task: usize,
    props: &Props,
) -> Result<ConsumerSettings> {
    let mut layers: BTreeMap<String, String> = BTreeMap::new();
    layers.extend(DEFAULTS.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    layers.insert("group.id".into(), format!("connect-{connector}"));
    layers.insert("client.id".into(), format!("connector-consumer-{connector}-{task}"));
    copy(worker, "bootstrap.servers", &mut layers);
    layers.extend(under(worker, "consumer."));
    layers.extend(under(props, "consumer.override."));
    translate(layers, &Origin { worker, prefix: "consumer.", connector: Some(props) })
}

pub(super) fn translate(
    mut layers: BTreeMap<String, String>,
    origin: &Origin<'_>,
) -> Result<ConsumerSettings> {
    let group = layers.get("group.id").cloned().unwrap_or_default();
    if group.is_empty() {
        let key = origin.name("group.id");
        return Err(Error::fatal(format!("client property {key} is empty; name a consumer group")));
    }
    let mut take = |key: &str| layers.remove(key);
    let number = |value: Option<String>, key: &str, default: u64| {
        let Some(text) = value else { return Ok(default) };
        text.parse().map_err(|_| {
            let key = origin.name(key);
            Error::fatal(format!("client property {key} is {text:?}, which is no whole number"))
        })
    };
    let records_max = number(take("max.poll.records"), "max.poll.records", 500)?.max(1);
    let refresh = number(take("metadata.max.age.ms"), "metadata.max.age.ms", 300_000)?;
    let internal_excluded = flag(take("exclude.internal.topics"), true);
    if flag(take("enable.auto.commit"), false) {
        return Err(Error::fatal(format!(
            "client property {} is refused: it would commit records that the sink has not \
             written; remove it",
            origin.name("enable.auto.commit")
        )));
    }
    let reset = take("auto.offset.reset").unwrap_or_default();
    let (reset, policy) = match reset.to_ascii_lowercase().as_str() {
        "earliest" | "smallest" | "beginning" => (Some(Offset::Beginning), "earliest"),
        "latest" | "largest" | "end" => (Some(Offset::End), "latest"),
        "none" | "error" => (None, "error"),
        _ => {
            return Err(Error::fatal(format!(
                "client property {} is {reset:?}; this version has earliest, latest and none",
                origin.name("auto.offset.reset")
            )));
        }
    };
    let assignors = assignors(&take("partition.assignment.strategy").unwrap_or_default(), origin)?;
    for ignored in
        ["auto.commit.interval.ms", "key.deserializer", "value.deserializer", "max.block.ms"]
    {
        take(ignored);
    }
    // Java's names for what librdkafka calls otherwise.
    for (java, name) in [
        ("fetch.max.wait.ms", "fetch.wait.max.ms"),
        ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ] {
        if let Some(value) = layers.remove(java) {
            layers.insert(name.into(), value);
        }
    }
    if let Some(bytes) = layers.get("fetch.max.bytes").and_then(|text| text.parse::<u64>().ok()) {
        // librdkafka wants a fetch to have room for any message, and any answer room for a fetch.
        let message = bytes.clamp(1_000, 1_000_000);
        layers.entry("message.max.bytes".into()).or_insert_with(|| message.to_string());
        if bytes > 99_000_000 {
            let answer = (bytes + 512).min(2_147_483_647);
            layers.entry("receive.message.max.bytes".into()).or_insert_with(|| answer.to_string());
        }
    }
    layers.entry("queued.max.messages.kbytes".into()).or_insert_with(|| AHEAD_KIB.into());
    // How long fetching rests when that much is there. librdkafka's second is long enough for a quick
    // sink to run dry.
    layers.entry("fetch.queue.backoff.ms".into()).or_insert_with(|| "20".into());
    // How soon new partitions are seen. librdkafka's limits are a tenth of a second and an hour.
    let age = refresh.clamp(100, 3_600_000);
    layers.entry("topic.metadata.refresh.interval.ms".into()).or_insert_with(|| age.to_string());
    let Settings { mut client, servers, .. } = build(Kind::Consumer, layers, origin)?;
    client.set("enable.auto.commit", "false");
    client.set("enable.auto.offset.store", "false");
    client.set("auto.offset.reset", policy);
    if client.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
        client.set("partition.assignment.strategy", assignors);
    }
    Ok(ConsumerSettings {
        client,
        servers,
        group,
        records_max: usize::try_from(records_max).unwrap_or(usize::MAX),
        refresh: Duration::from_millis(refresh.max(100)),
        internal_excluded,
        reset,
    })
}

/// librdkafka's names of Java's assignors.
///
/// It refuses eager ones beside the cooperative one. A Java consumer with both rebalances eagerly,
/// by whichever all members have; of such a list the eager ones are kept here.
fn assignors(given: &str, origin: &Origin<'_>) -> Result<String> {
    let mut names = Vec::new();
    for class in given.split(',').map(str::trim).filter(|class| !class.is_empty()) {
        let simple = class.rsplit('.').next().unwrap_or(class);
        names.push(match simple {
            "RangeAssignor" | "range" => "range",
            "RoundRobinAssignor" | "roundrobin" => "roundrobin",
            "CooperativeStickyAssignor" | "cooperative-sticky" => "cooperative-sticky",
            _ => {
                return Err(Error::fatal(format!(
                    "client property {} names {class}, which this version does not have; use \
                     RangeAssignor, RoundRobinAssignor or CooperativeStickyAssignor of \
                     org.apache.kafka.clients.consumer",
                    origin.name("partition.assignment.strategy")
                )));
            }
        });
    }
    if names.iter().any(|name| *name != "cooperative-sticky") {
        names.retain(|name| *name != "cooperative-sticky");
    }
    if names.is_empty() {
        names.push("range");
    }
    Ok(names.join(","))
}

fn flag(value: Option<String>, default: bool) -> bool {
    value.map_or(default, |text| text.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(worker: &[(&str, &str)], connector: &[(&str, &str)]) -> Result<ConsumerSettings, String> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut all: Props = worker.iter().map(own).collect();
        all.insert("bootstrap.servers".to_owned(), "k:9092".to_owned());
        consumer(&all, "c", 1, &connector.iter().map(own).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn connects_defaults() {
        let settings = of(&[("group.id", "workers"), ("producer.acks", "1")], &[]).unwrap();
        assert_eq!(settings.group, "connect-c");
        assert_eq!((settings.records_max, settings.refresh), (500, Duration::from_secs(300)));
        assert_eq!((settings.internal_excluded, settings.reset), (true, Some(Offset::Beginning)));
        for (key, value) in [
            ("group.id", "connect-c"),
            ("client.id", "connector-consumer-c-1"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_uncommitted"),
            ("partition.assignment.strategy", "range"),
            ("topic.metadata.refresh.interval.ms", "300000"),
            ("queued.max.messages.kbytes", "16384"),
        ] {
            assert_eq!(settings.client.get(key), Some(value), "{key}");
        }
        assert_eq!(settings.client.get("acks"), None);
    }

    #[test]
    fn overrides() {
        let worker =
            [("consumer.max.poll.records", "7"), ("consumer.isolation.level", "read_committed")];
        let cooperative = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        let settings = of(
            &worker,
            &[
                ("consumer.override.isolation.level", "read_uncommitted"),
                ("consumer.override.group.id", "g"),
                ("consumer.override.group.instance.id", "i"),
                ("consumer.override.auto.offset.reset", "latest"),
                ("consumer.override.fetch.max.wait.ms", "20"),
                ("consumer.override.max.partition.fetch.bytes", "2048"),
                ("consumer.override.fetch.max.bytes", "100000"),
                ("consumer.override.metadata.max.age.ms", "1000"),
                ("consumer.override.exclude.internal.topics", "false"),
                ("consumer.override.partition.assignment.strategy", cooperative),
            ],
        )
        .unwrap();
        assert_eq!((settings.group.as_str(), settings.records_max), ("g", 7));
        assert_eq!((settings.internal_excluded, settings.reset), (false, Some(Offset::End)));
        assert_eq!(settings.refresh, Duration::from_secs(1));
        for (key, value) in [
            ("group.id", "g"),
            ("group.instance.id", "i"),
            ("auto.offset.reset", "latest"),
            ("isolation.level", "read_uncommitted"),
            ("fetch.wait.max.ms", "20"),
            ("fetch.message.max.bytes", "2048"),
            ("message.max.bytes", "100000"),
            ("topic.metadata.refresh.interval.ms", "1000"),
            ("partition.assignment.strategy", "cooperative-sticky"),
        ] {
            assert_eq!(settings.client.get(key), Some(value), "{key}");
        }
    }

    #[test]
    fn assignors_in_librdkafkas_names() {
        let nothing = Props::new();
        let origin = Origin { worker: &nothing, prefix: "consumer.", connector: None };
        let prefix = "org.apache.kafka.clients.consumer.";
        let range = format!("{prefix}RangeAssignor");
        let both = format!("{prefix}CooperativeStickyAssignor, {range}");
        for (given, answer) in [
            ("", Ok("range")),
            (range.as_str(), Ok("range")),
            ("roundrobin,range", Ok("roundrobin,range")),
            (both.as_str(), Ok("range")),
            ("x.StickyAssignor", Err("client property partition.assignment.strategy names x.Sti")),
        ] {
            match (assignors(given, &origin), answer) {
                (Ok(names), answer) => assert_eq!(Ok(names.as_str()), answer, "{given}"),
                (Err(error), Err(answer)) => {
                    assert!(error.to_string().starts_with(answer), "{error}");
                }
                (Err(error), Ok(_)) => panic!("{given}: {error}"),
            }
        }
    }

    #[test]
    fn refused() {
        for (key, value, answer) in [
            (
                "enable.auto.commit",
                "true",
                "client property consumer.override.enable.auto.commit is refused",
            ),
            (
                "auto.offset.reset",
                "by_duration:PT1H",
                "client property consumer.override.auto.offset.reset is",
            ),
            (
                "max.poll.records",
                "many",
                "client property consumer.override.max.poll.records is \"many\"",
            ),
            (
                "session.timeout.ms",
                "soon",
                "client property consumer.override.session.timeout.ms is",
            ),
            ("group.id", "", "client property consumer.override.group.id is empty"),
            (
                "interceptor.classes",
                "x",
                "client property consumer.override.interceptor.classes is refused",
            ),
        ] {
            let error = of(&[], &[(&format!("consumer.override.{key}"), value)]).err();
            let error = error.unwrap_or_default();
            assert!(error.starts_with(answer), "{key}: {error}");
        }
    }
}
