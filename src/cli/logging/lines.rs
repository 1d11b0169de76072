//! How a line of the log looks.
//!
//! **human** is the layout of Kafka Connect's log: time, level, what it is about in brackets
//! (`orders|task-0`), message, logger and line. **json** is one object a line, with `ts` (UTC),
//! `level`, `logger`, `context`, `message` and `trace`; the last two of a message of several lines are
//! its first line and the others.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Human,
    Json,
}

impl Format {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            text if text.eq_ignore_ascii_case("human") => Ok(Format::Human),
            text if text.eq_ignore_ascii_case("json") => Ok(Format::Json),
            text => Err(format!("invalid log format {text:?}: use human or json")),
        }
    }
}

/// Writes each event to standard error, as one write.
pub(super) struct Lines(pub(super) Format);

/// What a span says its events are about.
struct About(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(about), Some(span)) = (fields.context, context.span(id)) {
            span.extensions_mut().insert(About(about));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut about = None;
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(About(name)) = extensions.get::<About>() {
                about = Some(name.clone());
                break;
            }
        }
        let line = Line {
            level: metadata.level().as_str(),
            target: metadata.target(),
            number: metadata.line().unwrap_or_default(),
            about: about.as_deref(),
            message: &fields.message,
        };
        let text = match self.0 {
            Format::Human => {
                line.human(&chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f").to_string())
            }
            Format::Json => line.json(&Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)),
        };
        // Without standard error there is nobody to tell.
        drop(std::io::stderr().lock().write_all(text.as_bytes()));
    }
}

struct Line<'a> {
    level: &'a str,
    target: &'a str,
    number: u32,
    about: Option<&'a str>,
    message: &'a str,
}

#[derive(Serialize)]
struct Json<'a> {
    ts: &'a str,
    level: &'a str,
    logger: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// What it is about, and the rest: a message may say itself what it is about, which is nearer
    /// than what the task around it says.
    fn parts(&self) -> (Option<&'a str>, &'a str) {
        match split(self.message) {
            Some((about, rest)) => (Some(about), rest),
            None => (self.about, self.message),
        }
    }

    fn human(&self, time: &str) -> String {
        let (about, message) = self.parts();
        let about = about.map(|about| format!("[{about}] ")).unwrap_or_default();
        let mut line = format!("[{time}] {} ", self.level);
        plain(&about, &mut line);
        plain(message, &mut line);
        line.push_str(&format!(" ({}:{})\n", self.target, self.number));
        line
    }

    fn json(&self, ts: &str) -> String {
        let (context, text) = self.parts();
        let (message, trace) = match text.split_once('\n') {
            Some((message, trace)) => (message, Some(trace)),
            None => (text, None),
        };
        let logger = super::dotted(self.target);
        let line = Json { ts, level: self.level, logger, context, message, trace };
        // Strings can always be written.
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// Appends a text in which nothing can be taken for the start of another line, or rule a terminal: what
/// follows a line's end is set in, other control characters are written as they are in source code.
fn plain(text: &str, line: &mut String) {
    for one in text.chars() {
        match one {
            '\n' => line.push_str("\n    "),
            '\t' => line.push('\t'),
            one if one.is_control() => line.extend(one.escape_default()),
            one => line.push(one),
        }
    }
}

/// Takes `[name|task-0] ` or `[name|worker] ` off the start.
fn split(message: &str) -> Option<(&str, &str)> {
    let (about, rest) = message.strip_prefix('[')?.split_once("] ")?;
    let (_, scope) = about.rsplit_once('|')?;
    let task = scope.strip_prefix("task-").is_some_and(|id| id.parse::<u32>().is_ok());
    let known = task || scope == "worker" || scope == "offsets";
    (known && !about.contains('\n')).then_some((about, rest))
}

/// The fields of an event or a span.
#[derive(Default)]
struct Fields {
    message: String,
    context: Option<String>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "context" => self.context = Some(value.to_owned()),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => {
                // It comes first wherever it stands among the fields.
                let others = std::mem::take(&mut self.message);
                write!(self.message, "{value:?}{others}")
            }
            "context" => {
                self.context = Some(format!("{value:?}"));
                Ok(())
            }
            name => write!(self.message, " {name}={value:?}"),
        };
        if written.is_err() {
            // A value that cannot be shown leaves the rest as it is.
            self.message.push_str(" (?)");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(about: Option<&'static str>, message: &'static str) -> Line<'static> {
        Line { level: "WARN", target: "riverrun::runtime::source", number: 8, about, message }
    }

    #[test]
    fn a_message_says_what_it_is_about_or_its_task_does() {
        for (about, message, human) in [
            (None, "listens", "[t] WARN listens (riverrun::runtime::source:8)\n"),
            (Some("a|task-1"), "lost", "[t] WARN [a|task-1] lost (riverrun::runtime::source:8)\n"),
            (
                Some("a|task-1"),
                "[b|c|task-0] lost",
                "[t] WARN [b|c|task-0] lost (riverrun::runtime::source:8)\n",
            ),
            (None, "[1|2] of 3", "[t] WARN [1|2] of 3 (riverrun::runtime::source:8)\n"),
        ] {
            assert_eq!(line(about, message).human("t"), human);
        }
    }

    #[test]
    fn json_is_one_line_whatever_the_message() {
        let text = line(None, "[a|worker] \"x\" failed\nCaused by: y\nCaused by: z").json("now");
        assert_eq!(
            text,
            "{\"ts\":\"now\",\"level\":\"WARN\",\"logger\":\"riverrun.runtime.source\",\
             \"context\":\"a|worker\",\"message\":\"\\\"x\\\" failed\",\
             \"trace\":\"Caused by: y\\nCaused by: z\"}\n"
        );
        assert_eq!(
            line(None, "up").json("now"),
            "{\"ts\":\"now\",\"level\":\"WARN\",\"logger\":\"riverrun.runtime.source\",\
             \"message\":\"up\"}\n"
        );
    }
}
