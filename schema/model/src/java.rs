//! The few habits of the JVM that reach the bytes people store: the order in which a
//! `java.util.HashMap` of strings is iterated.

/// `String.hashCode`: over UTF-16 units, wrapping.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Puts `keys` (given in insertion order) into the order in which a `java.util.HashMap` with these
/// keys is iterated.
///
/// Connect stores source offsets as JSON objects whose field order is that of the connector's map,
/// and looks them up by bytes, so the order has to be reproduced.
/// Buckets are `(h ^ h >>> 16) & (capacity - 1)`; capacity starts at 16 and doubles when the size
/// passes 3/4 of it; within a bucket, insertion order holds (resizing keeps relative order, and
/// treeified buckets keep `next` links in insertion order too).
fn hash_map_order<T>(keys: Vec<(String, T)>) -> Vec<(String, T)> {
    let mut capacity = 16usize;
    while keys.len() * 4 > capacity * 3 {
        capacity *= 2;
    }
    let bucket = |key: &str| {
        let hash = string_hash(key) as u32;
        (hash ^ (hash >> 16)) as usize & (capacity - 1)
    };
    let mut keys = keys;
    keys.sort_by_key(|(key, _)| bucket(key));
    keys
}

/// A JSON object with its fields in the order of a `java.util.HashMap`.
pub fn hash_map(
    entries: impl IntoIterator<Item = (String, serde_json::Value)>,
) -> serde_json::Map<String, serde_json::Value> {
    hash_map_order(entries.into_iter().collect()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from a JVM worker's offsets topic (Debezium 3.7, Connect 4.3.1).
    #[test]
    fn order_of_a_postgres_offset() {
        let keys = ["ts_usec", "txId", "lsn", "lsn_proc", "lsn_commit", "messageType"];
        let map = hash_map(keys.map(|key| (key.to_owned(), serde_json::Value::Null)));
        let order: Vec<&str> = map.keys().map(String::as_str).collect();
        assert_eq!(order, ["lsn_proc", "messageType", "lsn_commit", "lsn", "txId", "ts_usec"]);
    }

    #[test]
    fn order_is_independent_of_insertion_across_buckets() {
        let keys = ["worker_id", "table", "state", "server", "schema", "database"];
        let map = hash_map(keys.map(|key| (key.to_owned(), serde_json::Value::Null)));
        let order: Vec<&str> = map.keys().map(String::as_str).collect();
        assert_eq!(order, ["schema", "server", "database", "state", "table", "worker_id"]);
    }
}
