//! The log: lines in Connect's layout on standard error, and levels that REST can change.
//!
//! A logger is a tracing target with dots for `::` (`riverrun.herder.standalone`). Its level is that
//! of the longest name set that it begins with, else the root's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{Event, Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    Layer, Registry,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    layer::{Context, Filter, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Off,
    Fatal,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    const ALL: [Level; 7] = [
        Level::Off,
        Level::Fatal,
        Level::Error,
        Level::Warn,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Level::Off => "OFF",
            Level::Fatal => "FATAL",
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
            Level::Trace => "TRACE",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(text.trim()))
    }

    /// Nothing here is logged as fatal, so that level shows what off shows.
    fn filter(self) -> LevelFilter {
        match self {
            Level::Off | Level::Fatal => LevelFilter::OFF,
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        }
    }
}

/// A logger as REST shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logger {
    pub name: String,
    pub level: Level,
    /// Milliseconds since 1970, when it was changed while the worker ran.
    pub last_modified: Option<u64>,
}

/// All loggers and their levels.
pub struct Loggers {
    state: RwLock<State>,
}

struct State {
    root: (Level, Option<u64>),
    set: BTreeMap<String, (Level, Option<u64>)>,
    /// Targets that the program has.
    known: BTreeSet<String>,
}

const ROOT: &str = "root";

impl Loggers {
    /// From text like `info,riverrun::rest=debug`.
    pub fn new(levels: &str) -> Result<Self, String> {
        let mut state =
            State { root: (Level::Info, None), set: BTreeMap::new(), known: BTreeSet::new() };
        for part in levels.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, level) = part.split_once('=').unwrap_or((ROOT, part));
            let level = Level::parse(level).ok_or_else(|| {
                format!("invalid log level {level:?}: use off, error, warn, info, debug or trace")
            })?;
            match name {
                ROOT => state.root.0 = level,
                name => drop(state.set.insert(dotted(name), (level, None))),
            }
        }
        Ok(Self { state: RwLock::new(state) })
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The root, and every logger that is known or was set; not those that are off.
    pub fn list(&self) -> Vec<Logger> {
        self.read(|state| {
            let mut names: BTreeSet<&String> = state.known.iter().collect();
            names.extend(state.set.keys());
            let mut all: Vec<Logger> = names.into_iter().map(|name| state.logger(name)).collect();
            let (level, last_modified) = state.root;
            all.push(Logger { name: ROOT.to_owned(), level, last_modified });
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all.retain(|logger| logger.level != Level::Off);
            all
        })
    }

    /// `None` for a logger nobody has heard of.
    pub fn get(&self, name: &str) -> Option<Logger> {
        self.read(|state| {
            if name.eq_ignore_ascii_case(ROOT) || name.is_empty() {
                let (level, last_modified) = state.root;
                return Some(Logger { name: ROOT.to_owned(), level, last_modified });
            }
            let name = dotted(name);
            let heard = state.set.contains_key(&name) || state.known.contains(&name);
            heard.then(|| state.logger(&name))
        })
    }

    /// Sets a logger and all below it. Answers the names, sorted; `None` for an unknown level.
    pub fn set(&self, name: &str, level: &str) -> Option<Vec<String>> {
        let level = Level::parse(level)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).ok();
        let changed = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            let root = name.eq_ignore_ascii_case(ROOT) || name.is_empty();
            let name = dotted(name);
            let below = |other: &String| root || covers(&name, other);
            let mut changed: BTreeSet<String> = state
                .set
                .keys()
                .chain(&state.known)
                .filter(|other| below(other))
                .cloned()
                .collect();
            match root {
                true => state.root = (level, now),
                false => drop(changed.insert(name)),
            }
            state.set.extend(changed.iter().map(|name| (name.clone(), (level, now))));
            changed.into_iter().collect()
        };
        tracing::callsite::rebuild_interest_cache();
        Some(changed)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.read(|state| *metadata.level() <= state.level(&dotted(metadata.target())).0.filter())
    }

    fn most_verbose(&self) -> LevelFilter {
        self.read(|state| {
            let set = state.set.values().map(|(level, _)| *level);
            set.chain([state.root.0]).max().unwrap_or(Level::Info).filter()
        })
    }
}

impl State {
    fn level(&self, name: &str) -> (Level, Option<u64>) {
        let named = self.set.iter().filter(|(set, _)| covers(set, name));
        named.max_by_key(|(set, _)| set.len()).map_or(self.root, |(_, level)| *level)
    }

    fn logger(&self, name: &str) -> Logger {
        let (level, _) = self.level(name);
        let last_modified = self.set.get(name).and_then(|(_, modified)| *modified);
        Logger { name: name.to_owned(), level, last_modified }
    }
}

fn dotted(name: &str) -> String {
    name.replace("::", ".")
}

/// Whether `name` is `prefix` or below it.
fn covers(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The filter of the subscriber: its callsites are the known loggers.
struct ByLogger(Arc<Loggers>);

impl<S: Subscriber> Filter<S> for ByLogger {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.0.enabled(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let name = dotted(metadata.target());
        let unknown = self.0.read(|state| !state.known.contains(&name));
        if unknown {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            state.known.insert(name);
        }
        match self.0.enabled(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.most_verbose())
    }
}

/// Opens the log. `levels` is from the command line; else `RUST_LOG` counts, else info.
pub(crate) fn open(levels: Option<&str>) -> Result<Arc<Loggers>, String> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let levels = levels.or(from_environment.as_deref()).unwrap_or("info");
    let loggers = Arc::new(Loggers::new(levels)?);
    let lines = tracing_subscriber::fmt::layer().event_format(Line).with_writer(std::io::stderr);
    Registry::default()
        .with(lines.with_filter(ByLogger(loggers.clone())))
        .try_init()
        .map_err(|error| format!("the log could not be opened: {error}"))?;
    Ok(loggers)
}

/// `[2026-11-21 11:04:30,123] INFO [orders|task-0] message (riverrun::runtime::source:88)`
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f");
        write!(out, "[{now}] {} ", metadata.level())?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(out, "[{fields}] ")?;
            }
        }
        context.field_format().format_fields(out.by_ref(), event)?;
        writeln!(out, " ({}:{})", metadata.target(), metadata.line().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_covers_what_is_below_it() {
        let loggers = Loggers::new("warn,a::b=debug,a.b.c=error").unwrap();
        let level = |name: &str| loggers.read(|state| state.level(name).0);
        assert_eq!(level("a"), Level::Warn);
        assert_eq!(level("a.b"), Level::Debug);
        assert_eq!(level("a.b.c.d"), Level::Error);
        assert_eq!(level("a.bc"), Level::Warn);
        assert_eq!(loggers.set("a::b", "Trace").unwrap(), ["a.b", "a.b.c"]);
        assert_eq!(level("a.b.c.d"), Level::Trace);
        assert_eq!(loggers.get("a.b").unwrap().level, Level::Trace);
        assert!(loggers.get("a.b").unwrap().last_modified.is_some());
        assert_eq!(loggers.get("x"), None);
        assert_eq!(loggers.set("x", "loud"), None);
        loggers.set("a.b", "OFF").unwrap();
        let names: Vec<String> = loggers.list().into_iter().map(|logger| logger.name).collect();
        assert_eq!(names, ["root"]);
        assert!(Loggers::new("info,a=loud").is_err());
    }
}
