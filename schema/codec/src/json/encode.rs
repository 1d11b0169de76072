//! Values to JSON, by a plan made once per schema.
//!
//! The plan mirrors the schema: per struct the field names are escaped and ready with their commas
//! and colons, per node it is settled what a null becomes (an encoded default, `null`, an error),
//! and the whole `{"schema":…,"payload":` of `schemas.enable` is one byte string. Per record the
//! encoder walks plan and value side by side and allocates nothing.

use std::sync::{Arc, Mutex};

use model::{
    convert::{Encode, Encoded},
    error::{RecordError, Stage},
    row::{Mark, Row},
    schema::{Kind, Schema},
    value::{StructRef, Value, ValueRef},
};

use super::{schema_text, write, write::Piece};
use crate::{decimal, logical, logical::Logical};

/// How the options shape a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) schemas_enable: bool,
    pub(crate) numeric_decimals: bool,
    pub(crate) replace_null_with_default: bool,
}

/// All that is computed once for a schema; shared by the encoders of several topics.
pub(crate) struct Planned {
    /// Empty without `schemas.enable`.
    prefix: Result<Vec<u8>, String>,
    suffix: &'static [u8],
    plan: Plan,
    schemaless: bool,
}

pub(crate) struct JsonEncoder {
    pub(crate) planned: Arc<Planned>,
    pub(crate) stage: Stage,
}

pub(crate) struct Plan {
    /// What a null is written as, or why it is refused.
    null: Result<Piece, String>,
    node: Node,
}

enum Node {
    Int(Expected),
    Float32,
    Float64,
    Boolean,
    Text,
    Bytes(Expected),
    /// A Decimal under `decimal.format=NUMERIC`.
    Decimal {
        scale: i32,
    },
    Array(Box<Plan>),
    Object {
        keys: Box<Plan>,
        values: Box<Plan>,
    },
    /// A map whose keys are not text: an array of pairs.
    Pairs {
        keys: Box<Plan>,
        values: Box<Plan>,
    },
    Struct {
        schema: Arc<Schema>,
        /// Each field with `,"name":` ready to write.
        fields: Vec<(Piece, Plan)>,
        /// For structs that repeat from record to record.
        memo: Option<Mutex<Memo>>,
    },
    /// No schema: the value says what it is.
    Any,
    /// Whatever the value, this is what is wrong.
    Broken(String),
}

/// The bytes of a struct that came twice in a row as the same packed row: the source block of a
/// snapshot is one row for thousands of records, and nearly half of their bytes.
#[derive(Default)]
struct Memo {
    last: Mark,
    /// Empty until `last` came a second time.
    bytes: Vec<u8>,
}

impl Memo {
    fn encode(
        &mut self,
        row: &Row,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), String>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let again = self.last.is(row);
        if again && !self.bytes.is_empty() {
            out.extend_from_slice(&self.bytes);
            return Ok(());
        }
        let start = out.len();
        encode(out)?;
        self.bytes.clear();
        if again {
            self.bytes.extend_from_slice(&out[start..]);
        } else {
            self.last = row.mark();
        }
        Ok(())
    }
}

/// How a value of another type is refused.
#[derive(Clone, Copy)]
enum Expected {
    Kind(&'static str),
    Logical(Logical),
}

impl Encode for JsonEncoder {
    fn encode(&mut self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<Encoded, RecordError> {
        self.planned.encode(value, out).map_err(|message| RecordError::new(self.stage, message))
    }
}

impl Planned {
    pub(crate) fn new(schema: Option<&Arc<Schema>>, style: Style) -> Self {
        let plan = schema.map_or_else(Plan::any, |schema| Plan::new(schema, style));
        let (prefix, suffix): (_, &[u8]) = match schema {
            _ if !style.schemas_enable => (Ok(Vec::new()), b""),
            None => (Ok(br#"{"schema":null,"payload":"#.to_vec()), b"}"),
            Some(schema) => {
                let mut prefix = br#"{"schema":"#.to_vec();
                let written = schema_text::write(&mut prefix, schema, None, style);
                prefix.extend_from_slice(br#","payload":"#);
                (written.map(|()| prefix), b"}")
            }
        };
        Self { prefix, suffix, plan, schemaless: schema.is_none() }
    }

    pub(crate) fn encode(&self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<Encoded, String> {
        if self.schemaless && value.is_null() {
            return Ok(Encoded::Null);
        }
        match &self.prefix {
            Ok(prefix) => out.extend_from_slice(prefix),
            Err(message) => return Err(message.clone()),
        }
        self.plan.encode(value, out)?;
        out.extend_from_slice(self.suffix);
        Ok(Encoded::Bytes)
    }
}

impl Plan {
    pub(crate) fn new(schema: &Arc<Schema>, style: Style) -> Self {
        let mut plan = Plan { null: Ok(Piece::new(b"")), node: Node::new(schema, style) };
        plan.null = match &schema.default {
            Some(default) if style.replace_null_with_default && *default != Value::Null => {
                plan.encode_alone(default.as_ref())
            }
            _ if schema.optional => Ok(Piece::new(b"null")),
            _ => Err("Conversion error: null value for field that is required and has no default \
                      value"
                .to_owned()),
        };
        plan
    }

    fn any() -> Self {
        Plan { null: Ok(Piece::new(b"null")), node: Node::Any }
    }

    fn encode_alone(&self, value: ValueRef<'_>) -> Result<Piece, String> {
        let mut out = Vec::new();
        self.encode(value, &mut out)?;
        Ok(Piece::new(&out))
    }

    pub(crate) fn encode(&self, value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match (&self.node, value) {
            (_, ValueRef::Null) => match &self.null {
                Ok(piece) => piece.write(out),
                Err(message) => return Err(message.clone()),
            },
            (Node::Text, ValueRef::Text(value)) => write::text(out, value),
            (Node::Int(_), ValueRef::Int(value)) => write::int(out, value),
            (Node::Float32, ValueRef::Float32(value)) => write::float32(out, value),
            (Node::Float64, ValueRef::Float64(value)) => write::float64(out, value),
            (Node::Boolean, ValueRef::Bool(value)) => write::boolean(out, value),
            (Node::Bytes(_), ValueRef::Bytes(value)) => write::base64(out, value),
            (Node::Struct { schema, fields, memo: None }, ValueRef::Struct(value)) => {
                return encode_struct(schema, fields, value, out);
            }
            (Node::Struct { schema, fields, memo: Some(memo) }, ValueRef::Struct(value)) => {
                let encode = |out: &mut Vec<u8>| encode_struct(schema, fields, value, out);
                return match (value.packed(), memo.lock()) {
                    (Some(row), Ok(mut memo)) => memo.encode(row, encode, out),
                    _ => encode(out),
                };
            }
            (Node::Decimal { scale }, ValueRef::Bytes(value)) => {
                decimal::write(out, value, *scale);
            }
            (Node::Array(plan), ValueRef::Array(items)) => {
                out.push(b'[');
                write::list(out, items, |out, item| plan.encode(item.as_ref(), out))?;
                out.push(b']');
            }
            (Node::Object { keys, values }, ValueRef::Map(entries)) => {
                out.push(b'{');
                write::list(out, entries, |out, (key, value)| {
                    keys.encode_name(key.as_ref(), out)?;
                    out.push(b':');
                    values.encode(value.as_ref(), out)
                })?;
                out.push(b'}');
            }
            (Node::Pairs { keys, values }, ValueRef::Map(entries)) => {
                encode_pairs(keys, values, entries, out)?;
            }
            (Node::Any, value) => encode_any(value, out)?,
            (Node::Broken(message), _) => return Err(message.clone()),
            (node, value) => return Err(node.refusal(value)),
        }
        Ok(())
    }

    /// A null key of a map of text is the text `null`.
    fn encode_name(&self, key: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        self.encode(key, out)?;
        if out.get(start) != Some(&b'"') {
            out.truncate(start);
            out.extend_from_slice(br#""null""#);
        }
        Ok(())
    }
}

fn encode_struct(
    schema: &Arc<Schema>,
    fields: &[(Piece, Plan)],
    value: StructRef<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    if !Arc::ptr_eq(schema, value.schema) && schema != value.schema {
        return Err("Mismatching schema.".to_owned());
    }
    let start = out.len();
    for ((name, plan), index) in fields.iter().zip(0..) {
        name.write(out);
        plan.encode(value.at(index), out)?;
    }
    match out.get_mut(start) {
        Some(first_comma) => *first_comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
    Ok(())
}

fn encode_pairs(
    keys: &Plan,
    values: &Plan,
    entries: &[(Value, Value)],
    out: &mut Vec<u8>,
) -> Result<(), String> {
    out.push(b'[');
    write::list(out, entries, |out, (key, value)| {
        out.push(b'[');
        keys.encode(key.as_ref(), out)?;
        out.push(b',');
        values.encode(value.as_ref(), out)?;
        out.push(b']');
        Ok::<_, String>(())
    })?;
    out.push(b']');
    Ok(())
}

fn encode_any(value: ValueRef<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    match value {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Bool(value) => write::boolean(out, value),
        ValueRef::Int(value) => write::int(out, value),
        ValueRef::Float32(value) => write::float32(out, value),
        ValueRef::Float64(value) => write::float64(out, value),
        ValueRef::Text(value) => write::text(out, value),
        ValueRef::Bytes(value) => write::base64(out, value),
        ValueRef::Array(items) => {
            out.push(b'[');
            write::list(out, items, |out, item| encode_any(item.as_ref(), out))?;
            out.push(b']');
        }
        ValueRef::Map(entries) if entries.iter().all(|(key, _)| matches!(key, Value::Text(_))) => {
            out.push(b'{');
            write::list(out, entries, |out, (key, value)| {
                encode_any(key.as_ref(), out)?;
                out.push(b':');
                encode_any(value.as_ref(), out)
            })?;
            out.push(b'}');
        }
        ValueRef::Map(entries) => encode_pairs(&Plan::any(), &Plan::any(), entries, out)?,
        // A struct has a schema, and here there is none.
        ValueRef::Struct(_) => return Err("Mismatching schema.".to_owned()),
    }
    Ok(())
}

impl Node {
    fn new(schema: &Arc<Schema>, style: Style) -> Self {
        let plan = |schema: &Arc<Schema>| Box::new(Plan::new(schema, style));
        match Logical::of(schema) {
            Some(Logical::Decimal) => {
                return match logical::scale(schema) {
                    Err(message) => Node::Broken(message),
                    Ok(scale) if style.numeric_decimals => Node::Decimal { scale },
                    Ok(_) => Node::Bytes(Expected::Logical(Logical::Decimal)),
                };
            }
            Some(logical) => return Node::Int(Expected::Logical(logical)),
            None => {}
        }
        match &schema.kind {
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => {
                Node::Int(Expected::Kind(logical::kind_name(&schema.kind)))
            }
            Kind::Float32 => Node::Float32,
            Kind::Float64 => Node::Float64,
            Kind::Boolean => Node::Boolean,
            Kind::String => Node::Text,
            Kind::Bytes => Node::Bytes(Expected::Kind("BYTES")),
            Kind::Array(items) => Node::Array(plan(items)),
            Kind::Map(keys, values) if keys.kind == Kind::String => {
                Node::Object { keys: plan(keys), values: plan(values) }
            }
            Kind::Map(keys, values) => Node::Pairs { keys: plan(keys), values: plan(values) },
            Kind::Struct(fields) => {
                let name = |name: &str| {
                    let mut out = vec![b','];
                    write::text(&mut out, name);
                    out.push(b':');
                    Piece::new(&out)
                };
                let fields =
                    fields.iter().map(|field| (name(&field.name), *plan(&field.schema))).collect();
                // Of what Debezium writes, the source block is what repeats.
                let repeats = schema.name.as_ref().is_some_and(|name| name.ends_with(".Source"));
                let memo = repeats.then(Mutex::default);
                Node::Struct { schema: schema.clone(), fields, memo }
            }
        }
    }

    #[cold]
    fn refusal(&self, value: ValueRef<'_>) -> String {
        let class = logical::java_class(value);
        let expected = match self {
            Node::Int(expected) | Node::Bytes(expected) => *expected,
            Node::Decimal { .. } => Expected::Logical(Logical::Decimal),
            Node::Float32 => Expected::Kind("FLOAT32"),
            Node::Float64 => Expected::Kind("FLOAT64"),
            Node::Boolean => Expected::Kind("BOOLEAN"),
            Node::Text => Expected::Kind("STRING"),
            Node::Array(_) => Expected::Kind("ARRAY"),
            Node::Object { .. } | Node::Pairs { .. } => Expected::Kind("MAP"),
            Node::Struct { .. } | Node::Any | Node::Broken(_) => Expected::Kind("STRUCT"),
        };
        match expected {
            Expected::Kind("BYTES") => format!("Invalid type for bytes type: class {class}"),
            Expected::Kind(kind) => format!("Invalid type for {kind}: class {class}"),
            Expected::Logical(logical) => format!(
                "Invalid type for {}, expected {} but was class {class}",
                logical.short_name(),
                logical.java_type()
            ),
        }
    }
}
