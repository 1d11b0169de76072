//! `riverrun` as a client: the operations of the REST API from a terminal, for people and scripts.
//!
//! Everything here asks a worker by its REST API, ours or the JVM's alike.

use std::{fmt::Display, process::ExitCode, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use serde_json::Value;

mod apply;
mod config;
mod files;
mod http;
mod lifecycle;
mod loggers;
mod offsets;
mod plugins;
mod secrets;
mod status;
mod table;
#[cfg(test)]
mod tests;

use http::Worker;

/// The exit codes, for scripts.
mod code {
    /// The worker refused, or what was asked about is not as it should be.
    pub(super) const REFUSED: u8 = 1;
    /// Wrong arguments, or a file that cannot be used. Also clap's own.
    pub(super) const USAGE: u8 = 2;
    /// No worker answered.
    pub(super) const UNREACHABLE: u8 = 3;
    /// `--check` has found a difference.
    pub(super) const DIFFERS: u8 = 4;
    /// `wait` has waited in vain.
    pub(super) const TIMED_OUT: u8 = 5;
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the worker refused, or what was asked about has failed
  2  wrong usage, or a file that cannot be used
  3  no worker answered
  4  --check found a difference
  5  wait has waited in vain

Environment:
  RIVERRUN_URL       the worker, as --url has it
  RIVERRUN_USER      who asks, as --user has it
  RIVERRUN_PASSWORD  that user's password
  RIVERRUN_CA        as --ca has it";

/// Why a command is not done: the exit code, and what is said on standard error.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    fn refused(message: impl Display) -> Self {
        Self { code: code::REFUSED, message: message.to_string() }
    }

    fn usage(message: impl Display) -> Self {
        Self { code: code::USAGE, message: message.to_string() }
    }
}

#[derive(Parser)]
#[command(
    name = "riverrun",
    about = "Asks a Connect worker by its REST API",
    disable_help_subcommand = true,
    after_help = EXIT_CODES
)]
struct Client {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Args, Clone)]
struct Options {
    /// The worker's REST API [default: http://localhost:8083]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// How to show what the worker answers
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Who asks, for basic authentication; the password may follow after a colon
    #[arg(long, global = true, value_name = "NAME[:PASSWORD]")]
    user: Option<String>,
    /// A PEM file with the authorities that an https worker's certificate is checked against
    /// [default: those of the system]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<String>,
    /// How long the worker may take to answer
    #[arg(long, global = true, value_name = "TIME", value_parser = duration, default_value = "90s")]
    request_timeout: Duration,
    /// Show passwords and the like instead of [hidden]
    #[arg(long, global = true)]
    show_secrets: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Subcommand)]
enum Verb {
    /// Lists the connectors
    List,
    /// Creates connectors that do not exist yet
    Create {
        /// Properties or JSON
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
    /// Makes connectors be as their files say, and shows what that changes
    Apply(apply::Arguments),
    /// Shows what runs, and why not
    Status(status::Arguments),
    /// Waits until connectors and all their tasks run
    Wait(status::WaitArguments),
    /// Pauses connectors: their tasks stay, and do nothing
    Pause(Names),
    /// Resumes connectors that are paused or stopped
    Resume(Names),
    /// Stops connectors: their tasks are gone until they are resumed
    Stop(Names),
    /// Restarts connectors with their tasks
    Restart(lifecycle::RestartArguments),
    /// Deletes connectors; their offsets stay
    Delete(Names),
    /// Shows and changes where connectors go on
    #[command(subcommand)]
    Offsets(offsets::Verb),
    /// Lists the plugins, or the keys of one of them
    Plugins(plugins::Arguments),
    /// Has the worker check configurations without using them
    Validate {
        /// Properties or JSON
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
    },
    /// Shows and sets what the worker logs
    #[command(subcommand)]
    Loggers(loggers::Verb),
    /// Shows and changes the configuration of a connector
    #[command(subcommand)]
    Config(config::Verb),
    /// Prints a script that completes these commands in a shell
    Completion { shell: clap_complete::Shell },
}

#[derive(Args)]
struct Names {
    /// Connectors
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// The names of these commands.
pub(super) fn verbs() -> Vec<String> {
    Client::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// Whether `verb` is one of these commands.
pub(super) fn has(verb: &str) -> bool {
    verbs().iter().any(|name| name == verb)
        // Options may come first.
        || (verb.starts_with("--") && !matches!(verb, "--help" | "--version"))
}

/// Runs one of these commands.
pub(super) fn main(arguments: Vec<String>) -> ExitCode {
    let parsed = Client::try_parse_from(std::iter::once("riverrun".to_owned()).chain(arguments));
    let Client { options, verb } = match parsed {
        Ok(client) => client,
        Err(error) => {
            // Help goes to standard output, an error to standard error; if that is closed, nobody
            // reads it anyway.
            drop(error.print());
            return ExitCode::from(if error.use_stderr() { code::USAGE } else { 0 });
        }
    };
    if let Verb::Completion { shell } = verb {
        super::print(&completion(shell));
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("riverrun: failed to start: {error}");
            return ExitCode::from(code::USAGE);
        }
    };
    match runtime.block_on(run(&options, verb)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            if !message.is_empty() {
                eprintln!("riverrun: {message}");
            }
            ExitCode::from(code)
        }
    }
}

async fn run(options: &Options, verb: Verb) -> Result<()> {
    let worker = Worker::new(options)?;
    let out = Out { output: options.output, show_secrets: options.show_secrets };
    match verb {
        Verb::List => status::list(&worker, out).await,
        Verb::Create { files } => apply::create(&worker, out, &files).await,
        Verb::Apply(arguments) => apply::apply(&worker, out, &arguments).await,
        Verb::Status(arguments) => status::status(&worker, out, &arguments).await,
        Verb::Wait(arguments) => status::wait(&worker, out, &arguments).await,
        Verb::Pause(Names { names }) => lifecycle::aim(&worker, &names, "pause").await,
        Verb::Resume(Names { names }) => lifecycle::aim(&worker, &names, "resume").await,
        Verb::Stop(Names { names }) => lifecycle::aim(&worker, &names, "stop").await,
        Verb::Restart(arguments) => lifecycle::restart(&worker, out, &arguments).await,
        Verb::Delete(Names { names }) => lifecycle::delete(&worker, &names).await,
        Verb::Offsets(verb) => offsets::run(&worker, out, verb).await,
        Verb::Plugins(arguments) => plugins::show(&worker, out, &arguments).await,
        Verb::Validate { files } => plugins::validate(&worker, out, &files).await,
        Verb::Loggers(verb) => loggers::run(&worker, out, verb).await,
        Verb::Config(verb) => config::run(&worker, out, verb).await,
        Verb::Completion { .. } => Ok(()),
    }
}

/// For these commands and those that run a worker.
fn completion(shell: clap_complete::Shell) -> String {
    use clap::{Arg, Command, ValueHint};
    let file = |name: &'static str| Arg::new(name).value_hint(ValueHint::FilePath);
    let worker = |name: &'static str, about: &'static str| {
        Command::new(name).about(about).arg(Arg::new("log").long("log")).arg(file("worker"))
    };
    let mut all = Client::command()
        .subcommand(
            worker("connect-standalone", "Runs a worker of one process")
                .arg(file("connectors").num_args(0..)),
        )
        .subcommand(worker("connect-distributed", "Runs one worker of a group"))
        .subcommand(Command::new("version").about("Prints the version"))
        .subcommand(Command::new("help").about("Prints the commands"));
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut all, "riverrun", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// How answers are shown.
#[derive(Clone, Copy)]
struct Out {
    output: Output,
    show_secrets: bool,
}

impl Out {
    /// The answer as it is, or what `table` makes of it.
    fn show(self, answer: &Value, table: impl FnOnce(&Value) -> String) {
        match self.output {
            Output::Json => super::print(&format!("{answer:#}\n")),
            Output::Table => super::print(&table(answer)),
        }
    }
}

/// `500ms`, `30s`, `5m`, `1h`; a bare number is seconds.
fn duration(text: &str) -> std::result::Result<Duration, String> {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "a time is a number with a unit: 500ms, 30s, 5m, 1h".to_owned())?;
    let millis = match &text[digits.len()..] {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        unit => return Err(format!("{unit} is no unit of time: use ms, s, m or h")),
    };
    // Longer, and adding it to the clock would overflow.
    let millis = millis.filter(|millis| *millis <= 1_000 * 3_600_000);
    millis.map(Duration::from_millis).ok_or_else(|| "the time is longer than 1000h".to_owned())
}

/// Does `work` for each name, says what went wrong with each, and ends with the worst exit code.
async fn each(names: &[String], mut work: impl AsyncFnMut(&str) -> Result<()>) -> Result<()> {
    let mut worst = None;
    for name in names {
        if let Err(failure) = work(name).await {
            // Nobody will answer for the others either.
            if failure.code == code::UNREACHABLE {
                return Err(failure);
            }
            eprintln!("riverrun: {}", failure.message);
            worst = worst.max(Some(failure.code));
        }
    }
    worst.map_or(Ok(()), |code| Err(Failure { code, message: String::new() }))
}
