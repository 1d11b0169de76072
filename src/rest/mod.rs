//! The Connect REST API: paths, statuses and texts of Kafka Connect 4.3, one file per resource.
//!
//! Requests are matched by hand instead of by a router's rules, because what Connect answers to
//! wrong methods, types and paths is part of the contract.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    cli::logging::Loggers,
    herder::{Herder, Refusal},
    metrics::Metrics,
};

mod body;
pub(crate) mod client;
mod connectors;
mod loggers;
mod metrics;
mod offsets;
mod plugins;
mod root;
pub mod server;

pub(crate) use root::{KAFKA_VERSION, build_version};

/// As long as Connect gives a request.
const REQUEST_MAX: Duration = Duration::from_secs(90);

/// More than any configuration needs: the largest are some ten thousand table names.
const BODY_BYTES_MAX: usize = 8 << 20;

/// What the resources work on.
#[derive(Clone)]
pub struct Api {
    pub herder: Arc<dyn Herder>,
    pub loggers: Arc<Loggers>,
    pub metrics: Arc<Metrics>,
}

/// A request, taken apart.
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    /// The path's parts, decoded.
    pub(crate) path: &'a [&'a str],
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

pub(crate) enum Answer {
    Json(StatusCode, Vec<u8>),
    /// A text of another type than JSON.
    Text(&'static str, Vec<u8>),
    Created(String, Vec<u8>),
    Empty(StatusCode),
    /// The request fits no resource: Connect answers these without a content type.
    Unmatched(StatusCode),
    Options(&'static [&'static str]),
    /// Another worker has to do it.
    Elsewhere(String),
    /// What another worker answered.
    Forwarded(Box<client::Reply>),
}

impl Answer {
    pub(crate) fn ok(value: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
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
pub(crate) type Outcome = Result<Answer, Answer>;

impl Call<'_> {
    /// Whether a parameter is `true`; anything else is not, as in Java.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        match self.query.iter().find(|(key, _)| key == name) {
            Some((_, value)) => value.eq_ignore_ascii_case("true"),
            None => default,
        }
    }

    /// Refuses bodies that are not JSON by their type.
    pub(crate) fn require_json(&self) -> Result<(), Answer> {
        let Some(content) = self.headers.get(header::CONTENT_TYPE) else { return Ok(()) };
        let kind = content.to_str().unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        match kind.eq_ignore_ascii_case("application/json") || kind == "*/*" {
            true => Ok(()),
            false => Err(Answer::Unmatched(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
        }
    }
}

/// All paths.
pub fn router(api: Api) -> Router {
    Router::new().fallback(handle).with_state(api)
}

async fn handle(State(api): State<Api>, request: Request<Body>) -> Response<Body> {
    let started = std::time::Instant::now();
    let method = request.method().clone();
    let uri = request.uri().clone();
    let host = request.headers().get(header::HOST).cloned();
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let json_wanted = accept.is_some_and(|accept| accept.contains("application/json"));
    let answer = serve(api, request).await;
    let response = respond(answer, &method, host, json_wanted);
    tracing::debug!(
        target: "riverrun::rest::access",
        "\"{method} {uri}\" {} {} ms",
        response.status().as_u16(),
        started.elapsed().as_millis()
    );
    response
}

async fn serve(api: Api, request: Request<Body>) -> Answer {
    let (head, body) = request.into_parts();
    let Some(decoded) = decode_path(head.uri.path()) else {
        return refuse(&Refusal::new(400, "HTTP 400 Bad Request"));
    };
    let body = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => {
            return refuse(&Refusal::new(
                413,
                format!("the request's body is not read, at most {BODY_BYTES_MAX} bytes: {error}"),
            ));
        }
    };
    // On a task of its own, so that what a request has begun is ended even when the client is gone.
    let work = tokio::spawn(async move {
        let path: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let call = Call {
            method: &head.method,
            path: &path,
            query: parse_query(head.uri.query().unwrap_or_default()),
            headers: &head.headers,
            body: &body,
        };
        // A scraper asks for the formats of Prometheus.
        if !acceptable(&head.headers) && path != ["metrics"] {
            return Answer::Unmatched(StatusCode::NOT_ACCEPTABLE);
        }
        match route(&api, &call).await.unwrap_or_else(|refused| refused) {
            Answer::Elsewhere(url) => forward(&url, &head.uri, &call).await,
            answer => answer,
        }
    });
    match tokio::time::timeout(REQUEST_MAX, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panic)) => refuse(&Refusal::new(500, format!("the request failed: {panic}"))),
        Err(_) => refuse(&Refusal::new(500, "Request timed out")),
    }
}

/// Sends a request on to the worker that can do it: from the first to the leader, and from there to
/// the owner, but no further, as workers that disagree would send it round for ever.
async fn forward(to: &str, uri: &axum::http::Uri, call: &Call<'_>) -> Answer {
    let hop = call.query.iter().find(|(key, _)| key == "forward").map(|(_, value)| value.as_str());
    if to.is_empty() {
        let text = "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.";
        return refuse(&Refusal::new(409, text));
    }
    if hop.is_some_and(|hop| !hop.eq_ignore_ascii_case("true")) {
        let text =
            "Cannot complete request because of a conflicting operation (e.g. worker rebalance)";
        return refuse(&Refusal::new(409, text));
    }
    let given = uri.query().unwrap_or_default().split('&');
    let mut query: Vec<&str> =
        given.filter(|pair| !pair.is_empty() && !pair.starts_with("forward=")).collect();
    query.push(if hop.is_none() { "forward=true" } else { "forward=false" });
    let url = format!("{}{}?{}", to.trim_end_matches('/'), uri.path(), query.join("&"));
    let login = call.headers.get(header::AUTHORIZATION).and_then(|login| login.to_str().ok());
    let headers: Vec<_> = login.map(|login| ("authorization", login)).into_iter().collect();
    tracing::debug!("forwarding {} {uri} to {to}", call.method);
    match client::send(call.method, &url, &headers, call.body.to_vec()).await {
        Ok(reply) => Answer::Forwarded(Box::new(reply)),
        Err(why) => {
            refuse(&Refusal::new(500, format!("IO Error trying to forward REST request: {why}")))
        }
    }
}

async fn route(api: &Api, call: &Call<'_>) -> Outcome {
    match call.path {
        [] | ["health"] => root::serve(api, call),
        ["metrics"] => metrics::serve(api, call),
        ["connectors", ..] => Box::pin(connectors::serve(api, call)).await,
        ["connector-plugins", ..] => Box::pin(plugins::serve(api, call)).await,
        ["admin", "loggers", ..] if api.herder.worker().admin => loggers::serve(api, call).await,
        _ => Err(Answer::Unmatched(StatusCode::NOT_FOUND)),
    }
}

/// For a path that exists: what other methods get.
pub(crate) fn wrong_method(call: &Call<'_>, allowed: &'static [&'static str]) -> Answer {
    match *call.method {
        Method::OPTIONS => Answer::Options(allowed),
        _ => Answer::Unmatched(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn acceptable(headers: &HeaderMap) -> bool {
    let mut kinds = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim())
        .peekable();
    kinds.peek().is_none()
        || kinds.any(|kind| ["application/json", "application/*", "*/*"].contains(&kind))
}

/// The parts of a path: no empty ones at the end, percent signs decoded, path parameters cut off.
fn decode_path(path: &str) -> Option<Vec<String>> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let parts = match parts.split_last() {
        Some((&"", rest)) => rest,
        _ => &parts[..],
    };
    let decode = |part: &&str| match part.split(';').next().unwrap_or_default() {
        "" => None,
        part => percent_decode(part, false),
    };
    parts.iter().map(decode).collect()
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((percent_decode(key, true)?, percent_decode(value, true)?))
    };
    query.split('&').filter(|text| !text.is_empty()).filter_map(pair).collect()
}

fn percent_decode(text: &str, plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (hex, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(if plus && byte == b'+' { b' ' } else { byte });
        }
    }
    String::from_utf8(bytes).ok()
}

pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' | b':' | b'@' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn respond(
    answer: Answer,
    method: &Method,
    host: Option<HeaderValue>,
    json_wanted: bool,
) -> Response<Body> {
    let mut response = Response::builder();
    let body = match answer {
        Answer::Json(status, body) => {
            response = response.status(status).header(header::CONTENT_TYPE, "application/json");
            body
        }
        Answer::Text(kind, body) => {
            response = response.header(header::CONTENT_TYPE, kind);
            body
        }
        Answer::Created(name, body) => {
            let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
            let location = format!("http://{host}/connectors/{}", percent_encode(&name));
            response = response
                .status(StatusCode::CREATED)
                .header(header::LOCATION, location)
                .header(header::CONTENT_TYPE, "application/json");
            body
        }
        Answer::Empty(status) => {
            response = response.status(status);
            Vec::new()
        }
        // Answered by `serve`, which knows the request.
        Answer::Elsewhere(_) => {
            response = response.status(StatusCode::SERVICE_UNAVAILABLE);
            Vec::new()
        }
        Answer::Forwarded(reply) => {
            response = response.status(reply.status);
            for name in [header::CONTENT_TYPE, header::LOCATION] {
                if let Some(value) = reply.headers.get(&name) {
                    response = response.header(name, value);
                }
            }
            reply.body
        }
        Answer::Unmatched(status) => {
            response = response.status(status);
            let reason = status.canonical_reason().unwrap_or_default();
            let message = format!("HTTP {} {reason}", status.as_u16());
            let message = ErrorMessage { error_code: status.as_u16(), message: &message };
            serde_json::to_vec(&message).unwrap_or_default()
        }
        Answer::Options(allowed) => {
            response = response.header(header::ALLOW, allowed.join(",")).header(
                header::CONTENT_TYPE,
                if json_wanted { "application/json" } else { "text/plain" },
            );
            // A client that wants JSON gets the header alone.
            if json_wanted { Vec::new() } else { allowed.join(", ").into_bytes() }
        }
    };
    if *method == Method::HEAD {
        response = response.header(header::CONTENT_LENGTH, body.len());
        return finish(response.body(Body::empty()));
    }
    finish(response.body(Body::from(body)))
}

fn finish(built: Result<Response<Body>, axum::http::Error>) -> Response<Body> {
    built.unwrap_or_else(|error| {
        tracing::error!("an answer could not be built: {error}");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Ends the servers.
pub type Stop = CancellationToken;
