use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::ConsumerContext as _,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
    types::RDKafkaRespErr,
};

use super::*;
use crate::metrics::Metrics;

/// A consumer of whose broker nothing is heard.
fn consumer() -> KafkaConsumer {
    consumer_of("127.0.0.1:1").0
}

fn consumer_of(servers: &str) -> (KafkaConsumer, Arc<Metrics>) {
    let worker = Props::from([("bootstrap.servers".into(), servers.into())]);
    let metrics = Metrics::new(&worker, "c");
    let client = Client {
        connector: "c".into(),
        task: 0,
        props: Arc::new(Props::from([("topics".into(), "t".into())])),
        metrics: metrics.clone(),
    };
    (KafkaConsumer::new(&worker, &client).expect("a consumer"), metrics)
}

fn place(partition: i32) -> TopicPartition {
    TopicPartition { topic: "t".into(), partition }
}

/// What librdkafka does within a poll.
fn tell(consumer: &KafkaConsumer, code: RDKafkaRespErr, partitions: &[i32]) {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition("t", *partition);
    }
    let inner = consumer.inner();
    inner.context().rebalance(inner, code, &mut list);
}

/// Whoever has the partitions of an assignment that was never taken back reads them already: they
/// are lost before others are taken up, even if they are the same.
#[tokio::test]
async fn an_assignment_on_top_of_another() {
    let mut consumer = consumer();
    consumer.taken = BTreeSet::from([place(0), place(1)]);
    tell(&consumer, RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, &[1]);
    let Event::Lost(lost) = consumer.poll().await.expect("an event") else {
        panic!("the partitions are not lost")
    };
    assert_eq!(lost, [place(0), place(1)]);
    consumer.release(&lost).await.expect("nothing to answer");
    let Event::Assigned(taken) = consumer.poll().await.expect("an event") else {
        panic!("the assignment is not told of")
    };
    assert_eq!(taken, [place(1)]);
    assert!(matches!(consumer.open, Some(Change::Assigned(_))), "it is to be answered");
}

/// In order, an assignment is the only news.
#[tokio::test]
async fn an_assignment_after_a_revocation() {
    let mut consumer = consumer();
    consumer.taken = BTreeSet::from([place(0)]);
    tell(&consumer, RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS, &[0]);
    tell(&consumer, RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS, &[0]);
    assert!(matches!(consumer.poll().await.expect("an event"), Event::Revoked(_)));
    consumer.release(&[place(0)]).await.expect("an answer");
    assert!(matches!(consumer.poll().await.expect("an event"), Event::Assigned(_)));
}

/// Nothing comes of a partition that has records, and nobody is told: the looks at its end find out.
#[tokio::test]
async fn a_partition_that_falls_silent_is_noticed() {
    let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let (mut consumer, _metrics) = consumer_of(&cluster.bootstrap_servers());
    consumer.ends = Ends::new(Duration::from_millis(300));
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let produce = || {
        let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to("t").payload(b"v");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
    };
    produce();
    loop {
        match consumer.poll().await.unwrap() {
            Event::Assigned(partitions) => drop(consumer.accept(&partitions).await.unwrap()),
            Event::Records(received) => break assert_eq!(received.len(), 1),
            other => panic!("{other:?}"),
        }
    }
    // As by librdkafka's own fault; `KafkaConsumer::pause` would be told of.
    let inner = consumer.inner().clone();
    inner.pause(&inner.assignment().unwrap()).unwrap();
    produce();
    while !inner.context().is_silent() {
        let polled = tokio::time::timeout(Duration::from_millis(100), consumer.poll()).await;
        assert!(polled.is_err(), "nothing comes");
    }
    // Records end the silence.
    inner.resume(&inner.assignment().unwrap()).unwrap();
    let Event::Records(received) = consumer.poll().await.unwrap() else { panic!("no records") };
    assert_eq!(received.len(), 1);
    assert!(!inner.context().is_silent());
}
