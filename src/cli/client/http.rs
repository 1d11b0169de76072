//! Requests to a worker.

use std::time::Duration;

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, Uri, header},
};
use base64::Engine;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use model::{connector::Props, error::chain};
use serde_json::Value;
use tokio::time::Instant;

use super::{Failure, Options, Result, code};
pub(super) use crate::rest::path_part as part;

/// More than any answer needs.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Between two tries while the group is busy with a rebalance.
const RETRY: Duration = Duration::from_millis(300);

/// A worker's REST API.
pub(super) struct Worker {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    /// Without a slash at its end.
    url: String,
    /// The value of `Authorization`.
    authorization: Option<String>,
    timeout: Duration,
}

/// What a worker answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Worker {
    pub(super) fn new(options: &Options) -> Result<Self> {
        let given = |option: &Option<String>, variable: &str| {
            option.clone().or_else(|| std::env::var(variable).ok()).filter(|text| !text.is_empty())
        };
        let url = given(&options.url, "RIVERRUN_URL");
        let url = url.unwrap_or_else(|| "http://localhost:8083".to_owned());
        let url = url.trim_end_matches('/').to_owned();
        let sound = url.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
        });
        if !sound {
            return Err(Failure::usage(format!(
                "{url} is not the address of a worker; it looks like http://localhost:8083"
            )));
        }
        let user = given(&options.user, "RIVERRUN_USER");
        let authorization = user.map(|user| {
            let password = || std::env::var("RIVERRUN_PASSWORD").unwrap_or_default();
            let pair = if user.contains(':') { user } else { format!("{user}:{}", password()) };
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        let mut keys = Props::new();
        if let Some(file) = given(&options.ca, "RIVERRUN_CA") {
            keys.insert("ssl.truststore.location".to_owned(), file);
            keys.insert("ssl.truststore.type".to_owned(), "PEM".to_owned());
        }
        let tls = crate::tls::client(&keys, "")
            .map_err(|error| Failure::usage(error.trace().replace('\n', ": ")))?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url,
            authorization,
            timeout: options.request_timeout,
        })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.done(Method::GET, path, None).await
    }

    /// The answer, or nothing where there is no such thing.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>> {
        let answer = self.ask(Method::GET, path, None).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => answer.done().map(Some),
        }
    }

    /// Sends a request that must succeed, and gives the body of the answer.
    pub(super) async fn done(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        self.ask(method, path, body).await?.done()
    }

    /// Creates a connector, and gives what the worker tells of it.
    pub(super) async fn create(&self, name: &str, body: &Value) -> Result<Value> {
        let there = format!("/connectors/{}", part(name));
        self.until_settled(&Method::POST, "/connectors", Some(body), Some(&there)).await?.done()
    }

    /// Sends a request. A worker that is busy with a rebalance is asked again until the time is up.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        self.until_settled(&method, path, body, None).await
    }

    /// A conflict is one with a rebalance, which passes, unless what is at the path `obstacle` stands
    /// in the way.
    async fn until_settled(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        obstacle: Option<&str>,
    ) -> Result<Answer> {
        let deadline = Instant::now() + self.timeout;
        let once = async |method: &Method, path: &str, body: Option<&Value>| {
            let work = self.once(method, path, body);
            tokio::time::timeout_at(deadline, work).await.unwrap_or_else(|_| {
                let seconds = self.timeout.as_secs_f64();
                Err(self.unreachable(method, path, &format!("no answer within {seconds} s")))
            })
        };
        loop {
            let answer = once(method, path, body).await?;
            if answer.status != StatusCode::CONFLICT || Instant::now() + RETRY > deadline {
                return Ok(answer);
            }
            if let Some(obstacle) = obstacle
                && once(&Method::GET, obstacle, None).await?.status.is_success()
            {
                return Ok(answer);
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn once(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let failed = |why: &str| self.unreachable(method, path, why);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        let request = request.body(body).map_err(|error| Failure::usage(error.to_string()))?;
        let response =
            self.client.request(request).await.map_err(|error| failed(&chain(&error)))?;
        let (head, body) = response.into_parts();
        let bytes = to_bytes(Body::new(body), BODY_BYTES_MAX).await;
        let bytes = bytes.map_err(|error| failed(&chain(&error)))?;
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() => Value::Null,
            // A proxy's page, or the plain text of a refused login.
            Err(_) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
        };
        Ok(Answer { status: head.status, body })
    }

    fn unreachable(&self, method: &Method, path: &str, why: &str) -> Failure {
        let message = format!("{method} {}{path}: {why}", self.url);
        Failure { code: code::UNREACHABLE, message }
    }
}

impl Answer {
    /// The body of a success.
    pub(super) fn done(self) -> Result<Value> {
        match self.status.is_success() {
            true => Ok(self.body),
            false => Err(Failure::refused(self.message())),
        }
    }

    /// Why the worker refused.
    pub(super) fn message(&self) -> String {
        let told = self.body.get("message").and_then(Value::as_str).or(self.body.as_str());
        let told = told.map(str::trim).filter(|text| !text.is_empty());
        match (self.status, told) {
            (_, None) => format!("the worker answered {}", self.status),
            (StatusCode::UNAUTHORIZED, Some(told)) => {
                format!("{told} (401: name the user with --user or RIVERRUN_USER)")
            }
            (status, Some(told)) => format!("{told} ({})", status.as_u16()),
        }
    }
}
