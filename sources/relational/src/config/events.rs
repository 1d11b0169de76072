//! What an event looks like, and which there are.

use model::config::{
    Check::Field,
    Importance::{Low, Medium},
    Key,
    Width::{Long, Medium as Mid, Short},
};

use crate::checks::*;

pub static SKIP_MESSAGES_WITHOUT_CHANGE: Key<bool> = Key::boolean("skip.messages.without.change")
    .default("false")
    .importance(Medium)
    .width(Short)
    .display("Enable skipping messages without change")
    .doc("Leave out updates in which no captured column changed.")
    .check(Field(boolean_twice));
pub static TOMBSTONES_ON_DELETE: Key<bool> = Key::boolean("tombstones.on.delete").default("true").importance(Medium).width(Short).display("Change the behaviour of Debezium with regards to delete operations").doc("Send a record with a null value after each delete, so that a compacted topic forgets the key.")
    .check(Field(boolean_twice));
pub static BINARY_HANDLING_MODE: Key<String> = Key::string("binary.handling.mode")
    .default("bytes")
    .importance(Low)
    .width(Mid)
    .display("Binary Handling")
    .doc("Form of binary columns: bytes, base64, base64-url-safe or hex.")
    .one_of(&["bytes", "base64", "hex", "base64-url-safe"]);
pub static SCHEMA_NAME_ADJUSTMENT_MODE: Key<String> = Key::string("schema.name.adjustment.mode")
    .default("none")
    .importance(Low)
    .width(Mid)
    .display("Schema Name Adjustment")
    .doc("How schema names are made acceptable to the converter: none, avro or avro_unicode.")
    .one_of(&["none", "avro_unicode", "avro"]);
pub static FIELD_NAME_ADJUSTMENT_MODE: Key<String> = Key::string("field.name.adjustment.mode")
    .default("none")
    .importance(Low)
    .width(Mid)
    .display("Field Name Adjustment")
    .doc("How field names are made acceptable to the converter: none, avro or avro_unicode.")
    .one_of(&["none", "avro_unicode", "avro"]);
pub static EVENT_CONVERTING_FAILURE_HANDLING_MODE: Key<String> =
    Key::string("event.converting.failure.handling.mode")
        .default("warn")
        .importance(Medium)
        .width(Mid)
        .display("Event converting failure handling mode")
        .doc("What happens when a value can not be converted: fail, warn or skip.")
        .one_of(&["warn", "fail", "skip"]);
pub static DECIMAL_HANDLING_MODE: Key<String> = Key::string("decimal.handling.mode")
    .default("precise")
    .importance(Medium)
    .width(Short)
    .display("Decimal Handling")
    .doc("Form of NUMERIC columns: precise, double or string.")
    .one_of(&["string", "double", "precise"]);
pub static TIME_PRECISION_MODE: Key<String> = Key::string("time.precision.mode")
    .default("adaptive")
    .importance(Medium)
    .width(Short)
    .display("Time Precision")
    .doc("Form of temporal columns.")
    .one_of(&[
        "adaptive",
        "adaptive_time_microseconds",
        "isostring",
        "structured",
        "microseconds",
        "nanoseconds",
        "connect",
    ]);
pub static INCLUDE_SCHEMA_COMMENTS: Key<bool> = Key::boolean("include.schema.comments")
    .default("false")
    .importance(Medium)
    .width(Short)
    .display("Include Table and Column Comments")
    .doc("Put comments of tables and columns into schemas.")
    .check(Field(boolean_twice));
pub static UNAVAILABLE_VALUE_PLACEHOLDER: Key<String> = Key::string(
    "unavailable.value.placeholder",
)
.default("__debezium_unavailable_value")
.importance(Medium)
.width(Mid)
.display("Unavailable value placeholder")
.doc("What stands for a large value that an update did not touch and the server did not send.");
pub static SKIPPED_OPERATIONS: Key<Vec<String>> = Key::list("skipped.operations")
    .default("t")
    .importance(Low)
    .width(Short)
    .display("Skipped Operations")
    .doc("Operations to leave out: c, u, d, t, or none.")
    .check(Field(operations));
pub static PROVIDE_TRANSACTION_METADATA: Key<bool> = Key::boolean("provide.transaction.metadata")
    .default("false")
    .importance(Low)
    .width(Short)
    .display("Store transaction metadata information in a dedicated topic.")
    .doc("Send transaction boundaries to a topic and mark events with their transaction.")
    .check(Field(boolean));
pub static CONVERTERS: Key<String> = Key::string("converters")
    .default_null()
    .importance(Low)
    .width(Mid)
    .display("List of prefixes defining custom values converters.")
    .doc("Names of custom value converters.");
pub static POST_PROCESSORS: Key<String> = Key::string("post.processors")
    .default_null()
    .importance(Low)
    .width(Mid)
    .display("List of change event post processors.")
    .doc("Names of post processors of events.");
pub static TRANSACTION_METADATA_FACTORY: Key<String> = Key::class("transaction.metadata.factory")
    .default("io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory")
    .importance(Low)
    .width(Mid)
    .display("Factory class to create transaction context & transaction struct maker classes")
    .doc("Class that makes transaction metadata.")
    .check(Field(class));
pub static MESSAGE_KEY_COLUMNS: Key<String> = Key::string("message.key.columns").default_null().importance(Medium).width(Long).display("Columns PK mapping").doc("Key columns of tables: table-regex:column,column;… Tables without an entry use their primary key.")
    .check(Field(key_columns));
pub static COLUMN_MASK_HASH_WITH_SALT: Key<String> =
    Key::string("column.mask.hash.([^.]+).with.salt.(.+)")
        .default_null()
        .importance(Medium)
        .width(Long)
        .display("Mask Columns Using Hash and Salt")
        .doc("Columns whose values are replaced by a salted hash.");
pub static COLUMN_MASK_WITH_D_CHARS: Key<String> = Key::string("column.mask.with.(d+).chars")
    .default_null()
    .importance(Medium)
    .display("Mask Columns With n Asterisks")
    .doc("Columns whose values are replaced by asterisks.")
    .check(Field(integer));
pub static COLUMN_TRUNCATE_TO_D_CHARS: Key<i32> = Key::int("column.truncate.to.(d+).chars")
    .default_null()
    .importance(Medium)
    .display("Truncate Columns To n Characters")
    .doc("Columns whose values are cut.")
    .check(Field(integer_twice));
pub static COLUMN_PROPAGATE_SOURCE_TYPE: Key<Vec<String>> =
    Key::list("column.propagate.source.type")
        .default_null()
        .importance(Medium)
        .display("Propagate Source Types by Columns")
        .doc("Columns whose source type is put into schema parameters.")
        .check(Field(regexes));
pub static DATATYPE_PROPAGATE_SOURCE_TYPE: Key<Vec<String>> =
    Key::list("datatype.propagate.source.type")
        .default_null()
        .importance(Medium)
        .display("Propagate Source Types by Data Type")
        .doc("Types for whose columns the source type is put into schema parameters.")
        .check(Field(regexes));
pub static EVENT_PROCESSING_FAILURE_HANDLING_MODE: Key<String> =
    Key::string("event.processing.failure.handling.mode")
        .default("fail")
        .importance(Medium)
        .width(Short)
        .display("Event deserialization failure handling")
        .doc("What happens when an event can not be processed.")
        .one_of(&["warn", "fail", "ignore", "skip"]);
pub static SOURCEINFO_STRUCT_MAKER: Key<String> = Key::class("sourceinfo.struct.maker")
    .importance(Low)
    .width(Mid)
    .display("Source info struct maker class")
    .doc("Class that makes the source block.")
    .check(Field(class));
