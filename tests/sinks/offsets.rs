//! The offsets of a stopped sink, read and changed over REST.

use std::collections::BTreeSet;

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde_json::{Value, json};

use super::{PATIENCE, Scene, numbers};
use crate::harness::{http, rest::Rest, wait_for};

fn ask(rest: &Rest, method: &str, name: &str, body: Option<&Value>) -> http::Answer {
    let text = body.map(Value::to_string);
    rest.ask(method, &format!("/connectors/{name}/offsets"), text.as_deref())
}

/// By partition.
fn committed(rest: &Rest, name: &str) -> Vec<(i64, i64)> {
    let listed = rest.call("GET", &format!("/connectors/{name}/offsets"), None);
    let one = |entry: &Value| {
        assert_eq!(entry["partition"]["kafka_topic"], format!("{name}-t"));
        let number = |value: &Value| value.as_i64().expect("a number");
        (number(&entry["partition"]["kafka_partition"]), number(&entry["offset"]["kafka_offset"]))
    };
    let mut all: Vec<_> = listed["offsets"].as_array().expect("offsets").iter().map(one).collect();
    all.sort_unstable();
    all
}

fn change(name: &str, partition: i64, offset: Option<i64>) -> Value {
    json!({
        "partition": { "kafka_topic": format!("{name}-t"), "kafka_partition": partition },
        "offset": offset.map(|offset| json!({ "kafka_offset": offset })),
    })
}

#[test]
fn offsets_of_a_stopped_sink() {
    let Some(scene) = Scene::new("sinks_offsets") else { return };
    let worker = scene.home.start(&[]);
    let (rest, name) = (&worker.rest, scene.name);
    scene.produce(0..1_000);
    rest.start(name, &scene.config(&[]));
    scene.wait_lines(1_000);
    let refused = ask(rest, "DELETE", name, None);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body.contains("must be in the STOPPED state"), "{}", refused.body);
    rest.stop(name);
    let ends = committed(rest, name);
    assert_eq!(ends.len(), 4);
    assert_eq!(ends.iter().map(|(_, offset)| offset).sum::<i64>(), 1_000, "{ends:?}");

    // Back to the beginning: everything once more.
    let reset = ask(rest, "DELETE", name, None);
    assert_eq!(reset.status, 200, "{}", reset.body);
    assert!(reset.body.contains("have been reset successfully"), "{}", reset.body);
    assert_eq!(committed(rest, name), []);
    rest.resume(name);
    let lines = scene.wait_lines(2_000);
    assert_eq!(lines[1_000..].iter().cloned().collect::<BTreeSet<_>>(), numbers(1_000));
    rest.stop(name);
    assert_eq!(committed(rest, name), ends);

    // One partition a little back, one forgotten, two as they are.
    let changes = json!({ "offsets": [
        change(name, 0, Some(ends[0].1 - 3)),
        change(name, 1, None),
    ]});
    let altered = ask(rest, "PATCH", name, Some(&changes));
    assert_eq!(altered.status, 200, "{}", altered.body);
    assert!(altered.body.contains("have been altered successfully"), "{}", altered.body);
    assert_eq!(committed(rest, name), [(0, ends[0].1 - 3), ends[2], ends[3]]);
    rest.resume(name);
    scene.wait_lines(2_000 + 3 + usize::try_from(ends[1].1).unwrap());
    rest.stop(name);

    let place = json!({ "kafka_topic": "t", "kafka_partition": 0 });
    for (offsets, told) in [
        (json!([]), "Partitions / offsets need to be provided for an alter offsets request"),
        (
            json!([{ "offset": { "kafka_offset": 1 } }]),
            "The partition for a sink connector offset cannot be null or missing",
        ),
        (
            json!([{ "partition": { "kafka_topic": "t" }, "offset": null }]),
            "The partition for a sink connector offset must contain the keys 'kafka_topic' and \
             'kafka_partition'",
        ),
        (
            json!([{ "partition": place, "offset": { "position": 1 } }]),
            "The offset for a sink connector should either be null or contain the key \
             'kafka_offset'",
        ),
        (
            json!([{ "partition": place, "offset": { "kafka_offset": "x" } }]),
            "Failed to parse the following Kafka offset value in the provided offsets: 'x'. Offset \
             values for sink connectors need to be integers.",
        ),
    ] {
        let answer = ask(rest, "PATCH", name, Some(&json!({ "offsets": offsets })));
        assert_eq!(answer.status, 400, "{}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["message"], told);
    }
    for (topic, offset) in
        [(scene.topic(), json!({ "kafka_offset": -1 })), ("sinks_offsets-none".into(), Value::Null)]
    {
        let partition = json!({ "kafka_topic": topic, "kafka_partition": 0 });
        let offsets = json!({ "offsets": [{ "partition": partition, "offset": offset }] });
        let answer = ask(rest, "PATCH", name, Some(&offsets));
        assert_eq!(answer.status, 500, "{}", answer.body);
        assert!(answer.body.contains("\"message\":\"Failed to "), "{}", answer.body);
    }
    group_in_use(&scene, rest);
    scene.end(worker);
}

/// While somebody is in the group, its offsets stay.
fn group_in_use(scene: &Scene, rest: &Rest) {
    let name = scene.name;
    let before = committed(rest, name);
    let member: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &scene.kafka)
        .set("group.id", format!("connect-{name}"))
        .set("enable.auto.commit", "false")
        .set("partition.assignment.strategy", "range")
        .create()
        .expect("a consumer");
    member.subscribe(&[&scene.topic()]).expect("a subscription");
    wait_for("the member's partitions", PATIENCE, || {
        let _records = member.poll(std::time::Duration::from_millis(50));
        (member.assignment().expect("an assignment").count() == 4).then_some(())
    });
    let changes = json!({ "offsets": [change(name, 0, Some(1))] });
    let forget = json!({ "offsets": [change(name, 0, None)] });
    for (method, body, verb) in [
        ("PATCH", Some(&changes), "alter"),
        ("PATCH", Some(&forget), "alter"),
        ("DELETE", None, "reset"),
    ] {
        let answer = ask(rest, method, name, body);
        assert_eq!(answer.status, 500, "{}", answer.body);
        let told = format!(
            "Failed to {verb} consumer group offsets for connector {name} either because its tasks \
             haven't stopped completely yet or the connector was resumed before the request to \
             {verb} its offsets could be successfully completed. If the connector is in a stopped \
             state, this operation can be safely retried. If it doesn't eventually succeed, the \
             Connect cluster may need to be restarted to get rid of the zombie sink tasks."
        );
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["message"], told, "{method}");
    }
    assert_eq!(committed(rest, name), before);
}
