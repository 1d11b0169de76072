//! A small cache that forgets what was not used for the longest time.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

pub(crate) struct Lru<K, V> {
    entries: HashMap<K, (u64, V)>,
    max: usize,
    clock: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Lru<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max, clock: 0 }
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.clock += 1;
        let (used, value) = self.entries.get_mut(key)?;
        *used = self.clock;
        Some(value.clone())
    }

    /// Looks at every entry when it is full, which is when a new schema arrives: rare beside the
    /// work that the schema itself causes.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.max == 0 {
            return;
        }
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.clock += 1;
        self.entries.insert(key, (self.clock, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_unused_for_longest_goes() {
        let mut lru = Lru::new(2);
        lru.insert("a", 1);
        lru.insert("b", 2);
        assert_eq!(lru.get("a"), Some(1));
        lru.insert("c", 3);
        assert_eq!([lru.get("a"), lru.get("b"), lru.get("c")], [Some(1), None, Some(3)]);
        lru.insert("a", 4);
        assert_eq!([lru.get("a"), lru.get("c")], [Some(4), Some(3)]);
        let mut none = Lru::new(0);
        none.insert("a", 1);
        assert_eq!(none.get("a"), None);
    }
}
