//! `HasHeaderKey`, `RecordIsTombstone`, `TopicNameMatches`.

use model::config::{Check, ConfigDef, Group, Key, Parsed};

use crate::checks;

pub(crate) static HAS_HEADER_KEY: ConfigDef = ConfigDef(&[Group { name: "", keys: &[&NAME.spec] }]);
pub(crate) static RECORD_IS_TOMBSTONE: ConfigDef = ConfigDef(&[]);
pub(crate) static TOPIC_NAME_MATCHES: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&PATTERN.spec] }]);

static NAME: Key<String> =
    Key::string("name").doc("Name of the header that a record must have.").check(Check::NonEmpty);
static PATTERN: Key<String> = Key::string("pattern")
    .doc("Java regular expression that the whole name of the record's topic must match.")
    .check(Check::With(|value| match value {
        Parsed::String(pattern) if pattern.is_empty() => Err("String must be non-empty".to_owned()),
        value => checks::pattern(value),
    }));
