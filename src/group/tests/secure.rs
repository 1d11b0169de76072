//! On the secured listeners of the broker that `RIVERRUN_TEST_KAFKA_LISTENERS` tells of.

use kafka_protocol::messages::FindCoordinatorRequest;
use model::connector::Props;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// `name=address,…,certificates=directory`, or a word on standard error that `test` was skipped.
fn listeners(test: &str) -> Option<BTreeMap<String, String>> {
    let found = env::var("RIVERRUN_TEST_KAFKA_LISTENERS").ok().filter(|value| !value.is_empty());
    if found.is_none() {
        writeln!(stderr(), "skipped: {test}: RIVERRUN_TEST_KAFKA_LISTENERS is not set").unwrap();
    }
    let pair = |part: &str| part.split_once('=').map(|(name, at)| (name.to_owned(), at.to_owned()));
    Some(found?.split(',').filter_map(pair).collect())
}

const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required \
                     username=\"ann\" password=\"scram-secret\";";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                     username='ann' password=\"plain; \\\"secret\\\"\";";
const WRONG: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                     username=ann password=guess;";

/// Opens a connection to the listener, or to that one by another name after a `:`, and asks for a
/// coordinator; `@` in values stands for the directory of certificates.
async fn ask(at: &BTreeMap<String, String>, listener: &str, props: &[(&str, &str)]) -> Result<()> {
    let directory = &at["certificates"];
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), value.replace('@', directory));
    let security = Security::read(&props.iter().map(own).collect::<Props>())?;
    let (name, host) = listener.split_once(':').unwrap_or((listener, "localhost"));
    let address = at[name].replace("localhost", host);
    let connection = Connection::open(&address, "test", &security, LIMIT).await?;
    let request = FindCoordinatorRequest::default().with_key(StrBytes::from_static_str("g"));
    let old = connection.version::<FindCoordinatorRequest>()? < 4;
    let request = match old {
        true => request,
        false => FindCoordinatorRequest::default()
            .with_coordinator_keys(vec![StrBytes::from_static_str("g")]),
    };
    connection.call(&request, LIMIT).await.map(|_| ())
}

#[tokio::test]
async fn each_kind_of_listener() {
    let Some(at) = listeners("each_kind_of_listener") else { return };
    let trust = ("ssl.truststore.location", "@/trust.jks");
    let pem = ("ssl.truststore.type", "PEM");
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("ssl", &[("security.protocol", "SSL"), ("ssl.truststore.location", "@/ca.pem"), pem]),
        (
            "ssl:127.0.0.1",
            &[("security.protocol", "ssl"), ("ssl.endpoint.identification.algorithm", ""), trust],
        ),
        (
            "mtls",
            &[
                ("security.protocol", "SSL"),
                ("ssl.keystore.location", "@/client.p12"),
                ("ssl.keystore.type", "PKCS12"),
                ("ssl.keystore.password", "changeit"),
                ("ssl.truststore.location", "@/trust.p12"),
                ("ssl.truststore.type", "PKCS12"),
                ("ssl.truststore.password", "changeit"),
            ],
        ),
        (
            "mtls",
            &[
                ("security.protocol", "SSL"),
                ("ssl.keystore.location", "@/client.jks"),
                ("ssl.keystore.password", "changeit"),
                ("ssl.truststore.password", "changeit"),
                trust,
            ],
        ),
        (
            "sasl_plaintext",
            &[
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.mechanism", "SCRAM-SHA-512"),
                ("sasl.jaas.config", SCRAM),
            ],
        ),
        (
            "sasl_plaintext",
            &[
                ("security.protocol", "SASL_PLAINTEXT"),
                ("sasl.mechanism", "SCRAM-SHA-256"),
                ("sasl.jaas.config", SCRAM),
            ],
        ),
        (
            "sasl_ssl",
            &[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", "PLAIN"),
                ("sasl.jaas.config", PLAIN),
                trust,
            ],
        ),
    ];
    for (listener, props) in cases {
        if let Err(error) = ask(&at, listener, props).await {
            panic!("{listener} {props:?}: {}", error.trace());
        }
    }
}

#[tokio::test]
async fn what_is_refused_says_what_to_mend() {
    let Some(at) = listeners("what_is_refused_says_what_to_mend") else { return };
    let trust = [("ssl.truststore.location", "@/ca.pem"), ("ssl.truststore.type", "PEM")];
    let ssl = ("security.protocol", "SSL");
    let sasl = ("security.protocol", "SASL_PLAINTEXT");
    let plain = ("sasl.mechanism", "PLAIN");
    let (fatal, passing) = (Kind::Fatal, Kind::Retriable);
    type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], Kind, &'c [&'c str]);
    let cases: &[Case<'_>] = &[
        (
            "sasl_plaintext",
            &[sasl, plain, ("sasl.jaas.config", WRONG)],
            fatal,
            &[
                "refused the login of ann by PLAIN: Authentication failed: Invalid username or password",
                "sasl.jaas.config",
            ],
        ),
        (
            "sasl_plaintext",
            &[sasl, ("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.jaas.config", WRONG)],
            fatal,
            &["invalid credentials with SASL mechanism SCRAM-SHA-512", "sasl.jaas.config"],
        ),
        ("sasl_plaintext", &[], passing, &["security.protocol has to say so"]),
        (
            "ssl:127.0.0.1",
            &[ssl, trust[0], trust[1]],
            fatal,
            &["its certificate is not for 127.0.0.1", "ssl.endpoint.identification.algorithm="],
        ),
        (
            "ssl",
            &[ssl, ("ssl.truststore.location", "@/stranger.pem"), trust[1]],
            fatal,
            &["its certificate is not trusted", "ssl.truststore.location"],
        ),
        ("ssl", &[], passing, &["the peer speaks TLS; set security.protocol"]),
        ("mtls", &[ssl, trust[0], trust[1]], fatal, &["ssl.keystore.location"]),
        (
            "sasl_plaintext",
            &[ssl, trust[0], trust[1]],
            passing,
            &[
                "the TLS handshake with Kafka at localhost",
                "check that its listener is one for TLS",
            ],
        ),
        (
            "ssl",
            &[sasl, plain, ("sasl.jaas.config", PLAIN)],
            passing,
            &["the peer speaks TLS; set security.protocol"],
        ),
        (
            "ssl",
            &[
                ("security.protocol", "SASL_SSL"),
                plain,
                ("sasl.jaas.config", PLAIN),
                trust[0],
                trust[1],
            ],
            fatal,
            &["takes no login on this listener"],
        ),
    ];
    for (listener, props, kind, words) in cases {
        let error = ask(&at, listener, props).await.expect_err(listener);
        let trace = error.trace();
        assert_eq!(error.kind(), *kind, "{listener} {props:?}: {trace}");
        for word in *words {
            assert!(trace.contains(word), "{listener} {props:?}: {word:?} is not in\n{trace}");
        }
        assert!(!trace.contains("guess") && !trace.contains("secret"), "{trace}");
    }
}

/// The listener gives a login three seconds. Heartbeats go on over one connection for longer.
#[tokio::test]
async fn a_login_is_renewed() {
    let Some(at) = listeners("a_login_is_renewed") else { return };
    let props = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.jaas.config", SCRAM),
    ];
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let security = Security::read(&props.map(own).into()).unwrap();
    let address = &at["sasl_plaintext"];
    let connection = Connection::open(address, "test", &security, LIMIT).await.unwrap();
    let begun = Instant::now();
    let mut beats = tokio::time::interval(HEARTBEAT);
    while begun.elapsed() < Duration::from_secs(8) {
        beats.tick().await;
        let request = FindCoordinatorRequest::default()
            .with_coordinator_keys(vec![StrBytes::from_static_str("g")]);
        connection.call(&request, LIMIT).await.unwrap();
    }
}
