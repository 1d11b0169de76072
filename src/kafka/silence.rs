//! Clients that have lost hold of a partition.
//!
//! When the leader of a partition goes and comes back, as in each restart of a broker, librdkafka can
//! come to hold on to no leader, or to the wrong one, for good (its issues 5430 and 5401, its change
//! 5593). It says nothing. A member stays in its group, a task stays RUNNING, and no record comes, or
//! goes. Statistics do not show it, since a consumer knows the end of a partition from the very
//! fetches that have ended. So whoever reads asks the brokers for the ends now and then, by another
//! way; and whoever writes looks for records that stay while the brokers answer. A client that has
//! lost hold is replaced by a new one.

use std::{collections::BTreeMap, time::Duration};

/// How often a client of the worker's own topics is compared with the brokers. A partition that has
/// not moved from one look to the next, with records there at both, is lost hold of; so is one whose
/// record was not stored within this time and a request's.
pub(crate) const LOOK: Duration = Duration::from_secs(10);

/// How often a sink's client is, whose records may be large and come slowly; and how long a source's
/// records wait to be stored, after brokers have gone and for as long as they are there again.
pub(crate) const TASK_LOOK: Duration = Duration::from_secs(30);

/// What the looks have found, by partition.
pub(crate) struct Silence<P> {
    last: BTreeMap<P, Place>,
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The offset of the next record for the reader.
    pub(crate) at: i64,
    /// The offset of the next record to be written.
    pub(crate) end: i64,
}

impl<P> Default for Silence<P> {
    fn default() -> Self {
        Self { last: BTreeMap::new() }
    }
}

impl<P: Ord + Clone> Silence<P> {
    /// Takes what a look has found. Gives the partitions to begin anew, which count as new then.
    pub(crate) fn look(&mut self, found: impl IntoIterator<Item = (P, Place)>) -> Vec<(P, Place)> {
        let now: BTreeMap<P, Place> = found.into_iter().collect();
        let silent: Vec<(P, Place)> = (now.iter())
            .filter(|(partition, place)| {
                let before = self.last.get(*partition);
                before.is_some_and(|before| before.at == place.at && before.end > place.at)
            })
            .map(|(partition, place)| (partition.clone(), *place))
            .collect();
        self.last = now;
        for (partition, _) in &silent {
            self.last.remove(partition);
        }
        silent
    }

    /// What was found says nothing any more.
    pub(crate) fn forget(&mut self) {
        self.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_is_what_stands_still_with_records_before_it() {
        let mut silence = Silence::default();
        let mut look = |found: &[(char, i64, i64)]| {
            let found = found.iter().map(|(name, at, end)| (*name, Place { at: *at, end: *end }));
            let silent = silence.look(found).into_iter();
            silent.map(|(name, _)| name).collect::<String>()
        };
        // a is read to its end, b is being read, c is lost hold of, d has a record since just now.
        assert_eq!(look(&[('a', 5, 5), ('b', 1, 9), ('c', 3, 4), ('d', 7, 7)]), "");
        assert_eq!(look(&[('a', 5, 5), ('b', 2, 9), ('c', 3, 6), ('d', 7, 8)]), "c");
        // c has begun anew, and is given the time that a new one has.
        assert_eq!(look(&[('a', 5, 6), ('b', 9, 9), ('c', 3, 6), ('d', 7, 8)]), "d");
        assert_eq!(look(&[('c', 3, 6), ('d', 8, 8)]), "c");
        silence.forget();
        let found = [('c', Place { at: 3, end: 6 })];
        assert!(silence.look(found).is_empty());
    }
}
