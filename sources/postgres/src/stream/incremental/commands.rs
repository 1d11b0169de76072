//! What signals ask for, and what is told of it.

use ::snapshot::{
    incremental::{QUEUE_BYTES_MAX, shown},
    notifications::{INCREMENTAL, Notification, Status},
    signals::{Action, Execute, Kind, Signal, expand},
};
use model::{connector::Outbox, error::Result, java};

use super::{Reader, unmarked::added};
use crate::{catalog, notify, position::Position, wire::Stream};

impl Reader<'_> {
    /// Follows a signal; one that can't be followed is said in the log.
    pub(super) async fn follow(
        &mut self,
        signal: Signal,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        let action = match signal.parse() {
            Ok(action) => action,
            Err(reason) => {
                tracing::warn!("signal {} ({}) is not followed: {reason}", signal.id, signal.kind);
                self.options.figures.signals.refused();
                return Ok(());
            }
        };
        match action {
            Action::OpenWindow => {
                if self.incremental.context.expects(&signal.id) {
                    self.incremental.open = true;
                }
                return Ok(());
            }
            Action::CloseWindow => {
                if self.incremental.context.expects(&signal.id) {
                    self.incremental.open = false;
                    self.incremental.due = self.incremental.window.take();
                }
                return Ok(());
            }
            _ => {}
        }
        tracing::info!("signal {} ({}) is followed: {}", signal.id, signal.kind, signal.data);
        let figures = &self.options.figures.signals;
        figures.followed(&signal.kind);
        self.act(&signal, action, stream, sent, out).await?;
        figures.show(&self.incremental.context);
        Ok(())
    }

    async fn act(
        &mut self,
        signal: &Signal,
        action: Action,
        stream: &mut Stream,
        sent: &mut Position,
        out: &mut Outbox,
    ) -> Result<()> {
        match action {
            Action::Log(message) => {
                let position = self.incremental.stored(self.progress.position()).write();
                let offset = serde_json::Value::Object(position).to_string();
                tracing::info!("{}", message.replacen("{}", &offset, 1));
                Ok(())
            }
            Action::Execute(execute) if execute.kind == Kind::Incremental => {
                self.execute(&signal.id, &execute).await
            }
            Action::Execute(execute) => self.block(&execute, stream, sent, out).await,
            Action::Stop(patterns) => {
                self.stop(patterns);
                Ok(())
            }
            Action::Pause => {
                self.pause(true);
                Ok(())
            }
            Action::Resume => {
                if self.pause(false) {
                    self.begin_chunk();
                }
                Ok(())
            }
            Action::OpenWindow | Action::CloseWindow => Ok(()),
        }
    }

    pub(super) async fn execute(&mut self, id: &str, execute: &Execute) -> Result<()> {
        let signals = &self.options.signals;
        if signals.table.is_none() && !signals.read_only {
            tracing::warn!(
                "signal {id} is not followed: incremental snapshots need signal.data.collection, a table to write marks to, or read.only=true"
            );
            self.notify_incremental(
                "ABORTED",
                vec![("data_collections", execute.collections.join(","))],
            );
            return Ok(());
        }
        let names = self.captured_names().await?;
        // What a pattern finds, Debezium reads in the order of the map of its tables.
        let buckets = java::buckets_of_concurrent(names.len());
        let names = java::in_hash_order(names, buckets, |name| java::string_hash(name));
        let names = match expand(&execute.collections, &names, false) {
            Ok(names) => names,
            Err(reason) => {
                tracing::warn!("signal {id} is not followed: {reason}");
                return Ok(());
            }
        };
        let idle = !self.incremental.context.running();
        let mut context = self.incremental.context.clone();
        context.add(id, execute, names);
        let bytes = context.stored_bytes();
        if bytes > QUEUE_BYTES_MAX {
            tracing::warn!(
                "signal {id} is not followed: the tables that are to be read would take {bytes} bytes in each stored offset, and {QUEUE_BYTES_MAX} are the most; name fewer tables, and the others once these are read"
            );
            self.notify_incremental(
                "ABORTED",
                vec![("data_collections", execute.collections.join(","))],
            );
            return Ok(());
        }
        self.incremental.context = context;
        if idle {
            self.incremental.context.paused = false;
            let names = self.incremental.context.names().join(",");
            self.notify_incremental("STARTED", vec![("data_collections", names.clone())]);
            self.notify_incremental("DATA_COLLECTIONS_RESOLVED", vec![("data_collections", names)]);
            self.begin_chunk();
        }
        Ok(())
    }

    pub(super) async fn captured_names(&self) -> Result<Vec<String>> {
        let capture = &self.options.capture;
        let tables = catalog::tables(self.session, capture.builtin_ignored).await?;
        let captured = tables.iter().filter(|table| capture.accepts(table));
        Ok(captured.map(ToString::to_string).collect())
    }

    /// True when it made a difference.
    pub(super) fn pause(&mut self, paused: bool) -> bool {
        let context = &mut self.incremental.context;
        if !context.running() || context.paused == paused {
            let word = if paused { "pause" } else { "resume" };
            let why = if context.running() { "it is already" } else { "none runs" };
            tracing::warn!("there is no incremental snapshot to {word}: {why}");
            return false;
        }
        context.paused = paused;
        let names = context.names().join(",");
        let kind = if paused { "PAUSED" } else { "RESUMED" };
        self.notify_incremental(kind, vec![("data_collections", names)]);
        true
    }

    pub(super) fn stop(&mut self, patterns: Vec<String>) {
        let incremental = &mut self.incremental;
        if !incremental.context.running() {
            tracing::warn!("there is no incremental snapshot to stop");
            return;
        }
        // Without names it is about what signals asked for: rows of new tables would be missing.
        let whole = patterns.is_empty();
        let patterns = if whole { vec![".*".to_owned()] } else { patterns };
        let asked = incremental.context.collections().filter(|left| !(whole && added(left)));
        let asked = asked.map(|left| left.id.as_str());
        let unqueued = incremental.unqueued().filter(|_| !whole);
        let names: Vec<String> = asked.chain(unqueued).map(str::to_owned).collect();
        if names.is_empty() {
            tracing::warn!(
                "there is no incremental snapshot to stop but that of tables that are new in the filters, which is stopped by their names in data-collections"
            );
            return;
        }
        let Ok(named) = expand(&patterns, &names, false) else {
            tracing::warn!(
                "a stop-snapshot signal names {}, which is no regular expression",
                patterns.join(", ")
            );
            return;
        };
        // A restart does not go on with them, whenever it comes. What a later signal asks for is not
        // stopped, whereas Debezium looks only once the chunk is done what is in the queue.
        incremental.context.stop(|left| !(whole && added(left)) && named.contains(&left.id));
        incremental.unstored = true;
        let dropped = if whole { Vec::new() } else { incremental.stop_added(&named) };
        for name in named {
            let done = dropped.contains(&name) && !incremental.context.is_stopping(&name);
            if !done && !incremental.stops.contains(&name) {
                incremental.stops.push(name);
            }
        }
        // Otherwise once the chunk at hand is done, as in Debezium.
        if incremental.context.paused && !incremental.busy() && incremental.job.is_none() {
            self.process_stops();
        }
    }

    /// Takes out the tables that stop signals named.
    pub(super) fn process_stops(&mut self) {
        let named = std::mem::take(&mut self.incremental.stops);
        let context = &mut self.incremental.context;
        if named.is_empty() || !context.running() {
            return;
        }
        let current = context.current().map(|current| current.id.clone());
        let current = current.filter(|_| context.ends());
        let mut stopped = Vec::new();
        for name in named {
            if current.as_ref() == Some(&name) {
                continue;
            } else if context.remove(&name) {
                stopped.push(name);
            } else {
                tracing::warn!(
                    "{name} is no part of the incremental snapshot (any more), so it can't be stopped"
                );
            }
        }
        context.stopped();
        let ended = current.is_some();
        if let Some(current) = current {
            stopped.push(current);
            context.next();
        }
        self.incremental.stop_added(&[]);
        self.incremental.queue_added();
        if ended && !self.incremental.context.running() {
            self.complete();
        }
        tracing::info!("stopped the incremental snapshot of {}", stopped.join(", "));
        self.notify_incremental("ABORTED", vec![("data_collections", stopped.join(","))]);
    }

    pub(super) fn complete(&mut self) {
        self.notify_incremental("COMPLETED", Vec::new());
        self.incremental.context.forget_correlation_id();
        // There is nothing left that they could be about.
        self.incremental.stops.clear();
        self.incremental.context.stopped();
        tracing::info!("the incremental snapshot is complete");
    }

    /// Done with the current table, as `status` says.
    pub(super) fn scanned(&mut self, status: Status) {
        let context = &self.incremental.context;
        let Some(current) = context.current() else { return };
        let mut data = vec![
            ("data_collections", context.names().join(",")),
            ("scanned_collection", current.id.clone()),
            ("total_rows_scanned", context.rows_scanned.to_string()),
            ("status", status.name().to_owned()),
        ];
        data.extend(context.total_rows().map(|rows| ("total_rows", rows.to_string())));
        self.notify_incremental("TABLE_SCAN_COMPLETED", data);
        self.incremental.give_up_added(status);
        self.incremental.context.next();
        self.incremental.queue_added();
        if !self.incremental.context.running() {
            self.complete();
        }
    }

    /// A chunk was read.
    pub(super) fn notify_progress(&mut self) {
        if !self.options.notifications.open() {
            return;
        }
        let context = &self.incremental.context;
        let Some(current) = context.current() else { return };
        let key = |key: Option<&Vec<_>>| key.map_or_else(|| "\"<null>\"".to_owned(), |k| shown(k));
        let mut data = vec![
            ("data_collections", context.names().join(",")),
            ("current_collection_in_progress", current.id.clone()),
            ("maximum_key", key(context.maximum())),
            ("last_processed_key", key(context.after())),
        ];
        if let Some(rows) = context.total_rows() {
            let chunk = i64::try_from(self.options.signals.chunk_rows).unwrap_or(i64::MAX);
            let chunks = |rows: i64| (rows.saturating_add(chunk - 1) / chunk).to_string();
            data.push(("total_rows", rows.to_string()));
            data.push(("total_chunks", chunks(rows)));
            data.push(("chunk_index", chunks(context.rows_scanned)));
        }
        self.notify_incremental("IN_PROGRESS", data);
    }

    pub(super) fn notify_incremental(
        &mut self,
        kind: &'static str,
        data: Vec<(&'static str, String)>,
    ) {
        let id = match self.incremental.context.correlation_id() {
            Some(id) => id.to_owned(),
            None => uuid::Uuid::new_v4().to_string(),
        };
        let timestamp_ms = crate::now_ns() / 1_000_000;
        let notification = Notification { id, aggregate: INCREMENTAL, kind, data, timestamp_ms };
        if let Some(record) = self.options.notifications.notify(notification) {
            self.batch.push_made(notify::byte_len(&record), |_| record);
        }
    }
}
