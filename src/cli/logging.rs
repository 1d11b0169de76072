//! The log: lines on standard error, and levels that REST can change.
//!
//! A logger is a tracing target with dots for `::` (`riverrun.herder.standalone`), and has a Java name
//! too ([`java`]). Its level is that of the longest name set that it begins with, else the root's;
//! where both its names begin with one that is set, the one set last counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, Filter, SubscriberExt},
    util::SubscriberInitExt,
};

mod java;
mod lines;

use self::lines::{Format, Lines};

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
    root: Set,
    set: BTreeMap<String, Set>,
    /// Targets that the program has, and their Java names.
    known: BTreeSet<String>,
    /// Counts changes.
    changes: u64,
}

/// A level that was set.
#[derive(Clone, Copy)]
struct Set {
    level: Level,
    last_modified: Option<u64>,
    /// Which change that was.
    change: u64,
}

const ROOT: &str = "root";

impl Loggers {
    /// From text like `info,riverrun::rest=debug`.
    pub fn new(levels: &str) -> Result<Self, String> {
        let set = |level| Set { level, last_modified: None, change: 0 };
        let mut state = State {
            root: set(Level::Info),
            set: BTreeMap::new(),
            known: BTreeSet::new(),
            changes: 0,
        };
        for part in levels.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, level) = part.split_once('=').unwrap_or((ROOT, part));
            let level = Level::parse(level).ok_or_else(|| {
                format!("invalid log level {level:?}: use off, error, warn, info, debug or trace")
            })?;
            match name {
                ROOT => state.root = set(level),
                name => drop(state.set.insert(dotted(name), set(level))),
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
            all.push(state.root());
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all.retain(|logger| logger.level != Level::Off);
            all
        })
    }

    /// `None` for a logger nobody has heard of.
    pub fn get(&self, name: &str) -> Option<Logger> {
        self.read(|state| {
            if name.eq_ignore_ascii_case(ROOT) || name.is_empty() {
                return Some(state.root());
            }
            let name = dotted(name);
            let heard = state.set.contains_key(&name) || state.known.contains(&name);
            heard.then(|| state.logger(&name))
        })
    }

    /// Whether a text names a level.
    pub fn is_level(text: &str) -> bool {
        Level::parse(text).is_some()
    }

    /// Sets a logger and all below it. Answers the names whose level that changes, sorted, as the JVM
    /// does: a logger that has the level already is not among them, but for OFF. `None` for an
    /// unknown level.
    pub fn set(&self, name: &str, level: &str) -> Option<Vec<String>> {
        let level = Level::parse(level)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).ok();
        let changed = {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.changes += 1;
            let change = state.changes;
            let root = name.eq_ignore_ascii_case(ROOT) || name.is_empty();
            let name = dotted(name);
            let below = |other: &String| root || covers(&name, other);
            let mut names: BTreeSet<String> = state
                .set
                .keys()
                .chain(&state.known)
                .filter(|other| below(other))
                .cloned()
                .collect();
            if !root {
                names.insert(name);
            }
            let differs = |old: Level| old != level || level == Level::Off;
            let mut changed: Vec<String> =
                names.iter().filter(|name| differs(state.level(name).level)).cloned().collect();
            let set = |old: Option<&Set>, changed: bool| {
                let before = old.and_then(|old| old.last_modified);
                Set { level, last_modified: if changed { now } else { before }, change }
            };
            if root {
                state.root = set(Some(&state.root), differs(state.root.level));
                if state.root.last_modified == now {
                    changed.push(ROOT.to_owned());
                    changed.sort();
                }
            }
            for name in names {
                let new = set(state.set.get(&name), changed.contains(&name));
                state.set.insert(name, new);
            }
            changed
        };
        tracing::callsite::rebuild_interest_cache();
        Some(changed)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Spans say what a task's lines are about, whatever their level.
        metadata.is_span()
            || self.read(|state| {
                *metadata.level() <= state.level(&dotted(metadata.target())).level.filter()
            })
    }

    fn most_verbose(&self) -> LevelFilter {
        self.read(|state| {
            let set = state.set.values().map(|set| set.level);
            // Not less than the spans' own.
            set.chain([state.root.level, Level::Error]).max().unwrap_or(Level::Info).filter()
        })
    }
}

impl State {
    fn root(&self) -> Logger {
        let Set { level, last_modified, .. } = self.root;
        Logger { name: ROOT.to_owned(), level, last_modified }
    }

    /// What was set for a logger, by its own name or the Java name it has.
    fn level(&self, name: &str) -> Set {
        let longest = |name: &str| {
            let named = self.set.iter().filter(|(set, _)| covers(set, name));
            named.max_by_key(|(set, _)| set.len()).map(|(_, set)| *set)
        };
        let both = [longest(name), java::name(name).and_then(|java| longest(&java))];
        both.into_iter().flatten().max_by_key(|set| set.change).unwrap_or(self.root)
    }

    fn logger(&self, name: &str) -> Logger {
        let level = self.level(name).level;
        let last_modified = self.set.get(name).and_then(|set| set.last_modified);
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
        if metadata.is_span() {
            return Interest::always();
        }
        let name = dotted(metadata.target());
        let unknown = self.0.read(|state| !state.known.contains(&name));
        if unknown {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            state.known.extend(java::name(&name));
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

/// What the command line says of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// `--log`; else `RUST_LOG`, else info.
    pub(crate) levels: Option<&'a str>,
    /// `--log-format`; else `RIVERRUN_LOG_FORMAT`, else human.
    pub(crate) format: Option<&'a str>,
}

/// Opens the log.
pub(crate) fn open(wanted: Wanted<'_>) -> Result<Arc<Loggers>, String> {
    let from = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let levels = wanted.levels.map(str::to_owned).or_else(|| from("RUST_LOG"));
    let format = wanted.format.map(str::to_owned).or_else(|| from("RIVERRUN_LOG_FORMAT"));
    let loggers = Arc::new(Loggers::new(levels.as_deref().unwrap_or("info"))?);
    let lines = Lines(Format::parse(format.as_deref().unwrap_or("human"))?);
    Registry::default()
        .with(lines.with_filter(ByLogger(loggers.clone())))
        .try_init()
        .map_err(|error| format!("the log could not be opened: {error}"))?;
    Ok(loggers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(loggers: &Loggers, name: &str) -> Level {
        loggers.read(|state| state.level(name).level)
    }

    #[test]
    fn a_name_covers_what_is_below_it() {
        let loggers = Loggers::new("warn,a::b=debug,a.b.c=error").unwrap();
        assert_eq!(level(&loggers, "a"), Level::Warn);
        assert_eq!(level(&loggers, "a.b"), Level::Debug);
        assert_eq!(level(&loggers, "a.b.c.d"), Level::Error);
        assert_eq!(level(&loggers, "a.bc"), Level::Warn);
        assert_eq!(loggers.set("a::b", "Trace").unwrap(), ["a.b", "a.b.c"]);
        assert_eq!(level(&loggers, "a.b.c.d"), Level::Trace);
        assert_eq!(loggers.get("a.b").unwrap().level, Level::Trace);
        assert!(loggers.get("a.b").unwrap().last_modified.is_some());
        assert_eq!(loggers.get("x"), None);
        assert_eq!(loggers.set("x", "loud"), None);
        loggers.set("a.b", "OFF").unwrap();
        let names: Vec<String> = loggers.list().into_iter().map(|logger| logger.name).collect();
        assert_eq!(names, ["root"]);
        assert!(Loggers::new("info,a=loud").is_err());
    }

    /// Recorded from a JVM worker of Kafka 4.3.
    #[test]
    fn only_levels_that_change_are_answered() {
        let loggers = Loggers::new("warn").unwrap();
        let modified = |name: &str| loggers.get(name).unwrap().last_modified.is_some();
        assert_eq!(loggers.set("z.A", "DEBUG").unwrap(), ["z.A"]);
        assert_eq!(loggers.set("z.A", "DEBUG").unwrap(), [""; 0]);
        assert!(modified("z.A"));
        assert_eq!(loggers.set("z.A.B", "DEBUG").unwrap(), [""; 0]);
        assert!(!modified("z.A.B"));
        assert_eq!(loggers.set("z.A.C", "TRACE").unwrap(), ["z.A.C"]);
        assert_eq!(loggers.set("z.A", "WARN").unwrap(), ["z.A", "z.A.B", "z.A.C"]);
        assert_eq!(loggers.get("z"), None);
        assert_eq!(loggers.set("z", "INFO").unwrap(), ["z", "z.A", "z.A.B", "z.A.C"]);
        for _ in 0..2 {
            assert_eq!(loggers.set("z.A", "OFF").unwrap(), ["z.A", "z.A.B", "z.A.C"]);
        }
        assert_eq!(loggers.get("z.A").unwrap().level, Level::Off);
    }

    #[test]
    fn java_names_reach_our_loggers() {
        let loggers = Loggers::new("warn,riverrun::rest=error").unwrap();
        loggers.set("org.apache.kafka.connect.runtime", "DEBUG").unwrap();
        assert_eq!(level(&loggers, "riverrun.runtime.source"), Level::Debug);
        assert_eq!(level(&loggers, "riverrun.herder.standalone"), Level::Debug);
        // Set later, so it counts before what the command line said.
        assert_eq!(level(&loggers, "riverrun.rest.server"), Level::Debug);
        assert_eq!(level(&loggers, "riverrun.storage.log"), Level::Warn);
        loggers.set("riverrun.runtime", "INFO").unwrap();
        assert_eq!(level(&loggers, "riverrun.runtime.source"), Level::Info);
        loggers.set("io.debezium", "TRACE").unwrap();
        assert_eq!(level(&loggers, "riverrun_source_postgres.wire.stream"), Level::Trace);
        let own = "org.apache.kafka.connect.runtime.WorkerSourceTask";
        loggers.set(own, "ERROR").unwrap();
        assert_eq!(level(&loggers, "riverrun.runtime.source"), Level::Error);
        assert_eq!(level(&loggers, "riverrun.runtime.sink"), Level::Info);
    }

    #[test]
    fn the_root_reaches_all() {
        let loggers = Loggers::new("warn,a=debug").unwrap();
        assert_eq!(loggers.set("ROOT", "INFO").unwrap(), ["a", "root"]);
        assert_eq!(level(&loggers, "b"), Level::Info);
        assert_eq!(loggers.get("root").unwrap().level, Level::Info);
    }
}
