//! The order in which the JVM lists the stored offsets of a source.
//!
//! It goes through two `java.util.HashMap`s: one by the bytes of the stored keys, and one by the
//! partitions, which is made for as many as there are. What shares a bucket of the second keeps the
//! order of the first.

use model::{
    connector::Object,
    java::{self, string_hash},
};
use serde_json::Value;

/// Partitions with their offsets in that order.
pub(super) fn source_offsets(
    connector: &str,
    listed: Vec<(Object, Object)>,
) -> Vec<(Object, Object)> {
    let count = listed.len();
    let listed = java::in_hash_order(listed, java::buckets(count), |(partition, _)| {
        let key = serde_json::json!([connector, partition]).to_string();
        bytes_hash(key.as_bytes())
    });
    java::in_hash_order(listed, java::buckets_for(count), |(partition, _)| map_hash(partition))
}

/// `ByteBuffer.hashCode`.
fn bytes_hash(bytes: &[u8]) -> i32 {
    let next = |hash: i32, byte: &u8| hash.wrapping_mul(31).wrapping_add(i32::from(*byte as i8));
    bytes.iter().rev().fold(1, next)
}

/// `AbstractMap.hashCode`.
fn map_hash(map: &Object) -> i32 {
    let entry = |(key, value): (&String, &Value)| string_hash(key) ^ hash(value);
    map.iter().map(entry).fold(0, i32::wrapping_add)
}

/// `hashCode` of what the JSON converter makes of a value.
fn hash(value: &Value) -> i32 {
    let long = |bits: u64| (bits ^ (bits >> 32)) as i32;
    match value {
        Value::Null => 0,
        Value::Bool(true) => 1231,
        Value::Bool(false) => 1237,
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => long(integer as u64),
            (None, double) => long(double.unwrap_or_default().to_bits()),
        },
        Value::String(text) => string_hash(text),
        Value::Array(items) => {
            items.iter().fold(1i32, |sum, item| sum.wrapping_mul(31).wrapping_add(hash(item)))
        }
        Value::Object(map) => map_hash(map),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `GET /connectors/hv/offsets` of a JVM worker gave, whatever the order of storing.
    #[test]
    fn as_a_jvm_lists_them() {
        let given = [
            r#"{"filename":"x","n":1.5}"#,
            r#"{"id":11}"#,
            r#"{"id":10}"#,
            r#"{"id":9}"#,
            r#"{"id":8}"#,
            r#"{"b":true,"s":"t"}"#,
            r#"{"big":99999999999,"z":null}"#,
            r#"{"id":12}"#,
            r#"{"id":3}"#,
            r#"{"id":2}"#,
            r#"{"id":1}"#,
            r#"{"id":0}"#,
            r#"{"id":7}"#,
            r#"{"id":6}"#,
            r#"{"id":5}"#,
            r#"{"id":4}"#,
        ];
        let given = given.map(|json| (serde_json::from_str(json).unwrap(), Object::new()));
        let mut mixed = given.to_vec();
        for turn in 0..given.len() {
            mixed.rotate_left(turn);
            mixed.swap(0, turn);
            assert_eq!(source_offsets("hv", mixed.clone()), given);
        }
    }
}
