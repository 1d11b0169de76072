//! The server as clients see it, over TCP and TLS, on top of a herder that knows no connector.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    config::ConfigInfos,
    connector::{Object, Props},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use super::{Server, Stop, server};
use crate::{
    cli::logging::Loggers,
    herder::{
        Answer, ConnectorInfo, ConnectorStatus, Herder, RawConfig, Refusal, Signature, Target,
        TaskInfo, TaskStatus, worker_config::WorkerConfig,
    },
    metrics::Metrics,
};

mod unclear;
mod workers;

struct Nobody(Arc<WorkerConfig>);

fn unknown<T>(name: &str) -> Answer<T> {
    Err(Refusal::not_found(name))
}

#[async_trait]
impl Herder for Nobody {
    fn worker(&self) -> &WorkerConfig {
        &self.0
    }
    fn cluster_id(&self) -> Option<String> {
        Some("cluster".to_owned())
    }
    fn connectors(&self) -> Vec<String> {
        Vec::new()
    }
    async fn validate(&self, _: &RawConfig) -> Answer<ConfigInfos> {
        unknown("")
    }
    async fn put(
        &self,
        name: &str,
        config: RawConfig,
        _: Option<Target>,
        _: bool,
    ) -> Answer<(bool, ConnectorInfo)> {
        let info =
            ConnectorInfo { name: name.to_owned(), config, tasks: Vec::new(), kind: "source" };
        Ok((true, info))
    }
    async fn patch(&self, name: &str, _: RawConfig) -> Answer<ConnectorInfo> {
        unknown(name)
    }
    async fn delete(&self, _: &str) -> Answer<()> {
        Ok(())
    }
    async fn info(&self, name: &str) -> Answer<ConnectorInfo> {
        unknown(name)
    }
    async fn config(&self, name: &str) -> Answer<RawConfig> {
        unknown(name)
    }
    async fn tasks(&self, name: &str) -> Answer<Vec<TaskInfo>> {
        unknown(name)
    }
    async fn status(&self, name: &str) -> Answer<ConnectorStatus> {
        unknown(name)
    }
    async fn task_status(&self, name: &str, _: usize) -> Answer<TaskStatus> {
        unknown(name)
    }
    async fn topics(&self, _: &str) -> Answer<Vec<Arc<str>>> {
        Ok(Vec::new())
    }
    async fn reset_topics(&self, _: &str) -> Answer<()> {
        Ok(())
    }
    async fn aim(&self, _: &str, _: Target) -> Answer<()> {
        Ok(())
    }
    async fn stop(&self, name: &str) -> Answer<()> {
        unknown(name)
    }
    async fn restart(&self, name: &str) -> Answer<()> {
        // A name that is an address: that worker has it.
        Err(Refusal::elsewhere(name))
    }
    async fn restart_plan(&self, name: &str, _: bool, _: bool) -> Answer<ConnectorStatus> {
        unknown(name)
    }
    async fn restart_task(&self, name: &str, _: usize) -> Answer<()> {
        unknown(name)
    }
    async fn offsets(&self, name: &str) -> Answer<Vec<(Object, Object)>> {
        unknown(name)
    }
    async fn change_offsets(
        &self,
        name: &str,
        _: Option<Vec<(Object, Option<Object>)>>,
    ) -> Answer<bool> {
        unknown(name)
    }
    async fn put_tasks(
        &self,
        name: &str,
        tasks: Option<Vec<RawConfig>>,
        signature: Signature<'_>,
    ) -> Answer<()> {
        match (signature.mac, tasks) {
            (None, _) => Err(Refusal::new(400, "Internal request missing required signature")),
            (Some(_), None) => Err(Refusal::new(418, format!("{name}: a null"))),
            (Some(_), Some(tasks)) => {
                let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
                Err(Refusal::new(418, format!("{name}: {}", tasks.join(" "))))
            }
        }
    }
    async fn shut_down(&self) {}
}

/// A worker's server while a test runs.
struct Served {
    urls: Vec<String>,
    url: String,
    worker_id: String,
    herder: watch::Sender<Option<Arc<dyn Herder>>>,
    stop: Stop,
    worker: Arc<WorkerConfig>,
    server: Server,
}

impl Served {
    /// With these keys; the herder has not started.
    async fn starting(keys: &[(&str, &str)]) -> Self {
        let converter = "org.apache.kafka.connect.json.JsonConverter";
        let base = [
            ("key.converter", converter),
            ("value.converter", converter),
            ("offset.storage.file.filename", "/nowhere"),
        ];
        let keys = base.iter().chain(keys);
        let props: Props =
            keys.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let metrics = Metrics::new(&props, "test");
        let worker = Arc::new(WorkerConfig::standalone(props).unwrap());
        let bound = server::bind(&worker.rest).await.unwrap();
        let (herder, started) = watch::channel(None);
        let stop = Stop::new();
        let server = Server {
            rest: worker.rest.clone(),
            herder: started,
            loggers: Arc::new(Loggers::new("info").unwrap()),
            metrics,
            since: chrono::DateTime::UNIX_EPOCH,
        };
        let served = Self {
            urls: bound.urls(),
            url: bound.url.clone(),
            worker_id: bound.worker_id.clone(),
            herder,
            stop: stop.clone(),
            worker,
            server: server.clone(),
        };
        tokio::spawn(bound.serve(server, stop));
        served
    }

    async fn started(keys: &[(&str, &str)]) -> Self {
        let served = Self::starting(keys).await;
        served.start();
        served
    }

    fn start(&self) {
        self.herder.send_replace(Some(Arc::new(Nobody(self.worker.clone()))));
    }

    fn address(&self, listener: usize) -> &str {
        self.urls[listener].split("://").nth(1).unwrap().trim_end_matches("/admin")
    }

    /// Sends a request as it is, on a connection of its own, and answers all that comes back.
    async fn raw(&self, listener: usize, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address(listener)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Status line, the headers a test asks for, and body.
    async fn ask(&self, listener: usize, line: &str, headers: &[&str], shown: &[&str]) -> String {
        let request = format!(
            "{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{}\r\n\r\n",
            headers.iter().map(|header| format!("{header}\r\n")).collect::<String>().trim_end()
        )
        .replace("\r\n\r\n\r\n", "\r\n\r\n");
        let answer = self.raw(listener, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap();
        let shown = head.lines().filter(|line| {
            shown.iter().any(|name| line.to_lowercase().starts_with(&format!("{name}:")))
        });
        let shown: String = shown.map(|line| format!(" {line}")).collect();
        format!("{status}{shown} {body}")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

const HTTP: (&str, &str) = ("listeners", "http://127.0.0.1:0");
const NOT_FOUND: &str = r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#;

#[tokio::test]
async fn a_worker_that_starts_is_up_already() {
    let served = Served::starting(&[HTTP]).await;
    let root = served.ask(0, "GET /", &[], &[]).await;
    assert!(root.starts_with("200 {\"version\":\"4.3.1\""), "{root}");
    assert!(root.ends_with("\"kafka_cluster_id\":null}"), "{root}");
    let plugins = served.ask(0, "GET /connector-plugins", &[], &[]).await;
    assert!(plugins.starts_with("200 [{\"class\":"), "{plugins}");
    // What needs the herder is answered when it is there.
    let (listed, ()) = tokio::join!(served.ask(0, "GET /connectors", &[], &[]), async {
        served.ask(0, "GET /", &[], &[]).await;
        served.start();
    });
    assert_eq!(listed, "200 []");
    let health = served.ask(0, "GET /health", &[], &[]).await;
    assert!(health.starts_with("200 {\"status\":\"healthy\""), "{health}");
}

#[tokio::test]
async fn health_while_starting() {
    let served = Served::starting(&[HTTP]).await;
    let Ok(super::Answer::Json(status, body)) =
        super::root::health(&served.server, Duration::ZERO).await
    else {
        panic!("health is JSON");
    };
    assert_eq!(status.as_u16(), 503);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "{\"status\":\"starting\",\"message\":\"Worker is still starting up. The worker is \
         currently initializing and reading to the end of internal topics, which began at \
         1970-01-01T00:00:00.000000Z.\"}"
    );
}

#[tokio::test]
async fn admin_has_listeners_of_its_own_or_none() {
    let root = "GET /admin/loggers/root";
    let found = "200 {\"level\":\"INFO\",\"last_modified\":null}";
    let with_main = Served::started(&[HTTP]).await;
    assert_eq!(with_main.ask(0, root, &[], &[]).await, found);
    let nowhere = Served::started(&[HTTP, ("admin.listeners", "")]).await;
    assert_eq!(nowhere.ask(0, root, &[], &[]).await, format!("404 {NOT_FOUND}"));
    let apart = Served::started(&[HTTP, ("admin.listeners", "http://127.0.0.1:0")]).await;
    assert_eq!(apart.ask(0, root, &[], &[]).await, format!("404 {NOT_FOUND}"));
    assert_eq!(apart.ask(1, root, &[], &[]).await, found);
    assert_eq!(apart.ask(1, "GET /", &[], &[]).await, format!("404 {NOT_FOUND}"));
    assert_eq!(apart.ask(1, "GET /connectors", &[], &[]).await, format!("404 {NOT_FOUND}"));
    assert!(apart.urls[1].ends_with("/admin"), "{:?}", apart.urls);
    assert_eq!(apart.worker_id, apart.address(0));
}

/// What a JVM worker answers with the same files, request by request.
#[tokio::test]
async fn logins() {
    let folder = std::env::temp_dir().join(format!("riverrun-logins-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (users, jaas) = (folder.join("users.properties"), folder.join("jaas.conf"));
    std::fs::write(&users, "ann=sec:ret\n").unwrap();
    let entry = format!(
        "KafkaConnect {{ org.apache.kafka.connect.rest.basic.auth.extension.\
         PropertyFileLoginModule required file=\"{}\"; }};",
        users.display()
    );
    std::fs::write(&jaas, entry).unwrap();
    let jaas = jaas.display().to_string();
    let extension =
        "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension";
    let served = Served::started(&[
        HTTP,
        ("admin.listeners", "http://127.0.0.1:0"),
        ("rest.extension.classes", extension),
        ("java.security.auth.login.config", &jaas),
        ("access.control.allow.origin", "http://a.example"),
        ("response.http.headers.config", "set X-One: 1"),
    ])
    .await;
    std::fs::remove_dir_all(&folder).unwrap();
    let right = "Authorization: Basic YW5uOnNlYzpyZXQ=";
    let wrong = "Authorization: Basic YW5uOnNlY3JldA==";
    let shown = ["content-type", "www-authenticate", "x-one"];
    let refused = "401 Content-Type: application/json X-One: 1 User cannot access the resource.";
    let check = |line: &'static str, headers: Vec<&'static str>| {
        let served = &served;
        async move { served.ask(0, line, &headers, &shown).await }
    };
    assert!(check("GET /", vec![right]).await.starts_with("200"));
    for line in ["GET /", "GET /health", "GET /connectors/x/tasks", "GET /connectors"] {
        assert_eq!(check(line, vec![]).await, refused, "{line}");
        assert_eq!(check(line, vec![wrong]).await, refused, "{line}");
    }
    // Other workers sign their requests, and paths that are not there are so for everybody.
    let unsigned =
        "{\"error_code\":400,\"message\":\"Internal request missing required signature\"}";
    let posted = served
        .raw(0, "POST /connectors/x/tasks HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n[]")
        .await;
    assert!(posted.starts_with("HTTP/1.1 400") && posted.ends_with(unsigned), "{posted}");
    let fenced = check("PUT /connectors/x/fence", vec![]).await;
    assert!(!fenced.starts_with("401"), "{fenced}");
    assert_eq!(check("GET /nope", vec![]).await, format!("404 X-One: 1 {NOT_FOUND}"));
    assert_eq!(
        check("GET /", vec!["Authorization: Basic !!!"]).await,
        "500 Content-Type: application/json X-One: 1 \
         {\"error_code\":500,\"message\":\"Illegal base64 character 21\"}"
    );
    assert_eq!(
        check("OPTIONS /connectors", vec![]).await,
        "401 Content-Type: text/plain X-One: 1 User cannot access the resource."
    );
    // The admin listener asks for no login, and adds no headers, as in the JVM.
    let admin = served.ask(1, "GET /admin/loggers/root", &[], &["x-one", "vary"]).await;
    assert!(admin.starts_with("200 {"), "{admin}");
    let cors = ["access-control-allow-origin", "vary"];
    let answer = served.ask(0, "GET /nope", &["Origin: http://a.example"], &cors).await;
    let allowed = "Vary: Origin Access-Control-Allow-Origin: http://a.example";
    assert_eq!(answer, format!("404 {allowed} {NOT_FOUND}"));
}
