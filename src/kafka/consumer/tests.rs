use rdkafka::{TopicPartitionList, consumer::ConsumerContext as _, types::RDKafkaRespErr};

use super::*;
use crate::metrics::Metrics;

/// A consumer of whose broker nothing is heard.
fn consumer() -> KafkaConsumer {
    let worker = Props::from([("bootstrap.servers".into(), "127.0.0.1:1".into())]);
    let props = Props::from([("topics".into(), "t".into())]);
    let client = Client {
        connector: "c".into(),
        task: 0,
        props: Arc::new(props),
        metrics: Metrics::new(&worker, "c"),
    };
    KafkaConsumer::new(&worker, &client).expect("a consumer")
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
