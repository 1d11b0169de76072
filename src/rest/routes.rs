//! Which paths there are, and what may be asked of them. Matching comes before everything else, a
//! login included, as in the JVM: a path that isn't there says so to everybody.

use axum::http::{HeaderMap, Method, StatusCode, header};

use super::Answer;

/// Which part of the API a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All, with or without `/admin`.
    Main { admin: bool },
    /// `/admin` alone.
    Admin,
}

/// What a path answers to. Orders are the JVM's: its `OPTIONS` shows them.
pub(super) struct Route {
    pub(super) methods: &'static [&'static str],
    /// Whether a body of another type than JSON is refused.
    json_only: bool,
    /// A request of another worker: its signature is checked, and no login is asked for.
    internal: bool,
}

const READ: &[&str] = &["HEAD", "GET", "OPTIONS"];
const POST: &[&str] = &["POST", "OPTIONS"];
const PUT: &[&str] = &["OPTIONS", "PUT"];

fn route(part: Part, path: &[&str]) -> Option<Route> {
    let admin = match part {
        Part::Main { admin } => admin,
        Part::Admin => true,
    };
    let (methods, json_only) = match path {
        ["admin", "loggers"] if admin => (READ, true),
        ["admin", "loggers", _] if admin => (&["HEAD", "GET", "OPTIONS", "PUT"][..], true),
        _ if part == Part::Admin => return None,
        [] | ["health"] | ["metrics"] => (READ, false),
        ["connectors"] => (&["HEAD", "POST", "GET", "OPTIONS"][..], true),
        ["connectors", _] => (&["HEAD", "DELETE", "GET", "OPTIONS"][..], true),
        ["connectors", _, "config"] => (&["HEAD", "GET", "OPTIONS", "PUT", "PATCH"][..], true),
        ["connectors", _, "status" | "topics"] => (READ, true),
        ["connectors", _, "tasks"] => (&["HEAD", "POST", "GET", "OPTIONS"][..], true),
        ["connectors", _, "fence"] => (PUT, false),
        ["connectors", _, "tasks", _, "status"] => (READ, true),
        ["connectors", _, "tasks", _, "restart"] | ["connectors", _, "restart"] => (POST, true),
        ["connectors", _, "pause" | "resume" | "stop"] | ["connectors", _, "topics", "reset"] => {
            (PUT, true)
        }
        ["connectors", _, "offsets"] => (&["HEAD", "DELETE", "GET", "OPTIONS", "PATCH"][..], true),
        ["connector-plugins"] | ["connector-plugins", _, "config"] => (READ, true),
        ["connector-plugins", _, "config", "validate"] => (PUT, true),
        _ => return None,
    };
    Some(Route { methods, json_only, internal: false })
}

/// Finds what a request asks for; the answer is why it gets nothing.
pub(super) fn find(
    part: Part,
    method: &Method,
    path: &[&str],
    headers: &HeaderMap,
) -> Result<Route, Answer> {
    let mut route = route(part, path).ok_or(Answer::Unmatched(StatusCode::NOT_FOUND))?;
    route.internal = matches!(
        (method, path),
        (&Method::POST, ["connectors", _, "tasks"]) | (&Method::PUT, ["connectors", _, "fence"])
    );
    if !route.methods.contains(&method.as_str()) {
        return Err(Answer::Unmatched(StatusCode::METHOD_NOT_ALLOWED));
    }
    if method == Method::OPTIONS {
        return Ok(route);
    }
    if content_type(headers).is_some_and(|kind| !kind.contains('/')) {
        return Err(Answer::Unmatched(StatusCode::BAD_REQUEST));
    }
    if route.json_only && !route.internal && !consumed(headers) {
        return Err(Answer::Unmatched(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    // A scraper asks for the formats of Prometheus.
    if !acceptable(headers) && path != ["metrics"] {
        return Err(Answer::Unmatched(StatusCode::NOT_ACCEPTABLE));
    }
    Ok(route)
}

impl Route {
    pub(super) fn internal(&self) -> bool {
        self.internal
    }
}

/// The type of the body, without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(kind.split(';').next().unwrap_or_default().trim())
}

fn consumed(headers: &HeaderMap) -> bool {
    let kinds = ["application/json", "application/*", "*/*"];
    content_type(headers)
        .is_none_or(|given| kinds.iter().any(|kind| given.eq_ignore_ascii_case(kind)))
}

/// What a client would have, best first.
pub(super) fn wanted(headers: &HeaderMap) -> Vec<String> {
    let given = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds: Vec<(u16, String)> = given
        .flat_map(|value| value.split(','))
        .map(|kind| {
            let mut parts = kind.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            let quality = quality.and_then(|text| text.parse::<f32>().ok()).unwrap_or(1.0);
            // Thousandths, as finely as the header can say; the sign turns the order.
            ((quality.clamp(0.0, 1.0) * 1000.0) as u16, name)
        })
        .filter(|(_, name)| !name.is_empty())
        .collect();
    kinds.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    kinds.into_iter().map(|(_, name)| name).collect()
}

fn acceptable(headers: &HeaderMap) -> bool {
    let wanted = wanted(headers);
    wanted.is_empty()
        || wanted
            .iter()
            .any(|kind| ["application/json", "application/*", "*/*"].contains(&kind.as_str()))
}
