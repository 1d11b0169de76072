//! What counts when offset and slot are apart, and who moves the slot on.

use serde_json::json;

use super::{Scene, WITHIN};
use crate::{
    harness::{gate::Gate, wait_for},
    slots::{log, wait_logged},
};

/// While the connector is away, the slot is moved past a row that was not sent, or the offset is: which
/// of the two counts, and what becomes of the other.
#[test]
fn offset_mismatch_strategy() {
    let Some(mut scene) = Scene::new("keys_mismatch") else { return };
    let worker = scene.home.start(&[]);
    let rest = &worker.rest;
    let mut config = scene.config(&[]);
    rest.start(scene.name, &config);
    scene.streams();
    scene.database.sql("INSERT INTO t VALUES (0);");
    scene.ids_up_to(rest, 0);
    for (strategy, id) in [("no_validation", 10), ("trust_offset", 20)] {
        // The slot is ahead of the offset: row `id` is gone, and that is no secret.
        config.insert("offset.mismatch.strategy".into(), strategy.into());
        rest.start(scene.name, &config);
        scene.streams();
        rest.stop(scene.name);
        let before = scene.offset(rest);
        scene.database.sql(&format!(
            "INSERT INTO t VALUES ({id});
             SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn());",
            scene.name
        ));
        rest.call("PUT", &format!("/connectors/{}/resume", scene.name), None);
        let trace = rest.wait_failed(scene.name);
        assert!(trace.contains("changes in between are lost"), "{strategy}: {trace}");
        // With an offset that is where the slot is, it goes on.
        rest.stop(scene.name);
        let mut after = before.clone();
        for key in ["lsn", "lsn_proc", "lsn_commit"] {
            after[key] = json!(scene.confirmed());
        }
        after["messageType"] = json!("COMMIT");
        scene.store(rest, &after);
        rest.resume(scene.name);
        scene.database.sql(&format!("INSERT INTO t VALUES ({});", id + 1));
        assert_eq!(scene.ids_up_to(rest, id + 1), [id + 1], "{strategy}");
    }
    for (strategy, id) in [("trust_slot", 30), ("trust_greater_lsn", 40)] {
        config.insert("offset.mismatch.strategy".into(), strategy.into());
        rest.start(scene.name, &config);
        scene.streams();
        rest.stop(scene.name);
        scene.database.sql(&format!(
            "INSERT INTO t VALUES ({id});
             SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn());
             INSERT INTO t VALUES ({});",
            scene.name,
            id + 1
        ));
        rest.resume(scene.name);
        assert_eq!(scene.ids_up_to(rest, id + 1), [id + 1], "{strategy}");
    }
    // The offset is ahead of the slot: only two of them move the slot before the stream begins.
    for (strategy, moved) in [
        ("no_validation", false),
        ("trust_slot", false),
        ("trust_offset", true),
        ("trust_greater_lsn", true),
    ] {
        config.insert("offset.mismatch.strategy".into(), strategy.into());
        // Beyond that nobody moves the slot here.
        config.insert("snapshot.mode".into(), "initial".into());
        rest.start(scene.name, &config);
        scene.streams();
        rest.stop(scene.name);
        let before = scene.confirmed();
        scene.database.sql("INSERT INTO t SELECT 1000; DELETE FROM t WHERE id = 1000;");
        let mut offset = scene.offset(rest);
        let end = scene.log_end();
        assert!(end > before);
        for key in ["lsn", "lsn_proc", "lsn_commit"] {
            offset[key] = json!(end);
        }
        offset["messageType"] = json!("COMMIT");
        scene.store(rest, &offset);
        let lines = || log(&scene.home).matches("moved on to the stored offset").count();
        let said = lines();
        rest.resume(scene.name);
        scene.streams();
        assert_eq!(lines() > said, moved, "{strategy}");
        if moved {
            assert!(scene.confirmed() >= end, "{strategy}");
        }
        let id: i64 = scene.database.value("SELECT max(id) + 1 FROM t").parse().unwrap();
        scene.database.sql(&format!("INSERT INTO t VALUES ({id});"));
        assert_eq!(
            scene.ids_up_to(rest, id),
            [id],
            "{strategy}: what the offset covers came again"
        );
    }
    // An offset beyond the end of the log is of another server.
    rest.stop(scene.name);
    let mut offset = scene.offset(rest);
    for key in ["lsn", "lsn_proc", "lsn_commit"] {
        offset[key] = json!(scene.log_end() + (1 << 40));
    }
    scene.store(rest, &offset);
    config.insert("offset.mismatch.strategy".into(), "no_validation".into());
    rest.put(scene.name, &config);
    rest.call("PUT", &format!("/connectors/{}/resume", scene.name), None);
    let trace = rest.wait_failed(scene.name);
    assert!(trace.contains("not the server that the changes came from"), "{trace}");
    drop(worker);
    scene.end();
}

/// Who moves the slot on: with what is stored, also with what the server says of a log that holds
/// nothing for us, or nobody.
#[test]
fn lsn_flush_mode() {
    let Some(mut scene) = Scene::new("keys_flush") else { return };
    let worker = scene.home.start(&[]);
    let rest = &worker.rest;
    for (mode, id) in [("connector", 1), ("manual", 2), ("connector_and_driver", 3)] {
        let more = [("lsn.flush.mode", mode), ("status.update.interval.ms", "100")];
        rest.put(scene.name, &scene.config(&more));
        rest.resume(scene.name);
        scene.streams();
        let before = scene.confirmed();
        scene.database.sql(&format!("INSERT INTO t VALUES ({id});"));
        assert_eq!(scene.ids_up_to(rest, id).last(), Some(&id));
        let stored = || {
            let offset = scene.offset(rest);
            offset["lsn_commit"].as_u64().filter(|commit| *commit > before)
        };
        if mode == "manual" {
            let commit = wait_for("a stored offset", WITHIN, stored);
            // Stopping tells the server all that is confirmed.
            rest.stop(scene.name);
            assert!(scene.confirmed() == before && before < commit, "{mode}");
            continue;
        }
        wait_for("the slot to move on", WITHIN, || (scene.confirmed() > before).then_some(()));
        if mode == "connector_and_driver" {
            assert!(log(&scene.home).contains("heartbeat.interval.ms is taken as 600000"));
            // Far less than a segment, and nothing that is captured.
            scene.database.sql("CREATE TABLE IF NOT EXISTS other (id int);");
            let end = scene.log_end();
            wait_for("the slot to follow the log", WITHIN, || {
                (scene.confirmed() >= end).then_some(())
            });
        }
        rest.stop(scene.name);
    }
    drop(worker);
    scene.end();
}

/// Nothing more can be sent to the server, so the slot can't be moved on: the task fails, or it goes on
/// with what the server sends and moves the slot on later.
#[test]
fn lsn_flush_timeout() {
    let Some(mut scene) = Scene::new("keys_late") else { return };
    let server = format!("{}:{}", scene.database.host, scene.database.port);
    let worker = scene.home.start(&[]);
    let rest = &worker.rest;
    let all = Some(r#"{"level":"DEBUG"}"#);
    rest.call("PUT", "/admin/loggers/riverrun_source_postgres::stream", all);
    let late = ["LSN flush operation for", "took longer than 100ms"];
    let warnings = |scene: &Scene| {
        let log = log(&scene.home);
        log.lines().filter(|line| line.contains("WARN") && line.contains(late[0])).count()
    };
    for (action, level, id) in [("warn", "WARN", 1), ("ignore", "DEBUG", 2), ("fail", "", 3)] {
        let warned = warnings(&scene);
        let gate = Gate::narrow(server.clone());
        let more = [
            ("database.port", &*gate.port),
            ("status.update.interval.ms", "1"),
            ("lsn.flush.timeout.ms", "100"),
            ("lsn.flush.timeout.action", action),
        ];
        rest.put(scene.name, &scene.config(&more));
        rest.resume(scene.name);
        scene.streams();
        gate.shut_questions("START_REPLICATION");
        if action == "fail" {
            let trace = rest.wait_failed(scene.name);
            for words in late.iter().chain(&["lsn.flush.timeout.action"]) {
                assert!(trace.contains(words), "{trace}");
            }
            continue;
        }
        wait_logged(&scene.home, &[&late[..], &[level, "going on"]].concat());
        let before = scene.confirmed();
        scene.database.sql(&format!("INSERT INTO t VALUES ({id});"));
        assert_eq!(scene.confirmed(), before, "{action}: the server has heard something");
        // A server that was cut off within a message waits for its end before it sends anything.
        gate.release();
        assert_eq!(scene.ids_up_to(rest, id), [id], "{action}");
        wait_for("the slot to move on", WITHIN, || (scene.confirmed() > before).then_some(()));
        rest.wait_running(scene.name);
        rest.stop(scene.name);
        assert_eq!(warnings(&scene) > warned, action == "warn", "{action}");
    }
    drop(worker);
    scene.end();
}
