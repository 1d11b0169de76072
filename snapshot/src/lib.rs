//! Snapshots, for any database: when one is taken, which marker its rows carry, how far it is and where
//! it goes on after a crash, and what is asked of and told about snapshots while a connector runs.

pub mod checkpoint;
pub mod incremental;
pub mod java_objects;
pub mod notifications;
pub mod progress;
pub mod signals;
pub mod throttle;
pub mod tracker;

/// `snapshot.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Always,
    Initial,
    InitialOnly,
    NoData,
    WhenNeeded,
    ConfigurationBased(Flags),
}

/// `snapshot.mode.configuration.based.*`: what each start does, whatever is stored. Schemas are read
/// anyway, so of those keys the two about schemas say nothing to a database without a schema history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// `…snapshot.data`
    pub data: bool,
    /// `…start.stream`
    pub stream: bool,
    /// `…snapshot.on.data.error`
    pub on_data_error: bool,
}

impl Mode {
    /// All but the mode `configuration_based`, which takes [`Flags`]. Case does not matter, as in Debezium.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "always" => Mode::Always,
            "initial" => Mode::Initial,
            "initial_only" => Mode::InitialOnly,
            "no_data" => Mode::NoData,
            "when_needed" => Mode::WhenNeeded,
            _ => return None,
        })
    }

    pub fn streams(self) -> bool {
        match self {
            Mode::InitialOnly => false,
            Mode::ConfigurationBased(flags) => flags.stream,
            _ => true,
        }
    }

    /// Whether a stored position that the log does not have any more is made up for by reading the
    /// data.
    pub fn reads_after_loss(self) -> bool {
        match self {
            // The data is read again anyway, so nothing of what was lost is missed.
            Mode::Always => true,
            Mode::WhenNeeded => true,
            Mode::ConfigurationBased(flags) => flags.data || flags.on_data_error,
            Mode::Initial | Mode::InitialOnly | Mode::NoData => false,
        }
    }

    /// Whether the data is read at this start.
    pub fn reads_data(self, stored: Stored) -> bool {
        match self {
            Mode::Always => true,
            Mode::NoData => false,
            Mode::Initial | Mode::InitialOnly => stored != Stored::Finished,
            Mode::WhenNeeded => stored != Stored::Finished,
            Mode::ConfigurationBased(flags) => {
                flags.data || (flags.on_data_error && stored == Stored::Lost)
            }
        }
    }
}

/// What the stored offset says of earlier snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    Nothing,
    /// A snapshot was begun and did not end.
    Unfinished,
    /// A snapshot ended, or streaming began.
    Finished,
    /// The log no longer has the stored position.
    Lost,
}

/// The place of a row in its snapshot: the field `source.snapshot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub first: bool,
    pub first_in_table: bool,
    pub last_in_table: bool,
    pub last: bool,
}

impl Place {
    /// Debezium's marker; the later in a snapshot, the stronger, but for the very first row.
    pub fn marker(self) -> &'static str {
        match self {
            Place { last: true, .. } => "last",
            Place { first: true, .. } => "first",
            Place { last_in_table: true, .. } => "last_in_data_collection",
            Place { first_in_table: true, .. } => "first_in_data_collection",
            _ => "true",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_data_is_read() {
        use Stored::{Finished, Lost, Nothing, Unfinished};
        let stored = [Nothing, Unfinished, Finished, Lost];
        let based = |data, on_data_error| {
            Mode::ConfigurationBased(Flags { data, stream: true, on_data_error })
        };
        for (mode, wanted) in [
            (Mode::Always, [true, true, true, true]),
            (Mode::Initial, [true, true, false, true]),
            (Mode::InitialOnly, [true, true, false, true]),
            (Mode::NoData, [false, false, false, false]),
            (Mode::WhenNeeded, [true, true, false, true]),
            (based(true, false), [true, true, true, true]),
            (based(false, false), [false, false, false, false]),
            (based(false, true), [false, false, false, true]),
        ] {
            assert_eq!(stored.map(|stored| mode.reads_data(stored)), wanted, "{mode:?}");
        }
    }

    /// Recorded from Debezium 3.7: a table with one row, in the middle, has no first marker.
    #[test]
    fn markers() {
        let place = |first, first_in_table, last_in_table, last| Place {
            first,
            first_in_table,
            last_in_table,
            last,
        };
        assert_eq!(place(true, true, false, false).marker(), "first");
        assert_eq!(place(true, true, true, false).marker(), "first");
        assert_eq!(place(false, true, true, false).marker(), "last_in_data_collection");
        assert_eq!(place(false, true, false, false).marker(), "first_in_data_collection");
        assert_eq!(place(false, false, false, false).marker(), "true");
        assert_eq!(place(true, true, true, true).marker(), "last");
    }
}
