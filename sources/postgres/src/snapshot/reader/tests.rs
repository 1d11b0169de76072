use ::snapshot::checkpoint::Checkpoint;
use relational::table::TableId;

use super::{
    super::{
        Plan,
        chunk::{Horizon, Part, cut},
    },
    *,
};
use crate::{config::CONFIG, wire::tests::live};

/// A table that is rewritten behind a view is empty to it, as the new rows are younger, and stays so when
/// it was rewritten before it was cut. With several readers in Debezium's older way each partition is
/// read by a COPY of its own.
#[tokio::test]
async fn a_table_that_was_rewritten_behind_the_view_is_not_empty() {
    let Some((settings, client, handle)) = live::database("rewritten").await else { return };
    let tables = "CREATE TABLE p (id int PRIMARY KEY, v int) PARTITION BY RANGE (id);
        CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
        CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
        CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30);
        INSERT INTO p SELECT g, g FROM generate_series(0, 19) g;
        CREATE TABLE t (id int PRIMARY KEY, v int);
        INSERT INTO t SELECT g, g FROM generate_series(0, 19) g";
    client.batch_execute(tables).await.unwrap();
    let port = settings.port.to_string();
    let config = [
        ("database.hostname", &*settings.host),
        ("database.port", &port),
        ("database.user", &settings.user),
        ("database.dbname", &settings.dbname),
        ("topic.prefix", "p"),
        ("plugin.name", "pgoutput"),
        ("snapshot.max.threads", "2"),
        ("legacy.snapshot.max.threads", "true"),
    ];
    let config = CONFIG.parse(config).unwrap();
    let topics = model::topics::NoTopics::shared();
    let options = Arc::new(Options::read(&config, 0, Default::default(), topics).unwrap());
    let cases = [
        // What has no rows has lost none.
        ("p", 3, "TRUNCATE p3", true),
        ("p", 3, "ALTER TABLE p ALTER v TYPE bigint", false),
        ("t", 1, "ALTER TABLE t ALTER v TYPE bigint", false),
    ];
    for (table, chunks, statement, right) in cases {
        let session = Session::connect(&settings, &[]).await.unwrap();
        session.execute("begin", "BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
        let view =
            "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s) FROM txid_current_snapshot() s";
        let view = session.query_one("take a view", view, &[]).await.unwrap();
        let number = |column| u64::try_from(view.get::<_, i64>(column)).unwrap();
        let horizon = Horizon { xmin: number(0), xmax: number(1) };
        let plan = Plan {
            tables: vec![TableId { namespace: "public".into(), name: table.into() }],
            names: Arc::new([format!("public.{table}")]),
            exported: None,
            lsn: Lsn(1),
            ranges: true,
            kind: "INITIAL",
            resumed: Checkpoint::default(),
            standby: false,
            known: None,
            blocking: None,
        };
        client.batch_execute(statement).await.unwrap();
        let work = cut(&options, &plan, &session, horizon).await.unwrap();
        assert_eq!(work.chunks.len(), chunks);
        assert!(work.chunks.iter().all(|chunk| matches!(chunk.part, Part::Whole)));
        let shared = Shared {
            options: options.clone(),
            moment: Arc::default(),
            lsn: Lsn(1),
            alone: true,
            first_marked: false,
            begins_with: None,
            queue: Mutex::new(work.chunks.into()),
            names: plan.names.clone(),
        };
        let (batches, _kept) = mpsc::channel(1);
        let read = Reader::new(Arc::new(shared)).run(session, batches).await;
        match read {
            // One row is held back.
            Ok(reader) if right => assert_eq!(reader.batch.len(), 19, "{statement}"),
            Err(error) if !right => {
                let error = error.trace().to_string();
                assert!(error.contains("moved to another file"), "{statement}: {error}");
            }
            read => panic!("{statement}: {:?}", read.map(|reader| reader.batch.len())),
        }
    }
    live::drop_database(settings, client, handle).await;
}
