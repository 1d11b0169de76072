//! On librdkafka's own broker, and on the one that `RIVERRUN_TEST_KAFKA` names where that one does not
//! do.

use std::{collections::BTreeMap, env, io::Write as _};

use model::{error::Kind, topics::From};
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn topic(name: &str, settings: &[(&str, &str)]) -> Topic {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Topic {
        name: name.into(),
        partition: 0,
        settings: settings.iter().map(own).collect(),
        prefix: "signal.consumer.",
    }
}

/// Reads until the position is `until`.
async fn read(reader: &mut Box<dyn TopicReader>, until: i64) -> Vec<String> {
    let mut values = Vec::new();
    let reading = async {
        while reader.position().is_none_or(|at| at < until) {
            // A broker that has just begun to know the topic may say once that it does not.
            for record in reader.poll(Duration::from_millis(100)).await.unwrap_or_default() {
                assert_eq!(record.key.as_deref(), Some(b"key".as_slice()));
                values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the topic is read");
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_read() {
    let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let topics = ConnectorTopics::new("c", 0);
    let group = topic(
        "t",
        &[("bootstrap.servers", &servers), ("group.id", "g"), ("auto.offset.reset", "earliest")],
    );
    let writer = topics.writer(&topic("t", &[("bootstrap.servers", &servers)])).unwrap();
    for (offset, value) in [(0, "a"), (1, "b"), (2, "c")] {
        let written = writer.append(Some(b"key"), Some(value.as_bytes()), PATIENCE).await;
        assert_eq!(written.unwrap(), offset);
    }
    let mut reader = topics.reader(&group).unwrap();
    // Nothing was committed: from the beginning, as `auto.offset.reset` says.
    reader.begin(From::Committed).await.unwrap();
    assert_eq!(reader.end(PATIENCE).await.unwrap(), 3);
    assert_eq!(read(&mut reader, 3).await, ["a", "b", "c"]);
    reader.commit(1).await.unwrap();
    let mut next = topics.reader(&group).unwrap();
    next.begin(From::Committed).await.unwrap();
    assert_eq!(read(&mut next, 3).await, ["b", "c"]);
    // On from the end, and again from elsewhere.
    writer.append(Some(b"key"), Some(b"d"), PATIENCE).await.unwrap();
    assert_eq!(read(&mut next, 4).await, ["d"]);
    next.begin(From::Offset(2)).await.unwrap();
    assert_eq!(read(&mut next, 4).await, ["c", "d"]);
    next.begin(From::Beginning).await.unwrap();
    assert_eq!(read(&mut next, 4).await.len(), 4);
}

/// Nothing listens on port 1.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_is_named() {
    let topics = ConnectorTopics::new("c", 0);
    let settings = [("bootstrap.servers", "127.0.0.1:1"), ("group.id", "g")];
    let mut reader = topics.reader(&topic("t", &settings)).unwrap();
    let error = loop {
        match reader.poll(Duration::from_millis(200)).await {
            Ok(records) => assert_eq!(records, []),
            Err(error) => break error,
        }
    };
    let trace = error.trace();
    assert_eq!(error.kind(), Kind::Retriable);
    assert!(trace.contains("127.0.0.1:1") && trace.contains("topic t"), "{trace}");
}

#[test]
fn wrong_settings_are_named_as_they_stand_in_the_configuration() {
    let topics = ConnectorTopics::new("c", 0);
    let servers = ("bootstrap.servers", "k:9092");
    for (settings, wanted) in [
        (
            vec![servers, ("group.id", "g"), ("fetch.min.bytes", "many")],
            "signal.consumer.fetch.min.bytes",
        ),
        (
            vec![servers, ("group.id", "g"), ("interceptor.classes", "x")],
            "signal.consumer.interceptor.classes is refused",
        ),
        (vec![servers, ("group.id", "g"), ("security.protocol", "TLS")], "signal.consumer."),
        (vec![("group.id", "g")], "bootstrap.servers is not set"),
    ] {
        let error = topics.reader(&topic("t", &settings)).err().unwrap();
        assert_eq!(error.kind(), Kind::Fatal);
        assert!(error.trace().contains(wanted), "{}", error.trace());
    }
    assert!(
        topics
            .reader(&topic("t", &[servers, ("group.id", "g"), ("enable.auto.commit", "true")]))
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_created_once_and_as_asked() {
    let Some(servers) = env::var("RIVERRUN_TEST_KAFKA").ok().filter(|value| !value.is_empty())
    else {
        writeln!(
            std::io::stderr(),
            "skipped: a_topic_is_created_once_and_as_asked: RIVERRUN_TEST_KAFKA is not set"
        )
        .unwrap();
        return;
    };
    let name = format!("connector-topic-{}", uuid::Uuid::new_v4());
    let topics = ConnectorTopics::new("c", 0);
    let settings = [("bootstrap.servers", servers.as_str()), ("group.id", "g")];
    let place = topic(&name, &settings);
    let wanted = NewTopic {
        partitions: 1,
        replication: Some(1),
        configs: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
    };
    assert!(topics.create(&place, &wanted, PATIENCE).await.unwrap());
    assert!(!topics.create(&place, &wanted, PATIENCE).await.unwrap());
    let writer = topics.writer(&topic(&name, &settings[..1])).unwrap();
    assert_eq!(writer.append(Some(b"key"), Some(b"a"), PATIENCE).await.unwrap(), 0);
    let mut reader = topics.reader(&place).unwrap();
    reader.begin(From::Beginning).await.unwrap();
    assert_eq!(read(&mut reader, 1).await, ["a"]);
    let wrong = NewTopic {
        configs: BTreeMap::from([("retention.ms".to_owned(), "x".to_owned())]),
        ..wanted
    };
    let error =
        topics.create(&topic(&format!("{name}-2"), &settings), &wrong, PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fatal);
    let admin = config::topic_admin(&place).unwrap();
    let admin: AdminClient<Context> =
        admin.client.create_with_context(Context::new("test".into())).unwrap();
    admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
}
