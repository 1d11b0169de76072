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

/// What a request asks for: a path with one of its methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    ServerInfo,
    Health,
    Metrics,
    ListPlugins,
    PluginKeys,
    Validate,
    ListLoggers,
    Logger,
    SetLogger,
    Connectors(OnConnectors),
    /// Which methods the path has.
    Options,
}

/// What is asked of `/connectors` and what is under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnConnectors {
    List,
    Create,
    Info,
    Delete,
    Config,
    PutConfig,
    PatchConfig,
    Status,
    Tasks,
    PutTasks,
    Fence,
    TaskStatus,
    RestartTask,
    Restart,
    Pause,
    Resume,
    Stop,
    Topics,
    ResetTopics,
    Offsets,
    AlterOffsets,
    ResetOffsets,
}

/// The methods of a path, in the order in which the JVM's `OPTIONS` shows them.
pub(super) type Methods = &'static [(&'static str, Operation)];

const OPTIONS: (&str, Operation) = ("OPTIONS", Operation::Options);

/// The one table of paths and their methods.
fn methods(part: Part, path: &[&str]) -> Option<Methods> {
    use OnConnectors::*;
    use Operation::{Connectors as Of, *};
    let admin = match part {
        Part::Main { admin } => admin,
        Part::Admin => true,
    };
    Some(match path {
        ["admin", "loggers"] if admin => &[("HEAD", ListLoggers), ("GET", ListLoggers), OPTIONS],
        ["admin", "loggers", _] if admin => {
            &[("HEAD", Logger), ("GET", Logger), OPTIONS, ("PUT", SetLogger)]
        }
        _ if part == Part::Admin => return None,
        [] => &[("HEAD", ServerInfo), ("GET", ServerInfo), OPTIONS],
        ["health"] => &[("HEAD", Health), ("GET", Health), OPTIONS],
        ["metrics"] => &[("HEAD", Metrics), ("GET", Metrics), OPTIONS],
        ["connectors"] => &[("HEAD", Of(List)), ("POST", Of(Create)), ("GET", Of(List)), OPTIONS],
        ["connectors", _] => {
            &[("HEAD", Of(Info)), ("DELETE", Of(Delete)), ("GET", Of(Info)), OPTIONS]
        }
        ["connectors", _, "config"] => &[
            ("HEAD", Of(Config)),
            ("GET", Of(Config)),
            OPTIONS,
            ("PUT", Of(PutConfig)),
            ("PATCH", Of(PatchConfig)),
        ],
        ["connectors", _, "status"] => &[("HEAD", Of(Status)), ("GET", Of(Status)), OPTIONS],
        ["connectors", _, "topics"] => &[("HEAD", Of(Topics)), ("GET", Of(Topics)), OPTIONS],
        ["connectors", _, "tasks"] => {
            &[("HEAD", Of(Tasks)), ("POST", Of(PutTasks)), ("GET", Of(Tasks)), OPTIONS]
        }
        ["connectors", _, "fence"] => &[OPTIONS, ("PUT", Of(Fence))],
        ["connectors", _, "tasks", _, "status"] => {
            &[("HEAD", Of(TaskStatus)), ("GET", Of(TaskStatus)), OPTIONS]
        }
        ["connectors", _, "tasks", _, "restart"] => &[("POST", Of(RestartTask)), OPTIONS],
        ["connectors", _, "restart"] => &[("POST", Of(Restart)), OPTIONS],
        ["connectors", _, "pause"] => &[OPTIONS, ("PUT", Of(Pause))],
        ["connectors", _, "resume"] => &[OPTIONS, ("PUT", Of(Resume))],
        ["connectors", _, "stop"] => &[OPTIONS, ("PUT", Of(Stop))],
        ["connectors", _, "topics", "reset"] => &[OPTIONS, ("PUT", Of(ResetTopics))],
        ["connectors", _, "offsets"] => &[
            ("HEAD", Of(Offsets)),
            ("DELETE", Of(ResetOffsets)),
            ("GET", Of(Offsets)),
            OPTIONS,
            ("PATCH", Of(AlterOffsets)),
        ],
        ["connector-plugins"] => &[("HEAD", ListPlugins), ("GET", ListPlugins), OPTIONS],
        ["connector-plugins", _, "config"] => &[("HEAD", PluginKeys), ("GET", PluginKeys), OPTIONS],
        ["connector-plugins", _, "config", "validate"] => &[OPTIONS, ("PUT", Validate)],
        _ => return None,
    })
}

/// A path that is there, asked by a method that it has.
pub(super) struct Route {
    pub(super) operation: Operation,
    pub(super) methods: Methods,
    /// The connector, the plugin's class or the logger that the path names.
    pub(super) name: String,
    /// The id of the task that the path names.
    pub(super) task: String,
}

/// Finds what a request asks for; the answer is why it gets nothing.
pub(super) fn find(
    part: Part,
    method: &Method,
    path: &[&str],
    headers: &HeaderMap,
) -> Result<Route, Answer> {
    let methods = methods(part, path).ok_or(Answer::Unmatched(StatusCode::NOT_FOUND))?;
    let operation = methods.iter().find(|(name, _)| *name == method.as_str());
    let (_, operation) = operation.ok_or(Answer::Unmatched(StatusCode::METHOD_NOT_ALLOWED))?;
    let (name, task) = match path {
        ["admin", "loggers", name] => (*name, ""),
        [_, name, "tasks", task, _] => (*name, *task),
        [_, name, ..] => (*name, ""),
        _ => ("", ""),
    };
    let (name, task) = (name.to_owned(), task.to_owned());
    let route = Route { operation: *operation, methods, name, task };
    if route.operation == Operation::Options {
        return Ok(route);
    }
    if content_type(headers).is_some_and(|kind| !well_formed(kind)) || !wanted_soundly(headers) {
        return Err(Answer::Unmatched(StatusCode::BAD_REQUEST));
    }
    if route.json_only() && !consumed(headers) {
        return Err(Answer::Unmatched(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    // A scraper asks for the formats of Prometheus.
    if !acceptable(headers) && route.operation != Operation::Metrics {
        return Err(Answer::Unmatched(StatusCode::NOT_ACCEPTABLE));
    }
    Ok(route)
}

impl Route {
    /// Whether this is a request of another worker: its signature is checked, and no login is asked
    /// for.
    pub(super) fn internal(&self) -> bool {
        matches!(
            self.operation,
            Operation::Connectors(OnConnectors::PutTasks | OnConnectors::Fence)
        )
    }

    /// Whether a body of another type than JSON is refused.
    fn json_only(&self) -> bool {
        use Operation::{Health, Metrics, ServerInfo};
        !self.internal() && !matches!(self.operation, ServerInfo | Health | Metrics)
    }
}

/// The type of the body, without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or_default();
    Some(kind.split(';').next().unwrap_or_default().trim())
}

/// Whether a type is of the form `kind/form`.
fn well_formed(kind: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.contains([',', '/']) && !part.contains(' ');
    kind.split_once('/').is_some_and(|(kind, form)| part(kind) && part(form))
}

fn consumed(headers: &HeaderMap) -> bool {
    let kinds = ["application/json", "application/*", "*/*"];
    content_type(headers)
        .is_none_or(|given| kinds.iter().any(|kind| given.eq_ignore_ascii_case(kind)))
}

/// The types a client accepts, with their parameters.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = std::str::Split<'_, char>> {
    let given = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).map(|kind| kind.split(';'))
}

/// Whether each quality is a number.
fn wanted_soundly(headers: &HeaderMap) -> bool {
    accepted(headers).all(|mut parts| {
        let quality = parts.find_map(|part| part.trim().strip_prefix("q="));
        quality.is_none_or(|text| text.parse::<f32>().is_ok())
    })
}

/// What a client would have, best first.
pub(super) fn wanted(headers: &HeaderMap) -> Vec<String> {
    let mut kinds: Vec<(u16, String)> = accepted(headers)
        .map(|parts| {
            let mut parts = parts.map(str::trim);
            let mut name = parts.next().unwrap_or_default().to_ascii_lowercase();
            if !name.is_empty() && !name.contains('/') {
                name.push_str("/*");
            }
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
