//! Incremental snapshots of a task that runs, against the server named in `RIVERRUN_TEST_POSTGRES`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use ::snapshot::{
    incremental::Collection,
    java_objects::{self, Object as JavaObject},
};
use async_trait::async_trait;
use model::{
    config::Config,
    connector::{Inbox, Object, OffsetReader, Start, outbox},
    error::Result,
    record::Batch,
    value::{Value, ValueRef},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::Client;

use super::Incremental;
use crate::{
    config::CONFIG,
    incremental::{ChunkReader, Found, Request},
    options::Options,
    position::Position,
    session::Session,
    slot_watch::SlotWatch,
    stream::Reader,
    types::Types,
    wire::{Lsn, Settings, pgoutput, sql, tests::live},
};

mod elsewhere;
mod held;

const LIMIT: Duration = Duration::from_secs(30);

struct Stored(Arc<Mutex<Option<Object>>>);

#[async_trait]
impl OffsetReader for Stored {
    async fn offset(&self, _: &Object) -> Result<Option<Object>> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// A database with a table of signals, and a task.
struct Rig {
    settings: Settings,
    client: Client,
    handle: sql::Handle,
    config: Vec<(&'static str, String)>,
    /// The offset that is stored, as far as a task that reads it is told.
    stored: Arc<Mutex<Option<Object>>>,
    running: Option<Running>,
}

struct Running {
    task: JoinHandle<Result<()>>,
    inbox: Inbox,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that fails would wait for its task otherwise.
        self.inbox.stop.cancel();
        self.inbox.batches.close();
    }
}

/// What came of a table `big`: the operation and the key of each record.
type Rows = Vec<(String, String)>;

impl Rig {
    async fn new(test: &'static str, tables: &str, more: &[(&'static str, &str)]) -> Option<Self> {
        let (settings, client, handle) = live::database(test).await?;
        client
            .batch_execute(&format!(
                "CREATE TABLE signal (id varchar(64) PRIMARY KEY, type varchar(32), data text); {tables}"
            ))
            .await
            .unwrap();
        let config = [
            ("database.hostname", settings.host.clone()),
            ("database.port", settings.port.to_string()),
            ("database.user", settings.user.clone()),
            ("database.dbname", settings.dbname.clone()),
            ("topic.prefix", "p".to_owned()),
            ("plugin.name", "pgoutput".to_owned()),
            ("slot.name", format!("riverrun_{test}")),
            ("snapshot.mode", "no_data".to_owned()),
            ("signal.data.collection", "public.signal".to_owned()),
            ("incremental.snapshot.chunk.size", "10".to_owned()),
        ];
        let given = |key: &str| more.iter().any(|(own, _)| *own == key);
        let config = config.into_iter().filter(|(key, _)| !given(key));
        let more = more.iter().map(|(key, value)| (*key, (*value).to_owned()));
        let config = config.chain(more).collect();
        let stored = Arc::default();
        let mut rig = Self { settings, client, handle, config, stored, running: None };
        rig.start(None).await;
        Some(rig)
    }

    fn parsed(&self) -> Config {
        CONFIG.parse(self.config.iter().map(|(key, value)| (*key, value.as_str()))).unwrap()
    }

    fn options(&self) -> Options {
        let topics = model::topics::NoTopics::shared();
        Options::read(&self.parsed(), 0, Default::default(), topics).unwrap()
    }

    /// Runs a task from a stored offset on, and waits until its slot is made.
    async fn start(&mut self, offset: Option<Object>) {
        *self.stored.lock().unwrap() = offset;
        let start = Start {
            connector: "c".into(),
            task: 0,
            offsets: Arc::new(Stored(self.stored.clone())),
            gauges: Default::default(),
            progress: Default::default(),
            topics: Arc::new(model::topics::NoTopics),
        };
        let mut task = crate::connector().start(self.parsed(), start).await.unwrap();
        let (mut out, inbox) = outbox(2);
        let runtime = tokio::runtime::Handle::current();
        let task = tokio::task::spawn_blocking(move || {
            runtime.block_on(async { task.run(&mut out).await })
        });
        self.running = Some(Running { task, inbox });
        let active = "SELECT count(*) FROM pg_replication_slots
            WHERE database = current_database() AND active AND confirmed_flush_lsn IS NOT NULL";
        self.until(active).await;
    }

    /// Waits until a count is one.
    async fn until(&self, query: &str) {
        let one = async {
            while self.client.query_one(query, &[]).await.unwrap().get::<_, i64>(0) != 1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, one).await.unwrap_or_else(|_| panic!("{query} is not 1"));
    }

    async fn sql(&self, text: &str) {
        self.client.batch_execute(text).await.unwrap();
    }

    async fn signal(&self, kind: &str, data: &str) {
        self.sql(&format!("INSERT INTO signal VALUES (gen_random_uuid(), '{kind}', '{data}')"))
            .await;
    }

    async fn batch(&mut self) -> Batch {
        let running = self.running.as_mut().expect("a task");
        timeout(LIMIT, running.inbox.batches.recv())
            .await
            .expect("a batch")
            .expect("a task that runs")
    }

    /// Rows until an offset comes that `enough` says is the last; that offset too.
    async fn rows_until(
        &mut self,
        mut enough: impl FnMut(&Object, &Rows) -> bool,
    ) -> (Rows, Object) {
        let mut rows = Rows::new();
        loop {
            let batch = self.batch().await;
            for record in batch.records.filter(|record| &*record.topic == "p.public.big") {
                let Value::Struct(value) = &record.value.value else { panic!("{record:?}") };
                let at = value.schema().fields().index_of("op").expect("an envelope");
                let ValueRef::Text(op) = value.as_ref().at(at) else { panic!("{record:?}") };
                let shown = |value: ValueRef<'_>| format!("{:?}", value.to_owned());
                let key = match &record.key.value {
                    Value::Struct(key) => shown(key.as_ref().at(0)),
                    _ => String::new(),
                };
                rows.push((op.to_owned(), key));
            }
            let offset = batch.position.expect("a position").offset;
            if enough(&offset, &rows) {
                return (rows, offset);
            }
        }
    }

    /// Rows until the incremental snapshot that was asked for has ended.
    async fn rows(&mut self) -> Rows {
        let mut begun = false;
        let ended = |offset: &Object, _: &Rows| {
            let runs = offset.contains_key("incremental_snapshot_collections");
            begun |= runs;
            begun && !runs
        };
        self.rows_until(ended).await.0
    }

    async fn stop(&mut self) {
        let mut running = self.running.take().expect("a task");
        running.inbox.stop.cancel();
        running.inbox.batches.close();
        timeout(LIMIT, &mut running.task).await.expect("an end").unwrap().unwrap();
    }

    async fn end(mut self) {
        if self.running.is_some() {
            self.stop().await;
        }
        let Self { settings, client, handle, .. } = self;
        let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
            WHERE database = current_database()";
        client.execute(drop, &[]).await.unwrap();
        live::drop_database(settings, client, handle).await;
    }
}

fn distinct(rows: &Rows) -> usize {
    rows.iter().map(|(_, key)| key).collect::<BTreeSet<_>>().len()
}

/// A chunk that was read before a pause is sent, whenever the snapshot is resumed.
#[tokio::test(flavor = "multi_thread")]
async fn no_chunk_is_lost_between_pause_and_resume() {
    let tables = "CREATE TABLE big (id int PRIMARY KEY, v int);
        INSERT INTO big SELECT g, g FROM generate_series(1, 30) g";
    let Some(mut rig) = Rig::new("inc_pause", tables, &[]).await else { return };
    rig.sql(
        r#"INSERT INTO signal VALUES
            ('s', 'execute-snapshot', '{"data-collections": ["public.big"]}'),
            ('p', 'pause-snapshot', '{}'), ('r', 'resume-snapshot', '{}')"#,
    )
    .await;
    let rows = rig.rows().await;
    assert_eq!((rows.len(), distinct(&rows)), (30, 30), "{rows:?}");
    rig.end().await;
}

/// What an offset says was sent last.
fn sent(offset: &Object) -> Option<Vec<JavaObject>> {
    let text = offset.get("incremental_snapshot_primary_key")?.as_str()?;
    java_objects::from_hexadecimal(text).unwrap()
}

/// Equal keys of different texts, over several batches: an offset from their middle does not cover
/// them, so the rows that were not sent come after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_among_rows_of_equal_key_loses_none() {
    let tables = "CREATE TABLE big (id int PRIMARY KEY, day numeric NOT NULL);
        INSERT INTO big SELECT g, CASE WHEN g <= 3 THEN 1 WHEN g % 2 = 0 THEN 7.0 ELSE 7.00 END
            FROM generate_series(1, 30) g";
    let more = [("max.batch.size", "5")];
    let Some(mut rig) = Rig::new("inc_equal", tables, &more).await else { return };
    rig.signal(
        "execute-snapshot",
        r#"{"data-collections": ["public.big"], "surrogate-key": "day"}"#,
    )
    .await;
    let (first, offset) = rig.rows_until(|_, rows| rows.len() >= 10).await;
    let one = JavaObject::BigDecimal { unscaled: 1.into(), scale: 0 };
    assert_eq!(sent(&offset), Some(vec![one]), "{first:?}");
    rig.stop().await;
    rig.start(Some(offset)).await;
    let second = rig.rows().await;
    let all: Rows = first.into_iter().chain(second).collect();
    assert_eq!(distinct(&all), 30, "{all:?}");
    rig.end().await;
}

/// A unique index lets any number of rows have NULL; such a table has no primary key.
#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_value_in_a_unique_index_are_all_sent() {
    let tables = "CREATE TABLE big (code int UNIQUE, v int);
        INSERT INTO big SELECT CASE WHEN g <= 5 THEN g END, g FROM generate_series(1, 50) g";
    let Some(mut rig) = Rig::new("inc_nulls", tables, &[]).await else { return };
    rig.signal("execute-snapshot", r#"{"data-collections": ["public.big"]}"#).await;
    let rows = rig.rows().await;
    assert_eq!((rows.len(), distinct(&rows)), (50, 6), "{rows:?}");
    rig.end().await;
}

/// A chunk that takes too long would take as long again: its table is given up, and the next is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_query_takes_too_long_is_given_up() {
    // As the server fails a statement behind statement_timeout, at once.
    let tables = "CREATE TABLE slow (id int PRIMARY KEY, v int); INSERT INTO slow VALUES (1, 1);
        CREATE FUNCTION late() RETURNS bool LANGUAGE plpgsql AS
            'BEGIN RAISE query_canceled; END';
        CREATE TABLE big (id int PRIMARY KEY, v int); INSERT INTO big VALUES (1, 1)";
    let Some(mut rig) = Rig::new("inc_slow", tables, &[]).await else { return };
    rig.signal(
        "execute-snapshot",
        r#"{"data-collections": ["public.slow", "public.big"],
            "additional-conditions": [{"data-collection": "public.slow", "filter": "late()"}]}"#,
    )
    .await;
    let rows = rig.rows().await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rig.end().await;
}

/// The offset that holds the signal's row says that the table is stopped, so a task that is killed
/// then does not go on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_holds_from_its_signal_on() {
    let tables = "CREATE TABLE big (id int PRIMARY KEY, v int);
        INSERT INTO big SELECT g, g FROM generate_series(1, 30) g;
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN new; END';
        CREATE TRIGGER late BEFORE INSERT ON signal FOR EACH ROW
            WHEN (new.type = 'snapshot-window-close') EXECUTE FUNCTION wait()";
    let Some(mut rig) = Rig::new("inc_stop", tables, &[]).await else { return };
    rig.sql(
        r#"INSERT INTO signal VALUES ('s', 'execute-snapshot', '{"data-collections": ["public.big"]}'),
            ('p', 'pause-snapshot', '{}')"#,
    )
    .await;
    let runs = |offset: &Object| offset.contains_key("incremental_snapshot_collections");
    rig.rows_until(|offset, rows| runs(offset) && rows.len() == 10).await;
    // The mark behind the next chunk does not come.
    rig.sql("SELECT pg_advisory_lock(1)").await;
    rig.sql(
        r#"INSERT INTO signal VALUES ('r', 'resume-snapshot', '{}'), ('t', 'stop-snapshot', '{}')"#,
    )
    .await;
    let (rows, _) = rig.rows_until(|offset, _| !runs(offset)).await;
    assert!(rows.is_empty(), "{rows:?}");
    rig.end().await;
}

/// A stop is done once the chunk at hand is. What was asked for behind it is read all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_asked_for_behind_a_stop_is_read() {
    let tables = "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);
        CREATE TABLE big (id int PRIMARY KEY, v int);
        INSERT INTO big SELECT g, g FROM generate_series(1, 30) g";
    let Some(mut rig) = Rig::new("inc_again", tables, &[]).await else { return };
    // In one transaction, so that the mark behind the chunk of `other` comes later.
    rig.sql(
        r#"INSERT INTO signal VALUES
            ('s', 'execute-snapshot', '{"data-collections": ["public.other", "public.big"]}'),
            ('t', 'stop-snapshot', '{"data-collections": ["public.big"]}'),
            ('u', 'execute-snapshot', '{"data-collections": ["public.big"]}')"#,
    )
    .await;
    let rows = rig.rows().await;
    assert_eq!((rows.len(), distinct(&rows)), (30, 30), "{rows:?}");
    rig.end().await;
}

/// Rows of a chunk that a TRUNCATE took away meanwhile do not come behind it, whether events of
/// truncates are sent or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_is_not_sent() {
    let tables = "CREATE TABLE big (id int PRIMARY KEY, v int);
        INSERT INTO big SELECT g, g FROM generate_series(1, 5) g;
        CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN TRUNCATE big; RETURN new; END';
        CREATE TRIGGER early BEFORE INSERT ON signal FOR EACH ROW
            WHEN (new.type = 'snapshot-window-close') EXECUTE FUNCTION empty()";
    let Some(mut rig) = Rig::new("inc_truncate", tables, &[]).await else { return };
    rig.signal("execute-snapshot", r#"{"data-collections": ["public.big"]}"#).await;
    let rows = rig.rows().await;
    assert!(rows.is_empty(), "{rows:?}");
    rig.end().await;
}

/// The stream shows a transaction a moment before other sessions see it, and with a synchronous standby
/// long before. What is read without marks meanwhile would be older than what was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_without_marks_waits_for_what_the_stream_has_shown() {
    let tables = "CREATE TABLE big (id int PRIMARY KEY, v int); INSERT INTO big VALUES (1, 1)";
    let Some(mut rig) = Rig::new("inc_unseen", tables, &[("read.only", "true")]).await else {
        return;
    };
    rig.stop().await;
    rig.sql("BEGIN; UPDATE big SET v = 77").await;
    let row = rig.client.query_one("SELECT pg_current_xact_id()::text::int8", &[]).await.unwrap();
    let mut reader = ChunkReader::new(&Arc::new(rig.options()));
    let request = Request {
        collection: Collection {
            id: "public.big".into(),
            condition: None,
            surrogate_key: None,
            correlation_id: None,
        },
        after: None,
        end: None,
        maximum: None,
        total_rows: None,
        mark: None,
        unmarked: true,
        shown: vec![u32::try_from(row.get::<_, i64>(0)).unwrap()],
    };
    let mut reading = std::pin::pin!(reader.read(&request));
    // It looks again and again; without the wait it would have read within the first of these.
    let early = timeout(Duration::from_millis(1_500), &mut reading).await;
    assert!(early.is_err(), "{early:?}");
    rig.sql("COMMIT").await;
    let Found::Rows(chunk) = timeout(LIMIT, reading).await.expect("a chunk").unwrap() else {
        panic!("no rows")
    };
    assert!(chunk.copied.windows(4).any(|four| four == 77i32.to_be_bytes()), "{chunk:?}");
    rig.end().await;
}

/// Rows of one key are in memory together, so what there may be of them is limited; the next table is
/// read.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_of_one_key_are_not_read() {
    let tables = "CREATE TABLE wide (id int PRIMARY KEY, k int NOT NULL, v text);
        INSERT INTO wide SELECT g, 1, repeat('x', 1000000) FROM generate_series(1, 140) g;
        CREATE TABLE big (id int PRIMARY KEY, k int NOT NULL); INSERT INTO big VALUES (1, 1)";
    let Some(mut rig) = Rig::new("inc_one_key", tables, &[]).await else { return };
    rig.signal(
        "execute-snapshot",
        r#"{"data-collections": ["public.wide", "public.big"], "surrogate-key": "k"}"#,
    )
    .await;
    let mut records = 0;
    let (mut begun, mut ended) = (false, false);
    while !ended {
        let batch = rig.batch().await;
        let runs = batch.position.unwrap().offset.contains_key("incremental_snapshot_collections");
        (ended, begun) = (begun && !runs, begun || runs);
        records += batch.records.filter(|record| &*record.topic != "p.public.signal").count();
    }
    assert_eq!(records, 1);
    rig.end().await;
}

/// What other sessions see is not waited for any more, so that its number, which comes again after four
/// billion transactions, is not taken for another's.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_others_see_are_forgotten() {
    let Some(mut rig) = Rig::new("inc_weed", "", &[]).await else { return };
    rig.stop().await;
    let options = Arc::new(rig.options());
    let session = Session::connect(&options.database("t"), &[]).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let mut incremental = Incremental::resume(&options, &mut Position::default(), runtime).unwrap();
    let mut xids = Vec::new();
    for statement in ["", "BEGIN"] {
        rig.sql(statement).await;
        let row = rig.client.query_one("SELECT pg_current_xact_id()::text::int8", &[]).await;
        xids.push(u32::try_from(row.unwrap().get::<_, i64>(0)).unwrap());
    }
    xids.iter().for_each(|xid| incremental.shown(*xid));
    let now = Instant::now();
    incremental.weed_shown(&session, now).await.unwrap();
    assert_eq!(incremental.shown, xids);
    incremental.weed_shown(&session, now + Duration::from_hours(2)).await.unwrap();
    assert_eq!(incremental.shown, &xids[1..]);
    rig.sql("ROLLBACK").await;
    rig.end().await;
}

/// A chunk that is begun among the changes of a transaction waits until other sessions see it, as it is
/// to be no older than those changes that came before.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_counts_as_shown_from_its_beginning() {
    let Some(mut rig) = Rig::new("inc_begin", "", &[]).await else { return };
    rig.stop().await;
    let options = Arc::new(rig.options());
    let session = Session::connect(&options.database("t"), &[]).await.unwrap();
    let watch = SlotWatch::start(&options, &session).await.unwrap();
    let (types, jobs) = (Types::default(), tokio::runtime::Handle::current());
    let position = Position::default();
    let mut reader =
        Reader::new(&options, &session, types, position, 170_000, watch, jobs).unwrap();
    let begin = pgoutput::Begin { final_lsn: Lsn(9), commit_time_us: 0, xid: 753 };
    reader.apply(pgoutput::Message::Begin(begin), Lsn(5)).await.unwrap();
    assert_eq!(reader.incremental.shown, [753]);
    let commit = pgoutput::Commit { commit_lsn: Lsn(9), end_lsn: Lsn(10), commit_time_us: 0 };
    reader.apply(pgoutput::Message::Commit(commit), Lsn(10)).await.unwrap();
    assert_eq!(reader.incremental.shown, [753]);
    drop(reader);
    rig.end().await;
}
