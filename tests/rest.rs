//! The REST API against answers recorded from a JVM worker: `tests/rest/*.txt`.
//!
//! A case is a request, `----`, and the answer: status, then what there is of `content-type` and
//! `location`, then the body. `WAIT name STATE` waits until a connector and its tasks are so. A blank
//! line ends a case. What differs between any two workers is masked in both: see [`mask`].
//!
//! Of a validation that begins with `ERRORS` only the keys with errors are kept.
//!
//! `tests/harness/record-rest` starts a JVM standalone worker and writes its answers into the files;
//! nothing else may. What is in `debezium` is recorded from a worker that has Debezium's connectors in
//! the versions they are compared with: `RECORD_DEBEZIUM=HOST:PORT cargo test --test tests debezium`.

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn answers_equal_the_jvms() {
    compare("tests/rest", "RECORD_REST");
}

/// What Debezium's connectors say of their keys, and of what is wrong with them.
#[test]
fn debezium_connectors_keys_equal_the_jvms() {
    compare("tests/rest/debezium", "RECORD_DEBEZIUM");
}

/// A connector that is validated only can't be created, and what is wrong is said before that.
#[test]
fn connector_that_is_not_run_is_refused() {
    let worker = Worker::start(Path::new("not-run.txt"));
    let create = |class: &str, id: &str| {
        let config = format!(
            r#"{{"connector.class":"{class}","database.hostname":"localhost","database.user":"u","topic.prefix":"p","database.server.id":"{id}"}}"#
        );
        play(&worker.address, &format!("PUT /connectors/not-run/config\n{config}"))
    };
    for class in [
        "io.debezium.connector.mysql.MySqlConnector",
        "io.debezium.connector.mariadb.MariaDbConnector",
    ] {
        let answer = create(class, "5");
        assert!(answer.starts_with("400"), "{answer}");
        assert!(answer.contains(&format!("create a connector of class {class}: ")), "{answer}");
        let answer = create(class, "x");
        assert!(answer.contains("The 'database.server.id' value is invalid"), "{answer}");
    }
    assert!(play(&worker.address, "GET /connectors").ends_with("\n[]"));
}

fn compare(dir: &str, recorded_from: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    let record = std::env::var(recorded_from).ok();
    let mut wrong = String::new();
    for file in &files {
        let worker = record.is_none().then(|| Worker::start(file));
        let address = match &worker {
            Some(worker) => worker.address.clone(),
            None => record.clone().unwrap(),
        };
        let text = fs::read_to_string(file).unwrap();
        let mut played = String::new();
        for block in text.trim_end().split("\n\n") {
            if block.lines().all(|line| line.starts_with('#')) {
                played += &format!("{block}\n\n");
                continue;
            }
            let (request, expected) = block.split_once("\n----").unwrap();
            let expected = expected.trim_start_matches('\n');
            let answer = play(&address, request);
            played += &format!("{request}\n----\n{answer}\n\n");
            if record.is_none() && answer != expected {
                let file = file.file_name().unwrap().to_string_lossy();
                writeln!(
                    wrong,
                    "== {file}\n{request}\n---- wanted\n{expected}\n---- got\n{answer}"
                )
                .unwrap();
            }
        }
        if record.is_some() {
            fs::write(file, format!("{}\n", played.trim_end())).unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Our worker, in a directory of its own, on a free port, with records in the process.
struct Worker {
    process: Child,
    address: String,
    dir: PathBuf,
}

impl Worker {
    fn start(file: &Path) -> Self {
        let name = file.file_stem().unwrap().to_string_lossy();
        let dir = std::env::temp_dir().join(format!("riverrun-rest-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let properties = dir.join("worker.properties");
        let json = "org.apache.kafka.connect.json.JsonConverter";
        fs::write(
            &properties,
            format!(
                "key.converter={json}\nvalue.converter={json}\nlisteners=http://127.0.0.1:0\n\
                 offset.storage.file.filename={}\n",
                dir.join("offsets").display()
            ),
        )
        .unwrap();
        let log = dir.join("log");
        let process = Command::new(env!("CARGO_BIN_EXE_riverrun"))
            .arg("connect-standalone")
            .arg(&properties)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let address = eventually(|| {
            let log = fs::read_to_string(&log).unwrap();
            let (_, rest) = log.split_once("listens on http://")?;
            Some(rest.split_whitespace().next()?.to_owned())
        });
        Self { process, address: address.expect("the worker starts"), dir }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// Asks again until there is an answer, or the deadline has passed.
fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        match ask() {
            None if started.elapsed() < DEADLINE => std::thread::sleep(Duration::from_millis(20)),
            answer => return answer,
        }
    }
}

fn play(address: &str, request: &str) -> String {
    let mut lines = request.lines().filter(|line| !line.starts_with('#')).peekable();
    let errors_only = lines.next_if(|line| *line == "ERRORS").is_some();
    let (verb, path) = lines.next().unwrap().split_once(' ').unwrap();
    if verb == "WAIT" {
        let (name, state) = path.split_once(' ').unwrap();
        let reached = eventually(|| {
            let (_, _, body) = call(address, "GET", &format!("/connectors/{name}/status"), &[], "");
            let status: Value = serde_json::from_str(&body).ok()?;
            let mut states = vec![status.pointer("/connector/state")?];
            states.extend(status["tasks"].as_array()?.iter().map(|task| &task["state"]));
            states.iter().all(|found| *found == state).then_some(())
        });
        return if reached.is_some() { "ok" } else { "never" }.to_owned();
    }
    let mut headers = Vec::new();
    let mut body = Vec::new();
    for line in lines {
        match line.split_once(": ") {
            Some((name, value)) if body.is_empty() && !line.starts_with(['{', '[', '"']) => {
                headers.push((name, value));
            }
            _ => body.push(line),
        }
    }
    let (status, headers, body) = call(address, verb, path, &headers, &body.join("\n"));
    let mut answer = status.to_string();
    for name in ["content-type", "location", "allow"] {
        if let Some((_, value)) = headers.iter().find(|(header, _)| header == name) {
            write!(answer, " {name}={}", value.replace(address, "HOST")).unwrap();
        }
    }
    let body = match serde_json::from_str::<Value>(&body) {
        Ok(mut json) => {
            mask(&mut json);
            let configs = json.get_mut("configs").and_then(Value::as_array_mut);
            if let Some(configs) = configs.filter(|_| errors_only) {
                configs.retain(|config| config.pointer("/value/errors/0").is_some());
                for config in configs {
                    *config = config["value"].take();
                }
            }
            show(&json)
        }
        Err(_) => body,
    };
    let body = body.replace(address, "HOST");
    if body.is_empty() { answer } else { format!("{answer}\n{}", body.trim_end()) }
}

/// What belongs to the implementation or to the moment.
fn mask(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            let converter = fields.get("name").and_then(Value::as_str).is_some_and(|name| {
                name.ends_with("converter") || name.ends_with("plugin.version")
            });
            for (key, value) in fields {
                match key.as_str() {
                    "commit" | "kafka_cluster_id" | "documentation" | "trace" | "worker_id"
                    | "last_modified" => *value = "*".into(),
                    "recommended_values" if converter => *value = "*".into(),
                    "message" => {
                        let text = value.as_str().unwrap_or_default();
                        if let Some((before, _)) = text.split_once("available connectors are") {
                            *value = format!("{before}…").into();
                        }
                    }
                    _ => mask(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// A validation, or a list of keys, has a line for each key; everything else is one line.
fn show(json: &Value) -> String {
    let rows =
        |items: &Vec<Value>| items.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    match (json.get("configs").and_then(Value::as_array), json.as_array()) {
        (Some(configs), _) => {
            let (count, groups) = (&json["error_count"], &json["groups"]);
            format!("{} error_count={count} groups={groups}\n{}", json["name"], rows(configs))
        }
        (None, Some(keys)) if keys.iter().any(|key| key.get("order_in_group").is_some()) => {
            rows(keys)
        }
        _ => json.to_string(),
    }
}

type Headers = Vec<(String, String)>;

fn call(
    address: &str,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Headers, String) {
    let mut request = format!("{verb} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    let given = |name: &str| headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    if !given("Accept") {
        request += "Accept: application/json\r\n";
    }
    if !body.is_empty() && !given("Content-Type") {
        request += "Content-Type: application/json\r\n";
    }
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    write!(request, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked =
        headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    (status, headers, body)
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        out += &rest[..size];
        body = rest[size..].strip_prefix("\r\n").unwrap();
    }
    out
}
