//! Which rows of a chunk give way to what the stream has shown.
//!
//! From the moment on that a chunk is begun until it is sent, keys of changed rows are noted: the chunk's
//! rows with these keys are older than what was sent. How many changes come in that time nobody knows,
//! so what is noted is bounded (invariant 7).
//!
//! # The chunk is there
//!
//! Only keys that it has matter. So once [`KEYS_MAX`] keys are noted, the chunk's own are taken in their
//! place, without those that were noted, and each further change takes its key away: what is left is to
//! be sent. Those are no more than the chunk has rows.
//!
//! # The chunk is not there yet
//!
//! Then the keys are forgotten, and the chunk is read again from where it began, as its rows can't be
//! judged. Under a load that goes on, that would happen again and again if the second reading were
//! judged by all keys too. But the first one, although its rows are too old to be sent, says which rows
//! there were. So the second reads the same range of keys, to where the first ended, and is judged by
//! the first's keys only: of these, those are sent that no change came of since the second was begun. A
//! row that the first reading lacks came into the range after it, by a change which is in the stream,
//! before the chunk is sent or behind it; so it is left out. That way there are never more keys than a
//! chunk has rows, nothing can overrun, and behind two readings at most the next range is begun. Only
//! when the table's definition changes between the two, or the snapshot is paused, does it all begin
//! anew: keys may look different then.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use ::snapshot::incremental::{Collection, Key};
use model::{
    row::{RowsBuilder, Slot},
    value::ValueRef,
};

use super::Incremental;
use crate::{cells::Scratch, incremental::Chunk, tables::Table, wire::copy};

/// So many keys are noted before only those of the chunk are. They and their table take 1.1 MiB: 2^16
/// places of 17 bytes, of which a hash table uses 7/8. A chunk is rarely under way for so many changes,
/// and one that is costs one more reading.
const KEYS_MAX: usize = (1 << 16) / 8 * 7;

/// What tells a key from others: 128 bits of two keyed hashes, so that a key takes 16 bytes whatever it
/// is. In a run of 10^15 comparisons it is one in 10^23 that two keys look equal which are not.
type Fingerprint = u128;

#[derive(Debug)]
pub(super) enum Seen {
    /// These keys came in the stream, and no others.
    Shown(HashSet<Fingerprint>),
    /// Rows with these keys are to be sent, and no others.
    Left(HashSet<Fingerprint>),
    /// More keys came than are kept.
    Overrun,
}

impl Default for Seen {
    fn default() -> Self {
        Self::Shown(HashSet::new())
    }
}

impl Seen {
    /// A change of a row with this key has come. `chunk` says which keys the chunk has that waits, if
    /// there is one.
    fn note(&mut self, key: Fingerprint, chunk: impl FnOnce() -> Option<HashSet<Fingerprint>>) {
        if let Self::Shown(shown) = self
            && shown.len() >= KEYS_MAX
        {
            *self = match chunk() {
                Some(mut keys) => {
                    keys.retain(|key| !shown.contains(key));
                    Self::Left(keys)
                }
                None => Self::Overrun,
            };
        }
        match self {
            Self::Shown(shown) => {
                shown.insert(key);
            }
            Self::Left(left) => {
                left.remove(&key);
            }
            Self::Overrun => {}
        }
    }

    /// Whether a row of the chunk gives way to a newer one.
    fn outdates(&self, key: Fingerprint) -> bool {
        match self {
            Self::Shown(shown) => shown.contains(&key),
            Self::Left(left) => !left.contains(&key),
            Self::Overrun => true,
        }
    }
}

/// Makes fingerprints.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    hashers: [RandomState; 2],
    bytes: Vec<u8>,
}

impl Fingerprints {
    /// That of a row's key; none when the table has no key.
    fn of(&mut self, rows: &RowsBuilder, table: &Table, slot: Slot) -> Option<Fingerprint> {
        // A key without columns tells no rows apart.
        let (_, columns) = table.schema.key.as_ref().filter(|_| !table.event_key.is_empty())?;
        let out = &mut self.bytes;
        out.clear();
        let mut put = |tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend((bytes.len() as u64).to_be_bytes());
            out.extend(bytes);
        };
        for column in columns.iter() {
            match rows.get(slot, usize::from(*column)) {
                ValueRef::Null => put(0, &[]),
                ValueRef::Bool(value) => put(1, &[u8::from(value)]),
                ValueRef::Int(value) => put(2, &value.to_be_bytes()),
                ValueRef::Float32(value) => put(3, &value.to_be_bytes()),
                ValueRef::Float64(value) => put(4, &value.to_be_bytes()),
                ValueRef::Text(text) => put(5, text.as_bytes()),
                ValueRef::Bytes(bytes) => put(6, bytes),
                // Structs and arrays are rare in keys; their text tells them apart.
                nested => put(7, format!("{:?}", nested.to_owned()).as_bytes()),
            }
        }
        let [high, low] = self.hashers.each_ref().map(|hasher| hasher.hash_one(&self.bytes));
        Some(u128::from(high) << 64 | u128::from(low))
    }

    /// Those of a chunk's rows. A row that can't be decoded is seen to when it is sent.
    fn of_chunk(&mut self, chunk: &Chunk) -> HashSet<Fingerprint> {
        /// Decoded rows are needed one at a time only.
        const DECODED_BYTES_MAX: usize = 1 << 20;
        let mut decoder = copy::Decoder::new();
        decoder.push(chunk.copied.clone());
        let (mut rows, mut scratch) = (RowsBuilder::default(), Scratch::default());
        let mut keys = HashSet::with_capacity(chunk.rows);
        while let Ok(Some(row)) = decoder.next_row() {
            let pushed = chunk.table.push_copied(row.fields(), &mut scratch, &mut rows);
            keys.extend(pushed.as_ref().ok().and_then(|slot| self.of(&rows, &chunk.table, *slot)));
            if pushed.is_err() || rows.byte_len() > DECODED_BYTES_MAX {
                rows = RowsBuilder::default();
            }
        }
        keys
    }
}

/// What is read a second time.
#[derive(Debug)]
pub(super) struct Again {
    collection: Collection,
    /// Behind which the chunk begins.
    after: Option<Key>,
    keys: HashSet<Fingerprint>,
    range: Range,
}

/// The chunk that is being read is the second reading of one.
#[derive(Debug)]
pub(super) struct Range {
    /// As the first reading found it.
    table: Arc<Table>,
    /// Where the first reading ended.
    pub(super) end: Key,
}

impl Incremental {
    /// The row at `slot` was changed.
    pub(super) fn note(&mut self, rows: &RowsBuilder, table: &Table, slot: Slot) {
        let Some(key) = self.fingerprints.of(rows, table, slot) else { return };
        self.seen.note(key, || {
            let chunk = self.window.as_ref().or_else(|| self.awaited.as_ref()?.chunk.as_ref())?;
            Some(self.fingerprints.of_chunk(chunk))
        });
    }

    /// Whether a row of the chunk at hand is left out, as the stream has had a newer one.
    pub(super) fn outdates(&mut self, rows: &RowsBuilder, table: &Table, slot: Slot) -> bool {
        if matches!(&self.seen, Seen::Shown(shown) if shown.is_empty()) {
            return false;
        }
        let key = self.fingerprints.of(rows, table, slot);
        key.is_some_and(|key| self.seen.outdates(key))
    }

    /// A chunk is begun: by what it is judged, and up to which key it is read when that is not the
    /// table's largest.
    pub(super) fn begin_seen(&mut self) -> Option<Key> {
        let context = &self.context;
        let again = self.again.take().filter(|again| {
            context.current() == Some(&again.collection) && context.after() == again.after.as_ref()
        });
        let (seen, range) = match again {
            Some(again) => (Seen::Left(again.keys), Some(again.range)),
            None => (Seen::default(), None),
        };
        (self.seen, self.range) = (seen, range);
        self.range.as_ref().map(|range| range.end.clone())
    }

    /// Whether the chunk that was read can't be judged, so that it is to be read again.
    pub(super) fn overrun(&mut self, chunk: &Chunk) -> bool {
        if let Some(range) = self.range.take()
            && !Arc::ptr_eq(&range.table, &chunk.table)
        {
            return true;
        }
        let (Seen::Overrun, Some(collection)) = (&self.seen, self.context.current()) else {
            return false;
        };
        if self.context.paused {
            return true;
        }
        tracing::debug!(
            "a chunk of table {} is read again: more than {KEYS_MAX} changes of the table came meanwhile",
            chunk.table.id
        );
        self.again = Some(Again {
            collection: collection.clone(),
            after: self.context.after().cloned(),
            keys: self.fingerprints.of_chunk(chunk),
            range: Range { table: chunk.table.clone(), end: chunk.end.clone() },
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u128 = 1_000_000;

    fn bytes(seen: &Seen) -> usize {
        match seen {
            Seen::Shown(keys) | Seen::Left(keys) => {
                // Seven of eight places are used at most.
                keys.capacity() * 8 / 7 * (size_of::<Fingerprint>() + 1)
            }
            Seen::Overrun => 0,
        }
    }

    /// However many rows are changed, what is noted is no more than the chunk has, or a MiB or so.
    #[test]
    fn what_is_noted_is_bounded() {
        let held = || Some((0..1_024).collect::<HashSet<_>>());
        let (mut with, mut without) = (Seen::default(), Seen::default());
        for key in 500..MANY {
            with.note(key, held);
            without.note(key, || None);
            assert!(bytes(&with) < 1_200_000 && bytes(&without) < 1_200_000);
        }
        assert!(matches!(without, Seen::Overrun) && matches!(with, Seen::Left(_)));
    }

    /// Before the chunk's keys are looked at, at that moment, and after it.
    #[test]
    fn rows_that_were_changed_give_way_whenever_that_was() {
        let held: HashSet<u128> = (0..10).chain([MANY, MANY + 1, MANY + 2]).collect();
        let mut seen = Seen::default();
        for key in [3].into_iter().chain(100..MANY).chain([5, MANY + 1]) {
            seen.note(key, || Some(held.clone()));
        }
        let sent: Vec<u128> =
            (0..10).chain(MANY..MANY + 3).filter(|k| !seen.outdates(*k)).collect();
        assert_eq!(sent, [0, 1, 2, 4, 6, 7, 8, 9, MANY, MANY + 2]);
    }

    /// The second reading is judged by the first's keys, however much comes.
    #[test]
    fn a_second_reading_is_not_overrun() {
        let mut seen = Seen::Left((0..10).collect());
        for key in 8..MANY {
            seen.note(key, || panic!("nothing is to be narrowed"));
        }
        let sent: Vec<u128> = (0..MANY).filter(|key| !seen.outdates(*key)).collect();
        assert_eq!(sent, (0..8).collect::<Vec<_>>());
    }
}
