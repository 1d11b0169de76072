//! The Kafka clients: what librdkafka's statistics tell, under the names of the JVM's clients.
//!
//! A client hands over its [`Statistics`] each `statistics.interval.ms`; they are kept as they are and
//! written when somebody scrapes. The JVM's clients measure more (waiting times of their own buffers
//! and I/O threads); what librdkafka has no figure for is not shown rather than made up.

use std::sync::{Mutex, PoisonError};

use rdkafka::statistics::{Broker, Statistics, Topic};

use super::text::Text;

/// Topics and partitions shown of one client, those with the first names. A client of a connector
/// has some dozens; more than this and the series would cost the scraper more than they tell.
const SERIES_MAX: usize = 1_000;

/// Which of the JVM's clients this one stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    Producer,
    Consumer,
    Admin,
}

impl ClientKind {
    fn name(self) -> &'static str {
        match self {
            ClientKind::Producer => "producer",
            ClientKind::Consumer => "consumer",
            ClientKind::Admin => "admin_client",
        }
    }
}

/// The figures of one client.
pub struct ClientMetrics {
    kind: ClientKind,
    client_id: String,
    seen: Mutex<Option<Box<Statistics>>>,
}

impl ClientMetrics {
    pub(super) fn new(kind: ClientKind, client_id: &str) -> Self {
        Self { kind, client_id: client_id.to_owned(), seen: Mutex::default() }
    }

    /// Takes over what the client tells (`ClientContext::stats`).
    pub fn update(&self, statistics: Statistics) {
        let boxed = Some(Box::new(statistics));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = boxed;
    }

    /// Over all partitions the records that are there and were not given to the task yet; `None`
    /// before the first statistics.
    pub fn lag(&self) -> Option<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let partitions = seen.as_ref()?.topics.values().flat_map(|topic| topic.partitions.values());
        let lags =
            partitions.filter_map(|partition| lag(partition.hi_offset, partition.app_offset));
        Some(lags.sum())
    }

    pub(super) fn write(&self, text: &mut Text) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = seen.as_deref() else { return };
        self.write_client(seen, text);
        match self.kind {
            ClientKind::Producer => self.write_producer(seen, text),
            ClientKind::Consumer => self.write_consumer(seen, text),
            ClientKind::Admin => {}
        }
        self.write_nodes(seen, text);
    }

    fn write_client(&self, seen: &Statistics, text: &mut Text) {
        let labels = [("clientId", self.client_id.as_str())];
        let name = |part: &str| format!("kafka_{}_{part}", self.kind.name());
        let totals = [
            ("request_total", "Requests sent.", seen.tx),
            ("response_total", "Responses received.", seen.rx),
            ("outgoing_byte_total", "Bytes sent.", seen.tx_bytes),
            ("incoming_byte_total", "Bytes received.", seen.rx_bytes),
            ("connection_creation_total", "Connections opened.", sum(seen, |it| it.connects)),
            ("connection_close_total", "Connections closed.", sum(seen, |it| it.disconnects)),
        ];
        for (part, help, value) in totals {
            text.counter(&name(part), help, &labels, whole(value));
        }
        let open = seen.brokers.values().filter(|broker| broker.state == "UP").count();
        text.gauge(&name("connection_count"), "Open connections.", &labels, open as f64);
    }

    fn write_producer(&self, seen: &Statistics, text: &mut Text) {
        let labels = [("clientId", self.client_id.as_str())];
        let help = "Records sent.";
        text.counter("kafka_producer_record_send_total", help, &labels, whole(seen.txmsgs));
        let retries = seen.brokers.values().map(|broker| broker.txretries).sum();
        let help = "Requests sent again.";
        text.counter("kafka_producer_record_retry_total", help, &labels, retries);
        let in_flight = seen.brokers.values().map(|broker| broker.waitresp_cnt).sum::<i64>();
        let help = "Requests that wait for their response.";
        text.gauge("kafka_producer_requests_in_flight", help, &labels, in_flight as f64);
        let total = seen.msg_size_max as f64;
        let help = "Bytes that records may take while they wait (buffer.memory).";
        text.gauge("kafka_producer_buffer_total_bytes", help, &labels, total);
        let left = seen.msg_size_max.saturating_sub(seen.msg_size) as f64;
        let help = "Bytes of that which are free.";
        text.gauge("kafka_producer_buffer_available_bytes", help, &labels, left);
        let windows = seen.topics.values().map(|topic| &topic.batchsize);
        let (sum, count) = windows.fold((0, 0), |all, one| (all.0 + one.sum, all.1 + one.cnt));
        let help = "Bytes of a batch, on average.";
        text.gauge("kafka_producer_batch_size_avg", help, &labels, mean(sum, count));
        let windows = seen.topics.values().map(|topic| &topic.batchcnt);
        let (sum, count) = windows.fold((0, 0), |all, one| (all.0 + one.sum, all.1 + one.cnt));
        let help = "Records of a batch, on average.";
        text.gauge("kafka_producer_records_per_request_avg", help, &labels, mean(sum, count));
        let waits = seen.brokers.values().filter_map(|broker| broker.int_latency.as_ref());
        let (sum, count) = waits.fold((0, 0), |all, one| (all.0 + one.sum, all.1 + one.cnt));
        let help = "How long a record waited to be sent on average, in milliseconds.";
        let wait = mean(sum, count) / 1_000.0;
        text.gauge("kafka_producer_record_queue_time_avg", help, &labels, wait);
        for (name, topic) in in_order(seen) {
            let sent = topic.partitions.values().map(|partition| partition.txmsgs).sum();
            let bytes = topic.partitions.values().map(|partition| partition.txbytes).sum();
            let labels = [("clientId", self.client_id.as_str()), ("topic", name)];
            let help = "Records sent to a topic.";
            text.counter("kafka_producer_topic_record_send_total", help, &labels, sent);
            let help = "Bytes sent to a topic.";
            text.counter("kafka_producer_topic_byte_total", help, &labels, bytes);
        }
    }

    fn write_consumer(&self, seen: &Statistics, text: &mut Text) {
        let labels = [("clientId", self.client_id.as_str())];
        let name = |part: &str| format!("kafka_consumer_fetch_manager_{part}");
        let help = "Records received.";
        text.counter(&name("records_consumed_total"), help, &labels, whole(seen.rxmsgs));
        let help = "Bytes of records received.";
        text.counter(&name("bytes_consumed_total"), help, &labels, whole(seen.rxmsg_bytes));
        if let Some(group) = &seen.cgrp {
            let help = "Times partitions were given or taken.";
            let count = whole(group.rebalance_cnt);
            text.counter("kafka_consumer_coordinator_rebalance_total", help, &labels, count);
            let help = "Partitions that the consumer has.";
            let size = f64::from(group.assignment_size);
            text.gauge("kafka_consumer_coordinator_assigned_partitions", help, &labels, size);
            let ago = (group.rebalance_age / 1_000) as f64;
            let help = "Seconds since partitions were last given or taken.";
            text.gauge("kafka_consumer_coordinator_last_rebalance_seconds_ago", help, &labels, ago);
        }
        let mut most = f64::NAN;
        let mut left = SERIES_MAX;
        for (topic_name, topic) in in_order(seen) {
            let labels = [("clientId", self.client_id.as_str()), ("topic", topic_name)];
            let records = topic.partitions.values().map(|partition| partition.rxmsgs).sum();
            let help = "Records received.";
            text.counter(&name("records_consumed_total"), help, &labels, records);
            let mut partitions: Vec<_> = topic.partitions.values().collect();
            partitions.sort_by_key(|partition| partition.partition);
            for partition in partitions {
                let Some(lag) = lag(partition.hi_offset, partition.app_offset) else { continue };
                most = most.max(lag as f64);
                let Some(fewer) = left.checked_sub(1) else { continue };
                left = fewer;
                let number = partition.partition.to_string();
                let labels = [
                    ("clientId", self.client_id.as_str()),
                    ("topic", topic_name),
                    ("partition", number.as_str()),
                ];
                let help = "Records of a partition that were not received yet.";
                text.gauge(&name("records_lag"), help, &labels, lag as f64);
            }
        }
        let help = "The largest lag of a partition, in records.";
        text.gauge(&name("records_lag_max"), help, &labels, most);
    }

    fn write_nodes(&self, seen: &Statistics, text: &mut Text) {
        let name = |part: &str| format!("kafka_{}_node_{part}", self.kind.name());
        let mut nodes: Vec<&Broker> = seen.brokers.values().collect();
        // The addresses of bootstrap.servers are no nodes of their own.
        nodes.retain(|broker| broker.nodeid >= 0);
        nodes.sort_by(|a, b| (a.nodeid, &a.name).cmp(&(b.nodeid, &b.name)));
        // The group's coordinator has a connection of its own to the same node.
        nodes.retain(|broker| broker.source != "logical");
        for broker in nodes {
            let id = format!("node-{}", broker.nodeid);
            let labels = [("clientId", self.client_id.as_str()), ("nodeId", id.as_str())];
            let totals = [
                ("request_total", "Requests sent to a broker.", broker.tx),
                ("response_total", "Responses received from a broker.", broker.rx),
                ("outgoing_byte_total", "Bytes sent to a broker.", broker.txbytes),
                ("incoming_byte_total", "Bytes received from a broker.", broker.rxbytes),
            ];
            for (part, help, value) in totals {
                text.counter(&name(part), help, &labels, value);
            }
            if let Some(rtt) = &broker.rtt {
                let help = "How long a broker took to answer on average, in milliseconds.";
                let ms = mean(rtt.sum, rtt.cnt) / 1_000.0;
                text.gauge(&name("request_latency_avg"), help, &labels, ms);
            }
        }
    }
}

fn in_order(seen: &Statistics) -> impl Iterator<Item = (&str, &Topic)> {
    let mut topics: Vec<_> =
        seen.topics.iter().map(|(name, topic)| (name.as_str(), topic)).collect();
    topics.sort_by_key(|(name, _)| *name);
    topics.into_iter().take(SERIES_MAX)
}

/// `None` where librdkafka does not know an end or a place yet: it gives negative numbers then.
fn lag(end: i64, place: i64) -> Option<u64> {
    if end < 0 || place < 0 {
        return None;
    }
    Some(u64::try_from(end - place).unwrap_or(0))
}

fn whole(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn mean(sum: i64, count: i64) -> f64 {
    if count > 0 { sum as f64 / count as f64 } else { f64::NAN }
}

fn sum(seen: &Statistics, of: impl Fn(&Broker) -> Option<i64>) -> i64 {
    seen.brokers.values().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::{ConsumerGroup, Partition};

    use super::*;

    fn partition(number: i32, end: i64, place: i64) -> (i32, Partition) {
        let mut partition = Partition { partition: number, ..Partition::default() };
        (partition.hi_offset, partition.app_offset) = (end, place);
        (partition.rxmsgs, partition.txmsgs, partition.txbytes) = (5, 7, 70);
        (number, partition)
    }

    fn statistics() -> Statistics {
        let partitions = [partition(0, 10, 4), partition(1, 9, -1001), partition(2, 9, 9)].into();
        let topic = Topic { partitions, ..Topic::default() };
        let broker = Broker { nodeid: 3, state: "UP".into(), tx: 8, ..Broker::default() };
        let bootstrap = Broker { nodeid: -1, connects: Some(2), ..Broker::default() };
        Statistics {
            txmsgs: 21,
            msg_size: 10,
            msg_size_max: 100,
            topics: [("t".to_owned(), topic)].into(),
            brokers: [("a".to_owned(), broker), ("b".to_owned(), bootstrap)].into(),
            cgrp: Some(ConsumerGroup { assignment_size: 3, ..ConsumerGroup::default() }),
            ..Statistics::default()
        }
    }

    fn written(kind: ClientKind) -> String {
        let client = ClientMetrics::new(kind, "c-0");
        assert_eq!(client.lag(), None);
        client.update(statistics());
        assert_eq!(client.lag(), Some(6));
        let mut text = Text::default();
        client.write(&mut text);
        text.finish()
    }

    #[test]
    fn a_consumer_tells_its_lag_where_it_is_known() {
        let text = written(ClientKind::Consumer);
        for line in [
            "kafka_consumer_fetch_manager_records_lag{clientId=\"c-0\",topic=\"t\",partition=\"0\"} 6",
            "kafka_consumer_fetch_manager_records_lag_max{clientId=\"c-0\"} 6",
            "kafka_consumer_fetch_manager_records_consumed_total{clientId=\"c-0\",topic=\"t\"} 15",
            "kafka_consumer_coordinator_assigned_partitions{clientId=\"c-0\"} 3",
            "kafka_consumer_connection_count{clientId=\"c-0\"} 1",
            "kafka_consumer_node_request_total{clientId=\"c-0\",nodeId=\"node-3\"} 8",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("partition=\"1\"") && !text.contains("node--1"), "{text}");
    }

    #[test]
    fn a_producer_tells_what_it_sent_and_holds() {
        let text = written(ClientKind::Producer);
        for line in [
            "kafka_producer_record_send_total{clientId=\"c-0\"} 21",
            "kafka_producer_topic_byte_total{clientId=\"c-0\",topic=\"t\"} 210",
            "kafka_producer_buffer_available_bytes{clientId=\"c-0\"} 90",
            "kafka_producer_connection_creation_total{clientId=\"c-0\"} 2",
            "kafka_producer_batch_size_avg{clientId=\"c-0\"} NaN",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
        }
    }
}
