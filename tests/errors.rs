//! Bad input: every message says what was tried, the fact and what to do, stands where it belongs,
//! and leaves the worker and its other connectors alone.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::Value;

use crate::harness::{
    database::Database,
    rest::{Config, Rest, postgres_source},
    servers::{self, Script},
    wait_for,
    worker::{Home, free_port},
};

const CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

type Changes = [(&'static str, &'static str)];
type Words = [&'static str];

/// The errors of `validate`, by key.
fn validate(rest: &Rest, config: &Config) -> BTreeMap<String, String> {
    let mut config = config.clone();
    config.insert("name".into(), "checked".into());
    let body = serde_json::to_string(&config).unwrap();
    let path = format!("/connector-plugins/{CLASS}/config/validate");
    let answer = rest.call("PUT", &path, Some(&body));
    let values = answer["configs"].as_array().expect("configs").iter().map(|one| &one["value"]);
    let errors: BTreeMap<String, String> = values
        .filter(|value| !value["errors"].as_array().expect("errors").is_empty())
        .map(|value| (value["name"].as_str().unwrap().into(), value["errors"].to_string()))
        .collect();
    let count = answer["error_count"].as_u64().expect("error_count");
    assert_eq!(count == 0, errors.is_empty(), "error_count {count} and {errors:?}");
    errors
}

fn holds(what: &str, text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is not in {text}");
    }
}

#[test]
fn a_wrong_configuration_is_told_under_its_key() {
    let Some(postgres) = servers::postgres("a_wrong_configuration_is_told_under_its_key") else {
        return;
    };
    let database = Database::create(&postgres, "errors_keys");
    database.sql(
        "DO $$ BEGIN CREATE ROLE rr_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;",
    );
    let worker = Home::new("errors-keys", "").start(&[]);
    let good = postgres_source(&database, "errors_keys", &[]);
    assert_eq!(validate(&worker.rest, &good), BTreeMap::new(), "the good configuration");

    let closed: &'static str = free_port().to_string().leak(); // Rows live as long as the others.
    // What is changed; the key the error stands under; what it says.
    #[rustfmt::skip]
    let table: [(&Changes, &str, &Words); 14] = [
        (&[("database.hostname", "no-such-host.invalid")], "database.hostname", &["no-such-host.invalid", "Error while validating connector config: "]),
        (&[("database.port", closed)], "database.hostname", &[closed, "refused"]),
        (&[("database.dbname", "no_such_db")], "database.hostname", &["no_such_db", "does not exist"]),
        (&[("database.user", "no_such_user")], "database.hostname", &["no_such_user"]),
        (&[("database.user", "rr_reader")], "database.hostname", &["rr_reader", "REPLICATION"]),
        (&[("database.port", "many")], "database.port", &["The 'database.port' value is invalid: An integer is expected"]),
        (&[("database.hostname", "")], "database.hostname", &["The 'database.hostname' value is invalid: A value is required"]),
        (&[("slot.name", "Not A Slot")], "slot.name", &["must contain only digits, lowercase characters and underscores with length <= 63"]),
        (&[("topic.prefix", "with space")], "topic.prefix", &["with space has invalid format"]),
        (&[("snapshot.mode", "sometimes")], "snapshot.mode", &["Value must be one of", "initial_only"]),
        (&[("tasks.max", "0")], "tasks.max", &["at least 1"]),
        (&[("table.include.list", "a("), ("database.port", closed)], "table.include.list", &["A comma-separated list of valid regular expressions is expected"]),
        (&[("publication.autocreate.mode", "perhaps")], "publication.autocreate.mode", &["Value must be one of", "filtered"]),
        (&[("key.converter", "com.example.Nothing")], "key.converter", &["com.example.Nothing", "could not be found"]),
    ];
    for (changes, key, words) in table {
        let mut config = good.clone();
        config.extend(changes.iter().map(|(key, value)| ((*key).into(), (*value).into())));
        let errors = validate(&worker.rest, &config);
        let text = errors
            .get(key)
            .unwrap_or_else(|| panic!("{changes:?}: nothing under {key} in {errors:?}"));
        holds(&format!("{changes:?}"), text, words);
        assert!(!text.contains("unused"), "{changes:?}: the password is told in {text}");
    }

    let mut config = good;
    config.remove("topic.prefix");
    let errors = validate(&worker.rest, &config);
    let text = "The 'topic.prefix' value is invalid: A value is required";
    holds("a missing key", &errors["topic.prefix"], &[text]);
}

#[test]
fn a_request_that_makes_no_sense_is_refused() {
    let worker = Home::new("errors-requests", "").start(&[]);
    let post = |body: &str| worker.rest.ask("POST", "/connectors", Some(body));
    let answer = post(r#"{"name":"x","config":{"connector.class":"com.example.Nothing"}}"#);
    assert_eq!(answer.status, 400, "{}", answer.body);
    holds(
        "unknown class",
        &answer.body,
        &["com.example.Nothing", "available connectors are", CLASS],
    );
    let answer = post(r#"{"name":"x","config":{"a":"b"}}"#);
    assert_eq!(answer.status, 400, "{}", answer.body);
    holds("no class", &answer.body, &["contains no connector type"]);
    for broken in ["{\"name\":", "[]", "\"text\"", "", "{\"name\":\"x\",\"config\":7}", "{}"] {
        let answer = post(broken);
        assert!(
            (400..=500).contains(&answer.status),
            "{broken}: {} {}",
            answer.status,
            answer.body
        );
        let error: Value = serde_json::from_str(&answer.body).expect("an error is JSON");
        assert_eq!(error["error_code"], answer.status, "{broken}: {}", answer.body);
    }
    let answer = worker.rest.ask("GET", "/connectors/nobody/status", None);
    assert_eq!(answer.status, 404, "{}", answer.body);
    assert_eq!(worker.rest.call("GET", "/connectors", None), Value::Array(vec![]));
}

/// Tasks that cannot start say why in their trace, while another connector streams on.
#[test]
fn a_task_that_fails_leaves_the_others_alone() {
    let test = "a_task_that_fails_leaves_the_others_alone";
    let Some(postgres) = servers::postgres(test) else { return };
    let database = Database::create(&postgres, "errors_tasks");
    database.sql("CREATE TABLE thing (id int PRIMARY KEY);");
    let home = Home::new("errors-tasks", "");
    let worker = home.start(&[]);
    worker.rest.start("good", &postgres_source(&database, "errors_good", &[]));
    wait_for("the good one to hold its slot", Duration::from_secs(30), || {
        let streams = |line: &str| line.contains("[good|task-0] streaming from");
        home.log().lines().any(streams).then_some(())
    });
    // A sink, so that the good one's records have somewhere to go.
    let file = home.directory.join("out").display().to_string();
    let sink = [
        ("connector.class", "org.apache.kafka.connect.file.FileStreamSinkConnector"),
        ("topics.regex", "errors_good\\..*"),
        ("file", &file),
    ];
    let sink = sink.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    worker.rest.start("sink", &sink);

    #[rustfmt::skip]
    let table: [(&str, &Changes, &Words); 2] = [
        ("no_publication", &[("publication.autocreate.mode", "disabled"), ("publication.name", "nowhere")], &["nowhere", "CREATE PUBLICATION"]),
        ("no_table", &[("publication.autocreate.mode", "filtered"), ("table.include.list", "public.nothing")], &["no table", "table.include.list"]),
    ];
    // Whoever holds the slot may let go of it: tried again, as the peer does, and told each time.
    let shared = [("slot.name", "errors_good")];
    worker.rest.put("slot_in_use", &postgres_source(&database, "errors_slot_in_use", &shared));
    wait_for("a word about the slot", Duration::from_secs(30), || {
        let log = home.log();
        let told = |line: &str| {
            line.contains("slot \"errors_good\" is active")
                && line.contains("stop the other reader")
        };
        log.lines().any(told).then_some(())
    });
    for (name, changes, words) in table {
        let prefix = format!("errors_{name}");
        worker.rest.put(name, &postgres_source(&database, &prefix, changes));
        holds(name, &worker.rest.wait_failed(name), words);
        worker.rest.wait_running("good");
    }
    database.sql("INSERT INTO thing VALUES (42);");
    wait_for("a change after all those failures", Duration::from_secs(20), || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("42")).then_some(())
    });
    for name in ["slot_in_use", "no_publication", "no_table", "good"] {
        worker.rest.forget(name);
    }
}

/// A server without logical decoding, and one that wants a password.
#[test]
fn a_server_that_cannot_stream_is_told() {
    let test = "a_server_that_cannot_stream_is_told";
    if servers::postgres(test).is_none() {
        return;
    }
    let own =
        Script::new("errors", &[("PG_PORT", "25438"), ("PG_OPTIONS", "-c wal_level=replica")]);
    let address = own.run("pg-start", "");
    let _stopped_at_the_end = own.at_end("pg-stop");
    let database =
        Database::create(&format!("postgres://postgres@{address}/postgres"), "errors_server");
    database.sql(
        "DROP ROLE IF EXISTS locked;
         CREATE ROLE locked LOGIN REPLICATION PASSWORD 'right';
         DO $$ BEGIN EXECUTE format(
           'COPY (VALUES (''host all locked 127.0.0.1/32 scram-sha-256''), (''host replication locked 127.0.0.1/32 scram-sha-256''), (''host all all 127.0.0.1/32 trust'')) TO %L',
           current_setting('hba_file')); END $$;
         SELECT pg_reload_conf();",
    );
    let worker = Home::new("errors-server", "").start(&[]);
    let good = postgres_source(&database, "errors_server", &[]);
    let errors = validate(&worker.rest, &good);
    holds(
        "wal_level",
        &errors["database.hostname"],
        &["wal_level", "logical", "replica", "restart"],
    );

    let mut config = good;
    config.insert("database.user".into(), "locked".into());
    config.insert("database.password".into(), "secret-but-wrong".into());
    let text = wait_for("pg_hba.conf to be read again", Duration::from_secs(10), || {
        let text = validate(&worker.rest, &config).remove("database.hostname")?;
        (!text.contains("wal_level")).then_some(text)
    });
    holds("password", &text, &["locked", "password"]);
    assert!(!text.contains("secret-but-wrong"), "the password is told in {text}");
}

#[test]
fn a_worker_that_cannot_start_says_why() {
    let home = Home::new("errors-start", "");
    let broken = home.directory.join("broken.json");
    fs::write(&broken, "{\"name\": \"x\", ").unwrap();
    let missing = home.directory.join("missing.json");
    for (file, words) in
        [(&broken, ["broken.json", "name"]), (&missing, ["missing.json", "No such file"])]
    {
        let mut worker = home.spawn(std::slice::from_ref(file));
        let status = wait_for("the worker's end", Duration::from_secs(20), || {
            worker.child.try_wait().unwrap()
        });
        assert!(!status.success(), "{}: {status}", file.display());
        holds(&file.display().to_string(), &home.log(), &words);
    }

    let mut home = Home::new("errors-listener", "");
    home.properties.push_str("listeners=nonsense\n");
    let mut worker = home.spawn(&[]);
    let status =
        wait_for("the worker's end", Duration::from_secs(20), || worker.child.try_wait().unwrap());
    assert!(!status.success(), "{status}");
    holds("a broken listener", &home.log(), &["nonsense"]);
}

#[test]
fn an_unwritable_offset_file_is_told() {
    let test = "an_unwritable_offset_file_is_told";
    let Some(postgres) = servers::postgres(test) else { return };
    let database = Database::create(&postgres, "errors_offsets");
    database.sql("CREATE TABLE thing (id int PRIMARY KEY); INSERT INTO thing VALUES (1);");
    let mut home = Home::new("errors-offsets", "");
    // In a folder that is a file, which not even root may write.
    let place = home.directory.join("worker.log/offsets");
    home.properties.push_str(&format!("offset.storage.file.filename={}\n", place.display()));
    let mut worker = home.spawn(&[]);
    wait_for("a word about the offset file", Duration::from_secs(30), || {
        let ended = worker.child.try_wait().unwrap().is_some();
        let told = home.log().contains(&place.display().to_string());
        assert!(!ended || told, "the worker ended without a word: {}", home.log());
        told.then_some(())
    });
}

#[test]
fn an_unreachable_kafka_is_told() {
    let address = format!("127.0.0.1:{}", free_port());
    let home = Home::new("errors-kafka", &address);
    let mut worker = home.spawn(&[]);
    wait_for("a word about the broker", Duration::from_secs(90), || {
        let ended = worker.child.try_wait().unwrap();
        let log = home.log();
        let told =
            log.lines().any(|line| line.contains(&address) && line.contains("bootstrap.servers"));
        assert!(ended.is_none() || told, "the worker ended without a word: {log}");
        told.then_some(())
    });
}
