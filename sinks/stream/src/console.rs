//! `io.riverrun.ConsoleSinkConnector`: events on standard output, for people or for programs.
//!
//! ```text
//! 14:03:22.117 u public.orders id=7 status: "new" → "paid"
//! ```

use std::{fmt::Write as _, io::IsTerminal};

use async_trait::async_trait;
use codec::Role;
use model::{
    config::{Check, Config, ConfigDef, Group, Importance, Key},
    connector::{Errant, Offsets, Props, SinkConnector, SinkTask},
    convert::{Converter, Encoded},
    error::{Error, RecordError, Result, Stage},
    record::{Data, SinkRecord},
    value::ValueRef,
};

use crate::change::{Event, Fields};

static FORMAT: Key<String> = Key::string("format")
    .default("line")
    .importance(Importance::High)
    .display("Format")
    .doc(
        "line: one readable line an event, in colour on a terminal. json: one JSON object a line, \
         with topic, partition, offset, key, value and headers.",
    )
    .check(Check::OneOf(&["line", "json"]));

static CONFIG: ConfigDef = ConfigDef(&[Group { name: "", keys: &[&FORMAT.spec] }]);

pub(crate) struct ConsoleSink;

#[async_trait]
impl SinkConnector for ConsoleSink {
    fn class(&self) -> &'static str {
        "io.riverrun.ConsoleSinkConnector"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn config(&self) -> &'static ConfigDef {
        &CONFIG
    }

    async fn start(&self, config: Config) -> Result<Box<dyn SinkTask>> {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Ok(Box::new(Task {
            json: if config.get(&FORMAT) == "json" { Some(Json::new()?) } else { None },
            colour,
        }))
    }
}

struct Task {
    /// `None` for lines.
    json: Option<Json>,
    colour: bool,
}

#[async_trait]
impl SinkTask for Task {
    async fn put(&mut self, records: &[SinkRecord], errant: &mut Errant) -> Result<()> {
        let mut out = Vec::new();
        for (index, record) in records.iter().enumerate() {
            match &mut self.json {
                None => line(record, self.colour, &mut out),
                Some(json) => {
                    let before = out.len();
                    if let Err(error) = json.write(record, &mut out).await {
                        out.truncate(before);
                        errant.report(index, error);
                    }
                }
            }
        }
        // Written through, because somebody is looking.
        let written = crate::print(out).await;
        written.map_err(|error| Error::fatal("writing to standard output failed").caused_by(error))
    }

    async fn pre_commit(&mut self, current: Offsets) -> Result<Offsets> {
        Ok(current)
    }
}

/// Text longer than this is cut in a line.
const TEXT_MAX: usize = 60;

fn line(record: &SinkRecord, colour: bool, out: &mut Vec<u8>) {
    let mut text = String::new();
    let value = record.record.value.value.as_ref();
    let event = Event::of(value);
    let ms = event.as_ref().and_then(|event| event.ts_ms).or(record.record.timestamp);
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    text.push_str(&paint("2", &ms.map_or_else(|| "--:--:--.---".to_owned(), clock)));
    let (op, place) = match &event {
        Some(event) => (event.op, event.table.as_deref().unwrap_or(&record.record.topic)),
        None if value.is_null() => ("-", &*record.record.topic),
        None => ("·", &*record.record.topic),
    };
    let code = match op {
        "c" => "32",
        "u" => "33",
        "d" | "t" => "31",
        _ => "36",
    };
    text.push_str(&format!(" {} {}", paint(code, op), paint("1", place)));
    let mut key = String::new();
    show_fields(record.record.key.value.as_ref(), &mut key);
    if !key.is_empty() {
        text.push(' ');
        text.push_str(&paint("35", &key));
    }
    match &event {
        Some(event) => body(event, record.record.key.value.as_ref(), &mut text),
        None if value.is_null() => text.push_str(" (tombstone)"),
        None => {
            text.push(' ');
            show_fields(value, &mut text);
        }
    }
    text.push('\n');
    out.extend_from_slice(text.as_bytes());
}

/// What an event changed: all of a new row beside its key, the columns an update touched, nothing
/// for a delete (the key says which).
fn body(event: &Event<'_>, key: ValueRef<'_>, text: &mut String) {
    let key = Fields::of(key);
    let in_key = |name: &str| key.is_some_and(|key| key.get(name).is_some());
    let Some(after) = event.after else { return };
    for (name, new) in after.list() {
        let old = event.before.and_then(|before| before.get(name));
        match old {
            Some(old) if old.same(new) => {}
            Some(old) => {
                text.push_str(&format!(" {name}: "));
                show(old, text);
                text.push_str(" → ");
                show(new, text);
            }
            None if in_key(name) => {}
            None => {
                text.push_str(&format!(" {name}="));
                show(new, text);
            }
        }
    }
}

/// `a=1 b="x"` for what has fields, the value itself for what has none. A key with one field and
/// no schema reads the same.
fn show_fields(value: ValueRef<'_>, text: &mut String) {
    let payload = Fields::of(value)
        .and_then(|fields| fields.get("schema").and_then(|_| fields.get("payload")));
    let value = payload.unwrap_or(value);
    match Fields::of(value) {
        None if value.is_null() => {}
        None => show(value, text),
        Some(fields) => {
            for (index, (name, value)) in fields.list().into_iter().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                text.push_str(&format!("{name}="));
                show(value, text);
            }
        }
    }
}

/// One value, short. Control characters are escaped, so that no value can write to the terminal.
fn show(value: ValueRef<'_>, text: &mut String) {
    let written = match value {
        ValueRef::Null => text.write_str("null"),
        ValueRef::Bool(value) => write!(text, "{value}"),
        ValueRef::Int(value) => write!(text, "{value}"),
        ValueRef::Float32(value) => write!(text, "{value}"),
        ValueRef::Float64(value) => write!(text, "{value}"),
        ValueRef::Text(value) => match value.char_indices().nth(TEXT_MAX) {
            Some((end, _)) => write!(text, "{:?}…", &value[..end]),
            None => write!(text, "{value:?}"),
        },
        ValueRef::Bytes(value) => {
            let shown: String =
                value.iter().take(TEXT_MAX / 4).map(|byte| format!("{byte:02x}")).collect();
            let more = if value.len() > TEXT_MAX / 4 { "…" } else { "" };
            write!(text, "0x{shown}{more}")
        }
        ValueRef::Array(items) => write!(text, "[{} items]", items.len()),
        ValueRef::Map(_) | ValueRef::Struct(_) => {
            text.push('{');
            show_fields(value, text);
            text.write_char('}')
        }
    };
    // Writing to a string cannot fail.
    written.expect("a string takes what is written to it");
}

/// The time of day in UTC.
fn clock(ms: i64) -> String {
    let day = ms.rem_euclid(86_400_000);
    let (hours, minutes) = (day / 3_600_000, day / 60_000 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", day / 1_000 % 60, day % 1_000)
}

/// Values as Kafka's JsonConverter writes them without schemas.
struct Json {
    converter: Box<dyn Converter>,
}

impl Json {
    fn new() -> Result<Self> {
        let class = "org.apache.kafka.connect.json.JsonConverter";
        let options = Props::from([("schemas.enable".to_owned(), "false".to_owned())]);
        let converter = codec::converter(class, &options, Role::Value)
            .map_err(|problems| Error::fatal(format!("{class} is not usable: {problems:?}")))?;
        Ok(Self { converter })
    }

    async fn write(&mut self, record: &SinkRecord, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let topic = &record.record.topic;
        out.extend_from_slice(b"{\"topic\":");
        string(topic, out);
        let place = format!(
            ",\"partition\":{},\"offset\":{},\"key\":",
            record.kafka_partition, record.kafka_offset
        );
        out.extend_from_slice(place.as_bytes());
        self.data(topic, &record.record.key, out).await?;
        out.extend_from_slice(b",\"value\":");
        self.data(topic, &record.record.value, out).await?;
        // A list, because a name may come twice.
        out.extend_from_slice(b",\"headers\":[");
        for (index, header) in record.record.headers.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"name\":");
            string(&header.name, out);
            out.extend_from_slice(b",\"value\":");
            self.data(topic, &header.data, out).await?;
            out.push(b'}');
        }
        out.extend_from_slice(b"]}\n");
        Ok(())
    }

    async fn data(
        &mut self,
        topic: &str,
        data: &Data,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let mut encode = self
            .converter
            .encoder(topic, data.schema.as_ref())
            .await
            .map_err(|error| RecordError::new(Stage::TaskPut, error.trace()))?;
        if encode.encode(data.value.as_ref(), out)? == Encoded::Null {
            out.extend_from_slice(b"null");
        }
        Ok(())
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{
        record::{Record, TimestampType, no_headers},
        schema::{Kind, Schema},
        value::{Struct, Value},
    };

    use super::*;

    fn map(entries: &[(&str, Value)]) -> Value {
        let entries =
            entries.iter().map(|(name, value)| (Value::Text((*name).into()), value.clone()));
        Value::Map(entries.collect())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn record(key: Value, value: Data) -> SinkRecord {
        let record = Record {
            topic: "shop.public.orders".into(),
            partition: Some(0),
            key: Data { schema: None, value: key },
            value,
            timestamp: Some(50_602_117),
            headers: no_headers(),
        };
        SinkRecord {
            record,
            kafka_partition: 0,
            kafka_offset: 41,
            timestamp_type: TimestampType::CreateTime,
        }
    }

    fn schemaless(value: Value) -> Data {
        Data { schema: None, value }
    }

    /// A schemaless envelope.
    fn event(op: &str, before: Value, after: Value) -> Value {
        let source = map(&[("schema", text("public")), ("table", text("orders"))]);
        map(&[("before", before), ("after", after), ("source", source), ("op", text(op))])
    }

    #[test]
    fn lines() {
        let row = |status: &str| map(&[("id", Value::Int(7)), ("status", text(status))]);
        let key = || map(&[("id", Value::Int(7))]);
        let long = "x".repeat(61);
        let schema = Arc::new(Schema::structure([
            ("n", Arc::new(Schema::new(Kind::Int32))),
            ("raw", Arc::new(Schema::new(Kind::Bytes))),
        ]));
        let plain = Struct::new(
            schema,
            vec![Value::Int(5), Value::Bytes(bytes::Bytes::from_static(&[1, 255]))],
        );
        let cases = [
            (
                record(key(), schemaless(event("c", Value::Null, row("new")))),
                "14:03:22.117 c public.orders id=7 status=\"new\"\n".to_owned(),
            ),
            (
                record(key(), schemaless(event("u", row("new"), row("paid")))),
                "14:03:22.117 u public.orders id=7 status: \"new\" → \"paid\"\n".to_owned(),
            ),
            (
                record(key(), schemaless(event("u", Value::Null, row("paid")))),
                "14:03:22.117 u public.orders id=7 status=\"paid\"\n".to_owned(),
            ),
            (
                record(key(), schemaless(event("d", row("paid"), Value::Null))),
                "14:03:22.117 d public.orders id=7\n".to_owned(),
            ),
            (
                record(key(), Data::NULL),
                "14:03:22.117 - shop.public.orders id=7 (tombstone)\n".to_owned(),
            ),
            (
                record(Value::Null, Data::structure(plain)),
                "14:03:22.117 · shop.public.orders n=5 raw=0x01ff\n".to_owned(),
            ),
            (
                record(text("k\u{1b}[2J"), schemaless(text(&long))),
                format!(
                    "14:03:22.117 · shop.public.orders \"k\\u{{1b}}[2J\" \"{}\"…\n",
                    &long[1..]
                ),
            ),
        ];
        for (record, answer) in cases {
            let mut out = Vec::new();
            line(&record, false, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), answer);
        }
    }

    #[tokio::test]
    async fn json_lines() {
        let mut out = Vec::new();
        let value = schemaless(event("d", map(&[("a", text("ü\n"))]), Value::Null));
        let mut json = Json::new().unwrap();
        json.write(&record(map(&[("id", Value::Int(7))]), value), &mut out).await.unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"topic\":\"shop.public.orders\",\"partition\":0,\"offset\":41,\"key\":{\"id\":7},\
             \"value\":{\"before\":{\"a\":\"ü\\n\"},\"after\":null,\"source\":{\"schema\":\
             \"public\",\"table\":\"orders\"},\"op\":\"d\"},\"headers\":[]}\n"
        );
    }
}
