//! Values of extensions: PostGIS geometries and pgvector's vectors, from the text of their types.

use std::sync::Arc;

use bytes::Bytes;
use model::{
    java,
    schema::{Kind, Schema},
    value::{Struct, Value},
};

use super::{BadValue, bad};

/// `io.debezium.data.geometry.Geography`.
pub(crate) fn geography() -> Schema {
    Schema::structure([
        ("wkb", Arc::new(Schema::new(Kind::Bytes))),
        ("srid", Arc::new(Schema::new(Kind::Int32).optional())),
    ])
    .named("io.debezium.data.geometry.Geography", 1)
    .doc("Geography")
}

/// In the byte that says which shape it is.
const EWKB_SRID: u32 = 0x2000_0000;

/// Extended WKB in hexadecimal digits: a struct of all its bytes and the SRID in them. `schema` has
/// perhaps more fields, which are null.
pub(crate) fn parse_ewkb(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    const EXPECTED: &str = "a geometry as hexadecimal EWKB";
    let mut wkb = Vec::with_capacity(text.len() / 2);
    super::text::read_hexadecimal(text, &mut wkb).or(bad(EXPECTED))?;
    ewkb_value(schema, wkb.into()).ok_or(BadValue { expected: EXPECTED })
}

/// What stands for a missing geometry: an empty collection.
pub(crate) fn empty_collection(schema: &Arc<Schema>) -> Value {
    let wkb = Bytes::from_static(&[1, 7, 0, 0, 0, 0, 0, 0, 0]);
    ewkb_value(schema, wkb).unwrap_or(Value::Null)
}

fn ewkb_value(schema: &Arc<Schema>, wkb: Bytes) -> Option<Value> {
    let number = |at: usize| -> Option<u32> {
        let bytes = wkb.get(at..at + 4)?.try_into().ok()?;
        Some(if wkb[0] == 0 { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let (kind, next) = (number(1)?, number(5)?);
    let srid = match kind & EWKB_SRID {
        0 => Value::Null,
        _ => Value::Int(next.cast_signed().into()),
    };
    let mut fields = vec![Value::Bytes(wkb), srid];
    fields.resize(schema.fields().len(), Value::Null);
    Some(Value::Struct(Struct::new(schema.clone(), fields)))
}

/// `[1,2.5]`
pub(crate) fn parse_vector(text: &str, single: bool) -> Result<Value, BadValue> {
    const EXPECTED: &str = "a vector as [x,y]";
    let inner = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let Some(inner) = inner else { return bad(EXPECTED) };
    let elements = inner.split(',').map(str::trim).map(|element| -> Result<Value, BadValue> {
        Ok(match single {
            true => Value::Float32(element.parse().or(bad(EXPECTED))?),
            false => Value::Float64(element.parse().or(bad(EXPECTED))?),
        })
    });
    Ok(Value::Array(elements.collect::<Result<_, BadValue>>()?))
}

/// `{1:0.5,3:2}/5`: the indexes are in the order of a `java.util.HashMap`.
pub(crate) fn parse_sparse_vector(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    const EXPECTED: &str = "a sparse vector as {index:x}/dimensions";
    let Some((vector, dimensions)) = text.trim().split_once('/') else { return bad(EXPECTED) };
    // Debezium keeps dimensions and indexes in 16 bits.
    let dimensions: i16 = dimensions.trim().parse().or(bad(EXPECTED))?;
    let inner = vector.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let Some(inner) = inner.map(str::trim) else { return bad(EXPECTED) };
    let mut entries: Vec<(i16, f64)> = Vec::new();
    let elements = inner.split(',').filter(|_| !inner.is_empty());
    let count = elements.clone().count();
    for element in elements {
        let Some((index, value)) = element.split_once(':') else { return bad(EXPECTED) };
        let index: i16 = index.trim().parse().or(bad(EXPECTED))?;
        let value: f64 = value.trim().parse().or(bad(EXPECTED))?;
        match entries.iter_mut().find(|(known, _)| *known == index) {
            Some(entry) => entry.1 = value,
            None => entries.push((index, value)),
        }
    }
    let buckets = java::buckets_for(count.max(1));
    let entries = java::in_hash_order(entries, buckets, |(index, _)| i32::from(*index));
    let entries = entries
        .into_iter()
        .map(|(index, value)| (Value::Int(index.into()), Value::Float64(value)))
        .collect();
    let fields = vec![Value::Int(dimensions.into()), Value::Map(entries)];
    Ok(Value::Struct(Struct::new(schema.clone(), fields)))
}
