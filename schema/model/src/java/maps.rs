//! The order in which a `java.util.HashMap` is iterated.
//!
//! Connect stores source offsets as JSON objects whose field order is that of the connector's map,
//! and looks them up by bytes; REST answers show configurations and offsets in such orders too.

/// `String.hashCode`: over UTF-16 units, wrapping.
pub fn string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// What a map begins with when it isn't told how large it will be.
const BUCKETS: usize = 16;

/// The buckets of a map that began small and took in so many entries: it doubles when it is more
/// than three quarters full.
pub fn buckets(count: usize) -> usize {
    grown(BUCKETS, count)
}

/// The buckets of a `ConcurrentHashMap` that began small: it doubles as soon as it is three quarters
/// full.
pub fn buckets_of_concurrent(count: usize) -> usize {
    let mut buckets = BUCKETS;
    while count * 4 >= buckets * 3 {
        buckets *= 2;
    }
    buckets
}

/// The buckets of a map that was made with room for so many entries and then took them in.
pub fn buckets_for(count: usize) -> usize {
    grown(count.next_power_of_two(), count)
}

/// The buckets of a map that was made as a copy of one with so many entries: just enough.
pub fn buckets_of_copy(count: usize) -> usize {
    (count * 4 / 3 + 1).next_power_of_two()
}

fn grown(mut buckets: usize, count: usize) -> usize {
    while count * 4 > buckets * 3 {
        buckets *= 2;
    }
    buckets
}

/// Puts entries, given in the order of insertion, into the order of iteration of a map with so many
/// buckets; `hash` is their keys' `hashCode`.
///
/// A bucket is `(h ^ h >>> 16) & (buckets - 1)`. Within one the order of insertion holds: growing
/// keeps it, and so do the trees that large buckets become.
pub fn in_hash_order<T>(mut entries: Vec<T>, buckets: usize, hash: impl Fn(&T) -> i32) -> Vec<T> {
    entries.sort_by_cached_key(|entry| {
        let hash = hash(entry).cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (buckets - 1)
    });
    entries
}

/// A JSON object with its fields in the order of a `java.util.HashMap`.
pub fn hash_map(
    entries: impl IntoIterator<Item = (String, serde_json::Value)>,
) -> serde_json::Map<String, serde_json::Value> {
    let entries: Vec<_> = entries.into_iter().collect();
    let buckets = buckets(entries.len());
    in_hash_order(entries, buckets, |(key, _)| string_hash(key)).into_iter().collect()
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
