//! The source offset: where to resume.

use std::sync::Arc;

use model::{connector::Object, java};
use relational::transaction::Counted;
use serde_json::Value;

use crate::{known::Known, wire::Lsn};

/// Debezium's `PostgresOffsetContext`, field by field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Position {
    /// Time of the source, microseconds.
    pub(crate) ts_usec: Option<i64>,
    pub(crate) tx_id: Option<i64>,
    pub(crate) lsn: Option<Lsn>,
    /// The slot's, with `xmin.fetch.interval.ms`.
    pub(crate) xmin: Option<i64>,
    /// `INITIAL` while a snapshot runs.
    pub(crate) snapshot: Option<String>,
    /// What of that snapshot is done, or of one of added tables: the text of a checkpoint. A field of
    /// ours, which Debezium passes over.
    pub(crate) checkpoint: Option<Arc<str>>,
    /// The last event that is done.
    pub(crate) lsn_proc: Option<Lsn>,
    /// The end of the last transaction that is done whole.
    pub(crate) lsn_commit: Option<Lsn>,
    pub(crate) message_type: Option<&'static str>,
    /// How many changes of captured tables at `lsn_proc` are done. Zero when the offset does not say,
    /// as before Debezium 3.7; then all of them are.
    pub(crate) events: i64,
    /// The transaction that is under way, when transaction metadata is provided. The end of one still
    /// has it, as in Debezium.
    pub(crate) transaction: Option<Counted>,
    /// The fields of an incremental snapshot that is under way.
    pub(crate) incremental: Vec<(String, Value)>,
    /// The tables that are known: a field of ours too.
    pub(crate) tables: Option<Arc<Known>>,
}

/// See [`Position::tables`].
const TABLES: &str = "riverrun_tables";

/// See [`Position::checkpoint`].
const CHECKPOINT: &str = "riverrun_snapshot";

/// The kind of message that ends a transaction.
pub(crate) const COMMIT: &str = "COMMIT";

/// The kinds of message an offset can end with. `BEGIN` and `COMMIT` are no events.
const MESSAGE_TYPES: [&str; 8] =
    ["INSERT", "UPDATE", "DELETE", "TRUNCATE", "MESSAGE", "BEGIN", "COMMIT", "ORIGIN"];

impl Position {
    /// Reads an offset that this connector or Debezium's stored.
    pub(crate) fn read(offset: &Object) -> Self {
        let int = |key: &str| offset.get(key).and_then(Value::as_i64);
        let lsn = |key: &str| int(key).map(|value| Lsn(value.cast_unsigned()));
        let snapshot = match offset.get("snapshot") {
            // Before Debezium 3.0 it was a boolean, or the text of one.
            Some(Value::Bool(true)) => Some("INITIAL".to_owned()),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => {
                Some("INITIAL".to_owned())
            }
            Some(Value::String(text)) => Some(text.to_ascii_uppercase()),
            _ => None,
        };
        let checkpoint = offset.get(CHECKPOINT).and_then(Value::as_str);
        let finished = offset.get("snapshot_completed").and_then(Value::as_bool) == Some(true);
        let message_type = offset.get("messageType").and_then(Value::as_str);
        Self {
            ts_usec: int("ts_usec"),
            tx_id: int("txId"),
            lsn: lsn("lsn"),
            checkpoint: checkpoint
                .filter(|_| {
                    matches!(snapshot.as_deref(), Some("INITIAL" | "BLOCKING")) && !finished
                })
                .map(Into::into),
            xmin: int("xmin"),
            // A blocking snapshot begins with its signal, which comes again; an incremental one has
            // its state in fields of its own.
            snapshot: snapshot
                .filter(|name| !finished && name != "BLOCKING" && name != "INCREMENTAL"),
            lsn_proc: lsn("lsn_proc"),
            lsn_commit: lsn("lsn_commit").or(lsn("lsn_proc")),
            message_type: message_type
                .and_then(|text| MESSAGE_TYPES.into_iter().find(|known| *known == text)),
            events: int("lsn_events_processed").unwrap_or_default(),
            transaction: Counted::read(offset),
            incremental: offset
                .iter()
                .filter(|(field, _)| ::snapshot::incremental::is_stored(field))
                .map(|(field, value)| (field.clone(), value.clone()))
                .collect(),
            tables: offset.get(TABLES).and_then(Value::as_str).and_then(Known::parse).map(Arc::new),
        }
    }

    /// The offset as it is stored, fields in the order of Debezium's `HashMap`.
    pub(crate) fn write(&self) -> Object {
        let int = |lsn: Lsn| Value::from(lsn.0.cast_signed());
        let mut entries: Vec<(&str, Value)> = Vec::new();
        let mut put = |key, value: Option<Value>| entries.extend(value.map(|value| (key, value)));
        put("ts_usec", self.ts_usec.map(Value::from));
        put("txId", self.tx_id.map(Value::from));
        put("lsn", self.lsn.map(int));
        put("xmin", self.xmin.map(Value::from));
        if let Some(snapshot) = &self.snapshot {
            put("snapshot", Some(snapshot.as_str().into()));
            put("last_snapshot_record", Some(false.into()));
            put("snapshot_completed", Some(false.into()));
            put(CHECKPOINT, self.checkpoint.as_deref().map(Value::from));
        }
        put("lsn_proc", self.lsn_proc.map(int));
        put("lsn_commit", self.lsn_commit.map(int));
        put("messageType", self.message_type.map(Value::from));
        put(
            "lsn_events_processed",
            Some(self.events).filter(|&events| events > 0).map(Value::from),
        );
        put(TABLES, self.tables.as_deref().and_then(Known::text).map(Value::from));
        let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
        let transaction = self.transaction.iter().flat_map(Counted::entries);
        java::hash_map(entries.chain(transaction).chain(self.incremental.iter().cloned()))
    }

    /// Where the stream begins: transactions that end later are sent.
    pub(crate) fn start(&self) -> Option<Lsn> {
        self.done_whole().or(self.lsn)
    }

    /// All transactions that end before are done.
    fn done_whole(&self) -> Option<Lsn> {
        match self.message_type {
            // The log may have been let go further than the last commit: see `Progress::idle`.
            Some(COMMIT) => self.lsn_commit.max(self.lsn_proc),
            _ => self.lsn_commit.or(self.lsn_proc),
        }
    }

    /// What may be confirmed to the server once this offset is stored: everything up to here is
    /// done. Nothing before the first transaction, so that a snapshot can be taken again.
    pub(crate) fn confirmable(&self) -> Option<Lsn> {
        self.done_whole().filter(|_| self.snapshot.is_none())
    }

    /// What to leave out after a restart of the transaction that was under way.
    pub(crate) fn done(&self) -> Option<Done> {
        match (self.message_type, self.tx_id, self.lsn_proc) {
            (Some("BEGIN" | COMMIT), ..) => None,
            (message_type, Some(tx_id), Some(lsn)) => {
                // A message keeps the count of the row before it.
                let events = if message_type == Some("MESSAGE") { 0 } else { self.events };
                Some(Done { tx_id, lsn, events, seen: 0 })
            }
            _ => None,
        }
    }
}

/// The part of a transaction that was done before a restart. Another transaction's changes may have
/// smaller LSNs and still come later, so this is about one transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Done {
    pub(crate) tx_id: i64,
    lsn: Lsn,
    /// How many changes at `lsn`; zero for all.
    events: i64,
    seen: i64,
}

impl Done {
    /// Whether the next change of a captured table, at `lsn`, was done.
    pub(crate) fn covers(&mut self, lsn: Lsn) -> bool {
        if lsn == self.lsn && self.events > 0 {
            self.seen += 1;
            return self.seen <= self.events;
        }
        self.covers_all(lsn)
    }

    /// Whether all at `lsn` was done.
    pub(crate) fn covers_all(&self, lsn: Lsn) -> bool {
        lsn <= self.lsn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        serde_json::from_str(text).unwrap()
    }

    /// Offsets that a JVM worker stored (Debezium 3.7).
    #[test]
    fn recorded_offsets_round_trip() {
        for text in [
            r#"{"lsn":26714184,"txId":741,"ts_usec":1795245707178679}"#,
            r#"{"lsn_proc":27078112,"messageType":"COMMIT","lsn_commit":27078112,"lsn":27078112,"txId":768,"ts_usec":1795246250847527}"#,
            RECORDED_IN_TRANSACTION,
        ] {
            let written = Position::read(&object(text)).write();
            assert_eq!(serde_json::to_string(&written).unwrap(), text);
        }
    }

    /// In the middle of a transaction, with transaction metadata.
    const RECORDED_IN_TRANSACTION: &str = r#"{"transaction_id":"11070212","lsn_proc":6653485552,"lsn_events_processed":1,"messageType":"INSERT","transaction_data_collection_order_public.a":30000,"lsn_commit":6647937120,"lsn":6653485552,"txId":11070212,"ts_usec":1795304614482158,"transaction_data_collection_order_inv.b":23036}"#;

    /// What Debezium 3.7 stores with the rows of an incremental snapshot, shortened.
    #[test]
    fn an_incremental_snapshot_is_no_reason_to_begin_anew() {
        let text = r#"{"incremental_snapshot_correlation_id":"tk","lsn_proc":150,"messageType":"INSERT","lsn_commit":100,"lsn":150,"txId":7,"ts_usec":1,"snapshot":"INCREMENTAL","last_snapshot_record":false,"snapshot_completed":false,"incremental_snapshot_total_rows":"5"}"#;
        let position = Position::read(&object(text));
        assert_eq!((position.snapshot.as_deref(), position.start()), (None, Some(Lsn(100))));
        let incremental =
            ["incremental_snapshot_correlation_id", "incremental_snapshot_total_rows"];
        let fields: Vec<&str> = position.incremental.iter().map(|(f, _)| f.as_str()).collect();
        assert_eq!(fields, incremental);
        let written = position.write();
        assert!(incremental.iter().all(|field| written.contains_key(*field)));
    }

    #[test]
    fn the_checkpoint_of_a_snapshot_round_trips() {
        let text = r#"{"v":1,"finished":"","open":[]}"#;
        let position = Position {
            lsn: Some(Lsn(9)),
            snapshot: Some("INITIAL".into()),
            checkpoint: Some(text.into()),
            ..Position::default()
        };
        let written = position.write();
        assert_eq!(written[CHECKPOINT], text);
        assert_eq!(Position::read(&written), position);
        // Once the snapshot is over nothing is left of it.
        let mut over = written;
        over.insert("snapshot_completed".into(), true.into());
        assert_eq!(Position::read(&over).checkpoint, None);
    }

    /// Debezium drops the field, so a list never is of before Debezium had the connector.
    #[test]
    fn the_list_of_tables_round_trips() {
        let text = r#"{"v":1,"database":"7/5","horizon":753,"filters":"ab","tables":"gIABBg"}"#;
        let position = Position { tables: Known::parse(text).map(Arc::new), ..Position::default() };
        let written = position.write();
        assert_eq!(written[TABLES], text);
        assert_eq!(Position::read(&written), position);
        assert!(
            position.tables.is_some_and(|known| known.contains(16384) && known.contains(16390))
        );
    }

    #[test]
    fn where_to_resume() {
        let inside = object(
            r#"{"lsn_proc":150,"messageType":"INSERT","lsn_commit":100,"lsn":150,"txId":7,"ts_usec":1}"#,
        );
        let position = Position::read(&inside);
        assert_eq!(position.start(), Some(Lsn(100)));
        assert_eq!(position.confirmable(), Some(Lsn(100)));
        let mut done = position.done().unwrap();
        assert_eq!(done.tx_id, 7);
        assert!(done.covers(Lsn(150)) && done.covers(Lsn(150)) && !done.covers(Lsn(151)));
        let snapshot = object(
            r#"{"lsn":90,"txId":7,"ts_usec":1,"snapshot":"INITIAL","snapshot_completed":false}"#,
        );
        let position = Position::read(&snapshot);
        assert_eq!(position.snapshot.as_deref(), Some("INITIAL"));
        assert_eq!((position.confirmable(), position.done()), (None, None));
    }
}
