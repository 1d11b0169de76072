//! Incremental snapshots: tables read in chunks beside the stream.
//!
//! # A chunk
//!
//! Two marks are written to the log around the reading of a chunk, or two moments are noted. What the
//! stream shows between them is newer than the chunk, so rows of the chunk whose keys it shows are left
//! out; the others are sent when the stream comes to the second mark. Then the next chunk is read, from
//! the last key on, until no row is left up to the largest key that there was at the beginning.
//!
//! # Restart
//!
//! The key of the row that was sent last, the largest key and the tables that are left stand in the
//! source offset ([`Context::store`]), in the form of Debezium 3.7, whichever of the two wrote it: a
//! restart reads on behind the last row sent.

pub mod query;

use std::{collections::VecDeque, sync::OnceLock};

use chrono::{DateTime, Local};
use serde_json::{Map, Value};

use crate::{
    java_objects::{self, Object},
    signals::Execute,
};

/// The values of a key's columns.
pub type Key = Vec<Object>;

/// A table that is to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// As the connector prints it: `schema.table`.
    pub id: String,
    /// What follows WHERE, in parentheses.
    pub condition: Option<String>,
    /// The column that chunks follow instead of the key.
    pub surrogate_key: Option<String>,
    /// The id of the signal that asked for it.
    pub correlation_id: Option<String>,
}

/// What is done and what is left of incremental snapshots.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    queue: VecDeque<Queued>,
    text: Text,
    /// Behind which the next chunk of the first table begins.
    after: Option<Key>,
    /// The key of the row that was sent last.
    sent: Option<Key>,
    /// The largest key of the first table when it was begun.
    maximum: Option<Key>,
    /// Rows of the first table when it was begun, or an estimate.
    total_rows: Option<i64>,
    /// Rows of the first table that were read in this run.
    pub rows_scanned: i64,
    /// Names the chunk that is being read, or waits to be sent.
    chunk: Option<String>,
    correlation_id: Option<String>,
    pub paused: bool,
    /// The offset of the last signal of a topic that was followed.
    pub signal_offset: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Queued {
    collection: Collection,
    /// It is to be taken out once the chunk at hand is done, and is not stored any more.
    stopping: bool,
}

impl From<Collection> for Queued {
    fn from(collection: Collection) -> Self {
        Self { collection, stopping: false }
    }
}

/// What is stored of the queue, made once after each change of it: an offset goes with each batch. It
/// says nothing that the queue does not say.
#[derive(Clone, Debug, Default)]
struct Text(OnceLock<String>);

impl PartialEq for Text {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// What the queue may take in an offset: a broker takes a record of 1 MiB unless it is told otherwise,
/// and an offset that can't be stored keeps the log of the database.
pub const QUEUE_BYTES_MAX: usize = 900_000;

const PREFIX: &str = "incremental_snapshot_";
/// A field of earlier versions of Debezium, and of ours.
const SIGNAL: &str = "signal_offset";
const COLLECTION: &str = "incremental_snapshot_collections_";

/// Whether a field of a source offset belongs to [`Context::store`].
pub fn is_stored(field: &str) -> bool {
    field.starts_with(PREFIX)
}

impl Context {
    /// What an offset says; nothing runs when it says nothing. A key that can't be read is said in the
    /// log, and its table is read from the beginning.
    pub fn load(offset: &Map<String, Value>) -> Self {
        let text = |field: &str| offset.get(&format!("{PREFIX}{field}")).and_then(Value::as_str);
        let signal_offset = Self::signal_offset_of(offset);
        let Some(queue) = text("collections").and_then(collections) else {
            return Self { signal_offset, ..Self::default() };
        };
        let key = |field: &str| {
            match text(field).map(java_objects::from_hexadecimal) {
            None => Ok(None),
            Some(key) => key.map_err(|error| {
                tracing::warn!(
                    "the stored offset's {PREFIX}{field} can't be read ({error}); the table that was being read by an incremental snapshot is read from its beginning"
                );
            }),
        }
        };
        let (after, maximum) = match (key("primary_key"), key("maximum_key")) {
            (Ok(after), Ok(maximum)) => (after, maximum),
            _ => (None, None),
        };
        Self {
            queue: queue.into_iter().map(Queued::from).collect(),
            sent: after.clone(),
            after,
            maximum,
            total_rows: text("total_rows").and_then(|rows| rows.parse().ok()),
            correlation_id: text("correlation_id").map(str::to_owned),
            signal_offset,
            ..Self::default()
        }
    }

    /// The fields of a source offset. When nothing runs, only where signals are.
    pub fn store(&self) -> Vec<(String, Value)> {
        let signal = self.signal_offset.map(|at| (format!("{PREFIX}{SIGNAL}"), Value::from(at)));
        let Some(text) = self.text() else { return signal.into_iter().collect() };
        // What is known of the current table says nothing about the next one.
        let first = self.running() && !self.ends();
        let key = |key: &Option<Key>| {
            Value::from(java_objects::to_hexadecimal(key.as_deref().filter(|_| first)))
        };
        let total = self
            .total_rows
            .filter(|_| first)
            .map(|rows| ("total_rows", Value::from(rows.to_string())));
        [
            ("primary_key", key(&self.sent)),
            ("maximum_key", key(&self.maximum)),
            ("collections", Value::from(text)),
            ("correlation_id", self.correlation_id.as_deref().map_or(Value::Null, Value::from)),
        ]
        .into_iter()
        .chain(total)
        .map(|(field, value)| (format!("{PREFIX}{field}"), value))
        .chain(signal)
        .collect()
    }

    /// The tables that are left, as they are stored; none when nothing is.
    fn text(&self) -> Option<&str> {
        let text = self.text.0.get_or_init(|| {
            let collection = |collection: &Collection| {
                let value =
                    |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
                [
                    ("id", Value::from(collection.id.as_str())),
                    ("additional_condition", value(&collection.condition)),
                    ("surrogate_key", value(&collection.surrogate_key)),
                    ("correlation_id", value(&collection.correlation_id)),
                ]
                .map(|(field, value)| (format!("{COLLECTION}{field}"), value))
                .into_iter()
                .collect::<Map<_, _>>()
            };
            let left = self.queue.iter().filter(|left| !left.stopping);
            let left = left.map(|left| collection(&left.collection));
            let left: Vec<Value> = left.map(Value::Object).collect();
            match left.is_empty() {
                true => String::new(),
                false => Value::Array(left).to_string(),
            }
        });
        Some(text.as_str()).filter(|text| !text.is_empty())
    }

    /// How many bytes the tables that are left take in an offset, where their quotes are escaped.
    pub fn stored_bytes(&self) -> usize {
        let escaped = |byte: &u8| matches!(byte, b'"' | b'\\');
        self.text()
            .map_or(0, |text| text.len() + text.as_bytes().iter().filter(|b| escaped(b)).count())
    }

    /// See [`Context::signal_offset`].
    pub fn signal_offset_of(offset: &Map<String, Value>) -> Option<i64> {
        offset.get(&format!("{PREFIX}{SIGNAL}")).and_then(Value::as_i64)
    }

    pub fn running(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The table that is being read.
    pub fn current(&self) -> Option<&Collection> {
        self.queue.front().map(|current| &current.collection)
    }

    /// All tables that are left, the current one first.
    pub fn collections(&self) -> impl Iterator<Item = &Collection> {
        self.queue.iter().map(|left| &left.collection)
    }

    /// The names of all tables that are left, the current one included.
    pub fn names(&self) -> Vec<&str> {
        self.collections().map(|collection| collection.id.as_str()).collect()
    }

    pub fn after(&self) -> Option<&Key> {
        self.after.as_ref()
    }

    pub fn maximum(&self) -> Option<&Key> {
        self.maximum.as_ref()
    }

    pub fn total_rows(&self) -> Option<i64> {
        self.total_rows
    }

    /// The id of the signal that asked last; none once nothing runs any more.
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation_id.as_deref()
    }

    pub fn forget_correlation_id(&mut self) {
        self.correlation_id = None;
    }

    /// Adds the tables of a signal, whose names `names` are.
    pub fn add(&mut self, signal_id: &str, execute: &Execute, names: Vec<String>) {
        self.correlation_id = Some(signal_id.to_owned()).filter(|id| !id.is_empty());
        self.text = Text::default();
        self.queue.extend(names.into_iter().map(|id| {
            let condition = execute.conditions.iter().find(|condition| condition.is_for(&id));
            let filter = condition.map(|condition| &condition.filter);
            Queued::from(Collection {
                condition: filter
                    .filter(|filter| !filter.is_empty())
                    .map(|filter| format!("({filter})")),
                surrogate_key: execute.surrogate_key.clone(),
                correlation_id: Some(signal_id.to_owned()).filter(|id| !id.is_empty()),
                id,
            })
        }));
    }

    /// A chunk of this id is read now.
    pub fn begin_chunk(&mut self, id: String) {
        self.chunk = Some(id);
    }

    pub fn chunk(&self) -> Option<&str> {
        self.chunk.as_deref()
    }

    /// Whether a mark is about the chunk at hand. Others are of an earlier run, or of another connector.
    pub fn expects(&self, mark: &str) -> bool {
        self.chunk.as_deref().is_some_and(|chunk| mark.starts_with(chunk))
    }

    /// The current table was begun.
    pub fn begun(&mut self, maximum: Key, total_rows: Option<i64>) {
        self.maximum = Some(maximum);
        self.total_rows = total_rows;
    }

    /// A chunk of the current table was read, up to the key `end`.
    pub fn read(&mut self, rows: usize, end: Key) {
        self.rows_scanned += i64::try_from(rows).unwrap_or(i64::MAX);
        self.after = Some(end);
    }

    /// The row with this key is in a batch.
    pub fn sent(&mut self, key: Key) {
        self.sent = Some(key);
    }

    /// These tables are to be taken out once the chunk at hand is done: a restart does not go on with
    /// them. What is added later stays.
    pub fn stop(&mut self, named: impl Fn(&Collection) -> bool) {
        self.queue.iter_mut().for_each(|left| left.stopping |= named(&left.collection));
        self.text = Text::default();
    }

    pub fn is_stopping(&self, name: &str) -> bool {
        self.queue.iter().any(|left| left.stopping && left.collection.id == name)
    }

    /// Whether the current table is to be taken out.
    pub fn ends(&self) -> bool {
        self.queue.front().is_some_and(|current| current.stopping)
    }

    /// What was to be taken out is.
    pub fn stopped(&mut self) {
        self.queue.iter_mut().for_each(|left| left.stopping = false);
        self.text = Text::default();
    }

    /// Done with the current table.
    pub fn next(&mut self) {
        self.queue.pop_front();
        self.text = Text::default();
        (self.after, self.sent, self.maximum, self.total_rows) = (None, None, None, None);
        self.rows_scanned = 0;
    }

    /// Takes a table out that is to be stopped and is not the current one; false when it is not there.
    pub fn remove(&mut self, name: &str) -> bool {
        let (before, mut first) = (self.queue.len(), true);
        self.queue.retain(|left| {
            std::mem::take(&mut first) || !left.stopping || left.collection.id != name
        });
        self.text = Text::default();
        self.queue.len() < before
    }
}

fn collections(text: &str) -> Option<VecDeque<Collection>> {
    let Ok(Value::Array(list)) = serde_json::from_str(text) else {
        tracing::warn!(
            "the stored offset's {PREFIX}collections can't be read, so the incremental snapshot that was under way ends here; send its signal again"
        );
        return None;
    };
    let collection = |value: &Value| {
        let text = |field: &str| {
            let text = value.get(format!("{COLLECTION}{field}")).and_then(Value::as_str);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Some(Collection {
            // Oracle's have quotes.
            id: text("id")?.replace('"', ""),
            condition: text("additional_condition"),
            surrogate_key: text("surrogate_key"),
            correlation_id: text("correlation_id"),
        })
    };
    Some(list.iter().filter_map(collection).collect())
}

/// What `java.util.Objects.toString` makes of the values of a key, joined by commas, as notifications
/// have it; a byte array is shown in hexadecimal digits instead of by its address.
pub fn shown(key: &[Object]) -> String {
    key.iter().map(shown_value).collect::<Vec<_>>().join(",")
}

fn shown_value(value: &Object) -> String {
    match value {
        Object::Null | Object::PgObject { value: None, .. } => "<null>".to_owned(),
        Object::Boolean(value) => value.to_string(),
        Object::Byte(value) => value.to_string(),
        Object::Short(value) => value.to_string(),
        Object::Integer(value) => value.to_string(),
        Object::Long(value) => value.to_string(),
        Object::Float(value) => model::java::float_to_string(*value).as_str().to_owned(),
        Object::Double(value) => model::java::double_to_string(*value).as_str().to_owned(),
        Object::String(text) | Object::PgObject { value: Some(text), .. } => text.clone(),
        Object::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        Object::BigInteger(value) => value.to_string(),
        Object::BigDecimal { unscaled, scale } => decimal(&unscaled.to_string(), *scale),
        Object::Uuid(value) => {
            let digits = format!("{value:032x}");
            let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
            parts.map(|(from, to)| digits.get(from..to).unwrap_or_default()).join("-")
        }
        Object::Date(millis) => moment(*millis).format("%Y-%m-%d").to_string(),
        Object::Timestamp { millis, nanos } => {
            let nanos = format!("{nanos:09}");
            let fraction = nanos.trim_end_matches('0');
            let fraction = if fraction.is_empty() { "0" } else { fraction };
            format!("{}.{fraction}", moment(*millis).format("%Y-%m-%d %H:%M:%S"))
        }
    }
}

/// In the time zone of this process, as a JVM shows it in its own.
fn moment(millis: i64) -> DateTime<Local> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default().with_timezone(&Local)
}

/// `BigDecimal.toString`: plain unless the exponent is far out.
fn decimal(unscaled: &str, scale: i32) -> String {
    let (sign, digits) = match unscaled.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", unscaled),
    };
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let exponent = length - 1 - i64::from(scale);
    if scale == 0 {
        return unscaled.to_owned();
    }
    if scale > 0 && exponent >= -6 {
        let places = usize::try_from(scale).unwrap_or_default();
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        return format!("{sign}{whole}.{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{exponent:+}")
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;
    use crate::signals::{Action, Signal};

    /// What a JVM with Debezium 3.7 stored in the middle of an incremental snapshot, without the fields
    /// of the stream.
    const RECORDED: &str = r#"{"incremental_snapshot_correlation_id":"e0","incremental_snapshot_maximum_key":"aced0005757200135b4c6a6176612e6c616e672e4f626a6563743b90ce589f1073296c020000787000000001737200116a6176612e6c616e672e496e746567657212e2a0a4f781873802000149000576616c7565787200106a6176612e6c616e672e4e756d62657286ac951d0b94e08b020000787000000005","incremental_snapshot_total_rows":"5","incremental_snapshot_collections":"[{\"incremental_snapshot_collections_id\":\"public.t_int2\",\"incremental_snapshot_collections_additional_condition\":null,\"incremental_snapshot_collections_surrogate_key\":null,\"incremental_snapshot_collections_correlation_id\":\"e0\"}]","incremental_snapshot_primary_key":"aced0005757200135b4c6a6176612e6c616e672e4f626a6563743b90ce589f1073296c020000787000000001737200116a6176612e6c616e672e496e746567657212e2a0a4f781873802000149000576616c7565787200106a6176612e6c616e672e4e756d62657286ac951d0b94e08b020000787000000002"}"#;

    fn execute(data: &str) -> Execute {
        let signal = Signal { id: "1".into(), kind: "execute-snapshot".into(), data: data.into() };
        let Ok(Action::Execute(execute)) = signal.parse() else { panic!("{data}") };
        execute
    }

    #[test]
    fn a_recorded_state_is_read_and_written() {
        let offset: Map<String, Value> = serde_json::from_str(RECORDED).unwrap();
        let context = Context::load(&offset);
        assert!(context.running());
        assert_eq!(context.names(), ["public.t_int2"]);
        assert_eq!(context.after(), Some(&vec![Object::Integer(2)]));
        assert_eq!(context.maximum(), Some(&vec![Object::Integer(5)]));
        assert_eq!((context.total_rows(), context.correlation_id()), (Some(5), Some("e0")));
        let mut stored = context.store();
        let mut wanted: Vec<(String, Value)> = offset.into_iter().collect();
        stored.sort_by(|a, b| a.0.cmp(&b.0));
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(stored, wanted);
        assert!(stored.iter().all(|(field, _)| is_stored(field)));
    }

    #[test]
    fn a_key_of_a_strange_class_begins_the_table_anew() {
        let mut offset: Map<String, Value> = serde_json::from_str(RECORDED).unwrap();
        offset["incremental_snapshot_primary_key"] = "aced000573".into();
        let context = Context::load(&offset);
        assert!(context.running());
        assert_eq!((context.after(), context.maximum()), (None, None));
    }

    #[test]
    fn nothing_stored_is_nothing_to_do() {
        assert_eq!(Context::load(&Map::new()), Context::default());
        assert!(Context::default().store().is_empty());
        let signalled = Context { signal_offset: Some(7), ..Context::default() };
        let stored = signalled.store().into_iter().collect();
        assert_eq!(Context::load(&stored), signalled);
    }

    #[test]
    fn tables_come_one_after_the_other() {
        let mut context = Context::default();
        let asked = execute(
            r#"{"data-collections": ["s.a"], "surrogate-key": "k", "additional-conditions": [{"data-collection": "s.b", "filter": "x = 1"}]}"#,
        );
        context.add("7", &asked, ["s.a", "s.b", "s.c"].map(str::to_owned).into());
        assert_eq!(context.names(), ["s.a", "s.b", "s.c"]);
        context.begin_chunk("chunk".into());
        assert!(context.expects("chunk-open") && !context.expects("other-open"));
        context.begun(vec![Object::Long(9)], Some(3));
        context.read(2, vec![Object::Long(4)]);
        context.sent(vec![Object::Long(3)]);
        context.signal_offset = Some(0);
        let loaded = Context::load(&context.store().into_iter().collect());
        assert_eq!(loaded.after(), Some(&vec![Object::Long(3)]));
        assert_eq!(loaded.signal_offset, Some(0));
        // A table that is to be stopped is not stored, and neither is how far it was read.
        let named = |collection: &Collection| matches!(&*collection.id, "s.a" | "s.c");
        context.stop(named);
        let loaded = Context::load(&context.store().into_iter().collect());
        assert_eq!((loaded.names(), loaded.after(), loaded.maximum()), (vec!["s.b"], None, None));
        assert_eq!((loaded.total_rows(), context.names().len()), (None, 3));
        // What is asked for behind the stop is not taken out with it.
        context.add("8", &asked, vec!["s.c".to_owned()]);
        assert!(context.remove("s.c") && !context.remove("s.c"));
        assert_eq!(context.names(), ["s.a", "s.b", "s.c"]);
        let loaded = Context::load(&context.store().into_iter().collect());
        assert_eq!(loaded.names(), ["s.b", "s.c"]);
        context.stopped();
        assert_eq!(Context::load(&context.store().into_iter().collect()).names().len(), 3);
        let text = &context.store()[2].1.to_string();
        assert_eq!(context.stored_bytes() + 2, text.len(), "{text}");
        assert!(!context.remove("s.c"), "nobody stops it");
        context.stop(named);
        assert!(context.remove("s.c") && !context.remove("s.c") && !context.remove("s.a"));
        context.stopped();
        context.next();
        let current = context.current().unwrap();
        assert_eq!(current.condition.as_deref(), Some("(x = 1)"));
        assert_eq!((context.after(), context.maximum(), context.rows_scanned), (None, None, 0));
        context.next();
        assert!(!context.running());
    }

    /// The numbers are those of the documentation of `java.math.BigDecimal`.
    #[test]
    fn keys_are_shown_as_java_shows_them() {
        for (unscaled, scale, wanted) in [
            (123, 0, "123"),
            (-123, 0, "-123"),
            (123, -1, "1.23E+3"),
            (123, -3, "1.23E+5"),
            (123, 1, "12.3"),
            (123, 5, "0.00123"),
            (123, 10, "1.23E-8"),
            (-123, 12, "-1.23E-10"),
            (750, 2, "7.50"),
            (0, 2, "0.00"),
        ] {
            let unscaled = num_bigint::BigInt::from(unscaled);
            assert_eq!(shown(&[Object::BigDecimal { unscaled, scale }]), wanted);
        }
        let key = [Object::Integer(3), Object::Null, Object::String("a".into()), Object::Uuid(1)];
        assert_eq!(shown(&key), "3,<null>,a,00000000-0000-0000-0000-000000000001");
        assert_eq!(shown(&[Object::Double(0.5), Object::Boolean(true)]), "0.5,true");
        let local = Local.with_ymd_and_hms(2024, 3, 1, 0, 0, 0).unwrap().timestamp_millis();
        let moment = Object::Timestamp { millis: local, nanos: 120_000_000 };
        assert_eq!(shown(&[Object::Date(local), moment]), "2024-03-01,2024-03-01 00:00:00.12");
    }
}
