//! Transforms of the fields of keys and values: `Cast`, `ExtractField`, `Flatten`, `HeaderFrom`,
//! `HoistField`, `InsertField`, `MaskField`, `ReplaceField`, `TimestampConverter`, `ValueToKey`.

use model::config::{
    Check, ConfigDef, Group,
    Importance::{High, Low},
    Key, KeySpec,
};

use crate::checks;

const fn keys(keys: &'static [&'static KeySpec]) -> Group {
    Group { name: "", keys }
}

pub(crate) static CAST: ConfigDef = ConfigDef(&[keys(&[&SPEC.spec, &REPLACE_NULL.spec])]);
pub(crate) static EXTRACT_FIELD: ConfigDef =
    ConfigDef(&[keys(&[&EXTRACTED.spec, &REPLACE_NULL.spec, &FIELD_SYNTAX_VERSION.spec])]);
pub(crate) static FLATTEN: ConfigDef = ConfigDef(&[keys(&[&DELIMITER.spec])]);
pub(crate) static HEADER_FROM: ConfigDef =
    ConfigDef(&[keys(&[&HEADER_FIELDS.spec, &HEADERS.spec, &OPERATION.spec, &REPLACE_NULL.spec])]);
pub(crate) static HOIST_FIELD: ConfigDef = ConfigDef(&[keys(&[&HOISTED.spec])]);
pub(crate) static INSERT_FIELD: ConfigDef = ConfigDef(&[keys(&[
    &TOPIC_FIELD.spec,
    &PARTITION_FIELD.spec,
    &OFFSET_FIELD.spec,
    &TIMESTAMP_FIELD.spec,
    &STATIC_FIELD.spec,
    &STATIC_VALUE.spec,
    &REPLACE_NULL.spec,
])]);
pub(crate) static MASK_FIELD: ConfigDef =
    ConfigDef(&[keys(&[&MASKED.spec, &REPLACEMENT.spec, &REPLACE_NULL.spec])]);
pub(crate) static REPLACE_FIELD: ConfigDef =
    ConfigDef(&[keys(&[&EXCLUDE.spec, &INCLUDE.spec, &RENAMES.spec, &REPLACE_NULL.spec])]);
pub(crate) static TIMESTAMP_CONVERTER: ConfigDef = ConfigDef(&[keys(&[
    &TIMESTAMP.spec,
    &TARGET_TYPE.spec,
    &FORMAT.spec,
    &UNIX_PRECISION.spec,
    &REPLACE_NULL.spec,
])]);
pub(crate) static VALUE_TO_KEY: ConfigDef = ConfigDef(&[keys(&[&COPIED.spec, &REPLACE_NULL.spec])]);

pub(crate) static REPLACE_NULL: Key<bool> = Key::boolean("replace.null.with.default")
    .default("true")
    .doc("Whether a field that is null and has a default counts as having the default.");

static SPEC: Key<Vec<String>> = Key::list("spec")
    .importance(High)
    .doc(
        "Fields and the types they get, as field:type, or one type for the whole key or value: \
         int8, int16, int32, int64, float32, float64, boolean, string.",
    )
    .check(Check::Whole(checks::cast));
static EXTRACTED: Key<String> = Key::string("field").doc("Name of the field to extract.");
static FIELD_SYNTAX_VERSION: Key<String> = Key::string("field.syntax.version")
    .default("V1")
    .importance(High)
    .doc("V1: the field's name. V2: a path to it, with dots; backticks enclose names with dots.")
    .check(Check::OneOfAnyCase(&["V1", "V2"]));
static DELIMITER: Key<String> = Key::string("delimiter")
    .default(".")
    .doc("What stands between the names of an outer and an inner field.");
static HEADER_FIELDS: Key<Vec<String>> = Key::list("fields")
    .importance(High)
    .doc("Names of the fields whose values become headers.")
    .check(Check::With(checks::some));
static HEADERS: Key<Vec<String>> = Key::list("headers")
    .importance(High)
    .doc("Names of the headers, in the order of the fields.")
    .check(Check::With(checks::some));
static OPERATION: Key<String> = Key::string("operation")
    .importance(High)
    .doc("move: the fields are removed; copy: they stay.")
    .check(Check::With(|value| checks::one_of(&["move", "copy"], value)));
static HOISTED: Key<String> =
    Key::string("field").doc("Name of the field that the key or value becomes.");
static TOPIC_FIELD: Key<String> =
    Key::string("topic.field").default_null().doc("Field for the topic. ! at the end: required.");
static PARTITION_FIELD: Key<String> = Key::string("partition.field")
    .default_null()
    .doc("Field for the partition. ! at the end: required.");
static OFFSET_FIELD: Key<String> = Key::string("offset.field")
    .default_null()
    .doc("Field for the offset, in sinks only. ! at the end: required.");
static TIMESTAMP_FIELD: Key<String> = Key::string("timestamp.field")
    .default_null()
    .doc("Field for the record's timestamp. ! at the end: required.");
static STATIC_FIELD: Key<String> = Key::string("static.field")
    .default_null()
    .doc("Field for a value that is always the same. ! at the end: required.");
static STATIC_VALUE: Key<String> = Key::string("static.value").default_null().doc("That value.");
static MASKED: Key<Vec<String>> = Key::list("fields")
    .importance(High)
    .doc("Names of the fields to mask.")
    .check(Check::Whole(checks::some_unique));
static REPLACEMENT: Key<String> = Key::string("replacement")
    .default_null()
    .importance(Low)
    .doc("Value instead, for numbers and texts; empty values of the field's type without it.")
    .check(Check::NonEmpty);
static EXCLUDE: Key<Vec<String>> = Key::list("exclude")
    .default("")
    .doc("Fields to leave out, even when they are among those to include.")
    .check(Check::Unique);
static INCLUDE: Key<Vec<String>> =
    Key::list("include").default("").doc("The only fields to keep.").check(Check::Unique);
static RENAMES: Key<Vec<String>> = Key::list("renames")
    .default("")
    .doc("Fields and their new names, as old:new.")
    .check(Check::With(checks::renames));
static TIMESTAMP: Key<String> = Key::string("field")
    .default("")
    .importance(High)
    .doc("The field with the timestamp; empty when the key or value is one itself.");
static TARGET_TYPE: Key<String> = Key::string("target.type")
    .importance(High)
    .doc("What the timestamp becomes: string, unix, Date, Time, Timestamp.")
    .check(Check::With(|value| {
        checks::one_of(&["string", "unix", "Date", "Time", "Timestamp"], value)
    }));
static FORMAT: Key<String> = Key::string("format")
    .default("")
    .doc("How texts are written and read, as java.text.SimpleDateFormat has it.");
static UNIX_PRECISION: Key<String> = Key::string("unix.precision")
    .default("milliseconds")
    .importance(Low)
    .doc("Unit of numbers: seconds, milliseconds, microseconds, nanoseconds.")
    .check(Check::With(|value| {
        checks::one_of(&["nanoseconds", "microseconds", "milliseconds", "seconds"], value)
    }));
static COPIED: Key<Vec<String>> = Key::list("fields")
    .importance(High)
    .doc("Names of the value's fields that make up the key.")
    .check(Check::Whole(checks::some_unique));
