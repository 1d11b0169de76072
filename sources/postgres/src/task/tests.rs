//! A task that runs, against the server named in `RIVERRUN_TEST_POSTGRES`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{
    connector::{Inbox, Object, OffsetReader, Start, outbox},
    error::Result,
    record::Position as StoredPosition,
};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::{
    config::CONFIG,
    position::{COMMIT, Position},
    wire::{Lsn, tests::live},
};

const LIMIT: Duration = Duration::from_secs(30);

/// Nothing is stored yet.
struct Nothing;

#[async_trait]
impl OffsetReader for Nothing {
    async fn offset(&self, _: &Object) -> Result<Option<Object>> {
        Ok(None)
    }
}

async fn until(client: &Client, query: &str) {
    let found = async {
        while !client.query_one(query, &[]).await.unwrap().get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("never true: {query}"));
}

/// Makes changes until one comes by the stream; where its batch ends.
async fn streamed(client: &Client, inbox: &mut Inbox) -> StoredPosition {
    let streamed = async {
        loop {
            client.batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
            while let Ok(batch) = timeout(Duration::from_millis(100), inbox.batches.recv()).await {
                let position = batch.expect("a task that runs").position;
                if let Some(position) = position
                    && Position::read(&position.offset).message_type == Some(COMMIT)
                {
                    return position;
                }
            }
        }
    };
    timeout(LIMIT, streamed).await.expect("a change")
}

/// A batch of the stream that a lost slot has ended is stored when the next one is under way. On a
/// server that was another before, its position may be ahead of all that this one has written.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_before_the_snapshot_sent_is_not_confirmed_to_the_new_slot() {
    let Some((settings, client, handle)) = live::database("lineage").await else { return };
    client.batch_execute("CREATE TABLE t (id serial PRIMARY KEY)").await.unwrap();
    let port = settings.port.to_string();
    let config = [
        ("database.hostname", &*settings.host),
        ("database.port", &port),
        ("database.user", &settings.user),
        ("database.dbname", &settings.dbname),
        ("topic.prefix", "p"),
        ("plugin.name", "pgoutput"),
        ("slot.name", "riverrun_lineage"),
        ("snapshot.mode", "when_needed"),
        ("status.update.interval.ms", "100"),
        ("retriable.restart.connector.wait.ms", "1000"),
    ];
    let start = Start {
        connector: "c".into(),
        task: 0,
        offsets: Arc::new(Nothing),
        gauges: Default::default(),
        progress: Default::default(),
        topics: Arc::new(model::topics::NoTopics),
    };
    let config = CONFIG.parse(config).unwrap();
    let mut task = crate::connector().start(config, start).await.unwrap();
    let (mut out, mut inbox) = outbox(4);
    let stop = inbox.stop.clone().drop_guard();
    let runtime = tokio::runtime::Handle::current();
    let task =
        tokio::task::spawn_blocking(move || runtime.block_on(async { task.run(&mut out).await }));
    let mut before = streamed(&client, &mut inbox).await;

    let drop_slot = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
            WHERE slot_name = 'riverrun_lineage' AND active;
        SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
            WHERE slot_name = 'riverrun_lineage'";
    let dropped = async {
        while client.batch_execute(drop_slot).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, dropped).await.expect("the slot is in use");
    let behind = streamed(&client, &mut inbox).await;
    let lsn = Position::read(&behind.offset).confirmable().expect("an end of a transaction");

    let ahead = Some(Lsn(lsn.0 + (1 << 30)));
    let position = Position::read(&before.offset);
    before.offset = Position { lsn_commit: ahead, lsn_proc: ahead, ..position }.write();
    inbox.acked.send_replace(Some(before));
    // After ten of its messages the stream has looked at what is stored.
    let now = client.query_one("SELECT clock_timestamp()::text", &[]).await.unwrap();
    let heard = format!(
        "SELECT coalesce(max(reply_time) > '{}'::timestamptz + interval '1 s', false)
           FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
          WHERE s.slot_name = 'riverrun_lineage'",
        now.get::<_, &str>(0)
    );
    until(&client, &heard).await;
    let confirmed = |than: &str| {
        format!(
            "SELECT confirmed_flush_lsn {than} '{lsn}'::pg_lsn FROM pg_replication_slots
              WHERE slot_name = 'riverrun_lineage'"
        )
    };
    until(&client, &confirmed("<")).await;
    inbox.acked.send_replace(Some(behind));
    until(&client, &confirmed("=")).await;

    drop(stop);
    inbox.batches.close();
    timeout(LIMIT, task).await.expect("an end").unwrap().unwrap();
    client.batch_execute(drop_slot).await.unwrap();
    live::drop_database(settings, client, handle).await;
}
