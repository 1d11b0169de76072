//! A task that hung while another worker had it.

use super::*;

/// The task goes on from what is stored, and reads the tables that are new there.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_has_left_to_read_is_read() {
    let tables = "CREATE TABLE other (id int PRIMARY KEY, v int);
        INSERT INTO other SELECT g, g FROM generate_series(1, 5) g";
    let more = [
        ("snapshot.mode", "initial"),
        ("table.include.list", "public.big"),
        ("retriable.restart.connector.wait.ms", "100"),
    ];
    let Some(mut rig) = Rig::new("inc_elsewhere", tables, &more).await else { return };
    rig.signal("log", r#"{"message": "here"}"#).await;
    // The offset with the row of the signal: the list in it lacks the table.
    let mut offset = Object::new();
    while offset.get("lsn_commit").is_none() || offset.contains_key("snapshot") {
        offset = rig.batch().await.position.expect("a position").offset;
    }
    assert!(offset.contains_key("riverrun_tables"), "{offset:?}");
    rig.sql("ALTER TABLE other RENAME TO big").await;
    let now = "SELECT (pg_current_wal_lsn() - '0/0')::int8";
    let lsn: i64 = rig.client.query_one(now, &[]).await.unwrap().get(0);
    for field in ["lsn", "lsn_commit", "lsn_proc"] {
        offset.insert(field.to_owned(), lsn.into());
    }
    *rig.stored.lock().unwrap() = Some(offset);
    // The slot is moved on while nobody reads it.
    let moved = async {
        loop {
            let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                WHERE database = current_database() AND active";
            rig.client.execute(end, &[]).await.unwrap();
            let advance = "SELECT pg_replication_slot_advance('riverrun_inc_elsewhere', '0/0'::pg_lsn + $1::int8::numeric)";
            if rig.client.execute(advance, &[&lsn]).await.is_ok() {
                return;
            }
        }
    };
    timeout(LIMIT, moved).await.expect("a slot that is free");
    let read = |rows: &Rows| rows.iter().filter(|(op, _)| op == "r").count();
    let (rows, _) = rig.rows_until(|_, rows| read(rows) == 5).await;
    assert_eq!(distinct(&rows), 5, "{rows:?}");
    rig.end().await;
}
