//! A schema as Connect writes it in JSON: keys in Connect's order.

use std::sync::Arc;

use model::{
    schema::{Kind, Schema},
    value::Value,
};

use super::{
    encode::{Plan, Style},
    write,
};

/// Appends the schema; `field` is the name it has in a struct, which comes last.
///
/// An error is a default that the schema itself does not allow.
pub(crate) fn write(
    out: &mut Vec<u8>,
    schema: &Arc<Schema>,
    field: Option<&str>,
    style: Style,
) -> Result<(), String> {
    out.extend_from_slice(br#"{"type":""#);
    out.extend_from_slice(schema.kind.json_name().as_bytes());
    out.push(b'"');
    match &schema.kind {
        Kind::Array(items) => {
            out.extend_from_slice(br#","items":"#);
            write(out, items, None, style)?;
        }
        Kind::Map(keys, values) => {
            out.extend_from_slice(br#","keys":"#);
            write(out, keys, None, style)?;
            out.extend_from_slice(br#","values":"#);
            write(out, values, None, style)?;
        }
        Kind::Struct(fields) => {
            out.extend_from_slice(br#","fields":["#);
            write::list(out, fields.iter(), |out, field| {
                write(out, &field.schema, Some(&field.name), style)
            })?;
            out.push(b']');
        }
        _ => {}
    }
    out.extend_from_slice(br#","optional":"#);
    write::boolean(out, schema.optional);
    if let Some(name) = &schema.name {
        out.extend_from_slice(br#","name":"#);
        write::text(out, name);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(br#","version":"#);
        write::int(out, version.into());
    }
    if let Some(doc) = &schema.doc {
        out.extend_from_slice(br#","doc":"#);
        write::text(out, doc);
    }
    if !schema.parameters.is_empty() {
        out.extend_from_slice(br#","parameters":{"#);
        write::list(out, &schema.parameters, |out, (key, value)| {
            write::text(out, key);
            out.push(b':');
            write::text(out, value);
            Ok::<_, String>(())
        })?;
        out.push(b'}');
    }
    if let Some(default) = schema.default.as_ref().filter(|value| **value != Value::Null) {
        out.extend_from_slice(br#","default":"#);
        Plan::new(schema, style).encode(default.as_ref(), out)?;
    }
    if let Some(field) = field {
        out.extend_from_slice(br#","field":"#);
        write::text(out, field);
    }
    out.push(b'}');
    Ok(())
}
