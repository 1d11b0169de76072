//! Several workers share a consumer group: ours among each other, and with the JVM's.
//!
//! Two standalone workers with a connector of the same name are members of one group, as the tasks
//! of a distributed worker are; each writes a file of its own.

use std::{collections::BTreeSet, path::Path};

use super::{Load, PATIENCE, Scene, lines, numbers, wait_state};
use crate::harness::{
    rest::{Config, Rest, json_converters},
    servers, topics, wait_for,
    worker::{Home, signal},
};

/// Waits until the two files have all records between them.
fn all_of(scene: &Scene, other: &Path, sent: u64) -> Vec<String> {
    let wanted = numbers(sent);
    wait_for(&format!("all {sent} records"), PATIENCE, || {
        let both = [scene.lines(), lines(other)].concat();
        let there: BTreeSet<String> = both.iter().cloned().collect();
        wanted.is_subset(&there).then_some(both)
    })
}

fn onto(file: &Path, mut config: Config) -> Config {
    config.insert("file".to_owned(), file.to_str().expect("a path of text").to_owned());
    config
}

fn grows(file: &Path) {
    let before = lines(file).len();
    wait_for(&format!("more lines in {}", file.display()), PATIENCE, || {
        (lines(file).len() > before + 500).then_some(())
    });
}

/// One worker comes and goes in order under load, with each way of sharing partitions out, while the
/// other runs and while it is paused: every record arrives, and none twice.
#[test]
fn partitions_change_hands_without_loss_or_repeats() {
    const ASSIGNORS: &str = "consumer.override.partition.assignment.strategy";
    for (name, key, value) in [
        ("sinks_eager", ASSIGNORS, "org.apache.kafka.clients.consumer.RangeAssignor"),
        (
            "sinks_cooperative",
            ASSIGNORS,
            "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        ),
        // The brokers share out, and say how often they want to hear of a member.
        ("sinks_consumer", "consumer.override.group.protocol", "consumer"),
    ] {
        let Some(scene) = Scene::new(name) else { return };
        let mut config = scene.config(&[(key, value)]);
        if value == "consumer" {
            config.retain(|key, _| !key.ends_with("session.timeout.ms"));
            config.retain(|key, _| !key.ends_with("heartbeat.interval.ms"));
        }
        let other_home = Home::new(&format!("{name}-other"), &scene.kafka);
        let other_file = scene.file("-other");
        let other_config = onto(&other_file, config.clone());
        let first = scene.home.start(&[]);
        first.rest.start(name, &config);
        let load = Load::start(&scene);
        grows(&scene.file(""));
        for paused in [false, true, false] {
            if paused {
                first.rest.call("PUT", &format!("/connectors/{name}/pause"), None);
                wait_state(&first.rest, name, "PAUSED", 2);
            }
            let other = other_home.start(&[]);
            other.rest.start(name, &other_config);
            grows(&other_file);
            assert!(other.terminate().success(), "{}", other_home.log());
            if paused {
                first.rest.resume(name);
            }
            grows(&scene.file(""));
        }
        let sent = load.finish();
        let both = all_of(&scene, &other_file, sent);
        assert_eq!(both.len() as u64, sent, "repeats by {name}\n{}", scene.home.log());
        scene.end(first);
    }
}

/// A worker stands still for longer than its session and wakes up with partitions that are another's
/// by now: what it wrote late is a repeat, and nothing that it commits leaves a gap.
#[test]
fn a_frozen_worker_leaves_no_gap() {
    let Some(scene) = Scene::new("sinks_frozen") else { return };
    let name = scene.name;
    let other_home = Home::new(&format!("{name}-other"), &scene.kafka);
    let other_file = scene.file("-other");
    let config = scene.config(&[]);
    let first = scene.home.start(&[]);
    first.rest.start(name, &config);
    let other = other_home.start(&[]);
    other.rest.start(name, &onto(&other_file, config));
    let load = Load::start(&scene);
    grows(&scene.file(""));
    grows(&other_file);
    for _ in 0..2 {
        signal("-STOP", first.child.id());
        // The other one gets all partitions when the session is over.
        let before = lines(&other_file).len();
        let quarter = || (lines(&other_file).len() - before) as u64;
        wait_for("the frozen worker's partitions", PATIENCE, || {
            load.run(500);
            (quarter() > 8_000).then_some(())
        });
        signal("-CONT", first.child.id());
        grows(&scene.file(""));
    }
    let sent = load.finish();
    let both = all_of(&scene, &other_file, sent);
    eprintln!("{name}: {} lines for {sent} records", both.len());
    assert_eq!(both.into_iter().collect::<BTreeSet<_>>(), numbers(sent), "something nobody sent");
    assert!(other.terminate().success(), "{}", other_home.log());
    scene.end(first);
}

/// The JVM's tasks and ours are members of one group, and hand partitions to each other.
#[test]
fn a_group_of_our_tasks_and_the_jvms() {
    let name = "sinks_mixed";
    let Some(peer) = servers::connect(name) else { return };
    let Some(scene) = Scene::new(name) else { return };
    let peer = Rest { url: peer };
    peer.forget(name);
    let peer_file = scene.file("-jvm");
    let mut config = scene.config(&[]);
    config.extend(json_converters(false));
    let ours = scene.home.start(&[]);
    ours.rest.start(name, &config);
    let load = Load::start(&scene);
    grows(&scene.file(""));
    peer.start(name, &onto(&peer_file, config));
    grows(&peer_file);
    grows(&scene.file(""));
    ours.rest.stop(name);
    grows(&peer_file);
    ours.rest.resume(name);
    grows(&scene.file(""));
    peer.stop(name);
    grows(&scene.file(""));
    let sent = load.finish();
    let both = all_of(&scene, &peer_file, sent);
    assert_eq!(both.len() as u64, sent, "repeats\n{}", scene.home.log());
    peer.call("DELETE", &format!("/connectors/{name}"), None);
    let kafka = scene.kafka.clone();
    scene.end(ours);
    assert_eq!(topics::names(&topics::consumer(&kafka), name), Vec::<String>::new());
}
