//! What of a snapshot has been handed over, so that one that was cut off is gone on with.
//!
//! The text of it stands in the offsets of a snapshot's records, which may hold flat values only and
//! are stored again and again, so it is short: finished tables are numbers, written as their
//! differences; of the tables under way it has the ranges that are done, which lie close together,
//! because they are read in order.
//!
//! ```json
//! {"v":1,"finished":"gIABBAQ","open":[{"table":16390,"done":"","parts":[
//!   {"part":16390,"version":"16390.5be1","since":753,"done":"0-40960,45056-49152"}]}]}
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// More finished tables than fit into this are not told; they are read again after a crash. A
/// database with 150,000 tables stays below it, and Kafka takes records of 1 MiB.
const FINISHED_BYTES_MAX: usize = 256 * 1024;

/// Done and not done of one snapshot. Tables and parts go by numbers that are given once (an OID).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Tables of which every row was handed over.
    pub finished: Ids,
    /// Tables of which some rows were.
    pub open: BTreeMap<u64, OpenTable>,
}

/// A table under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenTable {
    /// Of a table in several parts (partitions) those that are finished.
    pub finished: Ids,
    pub parts: BTreeMap<u64, OpenPart>,
}

/// A part under way. The part of an undivided table has the table's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPart {
    /// While this is the same, the ranges mean what they meant.
    pub version: String,
    /// The moment of the snapshot as of which its first rows were read. What was written since may
    /// have come into a range that is done.
    pub since: u64,
    pub done: Ranges,
}

impl Checkpoint {
    pub fn is_empty(&self) -> bool {
        self.finished.0.is_empty() && self.open.is_empty()
    }

    /// `None` for a text of another version, or of somebody else.
    pub fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        if value.get("v")?.as_u64()? != 1 {
            return None;
        }
        let mut open = BTreeMap::new();
        for table in value.get("open")?.as_array()? {
            let mut parts = BTreeMap::new();
            for part in table.get("parts")?.as_array()? {
                let entry = OpenPart {
                    version: part.get("version")?.as_str()?.to_owned(),
                    since: part.get("since")?.as_u64()?,
                    done: Ranges::parse(part.get("done")?.as_str()?)?,
                };
                parts.insert(part.get("part")?.as_u64()?, entry);
            }
            let finished = Ids::parse(table.get("done")?.as_str()?)?;
            open.insert(table.get("table")?.as_u64()?, OpenTable { finished, parts });
        }
        Some(Self { finished: Ids::parse(value.get("finished")?.as_str()?)?, open })
    }

    pub fn text(&self) -> String {
        let part = |(number, part): (&u64, &OpenPart)| {
            json!({
                "part": number,
                "version": part.version,
                "since": part.since,
                "done": part.done.text(),
            })
        };
        let table = |(number, table): (&u64, &OpenTable)| {
            let parts: Vec<Value> = table.parts.iter().map(part).collect();
            json!({ "table": number, "done": table.finished.text(), "parts": parts })
        };
        let open: Vec<Value> = self.open.iter().map(table).collect();
        json!({ "v": 1, "finished": self.finished.text(), "open": open }).to_string()
    }
}

/// Numbers, written as the base64 of the differences between them in ascending order, each in groups
/// of seven bits, the lowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(BTreeSet<u64>);

impl Ids {
    pub fn contains(&self, id: u64) -> bool {
        self.0.contains(&id)
    }

    pub fn insert(&mut self, id: u64) {
        self.0.insert(id);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cut when it would be too long: [`FINISHED_BYTES_MAX`].
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(self.0.len() * 2);
        let mut before = 0;
        for id in &self.0 {
            let mut rest = id - before;
            before = *id;
            loop {
                let group = u8::try_from(rest & 0x7f).unwrap_or_default();
                rest >>= 7;
                if rest == 0 {
                    bytes.push(group);
                    break;
                }
                bytes.push(group | 0x80);
            }
            if bytes.len() >= FINISHED_BYTES_MAX {
                break;
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// `None` for a text that [`Ids::text`] did not write.
    pub fn parse(text: &str) -> Option<Self> {
        let mut ids = BTreeSet::new();
        let (mut id, mut difference, mut shift) = (0_u64, 0_u64, 0_u32);
        for byte in URL_SAFE_NO_PAD.decode(text).ok()? {
            let group = u64::from(byte & 0x7f);
            if shift > 63 || (group << shift) >> shift != group {
                return None;
            }
            difference |= group << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                id = id.checked_add(difference)?;
                ids.insert(id);
                (difference, shift) = (0, 0);
            }
        }
        (shift == 0).then_some(Self(ids))
    }
}

impl FromIterator<u64> for Ids {
    fn from_iter<I: IntoIterator<Item = u64>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}

/// Numbers as half-open ranges; the end of one without an end is `u64::MAX`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In ascending order; none touches another.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    pub fn insert(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let first = self.0.partition_point(|(_, end)| *end < from);
        let last = self.0.partition_point(|(start, _)| *start <= to);
        let (mut from, mut to) = (from, to);
        if let Some((start, _)) = self.0.get(first).filter(|_| first < last) {
            from = from.min(*start);
        }
        if let Some((_, end)) =
            last.checked_sub(1).and_then(|at| self.0.get(at)).filter(|_| first < last)
        {
            to = to.max(*end);
        }
        self.0.splice(first..last, [(from, to)]);
    }

    /// All numbers from 0 on in order: each range with whether it is in here.
    pub fn cover(&self) -> Vec<(u64, u64, bool)> {
        let mut all = Vec::with_capacity(self.0.len() * 2 + 1);
        let mut at = 0;
        for (from, to) in self.iter() {
            if at < from {
                all.push((at, from, false));
            }
            all.push((from, to, true));
            at = to;
        }
        if at < u64::MAX {
            all.push((at, u64::MAX, false));
        }
        all
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (from, to) in self.iter() {
            if !text.is_empty() {
                text.push(',');
            }
            match to {
                u64::MAX => write!(text, "{from}-"),
                to => write!(text, "{from}-{to}"),
            }
            .expect("a string takes all");
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut ranges = Self::default();
        for range in text.split(',').filter(|range| !range.is_empty()) {
            let (from, to) = range.split_once('-')?;
            let to = if to.is_empty() { u64::MAX } else { to.parse().ok()? };
            ranges.insert(from.parse().ok()?, to);
        }
        Some(ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> Ranges {
        Ranges::parse(text).unwrap()
    }

    #[test]
    fn ranges_grow_together() {
        for (have, from, to, want) in [
            ("", 0, 5, "0-5"),
            ("0-5", 5, 9, "0-9"),
            ("0-5", 6, 9, "0-5,6-9"),
            ("0-5,10-15", 5, 10, "0-15"),
            ("0-5,10-15,20-", 3, 12, "0-15,20-"),
            ("10-15", 0, 5, "0-5,10-15"),
            ("0-5", 5, u64::MAX, "0-"),
            ("0-5", 1, 2, "0-5"),
            ("0-5", 7, 7, "0-5"),
        ] {
            let mut all = ranges(have);
            all.insert(from, to);
            assert_eq!(all.text(), want, "{have} and {from}-{to}");
        }
        let cover = ranges("3-5,9-").cover();
        assert_eq!(cover, [(0, 3, false), (3, 5, true), (5, 9, false), (9, u64::MAX, true)]);
        assert_eq!(ranges("").cover(), [(0, u64::MAX, false)]);
        assert_eq!(ranges("0-").cover(), [(0, u64::MAX, true)]);
    }

    #[test]
    fn a_text_says_it_all() {
        let part = |since, done| OpenPart { version: "7.a".into(), since, done: ranges(done) };
        let table = OpenTable {
            finished: [5, 900].into_iter().collect(),
            parts: BTreeMap::from([(8, part(3_u64 << 32, "0-4096,8192-"))]),
        };
        let checkpoint = Checkpoint {
            finished: [1, 16_384, 16_390, u64::MAX].into_iter().collect(),
            open: BTreeMap::from([(7, table)]),
        };
        assert_eq!(Checkpoint::parse(&checkpoint.text()).unwrap(), checkpoint);
        assert_eq!(
            Checkpoint::parse(&Checkpoint::default().text()).unwrap(),
            Checkpoint::default()
        );
        for wrong in [
            "",
            "{}",
            "7",
            r#"{"v":2,"finished":"","open":[]}"#,
            r#"{"v":1,"finished":"gA","open":[]}"#,
            r#"{"v":1,"finished":"______________8B","open":[]}"#,
            r#"{"v":1,"finished":"","open":[{"table":1,"done":"","parts":[{"part":1}]}]}"#,
        ] {
            assert_eq!(Checkpoint::parse(wrong), None, "{wrong}");
        }
    }

    /// Thousands of tables are some kilobytes: what is created one after the other has OIDs close
    /// together.
    #[test]
    fn finished_tables_are_short() {
        let finished: Ids = (0..10_000).map(|table| 16_384 + table * 7).collect();
        let checkpoint = Checkpoint { finished, open: BTreeMap::new() };
        let text = checkpoint.text();
        assert!(text.len() < 14_000, "{}", text.len());
        assert_eq!(Checkpoint::parse(&text).unwrap(), checkpoint);
        // Far more than fit: the first of them are told.
        let finished: Ids = (0..400_000).collect();
        let text = Checkpoint { finished, open: BTreeMap::new() }.text();
        assert!(text.len() < FINISHED_BYTES_MAX / 2 * 3, "{}", text.len());
        assert!(Checkpoint::parse(&text).unwrap().finished.contains(1_000));
    }
}
