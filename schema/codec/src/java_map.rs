//! Maps in the order in which a `java.util.HashMap` is iterated, because the JVM's converters and
//! sinks read and print them in that order.

use std::collections::HashMap;

use model::{
    java::{self, string_hash},
    schema::Kind,
    value::Value,
};

/// Entries in insertion order become a map: of equal keys the last value counts. `keys` is the kind
/// of the keys; whole numbers are 64 bits wide without it.
///
/// Keys without a hash code of their own in Java (bytes, structs and collections here) stay in
/// insertion order.
pub(crate) fn ordered(entries: Vec<(Value, Value)>, keys: Option<&Kind>) -> Vec<(Value, Value)> {
    let hashes: Option<Vec<i32>> = entries.iter().map(|(key, _)| hash(key, keys)).collect();
    let Some(hashes) = hashes else { return entries };
    let mut by_hash: HashMap<i32, Vec<usize>> = HashMap::with_capacity(entries.len());
    let mut unique: Vec<(i32, (Value, Value))> = Vec::with_capacity(entries.len());
    for (hash, (key, value)) in hashes.into_iter().zip(entries) {
        let same = by_hash.entry(hash).or_default();
        match same.iter().find(|&&place| unique[place].1.0.as_ref().same(key.as_ref())) {
            Some(&place) => unique[place].1.1 = value,
            None => {
                same.push(unique.len());
                unique.push((hash, (key, value)));
            }
        }
    }
    let buckets = java::buckets(unique.len());
    let ordered = java::in_hash_order(unique, buckets, |(hash, _)| *hash);
    ordered.into_iter().map(|(_, entry)| entry).collect()
}

/// `hashCode()` of the Java object that holds the key.
fn hash(key: &Value, kind: Option<&Kind>) -> Option<i32> {
    let fold = |bits: u64| (bits ^ (bits >> 32)) as i32;
    Some(match (key, kind) {
        (Value::Null, _) => 0,
        (Value::Bool(true), _) => 1231,
        (Value::Bool(false), _) => 1237,
        (Value::Int(value), Some(Kind::Int8 | Kind::Int16 | Kind::Int32)) => *value as i32,
        (Value::Int(value), _) => fold(*value as u64),
        (Value::Float32(value), _) if value.is_nan() => 0x7fc0_0000,
        (Value::Float32(value), _) => value.to_bits() as i32,
        (Value::Float64(value), _) if value.is_nan() => fold(0x7ff8_0000_0000_0000),
        (Value::Float64(value), _) => fold(value.to_bits()),
        (Value::Text(text), _) => string_hash(text),
        (Value::Bytes(_) | Value::Array(_) | Value::Map(_) | Value::Struct(_), _) => return None,
    })
}
