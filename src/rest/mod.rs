//! The Connect REST API: paths, statuses and texts of Kafka Connect 4.3, one file per resource.
//!
//! Requests are matched by hand instead of by a router's rules, because what Connect answers to
//! wrong methods, types and paths is part of the contract. A request goes through
//!
//! 1. limits of its line and headers, and what a path may hold ([`path`]),
//! 2. the table of paths, methods and types ([`routes`]),
//! 3. the login ([`auth`]), unless another worker sends it, which signs it,
//! 4. its resource, or another worker that can do it ([`forward`]),
//! 5. headers for pages from elsewhere ([`cors`]) and those that were configured ([`headers`]).

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, Response, StatusCode, Version, header, request},
};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::logging::Loggers,
    herder::{Herder, Refusal},
    metrics::Metrics,
};

mod auth;
mod body;
mod client;
pub mod config;
mod connectors;
mod cors;
mod forward;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod headers;
mod json;
mod loggers;
mod metrics;
mod offsets;
mod path;
mod plugins;
mod respond;
mod root;
mod routes;
pub mod server;
#[cfg(test)]
mod tests;

pub(crate) use path::part as path_part;
pub(crate) use root::{KAFKA_VERSION, build_version};

use self::{
    config::RestConfig,
    respond::{Asked, respond},
    routes::{Methods, Operation, Part, Route},
};

/// As long as Connect gives a request.
const REQUEST_MAX: Duration = Duration::from_secs(90);

/// More than any configuration needs: the largest are some ten thousand table names.
const BODY_BYTES_MAX: usize = 8 << 20;

/// Of a request's line, and of that with all headers; the JVM's too.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// What the server works on. The herder comes later, when it has read its topics: until then a
/// request that needs it waits.
#[derive(Clone)]
pub struct Server {
    pub rest: Arc<RestConfig>,
    pub herder: watch::Receiver<Option<Arc<dyn Herder>>>,
    pub loggers: Arc<Loggers>,
    pub metrics: Arc<Metrics>,
    /// When the start began, for those that have to wait.
    pub since: chrono::DateTime<chrono::Utc>,
}

/// What the resources work on.
#[derive(Clone)]
pub struct Api {
    pub herder: Arc<dyn Herder>,
    pub loggers: Arc<Loggers>,
    pub metrics: Arc<Metrics>,
}

/// A request, taken apart.
struct Call<'a> {
    method: &'a Method,
    route: &'a Route,
    query: Vec<(String, String)>,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

enum Answer {
    Json(StatusCode, Vec<u8>),
    /// A text of another type than JSON.
    Text(&'static str, Vec<u8>),
    Created(String, Vec<u8>),
    Empty(StatusCode),
    /// The request fits no resource: Connect answers these without a content type.
    Unmatched(StatusCode),
    Options(Methods),
    /// Another worker has to do it.
    Elsewhere(String),
    /// A plain text under the type that was asked for.
    Plain(StatusCode, &'static str),
}

impl Answer {
    fn ok(value: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, value)
    }

    fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match respond::json(value) {
            Ok(body) => Answer::Json(status, body),
            Err(error) => refuse(&Refusal::new(500, error.to_string())),
        }
    }
}

#[derive(Serialize)]
struct ErrorMessage<'a> {
    error_code: u16,
    message: &'a str,
}

fn refuse(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = ErrorMessage { error_code: refusal.status, message: &refusal.message };
    Answer::json(status, &message)
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        if let Some(url) = refusal.elsewhere {
            return Answer::Elsewhere(url);
        }
        refuse(&refusal)
    }
}

/// What a resource answers: errors are answers too.
type Outcome = Result<Answer, Answer>;

impl Call<'_> {
    /// Whether a parameter is `true`; anything else is not, as in Java. A blank one is not given.
    fn flag(&self, name: &str, default: bool) -> bool {
        match self.query.iter().find(|(key, _)| key == name) {
            Some((_, value)) if !value.trim().is_empty() => value.eq_ignore_ascii_case("true"),
            _ => default,
        }
    }

    /// Refuses a body for whose type there is no reader.
    fn require_reader(&self) -> Result<(), Answer> {
        let json = routes::content_type(self.headers)
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
        match json || self.body.is_empty() {
            true => Ok(()),
            false => Err(Refusal::new(415, "HTTP 415 Unsupported Media Type").into()),
        }
    }
}

impl Server {
    async fn handle<B>(
        &self,
        part: Part,
        scheme: &'static str,
        request: Request<B>,
    ) -> Response<Body>
    where
        B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let started = std::time::Instant::now();
        let (head, body) = request.into_parts();
        let asked = Asked::new(&head, scheme);
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let cors = match (&self.rest.cors, part) {
            (Some(cors), Part::Main { .. }) => cors.headers(&head.method, &head.headers),
            _ => Vec::new(),
        };
        let answer =
            self.serve(part, head, Body::new(body)).await.unwrap_or_else(|refused| refused);
        let mut response = respond(answer, &asked);
        for (name, value) in cors {
            response.headers_mut().append(name, value);
        }
        if let Part::Main { .. } = part {
            headers::apply(&self.rest.headers, response.headers_mut());
        }
        tracing::debug!(
            target: "riverrun::rest::access",
            "\"{method} {uri}\" {} {} ms",
            response.status().as_u16(),
            started.elapsed().as_millis()
        );
        response
    }

    async fn serve(&self, part: Part, head: request::Parts, body: Body) -> Outcome {
        check_size(&head)?;
        check_target(&head)?;
        let decoded =
            path::parts(head.uri.path()).map_err(|wrong| Answer::from(Refusal::new(400, wrong)))?;
        let path: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let route = routes::find(part, &head.method, &path, &head.headers)?;
        // The JVM has no logins on a listener of its own for `/admin`.
        let login_asked = part != Part::Admin && !route.internal();
        if let (Some(logins), true) = (&self.rest.logins, login_asked) {
            let login = head.headers.get(header::AUTHORIZATION);
            let login = login.map(|login| String::from_utf8_lossy(login.as_bytes()));
            match logins.admits(login.as_deref()) {
                Ok(true) => {}
                Ok(false) => return Err(Answer::Plain(StatusCode::UNAUTHORIZED, auth::REFUSED)),
                Err(wrong) => return Err(Refusal::new(500, wrong).into()),
            }
        }
        if route.operation == Operation::Options {
            return Ok(Answer::Options(route.methods));
        }
        let body = read_body(body).await?;
        // On a task of its own, so that what a request has begun is ended even when the client is
        // gone.
        let server = self.clone();
        let work = tokio::spawn(async move {
            let call = Call {
                method: &head.method,
                route: &route,
                query: path::query(head.uri.query().unwrap_or_default()),
                headers: &head.headers,
                body: &body,
            };
            match server.answer(&call).await {
                Ok(Answer::Elsewhere(url)) | Err(Answer::Elsewhere(url)) => {
                    forward::forward(&server.rest.client, &url, head.uri.path(), &call).await
                }
                answered => answered,
            }
        });
        match tokio::time::timeout(REQUEST_MAX, work).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(panic)) => Err(Refusal::new(500, format!("the request failed: {panic}")).into()),
            Err(_) => {
                let stage = match &*self.herder.borrow() {
                    None => Some(self.stage()),
                    Some(herder) => herder.stage(),
                };
                let stage = stage.map_or_else(String::new, |stage| format!(". {stage}"));
                Err(Refusal::new(500, format!("Request timed out{stage}")).into())
            }
        }
    }

    /// What the worker does before its herder has started, as the JVM says it.
    fn stage(&self) -> String {
        format!(
            "The worker is currently initializing and reading to the end of internal topics, which \
             began at {}.",
            self.since.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
        )
    }

    /// The herder, as soon as there is one.
    async fn api(&self) -> Result<Api, Answer> {
        let mut herder = self.herder.clone();
        let started = herder.wait_for(Option::is_some).await.ok().and_then(|herder| herder.clone());
        match started {
            Some(herder) => {
                Ok(Api { herder, loggers: self.loggers.clone(), metrics: self.metrics.clone() })
            }
            None => Err(Refusal::new(503, "the worker is stopping").into()),
        }
    }

    async fn answer(&self, call: &Call<'_>) -> Outcome {
        match call.route.operation {
            Operation::ServerInfo => Ok(root::info(self)),
            Operation::Health => root::health(self, root::CHECK_MAX).await,
            Operation::Metrics => Ok(metrics::show(&self.metrics)),
            Operation::ListPlugins => Ok(plugins::list(call)),
            Operation::PluginKeys => plugins::keys(call),
            Operation::Validate => Box::pin(plugins::validate(&self.api().await?, call)).await,
            Operation::ListLoggers => Ok(loggers::list(&self.loggers)),
            Operation::Logger => loggers::show(&self.loggers, &call.route.name),
            Operation::SetLogger => loggers::set(self, call).await,
            Operation::Connectors(asked) => {
                Box::pin(connectors::serve(&self.api().await?, call, asked)).await
            }
            Operation::Options => Ok(Answer::Options(call.route.methods)),
        }
    }
}

fn check_size(head: &request::Parts) -> Result<(), Answer> {
    let line = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    if line > HEAD_BYTES_MAX {
        return Err(Refusal::new(414, "URI Too Long").into());
    }
    let fields = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
    match line + fields.sum::<usize>() > HEAD_BYTES_MAX {
        true => Err(Refusal::new(431, "Request Header Fields Too Large").into()),
        false => Ok(()),
    }
}

/// Refuses in Jetty's words what it is not clear for whom it is meant, or what it expects.
fn check_target(head: &request::Parts) -> Result<(), Answer> {
    let refuse = |wrong: &str| Err(Refusal::new(400, wrong).into());
    if head.method == Method::CONNECT {
        return refuse("Bad Request");
    }
    let mut hosts = head.headers.get_all(header::HOST).iter().map(|host| host.as_bytes());
    let host = hosts.next();
    if hosts.next().is_some() {
        return refuse("Duplicate Host Header");
    }
    match host {
        None if head.version > Version::HTTP_10 => return refuse("No Host"),
        Some(host) if host.trim_ascii().is_empty() => return refuse("Blank Host"),
        Some(host) if host.contains(&b' ') => return refuse("Bad HostPort"),
        _ => {}
    }
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    if authority.is_some() && authority != host {
        return refuse("Authority!=Host");
    }
    let expected = head.headers.get(header::EXPECT).map(|what| what.as_bytes());
    if expected.is_some_and(|what| !what.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::new(417, "Expectation Failed").into());
    }
    Ok(())
}

async fn read_body(body: Body) -> Result<Vec<u8>, Answer> {
    use axum::body::HttpBody as _;
    use futures_util::StreamExt as _;
    let too_long = || {
        let text =
            format!("the request's body is not read: it has more than {BODY_BYTES_MAX} bytes");
        Answer::from(Refusal::new(413, text))
    };
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_long());
    }
    let reading = async {
        let mut parts = body.into_data_stream();
        let mut whole = Vec::new();
        while let Some(part) = parts.next().await {
            // Cut off, or not in the chunks that were announced: Jetty's words for both.
            let part = part.map_err(|_| Answer::from(Refusal::new(500, "Early EOF")))?;
            if whole.len() + part.len() > BODY_BYTES_MAX {
                return Err(too_long());
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole)
    };
    tokio::time::timeout(REQUEST_MAX, reading).await.unwrap_or_else(|_| {
        let text = format!("the request's body did not come within {} s", REQUEST_MAX.as_secs());
        Err(Refusal::new(408, text).into())
    })
}

/// Ends the servers.
pub type Stop = CancellationToken;
