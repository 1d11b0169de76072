//! A worker by its REST API, ours and the peer's alike.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{http, wait_for};

/// A connector's configuration.
pub(crate) type Config = BTreeMap<String, String>;

/// The configuration of a PostgreSQL source on `database`, everything named after `prefix`.
pub(crate) fn postgres_source(
    database: &super::database::Database,
    prefix: &str,
    more: &[(&str, &str)],
) -> Config {
    let fixed = [
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("tasks.max", "1"),
        ("database.hostname", &database.host),
        ("database.port", &database.port),
        ("database.user", "postgres"),
        ("database.password", "unused"),
        ("database.dbname", &database.name),
        ("plugin.name", "pgoutput"),
        ("slot.name", prefix),
        ("publication.name", prefix),
        ("topic.prefix", prefix),
    ];
    fixed.iter().chain(more).map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

/// The two JSON converters, on the connector.
pub(crate) fn json_converters(schemas: bool) -> Config {
    ["key", "value"]
        .into_iter()
        .flat_map(|part| {
            [
                (
                    format!("{part}.converter"),
                    "org.apache.kafka.connect.json.JsonConverter".to_owned(),
                ),
                (format!("{part}.converter.schemas.enable"), schemas.to_string()),
            ]
        })
        .collect()
}

#[derive(Clone)]
pub(crate) struct Rest {
    pub(crate) url: String,
}

impl Rest {
    /// Status and body, whatever they are.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&str>) -> http::Answer {
        http::request(method, &format!("{}{path}", self.url), body)
            .unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.url))
    }

    /// For a worker that may not be up.
    pub(crate) fn try_ask(&self, method: &str, path: &str) -> std::io::Result<http::Answer> {
        http::request(method, &format!("{}{path}", self.url), None)
    }

    /// The body of an answer that must be a success; a worker busy with another change is asked again.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&str>) -> Value {
        wait_for(&format!("{method} {path}"), Duration::from_secs(60), || {
            let answer = self.ask(method, path, body);
            if answer.status == 409 {
                return None;
            }
            let http::Answer { status, body } = answer;
            assert!((200..300).contains(&status), "{method} {}{path}: {status} {body}", self.url);
            let json = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&body) };
            Some(json.unwrap_or_else(|error| panic!("{method} {path}: {error} in {body}")))
        })
    }

    pub(crate) fn put(&self, name: &str, config: &Config) {
        let body = serde_json::to_string(config).expect("a map of strings");
        self.call("PUT", &format!("/connectors/{name}/config"), Some(&body));
    }

    pub(crate) fn start(&self, name: &str, config: &Config) {
        self.put(name, config);
        self.wait_running(name);
    }

    pub(crate) fn stop(&self, name: &str) {
        self.call("PUT", &format!("/connectors/{name}/stop"), None);
        wait_for(&format!("{name} stopped"), Duration::from_secs(60), || {
            let status = self.status(name)?;
            (status["connector"]["state"] == "STOPPED" && status["tasks"] == Value::Array(vec![]))
                .then_some(())
        });
    }

    pub(crate) fn resume(&self, name: &str) {
        self.call("PUT", &format!("/connectors/{name}/resume"), None);
        self.wait_running(name);
    }

    /// Gives a stopped Debezium source, whose topics have its name, a stored offset, and returns when that is what
    /// the worker tells of it. The JVM's worker tells what its consumer has read of the topic so far.
    pub(crate) fn store_offset(&self, name: &str, offset: &Value) {
        let path = format!("/connectors/{name}/offsets");
        let stored = json!({"offsets": [{"partition": {"server": name}, "offset": offset}]});
        self.call("PATCH", &path, Some(&stored.to_string()));
        wait_for(&format!("the new offset of {name}"), Duration::from_secs(60), || {
            (self.call("GET", &path, None) == stored).then_some(())
        });
    }

    /// Deletes connector and offsets, where they are.
    pub(crate) fn forget(&self, name: &str) {
        // A status may outlive its connector for a moment.
        if self.ask("GET", &format!("/connectors/{name}"), None).status == 200 {
            self.stop(name);
            self.call("DELETE", &format!("/connectors/{name}/offsets"), None);
            self.call("DELETE", &format!("/connectors/{name}"), None);
        }
    }

    /// The status, or nothing where the worker does not know the connector (yet).
    pub(crate) fn status(&self, name: &str) -> Option<Value> {
        let answer = self.ask("GET", &format!("/connectors/{name}/status"), None);
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).expect("JSON"))
    }

    pub(crate) fn wait_running(&self, name: &str) {
        wait_for(&format!("{name} running at {}", self.url), Duration::from_secs(90), || {
            let status = self.status(name)?;
            let tasks = status["tasks"].as_array().expect("tasks");
            if let Some(failed) = tasks.iter().find(|task| task["state"] == "FAILED") {
                panic!(
                    "{name} at {} failed: {}",
                    self.url,
                    failed["trace"].as_str().unwrap_or("?")
                );
            }
            let running = status["connector"]["state"] == "RUNNING"
                && !tasks.is_empty()
                && tasks.iter().all(|task| task["state"] == "RUNNING");
            running.then_some(())
        });
    }

    /// The trace of a task that must fail.
    pub(crate) fn wait_failed(&self, name: &str) -> String {
        wait_for(&format!("{name} failed at {}", self.url), Duration::from_secs(60), || {
            let status = self.status(name)?;
            let parts = status["tasks"].as_array().into_iter().flatten();
            let failed = parts.chain([&status["connector"]]).find(|part| part["state"] == "FAILED");
            Some(failed?["trace"].as_str().unwrap_or_default().to_owned())
        })
    }
}
