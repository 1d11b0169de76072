//! The keys every connector has. Names, types, defaults, groups and orders are those of Kafka
//! Connect 4.3; REST shows them, so they are equal to the letter.

use super::restart_policy;
use model::config::{
    Check, ConfigDef, Group,
    Importance::{High, Low, Medium},
    Key,
    Width::{Long, Medium as Mid, Short},
};

pub(super) static COMMON: ConfigDef = ConfigDef(&[
    Group {
        name: "Common",
        keys: &[
            &NAME.spec,
            &CONNECTOR_CLASS.spec,
            &CONNECTOR_PLUGIN_VERSION.spec,
            &TASKS_MAX.spec,
            &TASKS_MAX_ENFORCE.spec,
            &KEY_CONVERTER.spec,
            &KEY_CONVERTER_PLUGIN_VERSION.spec,
            &VALUE_CONVERTER.spec,
            &VALUE_CONVERTER_PLUGIN_VERSION.spec,
            &HEADER_CONVERTER.spec,
            &HEADER_CONVERTER_PLUGIN_VERSION.spec,
        ],
    },
    Group { name: "Transforms", keys: &[&TRANSFORMS.spec] },
    Group { name: "Predicates", keys: &[&PREDICATES.spec] },
    Group { name: "Common", keys: &[&CONFIG_ACTION_RELOAD.spec] },
    Group {
        name: "Error Handling",
        keys: &[
            &ERRORS_RETRY_TIMEOUT.spec,
            &ERRORS_RETRY_DELAY_MAX_MS.spec,
            &ERRORS_TOLERANCE.spec,
            &ERRORS_LOG_ENABLE.spec,
            &ERRORS_LOG_INCLUDE_MESSAGES.spec,
        ],
    },
]);

pub(super) static SOURCE: ConfigDef = ConfigDef(&[
    Group { name: "Topic Creation", keys: &[&TOPIC_CREATION_GROUPS.spec] },
    Group {
        name: "Exactly Once Support",
        keys: &[
            &EXACTLY_ONCE_SUPPORT.spec,
            &TRANSACTION_BOUNDARY.spec,
            &TRANSACTION_BOUNDARY_INTERVAL_MS.spec,
        ],
    },
    Group { name: "offsets.topic", keys: &[&OFFSETS_STORAGE_TOPIC.spec] },
]);

pub(super) static SINK: ConfigDef = ConfigDef(&[
    Group { name: "Common", keys: &[&TOPICS.spec, &TOPICS_REGEX.spec] },
    Group {
        name: "Error Handling",
        keys: &[&DLQ_TOPIC_NAME.spec, &DLQ_REPLICATION_FACTOR.spec, &DLQ_CONTEXT_HEADERS.spec],
    },
]);

/// Keys of this worker alone. They are shown when they are given and not otherwise, so that answers
/// about other configurations are those of Kafka Connect.
pub(super) static OWN: ConfigDef = ConfigDef(&[Group {
    name: "Self-healing",
    keys: &[
        &RESTART_POLICY.spec,
        &RESTART_BACKOFF.spec,
        &RESTART_BACKOFF_MAX.spec,
        &RESTART_MAX.spec,
        &STALL_TIMEOUT.spec,
    ],
}]);

static RESTART_POLICY: Key<String> = Key::string(restart_policy::POLICY)
    .default("never")
    .width(Short)
    .display("Restart Policy")
    .doc(
        "Whether a failed task starts again by itself: never; retriable, when the cause may pass by \
         itself; always.",
    )
    .check(Check::OneOfAnyCase(&["never", "retriable", "always"]));
static RESTART_BACKOFF: Key<i64> = Key::long(restart_policy::BACKOFF)
    .default("1000")
    .width(Mid)
    .display("Restart Backoff")
    .doc("Milliseconds before the first restart; doubled with each further one.")
    .check(Check::Range { min: Some(1), max: None });
static RESTART_BACKOFF_MAX: Key<i64> = Key::long(restart_policy::BACKOFF_MAX)
    .default("300000")
    .width(Mid)
    .display("Maximum Restart Backoff")
    .doc(
        "The longest wait before a restart, in milliseconds; a task that has run for as long begins \
         with the first wait again.",
    )
    .check(Check::Range { min: Some(1), max: None });
static RESTART_MAX: Key<i64> = Key::long(restart_policy::MAX)
    .default("10")
    .width(Short)
    .display("Restarts Max")
    .doc("Restarts in a row before a task stays failed; -1 has no limit.")
    .check(Check::Range { min: Some(-1), max: None });
static STALL_TIMEOUT: Key<i64> = Key::long("task.stall.timeout.ms")
    .default("300000")
    .width(Mid)
    .display("Stall Timeout")
    .doc(
        "Milliseconds without progress after which a task that has work is stalled, and its \
         connections are made anew; 0 never.",
    )
    .check(Check::Range { min: Some(0), max: None });

static NAME: Key<String> = Key::string("name")
    .importance(High)
    .width(Mid)
    .display("Connector name")
    .doc("Name of the connector, unique in the worker.")
    .check(Check::Name);
static CONNECTOR_CLASS: Key<String> =
    Key::string("connector.class").importance(High).width(Long).display("Connector class").doc(
        "Class of the connector: its full name, its simple name, or that without \"Connector\".",
    );
static CONNECTOR_PLUGIN_VERSION: Key<String> = Key::string("connector.plugin.version")
    .default_null()
    .importance(Medium)
    .width(Mid)
    .display("Connector version")
    .doc("Version of the connector's class; there is one.");
pub(super) static TASKS_MAX: Key<i32> = Key::int("tasks.max")
    .default("1")
    .importance(High)
    .width(Short)
    .display("Tasks max")
    .doc("How many tasks the connector may have at most.")
    .check(Check::Range { min: Some(1), max: None });
pub(super) static TASKS_MAX_ENFORCE: Key<bool> = Key::boolean("tasks.max.enforce")
    .default("true")
    .importance(Low)
    .width(Short)
    .display("Enforce tasks max")
    .doc("Fail a connector that makes more tasks than tasks.max. Deprecated.");
static KEY_CONVERTER: Key<String> = converter("key.converter", "Key converter class");
static KEY_CONVERTER_PLUGIN_VERSION: Key<String> =
    converter_version("key.converter.plugin.version", "Key converter version");
static VALUE_CONVERTER: Key<String> = converter("value.converter", "Value converter class");
static VALUE_CONVERTER_PLUGIN_VERSION: Key<String> =
    converter_version("value.converter.plugin.version", "Value converter version");
static HEADER_CONVERTER: Key<String> = converter("header.converter", "Header converter class");
static HEADER_CONVERTER_PLUGIN_VERSION: Key<String> =
    converter_version("header.converter.plugin.version", "Header converter version");

const fn converter(name: &'static str, display: &'static str) -> Key<String> {
    Key::class(name)
        .default_null()
        .importance(Low)
        .width(Short)
        .display(display)
        .doc("Class that writes and reads records; the worker's when it is not set.")
}

const fn converter_version(name: &'static str, display: &'static str) -> Key<String> {
    Key::string(name)
        .default_null()
        .importance(Low)
        .width(Short)
        .display(display)
        .doc("Version of the converter's class; there is one.")
}

static TRANSFORMS: Key<Vec<String>> = Key::list("transforms")
    .default("")
    .importance(Low)
    .width(Long)
    .display("Transforms")
    .order(12)
    .doc("Names of the transforms records go through, in order.")
    .check(Check::With(unique_aliases));
static PREDICATES: Key<Vec<String>> = Key::list("predicates")
    .default("")
    .importance(Low)
    .width(Long)
    .display("Predicates")
    .order(13)
    .doc("Names of the predicates that transforms use.")
    .check(Check::With(unique_aliases));

fn unique_aliases(value: &model::config::Parsed) -> Result<(), String> {
    match value {
        model::config::Parsed::List(aliases)
            if (1..aliases.len()).any(|at| aliases[..at].contains(&aliases[at])) =>
        {
            Err("Duplicate alias provided.".to_owned())
        }
        _ => Ok(()),
    }
}

static CONFIG_ACTION_RELOAD: Key<String> = Key::string("config.action.reload")
    .default("restart")
    .importance(Low)
    .width(Mid)
    .display("Reload Action")
    .order(14)
    .doc("What happens when a value of a config provider expires; none of the built-in ones' does.")
    .check(Check::OneOf(&["none", "restart"]));
static ERRORS_RETRY_TIMEOUT: Key<i64> = Key::long("errors.retry.timeout")
    .default("0")
    .width(Mid)
    .display("Retry Timeout for Errors")
    .doc("For how many milliseconds a failed operation is retried; -1 for ever.");
static ERRORS_RETRY_DELAY_MAX_MS: Key<i64> = Key::long("errors.retry.delay.max.ms")
    .default("60000")
    .width(Mid)
    .display("Maximum Delay Between Retries for Errors")
    .doc("The longest wait between two retries.");
static ERRORS_TOLERANCE: Key<String> = Key::string("errors.tolerance")
    .default("none")
    .width(Short)
    .display("Error Tolerance")
    .doc("none: the task fails at the first bad record; all: bad records are left out.")
    .check(Check::OneOf(&["none", "all"]));
static ERRORS_LOG_ENABLE: Key<bool> = Key::boolean("errors.log.enable")
    .default("false")
    .width(Short)
    .display("Log Errors")
    .doc("Write each failed operation to the log.");
static ERRORS_LOG_INCLUDE_MESSAGES: Key<bool> = Key::boolean("errors.log.include.messages")
    .default("false")
    .width(Short)
    .display("Log Error Details")
    .doc("Name the record in those messages: topic, partition, offset.");

static TOPIC_CREATION_GROUPS: Key<Vec<String>> = Key::list("topic.creation.groups")
    .default("")
    .importance(Low)
    .width(Long)
    .display("Topic Creation Groups")
    .doc("Groups of topics with settings of their own at creation, the first that matches first.")
    .check(Check::With(unique_aliases));
pub(super) static EXACTLY_ONCE_SUPPORT: Key<String> = Key::string("exactly.once.support")
    .default("requested")
    .width(Short)
    .display("Exactly once support")
    .order(2)
    .doc("required: refuse a connector whose records may arrive twice.")
    .check(Check::OneOfAnyCase(&["REQUIRED", "REQUESTED"]));
static TRANSACTION_BOUNDARY: Key<String> = Key::string("transaction.boundary")
    .default("poll")
    .width(Short)
    .display("Transaction Boundary")
    .order(3)
    .doc("Where a producer transaction ends when exactly-once support is on.")
    .check(Check::OneOfAnyCase(&["INTERVAL", "POLL", "CONNECTOR"]));
static TRANSACTION_BOUNDARY_INTERVAL_MS: Key<i64> = Key::long("transaction.boundary.interval.ms")
    .default_null()
    .importance(Low)
    .width(Short)
    .display("Transaction boundary interval")
    .order(4)
    .doc("How long a transaction lasts with transaction.boundary=interval.")
    .check(Check::With(not_negative));
static OFFSETS_STORAGE_TOPIC: Key<String> = Key::string("offsets.storage.topic")
    .default_null()
    .importance(Low)
    .width(Long)
    .display("Offsets topic")
    .doc("Offsets topic of this connector alone; a standalone worker keeps offsets in its file.")
    .check(Check::NonEmpty);

fn not_negative(value: &model::config::Parsed) -> Result<(), String> {
    match value {
        model::config::Parsed::Int(value) if *value < 0 => {
            Err("Value must be at least 0".to_owned())
        }
        _ => Ok(()),
    }
}

pub(super) static TOPICS: Key<Vec<String>> = Key::list("topics")
    .default("")
    .importance(High)
    .width(Long)
    .display("Topics")
    .order(4)
    .doc("Topics to read, separated by commas.")
    .check(Check::Unique);
pub(super) static TOPICS_REGEX: Key<String> = Key::string("topics.regex")
    .default("")
    .importance(High)
    .width(Long)
    .display("Topics regex")
    .order(4)
    .doc("Regular expression of the topics to read, instead of topics.")
    .check(Check::With(regex));
pub(super) static DLQ_TOPIC_NAME: Key<String> = Key::string("errors.deadletterqueue.topic.name")
    .default("")
    .width(Mid)
    .display("Dead Letter Queue Topic Name")
    .order(6)
    .doc("Topic for records that cannot be read or written.");
static DLQ_REPLICATION_FACTOR: Key<i32> =
    Key::short("errors.deadletterqueue.topic.replication.factor")
        .default("3")
        .width(Mid)
        .display("Dead Letter Queue Topic Replication Factor")
        .order(7)
        .doc("Replication factor of that topic when it is created.");
static DLQ_CONTEXT_HEADERS: Key<bool> =
    Key::boolean("errors.deadletterqueue.context.headers.enable")
        .default("false")
        .width(Mid)
        .display("Enable Error Context Headers")
        .order(8)
        .doc("Say in headers of these records where they come from and what was wrong.");

fn regex(value: &model::config::Parsed) -> Result<(), String> {
    let model::config::Parsed::String(pattern) = value else { return Ok(()) };
    let wrong = model::pattern::syntax_error(pattern).or_else(|| {
        fancy_regex::Regex::new(&model::java::regex(pattern)).err().map(|error| error.to_string())
    });
    wrong.map_or(Ok(()), |wrong| Err(format!("Invalid regex: {wrong}")))
}
