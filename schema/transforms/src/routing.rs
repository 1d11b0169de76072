//! Transforms that choose a record's topic: `RegexRouter`, `TimestampRouter`.

use model::config::{Check, ConfigDef, Group, Importance::High, Key};

use crate::checks;

pub(crate) static REGEX_ROUTER: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&REGEX.spec, &REPLACEMENT.spec] }]);
pub(crate) static TIMESTAMP_ROUTER: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&TOPIC_FORMAT.spec, &TIMESTAMP_FORMAT.spec] }]);

static REGEX: Key<String> = Key::string("regex")
    .importance(High)
    .doc("Java regular expression that the whole name of a topic must match to be replaced.")
    .check(Check::With(checks::pattern));
static REPLACEMENT: Key<String> = Key::string("replacement")
    .importance(High)
    .doc("Name of the topic instead; $1 is the first group of the expression.");
static TOPIC_FORMAT: Key<String> = Key::string("topic.format")
    .default("${topic}-${timestamp}")
    .importance(High)
    .doc("Name of the topic instead, in which ${topic} and ${timestamp} are filled in.");
static TIMESTAMP_FORMAT: Key<String> = Key::string("timestamp.format")
    .default("yyyyMMdd")
    .importance(High)
    .doc("How the timestamp is written, as java.text.SimpleDateFormat has it.");
