//! The command line. Exit codes of the commands that run a worker are those of Kafka's scripts: 1 for
//! wrong usage, 2 for a bad worker configuration, 3 when the worker or a connector given with it does
//! not start. The commands that ask a worker have their own: see [`client`]. Of both kinds 2 is the
//! code when no command of ours is named.

use std::process::ExitCode;

mod client;
mod connector_file;
mod distributed;
pub mod logging;
mod standalone;
mod worker;

const USAGE: &str = "\
riverrun: a Kafka Connect worker with change data capture built in

usage:
  riverrun connect-standalone [--log LEVELS] [--log-format FORMAT] worker.properties
                              [connector.properties|connector.json …]
      Runs a worker of one process. REST listens on port 8083 unless listeners says otherwise.
      Without bootstrap.servers in worker.properties records stay in the process: they go from
      source connectors to sink connectors without a Kafka.
  riverrun connect-distributed [--log LEVELS] [--log-format FORMAT] worker.properties
      Runs one worker of a group (group.id), whose connectors, offsets and statuses are kept in
      Kafka topics, as Kafka Connect's workers keep theirs.
  riverrun list|create|apply|status|wait|pause|resume|stop|restart|delete|config|offsets|plugins
           |validate|loggers [--url URL] …
      Asks a worker by its REST API, ours or the JVM's; --help after each says more.
  riverrun completion bash|zsh|fish|elvish|powershell
  riverrun version
  riverrun help

LEVELS are like RUST_LOG's: info, or info,riverrun::rest=debug; also with Java's names:
  info,org.apache.kafka.connect.runtime=debug
FORMAT is human (the default) or json, one object a line; RIVERRUN_LOG_FORMAT sets it too
";

const WRONG_USAGE: u8 = 1;
const BAD_CONFIG: u8 = 2;
const NO_COMMAND: u8 = 2;
const NOT_STARTED: u8 = 3;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let levels = match take_option(&mut arguments, "--log") {
        Ok(levels) => levels,
        Err(wrong) => return usage(&wrong),
    };
    let format = match take_option(&mut arguments, "--log-format") {
        Ok(format) => format,
        Err(wrong) => return usage(&wrong),
    };
    let log = logging::Wanted { levels: levels.as_deref(), format: format.as_deref() };
    let given = arguments.clone();
    let mut arguments = arguments.iter().map(String::as_str);
    match (arguments.next(), arguments.collect::<Vec<_>>().as_slice()) {
        (Some("connect-standalone"), [worker, connectors @ ..]) if !worker.starts_with('-') => {
            standalone::run(log, worker, connectors)
        }
        (Some("connect-distributed"), [worker]) if !worker.starts_with('-') => {
            distributed::run(log, worker)
        }
        (Some("connect-distributed"), ["-h" | "--help"]) => help(),
        (Some("connect-distributed"), []) => {
            usage("connect-distributed needs the worker's properties file")
        }
        (Some("connect-distributed"), [_, more, ..]) => usage(&format!(
            "connect-distributed takes one properties file; {more} is one argument too many"
        )),
        (Some("connect-distributed"), [option]) => usage(&format!("unknown option {option}")),
        (Some("connect-standalone"), ["-h" | "--help"]) => help(),
        (Some("connect-standalone"), []) => {
            usage("connect-standalone needs the worker's properties file")
        }
        (Some("connect-standalone"), [option, ..]) => usage(&format!("unknown option {option}")),
        (Some("version" | "-V" | "--version"), []) => {
            print(&format!("{}\n", crate::rest::build_version()));
            ExitCode::SUCCESS
        }
        (Some("help" | "-h" | "--help"), _) => help(),
        (Some(verb), _) if client::has(verb) => client::main(given),
        (Some(verb), _) => no_command(&format!("unknown command {verb}")),
        (None, _) => no_command("no command"),
    }
}

/// Takes `--name value` or `--name=value` out of the arguments.
fn take_option(arguments: &mut Vec<String>, name: &str) -> Result<Option<String>, String> {
    let with_value = format!("{name}=");
    let is_it = |argument: &String| argument == name || argument.starts_with(&with_value);
    let Some(place) = arguments.iter().position(is_it) else { return Ok(None) };
    let argument = arguments.remove(place);
    match argument.strip_prefix(&with_value) {
        Some(value) => Ok(Some(value.to_owned())),
        None if place < arguments.len() => Ok(Some(arguments.remove(place))),
        None => Err(format!("{name} needs a value")),
    }
}

#[expect(clippy::print_stdout, reason = "what the user asked to see")]
fn print(text: &str) {
    print!("{text}");
}

fn help() -> ExitCode {
    print(USAGE);
    ExitCode::SUCCESS
}

fn usage(wrong: &str) -> ExitCode {
    eprintln!("riverrun: {wrong}\n\n{USAGE}");
    ExitCode::from(WRONG_USAGE)
}

fn no_command(wrong: &str) -> ExitCode {
    let verbs = client::verbs().join(", ");
    eprintln!(
        "riverrun: {wrong}; there are connect-standalone, connect-distributed, {verbs}, version \
         and help"
    );
    ExitCode::from(NO_COMMAND)
}
