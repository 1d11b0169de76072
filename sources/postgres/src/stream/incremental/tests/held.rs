//! What comes in the stream while a chunk is being read, for as long as the test wants.

use super::{Rig, Rows};

/// A table whose first chunk is read when the test lets it: each reading of its first row waits for an
/// advisory lock, of the numbers from 1 on.
async fn held(test: &'static str, rows: u32, read_only: &str) -> Option<Rig> {
    let tables = format!(
        "CREATE TABLE big (id int PRIMARY KEY, v int);
        INSERT INTO big SELECT g, 0 FROM generate_series(1, {rows}) g;
        CREATE SEQUENCE readings;
        CREATE FUNCTION held(id int) RETURNS bool LANGUAGE plpgsql AS
            'BEGIN IF id = 1 AND current_query() LIKE ''COPY%'' THEN
                PERFORM pg_advisory_xact_lock_shared(nextval(''readings'')); END IF;
             RETURN true; END'"
    );
    let more = [
        ("read.only", read_only),
        ("tombstones.on.delete", "false"),
        ("incremental.snapshot.watermarking.strategy", "insert_delete"),
    ];
    let rig = Rig::new(test, &tables, &more).await?;
    rig.sql("SELECT pg_advisory_lock(1), pg_advisory_lock(2)").await;
    rig.signal(
        "execute-snapshot",
        r#"{"data-collections": ["public.big"],
            "additional-conditions": [{"data-collection": "public.big", "filter": "id <= 30 AND held(id)"}]}"#,
    )
    .await;
    rig.until(&waits_for(1)).await;
    Some(rig)
}

/// More rows are changed than keys are noted, while the first chunk is being read.
async fn overrun(test: &'static str, read_only: &str) -> Option<Rig> {
    let mut rig = held(test, 60_000, read_only).await?;
    rig.sql("UPDATE big SET v = 1").await;
    rig.rows_until(|_, rows| rows.len() == 60_000).await;
    Some(rig)
}

fn waits_for(lock: u8) -> String {
    format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = {lock}
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
}

/// The rows that were read, and what else came.
fn parted(rows: &Rows) -> (Vec<i64>, Vec<(&str, i64)>) {
    let id =
        |key: &str| key.trim_start_matches("Int(").trim_end_matches(')').parse().expect("a key");
    let (read, others): (Vec<_>, Vec<_>) = rows.iter().partition(|(op, _)| op == "r");
    (
        read.iter().map(|(_, key)| id(key)).collect(),
        others.iter().map(|(op, key)| (op.as_str(), id(key))).collect(),
    )
}

/// Keys that came before the chunk was there are forgotten when they are too many. What is sent then
/// was read later than they came, and gives way to what came after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_is_read_again_when_too_much_came_meanwhile() {
    let Some(mut rig) = overrun("inc_overrun", "false").await else { return };
    // What the first reading lacks; the stream shows it.
    rig.sql("INSERT INTO big VALUES (0, 1)").await;
    rig.sql("SELECT pg_advisory_unlock(1)").await;
    rig.until(&waits_for(2)).await;
    // Newer than the second reading.
    rig.sql("UPDATE big SET v = 2 WHERE id = 3; DELETE FROM big WHERE id = 4").await;
    rig.sql("SELECT pg_advisory_unlock(2)").await;
    let rows = rig.rows().await;
    let (read, others) = parted(&rows);
    assert_eq!(read, (1..=30).filter(|id| ![3, 4].contains(id)).collect::<Vec<_>>());
    assert_eq!(others, [("c", 0), ("u", 3), ("d", 4)]);
    let marks = "SELECT count(*) FROM signal WHERE id LIKE '%-open'";
    let left = rig.client.query_one(marks, &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0, "marks that nobody takes away");
    rig.end().await;
}

/// All rows of the chunk are gone when it is read again; those behind it are read.
#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_goes_on_behind_a_chunk_that_is_gone() {
    let Some(mut rig) = overrun("inc_overrun_gone", "true").await else { return };
    rig.sql("DELETE FROM big WHERE id <= 10").await;
    rig.sql("SELECT pg_advisory_unlock(1)").await;
    // No marks come that an offset could follow.
    let (rows, _) = rig.rows_until(|_, rows| rows.len() >= 30).await;
    let (read, others) = parted(&rows);
    assert_eq!(read, (11..=30).collect::<Vec<_>>());
    assert_eq!(others, (1..=10).map(|id| ("d", id)).collect::<Vec<_>>());
    rig.end().await;
}

/// Whoever locks a table does not hold up the changes of all others, whatever signals come.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_does_not_stop_the_stream_for_a_chunk_that_waits() {
    let Some(mut rig) = held("inc_waits", 30, "false").await else { return };
    for id in 31..33 {
        rig.signal("log", r#"{"message": "told"}"#).await;
        rig.sql(&format!("INSERT INTO big VALUES ({id}, 0)")).await;
        let (rows, _) = rig.rows_until(|_, rows| !rows.is_empty()).await;
        assert_eq!(parted(&rows).1, [("c", id)]);
    }
    rig.sql("SELECT pg_advisory_unlock(1), pg_advisory_unlock(2)").await;
    let rows = rig.rows().await;
    assert_eq!(parted(&rows).0, (1..=30).collect::<Vec<_>>());
    rig.end().await;
}
