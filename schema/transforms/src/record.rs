//! Transforms of a record's headers and schemas, and the one that drops it: `DropHeaders`,
//! `InsertHeader`, `SetSchemaMetadata`, `Filter`.

use model::config::{Check, ConfigDef, Group, Importance::High, Key};

use crate::{checks, fields::REPLACE_NULL};

pub(crate) static DROP_HEADERS: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&HEADERS.spec] }]);
pub(crate) static FILTER: ConfigDef = ConfigDef(&[]);
pub(crate) static INSERT_HEADER: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&HEADER.spec, &VALUE_LITERAL.spec] }]);
pub(crate) static SET_SCHEMA_METADATA: ConfigDef = ConfigDef(&[Group {
    name: "",
    keys: &[&SCHEMA_NAME.spec, &SCHEMA_VERSION.spec, &REPLACE_NULL.spec],
}]);

static HEADERS: Key<Vec<String>> = Key::list("headers")
    .importance(High)
    .doc("Names of the headers to remove.")
    .check(Check::Whole(checks::some_unique));
static HEADER: Key<String> = Key::string("header")
    .importance(High)
    .doc("Name of the header to add.")
    .check(Check::With(checks::given));
static VALUE_LITERAL: Key<String> = Key::string("value.literal")
    .importance(High)
    .doc("Value of the header; numbers, true and false, lists and the like are read as such.")
    .check(Check::With(checks::given));
static SCHEMA_NAME: Key<String> =
    Key::string("schema.name").default_null().importance(High).doc("Name for the schema.");
static SCHEMA_VERSION: Key<i32> =
    Key::int("schema.version").default_null().importance(High).doc("Version for the schema.");
