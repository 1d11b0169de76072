//! `riverrun connect-distributed` over listeners with TLS and with logins, from the group to the
//! records; and what a worker says when it is not let in.

use std::{collections::BTreeMap, thread, time::Duration};

use crate::harness::{
    database::Database,
    rest::{Config, json_converters, postgres_source},
    servers,
    topics::{self, Follower},
    wait_for,
    worker::Home,
};

/// Everything a client needs behind a prefix; `@` stands for the directory of certificates.
type Access<'a> = &'a [(&'a str, &'a str)];

const TRUST: (&str, &str) = ("ssl.truststore.location", "@/trust.jks");

const TLS: Access<'_> = &[("security.protocol", "SSL"), TRUST];

const PEM: Access<'_> = &[
    ("security.protocol", "SSL"),
    ("ssl.truststore.type", "PEM"),
    ("ssl.truststore.location", "@/ca.pem"),
];

const MUTUAL: Access<'_> = &[
    ("security.protocol", "SSL"),
    ("ssl.keystore.location", "@/client.jks"),
    ("ssl.keystore.password", "changeit"),
    ("ssl.truststore.location", "@/trust.p12"),
    ("ssl.truststore.type", "PKCS12"),
    ("ssl.truststore.password", "changeit"),
];

const MUTUAL_PKCS12: Access<'_> = &[
    ("security.protocol", "SSL"),
    ("ssl.keystore.location", "@/client.p12"),
    ("ssl.keystore.type", "PKCS12"),
    ("ssl.keystore.password", "changeit"),
    TRUST,
];

const SCRAM: Access<'_> = &[
    ("security.protocol", "SASL_PLAINTEXT"),
    ("sasl.mechanism", "SCRAM-SHA-512"),
    (
        "sasl.jaas.config",
        "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"ann\" \
         password=\"scram-secret\";",
    ),
];

const PLAIN: Access<'_> = &[
    ("security.protocol", "SASL_SSL"),
    ("sasl.mechanism", "PLAIN"),
    (
        "sasl.jaas.config",
        "org.apache.kafka.common.security.plain.PlainLoginModule required username='ann' \
         password=\"plain; \\\"secret\\\"\";",
    ),
    TRUST,
];

/// Lines of a properties file, where a backslash is an escape.
fn lines(prefix: &str, access: Access<'_>, at: &BTreeMap<String, String>) -> String {
    let line = |(key, value): &(&str, &str)| {
        let value = value.replace('@', &at["certificates"]).replace('\\', "\\\\");
        format!("{prefix}{key}={value}\n")
    };
    access.iter().map(line).collect()
}

/// One worker whose own clients have `access` to `listener`, and whose connector's producer has it
/// by `lines` of the worker or by `overrides` of the connector.
struct Case<'a> {
    name: &'static str,
    listener: &'static str,
    access: Access<'a>,
    lines: &'a [(&'static str, Access<'a>)],
    overrides: Access<'a>,
}

#[test]
fn records_take_the_secured_way() {
    let test = "records_take_the_secured_way";
    let (Some(postgres), Some(kafka), Some(at)) =
        (servers::postgres(test), servers::kafka(test), servers::listeners(test))
    else {
        return;
    };
    topics::delete(&kafka, "secured");
    let mutual = at["mtls"].as_str();
    let (mut other_way, mut by_connector) = (MUTUAL_PKCS12.to_vec(), SCRAM.to_vec());
    other_way.push(("bootstrap.servers", mutual));
    by_connector.push(("bootstrap.servers", at["sasl_plaintext"].as_str()));
    let cases = [
        Case {
            name: "secured_tls",
            listener: "ssl",
            access: TLS,
            lines: &[("producer.", PEM), ("admin.", PEM)],
            overrides: &[],
        },
        Case {
            name: "secured_mutual",
            listener: "mtls",
            access: MUTUAL,
            lines: &[("producer.", MUTUAL)],
            overrides: &[],
        },
        // The records take another listener than the worker itself.
        Case {
            name: "secured_plain",
            listener: "sasl_ssl",
            access: PLAIN,
            lines: &[("producer.", &other_way)],
            overrides: &[],
        },
        Case {
            name: "secured_scram",
            listener: "sasl_plaintext",
            access: SCRAM,
            lines: &[],
            overrides: SCRAM,
        },
        Case {
            name: "secured_override",
            listener: "sasl_ssl",
            access: PLAIN,
            lines: &[("producer.", PLAIN)],
            overrides: &by_connector,
        },
    ];
    thread::scope(|scope| {
        for case in &cases {
            scope.spawn(|| case.run(&postgres, &kafka, &at));
        }
    });
    topics::delete(&kafka, "secured");
}

impl Case<'_> {
    fn run(&self, postgres: &str, kafka: &str, at: &BTreeMap<String, String>) {
        let Case { name, listener, .. } = self;
        let database = Database::create(postgres, name);
        database.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (0);");
        let mut home = Home::of_group(name, &at[*listener], name);
        home.properties.push_str(&lines("", self.access, at));
        for (prefix, access) in self.lines {
            home.properties.push_str(&lines(prefix, access, at));
        }
        let worker = home.start(&[]);
        let mut config = postgres_source(&database, name, &[]);
        config.extend(json_converters(false));
        // The admin client creates the topic.
        config.extend(Config::from([
            ("topic.creation.default.partitions".into(), "1".into()),
            ("topic.creation.default.replication.factor".into(), "1".into()),
        ]));
        for (key, value) in self.overrides {
            let value = value.replace('@', &at["certificates"]);
            config.insert(format!("producer.override.{key}"), value);
        }
        worker.rest.start(name, &config);
        let mut topic = Follower::new(kafka, &format!("{name}.public.t"));
        let mut next = || {
            wait_for(
                &format!("a record of {name}\n{}", home.log()),
                Duration::from_secs(60),
                || topic.next(),
            )
        };
        next();
        let generation = || home.log().matches("joined the group").count();
        let joined = generation();
        // Longer than a login holds on one of the listeners.
        let begun = std::time::Instant::now();
        for id in 1.. {
            database.sql(&format!("INSERT INTO t VALUES ({id});"));
            next();
            if begun.elapsed() > Duration::from_secs(7) {
                break;
            }
            thread::sleep(Duration::from_millis(100)); // The pace of the load.
        }
        worker.rest.wait_running(name);
        assert_eq!(generation(), joined, "{name} has joined again\n{}", home.log());
        worker.rest.stop(name);
        assert!(worker.terminate().success(), "the end of {name}\n{}", home.log());
    }
}

#[test]
fn a_worker_that_is_not_let_in_says_why() {
    let test = "a_worker_that_is_not_let_in_says_why";
    let Some(at) = servers::listeners(test) else { return };
    let wrong = [
        PLAIN[0],
        PLAIN[1],
        (
            "sasl.jaas.config",
            "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"ann\" \
             password=\"guess\";",
        ),
        TRUST,
    ];
    let stranger = [PEM[0], PEM[1], ("ssl.truststore.location", "@/stranger.pem")];
    let lost = [TLS[0], ("ssl.truststore.location", "@/absent.jks")];
    let kerberos = [("security.protocol", "SASL_PLAINTEXT")];
    let by_address = at["ssl"].replace("localhost", "127.0.0.1");
    // What may pass by itself is told too, and tried again.
    let cases: &[(&str, &str, Access<'_>, bool, &[&str])] = &[
        (
            "password",
            &at["sasl_ssl"],
            &wrong,
            true,
            &[
                "refused the login of ann by PLAIN: Authentication failed: Invalid username or password",
                "sasl.jaas.config",
            ],
        ),
        (
            "authority",
            &at["ssl"],
            &stranger,
            true,
            &["its certificate is not trusted", "ssl.truststore.location"],
        ),
        ("name", &by_address, TLS, true, &["its certificate is not for 127.0.0.1"]),
        ("certificate", &at["mtls"], TLS, true, &["ssl.keystore.location"]),
        ("store", &at["ssl"], &lost, true, &["absent.jks", "ssl.truststore.location"]),
        ("kerberos", &at["sasl_ssl"], &kerberos, true, &["sasl.mechanism is GSSAPI; this version"]),
        ("no_tls", &at["sasl_plaintext"], TLS, false, &["check that its listener is one for TLS"]),
        ("tls", &at["ssl"], &[], false, &["the peer speaks TLS; set security.protocol"]),
        ("no_login", &at["sasl_plaintext"], &[], false, &["security.protocol has to say so"]),
    ];
    thread::scope(|scope| {
        for (name, address, access, ends, words) in cases {
            let at = &at;
            scope.spawn(move || {
                let mut home = Home::of_group(&format!("refused_{name}"), address, "refused");
                home.properties.push_str(&lines("", access, at));
                let mut worker = home.spawn(&[]);
                let told = || words.iter().all(|word| home.log().contains(word));
                wait_for(
                    &format!("{words:?} of {name} in its log"),
                    Duration::from_secs(60),
                    || told().then_some(()),
                );
                if *ends {
                    let status =
                        wait_for(&format!("the end: {name}"), Duration::from_secs(30), || {
                            worker.child.try_wait().expect("the child")
                        });
                    assert!(!status.success(), "{name}: {status}\n{}", home.log());
                } else {
                    assert!(worker.terminate().success(), "{name}\n{}", home.log());
                }
                let log = home.log();
                assert!(!log.contains("guess") && !log.contains("changeit"), "{name}: {log}");
            });
        }
    });
}
