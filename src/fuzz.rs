//! What `tests/fuzz` runs: one function for each kind of bytes that come from elsewhere, by the wire or in
//! a file that somebody else has written. None may panic, and what they promise is asserted here.
//!
//! The suite runs them too, over the committed inputs and over variations of those.

pub use crate::{
    group::fuzz::{connect as connect_protocol, frames as group_frames},
    herder::fuzz::offset_file,
    kafka::fuzz::jaas,
    rest::fuzz::rest,
    storage::fuzz::topics,
    tls::fuzz::key_store,
};

/// The first byte, which chooses what the others are for.
pub(crate) fn choice(input: &[u8]) -> Option<(u8, &[u8])> {
    input.split_first().map(|(choice, rest)| (*choice, rest))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::{
        prelude::*,
        sample::Index,
        test_runner::{Config, TestRunner},
    };

    /// Variations of each input. `make fuzz` goes on where this ends.
    const CASES: u32 = 64;

    #[derive(Clone, Debug)]
    enum Edit {
        Cut(Index),
        Set(Index, u8),
        /// A number that a length could be.
        Number(Index, u32),
        Twice(Index, Index),
        Insert(Index, Vec<u8>),
    }

    impl Edit {
        fn any() -> impl Strategy<Value = Self> {
            let number = prop_oneof![Just(u32::MAX), Just(0x7fff_ffff), Just(0), any::<u32>()];
            prop_oneof![
                any::<Index>().prop_map(Self::Cut),
                any::<(Index, u8)>().prop_map(|(at, byte)| Self::Set(at, byte)),
                (any::<Index>(), number).prop_map(|(at, number)| Self::Number(at, number)),
                any::<(Index, Index)>().prop_map(|(from, to)| Self::Twice(from, to)),
                any::<(Index, Vec<u8>)>().prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            ]
        }

        fn apply(&self, bytes: &mut Vec<u8>) {
            let place = |at: &Index, bytes: &[u8]| at.index(bytes.len() + 1);
            match self {
                Self::Cut(at) => bytes.truncate(place(at, bytes)),
                Self::Set(at, byte) => {
                    let at = place(at, bytes);
                    bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte);
                }
                Self::Number(at, number) => {
                    let at = place(at, bytes);
                    let new = number.to_be_bytes();
                    bytes.iter_mut().skip(at).zip(new).for_each(|(old, new)| *old = new);
                }
                Self::Twice(from, to) => {
                    let (from, to) = (place(from, bytes), place(to, bytes));
                    bytes.extend_from_within(from.min(to)..from.max(to));
                }
                Self::Insert(at, more) => {
                    let at = place(at, bytes);
                    bytes.splice(at..at, more.iter().copied());
                }
            }
        }
    }

    /// The inputs of a target, and variations of them.
    fn check(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut inputs: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{folder:?} has no inputs");
        for input in inputs {
            let input = fs::read(&input).unwrap();
            run(&input);
            let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
            let edits = proptest::collection::vec(Edit::any(), 1..6);
            let checked = TestRunner::new(config).run(&edits, |edits| {
                let mut bytes = input.clone();
                edits.iter().for_each(|edit| edit.apply(&mut bytes));
                run(&bytes);
                Ok(())
            });
            checked.unwrap_or_else(|error| panic!("{target}: {error}"));
        }
    }

    macro_rules! targets {
        ($($target:ident)*) => {
            $(#[test]
            fn $target() {
                check(stringify!($target), super::$target);
            })*
        };
    }

    targets! { connect_protocol group_frames jaas key_store offset_file rest topics }
}
