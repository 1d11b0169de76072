//! What librdkafka gets of Java's properties.

use super::*;

fn props(lines: &[(&str, &str)]) -> Props {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    lines.iter().map(own).chain([("bootstrap.servers".to_owned(), "k:9092".to_owned())]).collect()
}

/// Java's key and value in the worker's file, the connector's override, and what librdkafka gets.
#[test]
fn producer_properties() {
    type Lines<'a> = &'a [(&'a str, &'a str)];
    let authority = include_str!("../../tls/testdata/worker.crt").replace('\r', "");
    let cases: &[(Lines<'_>, Lines<'_>, Lines<'_>)] = &[
        (
            &[],
            &[],
            &[
                ("bootstrap.servers", "k:9092"),
                ("client.id", "connector-producer-c-0"),
                ("acks", "all"),
                ("enable.idempotence", "false"),
                ("max.in.flight.requests.per.connection", "1"),
                ("delivery.timeout.ms", "2147483647"),
                ("partitioner", "murmur2_random"),
                ("queue.buffering.max.kbytes", "32768"),
                ("message.max.bytes", "1048576"),
                ("connections.max.idle.ms", "540000"),
                ("security.protocol", "plaintext"),
            ],
        ),
        // An idle connection stays open at -1 in Java and at 0 in librdkafka.
        (&[("producer.connections.max.idle.ms", "-1")], &[], &[("connections.max.idle.ms", "0")]),
        (
            &[("producer.connections.max.idle.ms", "9999999999")],
            &[("producer.override.connections.max.idle.ms", "3000")],
            &[("connections.max.idle.ms", "3000")],
        ),
        (
            &[("producer.connections.max.idle.ms", "9999999999")],
            &[],
            &[("connections.max.idle.ms", "2147483647")],
        ),
        // The connector wins over the worker, the worker over the defaults.
        (
            &[("producer.linger.ms", "20"), ("producer.acks", "1")],
            &[("producer.override.acks", "-1")],
            &[("linger.ms", "20"), ("acks", "-1")],
        ),
        // Names that differ.
        (
            &[
                ("producer.buffer.memory", "1048576"),
                ("producer.max.request.size", "5000000"),
                ("producer.send.buffer.bytes", "131072"),
                ("producer.request.timeout.ms", "90000"),
            ],
            &[("producer.override.compression.type", "lz4")],
            &[
                ("queue.buffering.max.kbytes", "1024"),
                ("message.max.bytes", "5000000"),
                ("socket.send.buffer.bytes", "131072"),
                ("request.timeout.ms", "90000"),
                ("socket.timeout.ms", "90000"),
                ("compression.type", "lz4"),
            ],
        ),
        // librdkafka's own keys pass.
        (&[("producer.statistics.interval.ms", "5")], &[], &[("statistics.interval.ms", "5")]),
        (
            &[
                ("producer.security.protocol", "SASL_SSL"),
                ("producer.sasl.mechanism", "PLAIN"),
                (
                    "producer.sasl.jaas.config",
                    "org.apache.kafka.common.security.plain.PlainLoginModule required \
             username=\"u\" password=\"p\";",
                ),
                ("producer.ssl.truststore.certificates", &authority),
                ("producer.ssl.truststore.type", "PEM"),
                ("producer.ssl.endpoint.identification.algorithm", ""),
            ],
            &[],
            &[
                ("security.protocol", "sasl_ssl"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.username", "u"),
                ("sasl.password", "p"),
                ("ssl.ca.pem", &authority),
                ("ssl.endpoint.identification.algorithm", "none"),
            ],
        ),
        // A store that the protocol does not need is not read, as in Java.
        (&[("producer.ssl.keystore.location", "/k.jks")], &[], &[]),
    ];
    for (worker, connector, answer) in cases {
        let built =
            producer(&props(worker), "c", 0, &props(connector)).map_err(|error| error.trace());
        let client = built.unwrap().client;
        for (key, value) in *answer {
            assert_eq!(client.get(key), Some(*value), "{key} of {worker:?} {connector:?}");
        }
    }
}

#[test]
fn overrides_that_no_client_starts_with() {
    let worker = Props::from([("bootstrap.servers".to_owned(), "localhost:9092".to_owned())]);
    let refused = |pairs: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        refused_overrides(&worker, &pairs.iter().map(owned).collect())
    };
    assert_eq!(refused(&[("producer.override.acks", "1"), ("topics", "t")]), []);
    let found = refused(&[
        ("producer.override.acks", "-1"),
        ("producer.override.buffer.memory", "lots"),
        ("producer.override.linger.ms", "soon"),
    ]);
    let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["producer.override.buffer.memory", "producer.override.linger.ms"]);
    assert!(found[0].1.contains("which is no whole number"), "{found:?}");
}

#[test]
fn only_the_level_of_the_chosen_compression_counts() {
    let level = |chosen: &str| {
        let worker = props(&[
            ("bootstrap.servers", "b:1"),
            ("producer.compression.type", chosen),
            ("producer.compression.gzip.level", "3"),
            ("producer.compression.zstd.level", "7"),
        ]);
        let settings = producer(&worker, "c", 0, &Props::new()).unwrap();
        settings.client.get("compression.level").map(str::to_owned)
    };
    assert_eq!(level("zstd").as_deref(), Some("7"));
    assert_eq!(level("gzip").as_deref(), Some("3"));
    assert_eq!(level("lz4"), None);
}

#[test]
fn refused_properties() {
    let cases = [
        ("producer.transactional.id", "x", "client property producer.transactional.id is refused"),
        (
            "producer.interceptor.classes",
            "x",
            "client property producer.interceptor.classes is refused",
        ),
        (
            "producer.partitioner.class",
            "x",
            "client property producer.partitioner.class is refused",
        ),
        (
            "producer.compression.type",
            "lzma",
            "client property producer.compression.type is \"lzma\": ",
        ),
        (
            "producer.buffer.memory",
            "big",
            "client property producer.buffer.memory is \"big\", which is no",
        ),
        (
            "producer.connections.max.idle.ms",
            "0",
            "client property producer.connections.max.idle.ms is \"0\"",
        ),
        ("producer.security.protocol", "TLS", "client properties producer.* are refused"),
        ("producer.security.protocol", "SASL_SSL", "client properties producer.* are refused"),
    ];
    for (key, value, answer) in cases {
        let error = producer(&props(&[(key, value)]), "c", 0, &Props::new()).err();
        let message = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(message.starts_with(answer), "{key}={value}: {message}");
    }
    let lost =
        [("producer.security.protocol", "SSL"), ("producer.ssl.keystore.location", "/k.jks")];
    let error = producer(&props(&lost), "c", 0, &Props::new()).err().unwrap().trace();
    assert!(error.starts_with("client properties producer.* are refused\nCaused by: "), "{error}");
    assert!(error.contains("ssl.keystore.location"), "{error}");
    // A connector's own key is told as it stands there, and all at once.
    let own = [("producer.override.linger.ms", "soon"), ("producer.override.retries", "many")];
    let error = producer(&props(&[]), "c", 0, &props(&own)).err().unwrap().to_string();
    for line in [
        "client property producer.override.linger.ms is \"soon\": ",
        "client property producer.override.retries is \"many\": ",
    ] {
        assert!(error.lines().any(|told| told.starts_with(line)), "{error}");
    }
    let error = producer(&Props::new(), "c", 0, &Props::new()).err().unwrap().to_string();
    assert!(error.starts_with("bootstrap.servers is not set"), "{error}");
}

/// The admin client takes the worker's own client keys, then `admin.*`; not the worker's others.
#[test]
fn admin_properties() {
    let own = props(&[
        ("client.id", "w"),
        ("request.timeout.ms", "40000"),
        ("group.id", "connect"),
        ("session.timeout.ms", "10000"),
        ("ssl.client.auth", "required"),
        ("admin.retry.backoff.ms", "7"),
    ]);
    let client = admin(&own, "c", 1, &Props::new()).unwrap().client;
    assert_eq!(client.get("client.id"), Some("connector-adminclient-c-1"));
    assert_eq!(client.get("socket.timeout.ms"), Some("40000"));
    assert_eq!(client.get("retry.backoff.ms"), Some("7"));
    assert_eq!(client.get("group.id"), None);
    assert_eq!(client.get("session.timeout.ms"), None);
    assert_eq!(worker(&own).unwrap().client.get("client.id"), Some("w"));
}

/// The worker's own topics are written and read in one way, with the worker's own connection.
#[test]
fn own_topics() {
    let mut own = props(&[
        ("group.id", "g"),
        ("acks", "1"),
        ("enable.idempotence", "true"),
        ("max.in.flight.requests.per.connection", "5"),
        ("compression.type", "lz4"),
        ("request.timeout.ms", "40000"),
        ("key.converter", "x"),
        ("session.timeout.ms", "10000"),
        ("ssl.client.auth", "required"),
        ("producer.linger.ms", "77"),
    ]);
    let topic = own_topic(&own, "configs").unwrap();
    for (client, settings) in [
        (
            &topic.producer,
            &[
                ("client.id", Some("g-configs")),
                ("acks", Some("all")),
                ("enable.idempotence", Some("false")),
                ("max.in.flight.requests.per.connection", Some("1")),
                ("delivery.timeout.ms", Some("2147483647")),
                ("partitioner", Some("murmur2_random")),
                ("compression.type", Some("lz4")),
                ("request.timeout.ms", Some("40000")),
                ("linger.ms", Some("1")),
                ("key.converter", None),
                ("session.timeout.ms", None),
            ][..],
        ),
        (
            &topic.consumer,
            &[
                ("client.id", Some("g-configs")),
                ("group.id", Some("g")),
                ("auto.offset.reset", Some("earliest")),
                ("enable.auto.commit", Some("false")),
                ("isolation.level", Some("read_uncommitted")),
                ("socket.timeout.ms", Some("40000")),
                ("compression.type", None),
                ("session.timeout.ms", None),
            ],
        ),
    ] {
        for (key, value) in settings {
            assert_eq!(client.get(key), *value, "{key}");
        }
    }
    own.insert("client.id".into(), "w".into());
    let topic = own_topic(&own, "statuses").unwrap();
    assert_eq!(topic.admin.get("client.id"), Some("g-w-statuses"));
    own.remove("group.id");
    let error = own_topic(&own, "offsets").err().unwrap().to_string();
    assert!(error.starts_with("group.id is not set"), "{error}");
}

/// A producer that has nothing to send lets go of its connections, and takes them again.
#[test]
fn idle_connections_are_closed() {
    use std::{
        sync::atomic::{AtomicI64, Ordering},
        time::Instant,
    };

    use rdkafka::{
        ClientContext, Statistics,
        mocking::MockCluster,
        producer::{
            BaseProducer, BaseRecord, DefaultProducerContext, DeliveryResult, Producer as _,
        },
    };

    #[derive(Default)]
    struct Seen(AtomicI64, AtomicI64);

    impl ClientContext for Seen {
        fn stats(&self, statistics: Statistics) {
            let closed = statistics.brokers.values().filter_map(|broker| broker.disconnects).sum();
            self.0.store(closed, Ordering::Relaxed);
        }
    }

    impl rdkafka::producer::ProducerContext for Seen {
        type DeliveryOpaque = ();

        fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
            self.1.fetch_add(i64::from(result.is_ok()), Ordering::Relaxed);
        }
    }

    let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    let worker = Props::from([("bootstrap.servers".to_owned(), cluster.bootstrap_servers())]);
    let own = |(key, value): (&str, &str)| (format!("producer.override.{key}"), value.to_owned());
    let keys = [("connections.max.idle.ms", "500"), ("statistics.interval.ms", "50")];
    let settings = producer(&worker, "c", 0, &keys.map(own).into()).unwrap();
    let client: BaseProducer<Seen> = settings.client.create_with_context(Seen::default()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for round in 1..=2 {
        client
            .send(BaseRecord::<str, str>::to("t").payload("x"))
            .map_err(|(error, _)| error)
            .unwrap();
        let seen = client.context();
        let done =
            || seen.0.load(Ordering::Relaxed) >= round && seen.1.load(Ordering::Relaxed) >= round;
        while !done() {
            client.poll(Duration::from_millis(50));
            assert!(
                Instant::now() < deadline,
                "{} closed, {} sent in round {round}",
                seen.0.load(Ordering::Relaxed),
                seen.1.load(Ordering::Relaxed)
            );
        }
    }
}
