//! What the workers of a group answer, whichever of them is asked, and what stands in their topics
//! afterwards.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    distributed::{connectors, until},
    harness::{
        database::Database,
        http::{self, Answer},
        rest::postgres_source,
        servers,
        topics::{self, Follower},
        wait_for,
        worker::{Home, Worker},
    },
};

/// Two workers and a connector with a task, one part on each of them or both on one.
struct Group {
    name: &'static str,
    kafka: String,
    database: Database,
    homes: Vec<Home>,
    workers: Vec<Worker>,
    connector: String,
}

impl Group {
    fn new(name: &'static str, properties: &str) -> Option<Self> {
        let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
            return None;
        };
        topics::delete(&kafka, name);
        let database = Database::create(&postgres, name);
        let homes = (0..2).map(|n| {
            let mut home = Home::of_group(&format!("{name}_{n}"), &kafka, name);
            home.properties.push_str(properties);
            home
        });
        let homes: Vec<Home> = homes.collect();
        let workers: Vec<Worker> = homes.iter().map(|home| home.start(&[])).collect();
        let connector = connectors(&database, 1, &workers[0]).remove(0);
        let group = Self { name, kafka, database, homes, workers, connector };
        group.settled();
        Some(group)
    }

    fn settled(&self) {
        let rest = &self.workers[0].rest;
        wait_for("the connector and its task", Duration::from_secs(60), || {
            let status = rest.status(&self.connector)?;
            let tasks = status["tasks"].as_array().filter(|tasks| tasks.len() == 1)?;
            let running = |part: &Value| part["state"] == "RUNNING";
            (running(&status["connector"]) && running(&tasks[0])).then_some(())
        });
    }

    /// What each worker answers.
    fn each(&self, method: &str, path: &str) -> Vec<(u16, String)> {
        let ask = |worker: &Worker| worker.rest.ask(method, path, None);
        let short = |Answer { status, body }: Answer| {
            let body: Value = serde_json::from_str(&body).unwrap_or_default();
            (status, body["message"].as_str().unwrap_or_default().to_owned())
        };
        self.workers.iter().map(ask).map(short).collect()
    }

    /// The values of a key in one of the group's topics, in order.
    fn values(&self, topic: &str, key: &str) -> Vec<Value> {
        let all = topics::read_all(&self.kafka, &format!("{}-{topic}", self.name));
        let records = all.into_values().flatten();
        let of_key = records.filter(|record| record.key.as_deref() == Some(key.as_bytes()));
        of_key
            .map(|record| {
                serde_json::from_slice(&record.value.unwrap_or_default()).unwrap_or_default()
            })
            .collect()
    }

    fn end(self) {
        for (worker, home) in self.workers.into_iter().zip(&self.homes) {
            assert!(worker.terminate().success(), "a worker's end\n{}", home.log());
        }
        topics::delete(&self.kafka, self.name);
    }
}

#[test]
fn restarts_are_answered_by_whoever_is_asked() {
    let Some(group) = Group::new("group_restarts", "") else { return };
    let name = &group.connector;
    let both = |status: u16, message: &str| vec![(status, message.to_owned()); 2];
    for path in ["restart", "restart?includeTasks=true", "tasks/0/restart"] {
        let answers = group.each("POST", &format!("/connectors/nobody/{path}"));
        assert_eq!(answers, both(404, "Unknown connector: nobody"), "{path}");
    }
    let answers = group.each("POST", &format!("/connectors/{name}/tasks/7/restart"));
    assert_eq!(answers, both(404, &format!("Unknown task: {name}-7")));
    for path in ["restart", "tasks/0/restart"] {
        assert_eq!(group.each("POST", &format!("/connectors/{name}/{path}")), both(204, ""));
        group.settled();
    }
    let missing = both(400, "Internal request missing required signature");
    assert_eq!(group.each("PUT", &format!("/connectors/{name}/fence")), missing);

    let path = format!("/connectors/{name}/restart?includeTasks=true");
    let plan = group.workers[1].rest.ask("POST", &path, None);
    assert_eq!(plan.status, 202, "{}", plan.body);
    let plan: Value = serde_json::from_str(&plan.body).unwrap();
    assert_eq!(
        json!([plan["connector"]["state"], plan["tasks"][0]["state"]]),
        json!(["RESTARTING", "RESTARTING"])
    );
    for key in [format!("status-connector-{name}"), format!("status-task-{name}-0")] {
        wait_for(&format!("the restart in {key}"), Duration::from_secs(30), || {
            let states = group.values("status", &key);
            let states: Vec<&str> = states.iter().filter_map(|one| one["state"].as_str()).collect();
            states.ends_with(&["UNASSIGNED", "RESTARTING", "RUNNING"]).then_some(())
        });
    }
    group.end();
}

/// A request that comes right after a resume is about the tasks that come of it.
#[test]
fn a_restart_right_after_a_resume() {
    let name = "group_resumed";
    let Some(kafka) = servers::kafka(name) else { return };
    topics::delete(&kafka, name);
    let home = Home::of_group(name, &kafka, name);
    let worker = home.start(&[]);
    let rest = &worker.rest;
    let config = [
        ("connector.class", "org.apache.kafka.connect.tools.MockSourceConnector"),
        ("tasks.max", "1"),
    ];
    let config = config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    rest.start(name, &config);
    let ask = |method: &str, path: &str| {
        let answer = rest.ask(method, &format!("/connectors/{name}/{path}"), None);
        (answer.status, answer.body)
    };
    for _ in 0..10 {
        rest.stop(name);
        // Nobody has it, and nobody is about to.
        let (status, body) = ask("POST", "tasks/0/restart");
        assert_eq!(status, 409, "{body}");
        assert!(body.contains("no known leader URL"), "{body}");
        assert_eq!(ask("PUT", "resume").0, 202);
        wait_for("the resume in the topic", Duration::from_secs(20), || {
            let status = rest.status(name)?;
            (status["connector"]["state"] != "STOPPED").then_some(())
        });
        assert_eq!(ask("POST", "tasks/0/restart"), (204, String::new()));
        rest.wait_running(name);
        for _ in 0..5 {
            assert_eq!(ask("PUT", "pause").0, 202);
            assert_eq!(ask("PUT", "resume").0, 202);
        }
        rest.wait_running(name);
    }
    assert!(worker.terminate().success(), "the worker's end\n{}", home.log());
    topics::delete(&kafka, name);
}

/// The leader's writes take turns, and follow what they are about.
#[test]
fn requests_at_the_same_time() {
    let Some(group) = Group::new("group_turns", "") else { return };
    let config = postgres_source(&group.database, "twin", &[("table.include.list", "public.t0")]);
    let body = json!({ "name": "twin", "config": config, "initial_state": "STOPPED" }).to_string();
    let statuses = std::thread::scope(|scope| {
        let create = |n: usize| {
            let (rest, body) = (&group.workers[n % 2].rest, &body);
            scope.spawn(move || rest.ask("POST", "/connectors", Some(body)))
        };
        let answers: Vec<_> = (0..6).map(create).collect();
        answers.into_iter().map(|answer| answer.join().unwrap()).collect::<Vec<_>>()
    });
    let created = statuses.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(created, 1, "{:?}", statuses.iter().map(|one| &one.body).collect::<Vec<_>>());
    let refused = statuses.iter().filter(|answer| {
        answer.status == 409 && answer.body.contains("Connector twin already exists")
    });
    assert_eq!(
        refused.count(),
        5,
        "{:?}",
        statuses.iter().map(|one| &one.body).collect::<Vec<_>>()
    );

    // Patches of one connector: none is lost.
    std::thread::scope(|scope| {
        for n in 0..6 {
            let rest = &group.workers[n % 2].rest;
            scope.spawn(move || {
                let patch = json!({ format!("note.{n}"): n.to_string() }).to_string();
                let answer = rest.ask("PATCH", "/connectors/twin/config", Some(&patch));
                assert_eq!(answer.status, 200, "{}", answer.body);
            });
        }
    });
    let config = group.workers[0].rest.call("GET", "/connectors/twin/config", None);
    let notes = (0..6).filter(|n| config[format!("note.{n}")].as_str() == Some(&n.to_string()));
    assert_eq!(notes.count(), 6, "{config}");
    group.workers[1].rest.call("DELETE", "/connectors/twin", None);

    // Offsets may be changed as soon as the stop has been answered: no task can write any after it.
    let (name, rest) = (&group.connector, &group.workers[1].rest);
    let mut topic = Follower::new(&group.kafka, &format!("{name}.public.t0"));
    for _ in 0..3 {
        until(&mut topic, 0);
        let stopped = rest.ask("PUT", &format!("/connectors/{name}/stop"), None);
        assert_eq!(stopped.status, 204, "{}", stopped.body);
        let forgotten = rest.ask("DELETE", &format!("/connectors/{name}/offsets"), None);
        assert_eq!(forgotten.status, 200, "{}", forgotten.body);
        let stored = rest.call("GET", &format!("/connectors/{name}/offsets"), None);
        assert_eq!(stored, json!({ "offsets": [] }));
        assert!(
            group.values("configs", &format!("commit-{name}")).ends_with(&[json!({"tasks": 0})])
        );
        rest.resume(name);
    }
    // Each time the table was read again from its beginning.
    until(&mut topic, 0);
    group.end();
}

/// What a worker does without being asked to.
#[test]
fn keys_are_replaced_and_topics_come_back() {
    let Some(group) = Group::new("group_duties", "inter.worker.key.ttl.ms=1500\n") else { return };
    let (name, rest) = (&group.connector, &group.workers[1].rest);
    let generations = || {
        let statuses = group.values("status", &format!("status-task-{name}-0"));
        statuses.iter().filter_map(|one| one["generation"].as_i64()).max()
    };
    let before = (group.values("configs", "session-key").len(), generations());
    wait_for("three more keys", Duration::from_secs(30), || {
        (group.values("configs", "session-key").len() >= before.0 + 3).then_some(())
    });
    let created: Vec<i64> = group
        .values("configs", "session-key")
        .iter()
        .filter_map(|key| key["creation-timestamp"].as_i64())
        .collect();
    let apart = created.windows(2).map(|two| two[1] - two[0]).min();
    assert!(apart >= Some(1500), "keys of {created:?}");
    // Requests between workers go on with the new ones: the connector's owner may have to pass
    // them to the leader.
    let config = postgres_source(
        &group.database,
        name,
        &[("table.include.list", "public.t0"), ("poll.interval.ms", "123")],
    );
    rest.put(name, &config);
    wait_for("the task's new configuration", Duration::from_secs(30), || {
        let tasks = rest.call("GET", &format!("/connectors/{name}/tasks"), None);
        (tasks[0]["config"]["poll.interval.ms"] == "123").then_some(())
    });
    group.settled();

    let used = || rest.call("GET", &format!("/connectors/{name}/topics"), None);
    let topic = json!([format!("{name}.public.t0")]);
    let listed = || (used()[name]["topics"] == topic).then_some(());
    wait_for("the topic in use", Duration::from_secs(20), listed);
    rest.call("PUT", &format!("/connectors/{name}/topics/reset"), None);
    wait_for("its end", Duration::from_secs(20), || {
        (used()[name]["topics"] == json!([])).then_some(())
    });
    group.database.sql("INSERT INTO t0 VALUES (1);");
    wait_for("the topic in use again", Duration::from_secs(20), listed);
    rest.call("DELETE", &format!("/connectors/{name}"), None);
    wait_for("no topics of a connector that is gone", Duration::from_secs(20), || {
        (used()[name]["topics"] == json!([])).then_some(())
    });
    group.end();
}

#[test]
fn a_group_of_something_else_ends_the_worker() {
    let name = "group_of_consumers";
    let Some(kafka) = servers::kafka(name) else { return };
    topics::delete(&kafka, name);
    topics::create(&kafka, &format!("{name}-data"), 1, &[]);
    let consumer = topics::member(&kafka, name, &format!("{name}-data"));
    let home = Home::of_group(name, &kafka, name);
    let mut worker = home.spawn(&[]);
    let status = wait_for("the worker's end", Duration::from_secs(60), || {
        worker.child.try_wait().expect("the child")
    });
    let log = home.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("choose another group.id"), "{log}");
    drop(consumer);
    topics::delete(&kafka, name);
}

/// Tasks that are not signed by a worker are refused from the first moment on, also while a worker
/// that comes back has not heard yet what the group has agreed on.
#[test]
fn tasks_of_a_stranger_are_refused_while_a_worker_starts() {
    let name = "group_stranger";
    let (Some(postgres), Some(kafka)) = (servers::postgres(name), servers::kafka(name)) else {
        return;
    };
    topics::delete(&kafka, name);
    let database = Database::create(&postgres, name);
    let home = Home::of_group(name, &kafka, name);
    let worker = home.start(&[]);
    let connector = connectors(&database, 1, &worker).remove(0);
    worker.rest.wait_running(&connector);
    let path = format!("/connectors/{connector}/tasks");
    let before = worker.rest.call("GET", &path, None);
    worker.kill();

    // The group waits for the one that was killed until its session ends.
    let worker = home.spawn(&[]);
    let forged = r#"[{"task.class":"x","table.include.list":"forged"}]"#;
    let mut refused = 0;
    wait_for("the worker to be in the group again", Duration::from_secs(60), || {
        if let Ok(answer) =
            http::request("POST", &format!("{}{path}", worker.rest.url), Some(forged))
        {
            assert!(answer.status >= 400, "{} {}", answer.status, answer.body);
            refused += usize::from(answer.status == 400);
        }
        let tasks = worker.rest.try_ask("GET", &path).ok()?;
        let status = worker.rest.status(&connector)?;
        (tasks.status == 200 && status["tasks"][0]["state"] == "RUNNING" && refused > 2)
            .then_some(())
    });
    worker.rest.wait_running(&connector);
    assert_eq!(worker.rest.call("GET", &path, None), before);
    worker.rest.forget(&connector);
    drop(worker);
    topics::delete(&kafka, name);
}
