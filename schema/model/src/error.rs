//! Three kinds of failure, because the worker does three different things about them.

use std::{error::Error as StdError, fmt};

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// A failed operation of a task.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    context: String,
    source: Option<Source>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// May pass by itself: lost connection, timeout, failover. The worker backs off and retries.
    /// An error nobody has classified is this kind; connectors name the fatal ones.
    Retriable,
    /// Will not pass without a person: bad password, slot gone, wrong type. The task goes FAILED.
    Fatal,
}

/// One bad record. `errors.tolerance` decides whether it is skipped, sent to the dead-letter queue,
/// or made [`Kind::Fatal`].
#[derive(Debug)]
pub struct RecordError {
    pub stage: Stage,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    TaskPoll,
    TaskPut,
    Transformation,
    KeyConverter,
    ValueConverter,
    HeaderConverter,
    KafkaProduce,
    KafkaConsume,
}

impl Stage {
    /// As Connect names it in logs and in dead-letter headers.
    pub fn name(self) -> &'static str {
        match self {
            Stage::TaskPoll => "TASK_POLL",
            Stage::TaskPut => "TASK_PUT",
            Stage::Transformation => "TRANSFORMATION",
            Stage::KeyConverter => "KEY_CONVERTER",
            Stage::ValueConverter => "VALUE_CONVERTER",
            Stage::HeaderConverter => "HEADER_CONVERTER",
            Stage::KafkaProduce => "KAFKA_PRODUCE",
            Stage::KafkaConsume => "KAFKA_CONSUME",
        }
    }
}

impl RecordError {
    pub fn new(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, message: message.into() }
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (stage {})", self.message, self.stage.name())
    }
}

impl StdError for RecordError {}

impl Error {
    pub fn retriable(context: impl Into<String>) -> Self {
        Self { kind: Kind::Retriable, context: context.into(), source: None }
    }

    pub fn fatal(context: impl Into<String>) -> Self {
        Self { kind: Kind::Fatal, context: context.into(), source: None }
    }

    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether what lies behind it may pass by itself: it is retriable, or an error of ours in its
    /// chain is.
    pub fn passing(&self) -> bool {
        let mut at: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = at {
            if error.downcast_ref::<Error>().is_some_and(|error| error.kind == Kind::Retriable) {
                return true;
            }
            at = error.source();
        }
        false
    }

    /// The whole chain, as the REST API shows it in a task's `trace`.
    pub fn trace(&self) -> String {
        let mut trace = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            trace.push_str("\nCaused by: ");
            trace.push_str(&error.to_string());
            cause = error.source();
        }
        trace
    }
}

/// An error with its causes on one line; the outermost alone often says little.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
