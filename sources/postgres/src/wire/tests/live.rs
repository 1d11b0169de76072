//! Against a real server, named in `RIVERRUN_TEST_POSTGRES` as `host=… port=… user=…` or
//! `postgres://user@host:port/db`, with `wal_level=logical`. Each test has a database of its own.

use super::super::{
    Event, Lsn, Replication, Reply, Settings, SlotOptions, Snapshot, StartOptions, Stream, Wait,
    copy,
    error::Error,
    pgoutput::{Cell, Decoder, Message},
    settings::{Ssl, SslMode},
    sql,
};
use futures_util::{FutureExt, StreamExt};
use model::{config::Secret, error::Kind};
use std::{pin::pin, time::Duration};
use tokio_postgres::{Client, config::Host};

const LIMIT: Duration = Duration::from_secs(30);

/// The settings of the server under test; none, and a line that says so, if there is no such.
pub(super) fn server(test: &str) -> Option<Settings> {
    let Ok(text) = std::env::var("RIVERRUN_TEST_POSTGRES") else {
        println!("skipped: {test} needs a server in RIVERRUN_TEST_POSTGRES");
        return None;
    };
    let config: tokio_postgres::Config = text.parse().expect("RIVERRUN_TEST_POSTGRES");
    let Some(Host::Tcp(host)) = config.get_hosts().first() else {
        panic!("RIVERRUN_TEST_POSTGRES names no host")
    };
    Some(Settings {
        host: host.clone(),
        port: config.get_ports().first().copied().unwrap_or(5432),
        user: config.get_user().unwrap_or("postgres").into(),
        password: config
            .get_password()
            .map(|password| Secret::new(String::from_utf8_lossy(password))),
        dbname: config.get_dbname().unwrap_or("postgres").into(),
        application_name: test.into(),
        ssl: Ssl {
            mode: SslMode::Prefer,
            root_cert: None,
            cert: None,
            key: None,
            key_password: None,
        },
        tcp_keepalive: true,
        connect_timeout: LIMIT,
        query_timeout: None,
    })
}

/// A database that is new; that of an earlier, broken run goes away with its slots.
pub(crate) async fn database(test: &str) -> Option<(Settings, Client, sql::Handle)> {
    let mut settings = server(test)?;
    let (admin, handle) = sql::connect(&settings).await.unwrap();
    let name = format!("riverrun_wire_{test}");
    let slots = "SELECT slot_name FROM pg_replication_slots WHERE database = $1";
    for slot in admin.query(slots, &[&name]).await.unwrap() {
        let slot: &str = slot.get(0);
        admin.execute("SELECT pg_drop_replication_slot($1::text)", &[&slot]).await.unwrap();
    }
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    drop((admin, handle));
    settings.dbname = name;
    let (client, handle) = sql::connect(&settings).await.unwrap();
    Some((settings, client, handle))
}

pub(crate) async fn drop_database(settings: Settings, client: Client, handle: sql::Handle) {
    drop((client, handle));
    let name = settings.dbname.clone();
    let settings = server("cleaning up").unwrap();
    let (admin, _handle) = sql::connect(&settings).await.unwrap();
    admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

async fn drop_slot(settings: &Settings, name: &str) {
    let mut replication = Replication::connect(settings).await.unwrap();
    replication.drop_slot(name, Wait::Yes).await.unwrap();
    replication.close().await;
}

fn options(publication: &str) -> StartOptions {
    StartOptions {
        proto_version: 1,
        publications: vec![publication.into()],
        messages: false,
        extra: Vec::new(),
    }
}

const SLOT: SlotOptions =
    SlotOptions { failover: false, temporary: false, snapshot: Snapshot::Export };

/// Reads until a commit; answers the texts of the rows inserted until then, and the commit's end.
async fn transaction(stream: &mut Stream) -> (Vec<Vec<Option<String>>>, Lsn) {
    let mut rows = Vec::new();
    let mut decoder = Decoder::new();
    loop {
        let event = tokio::time::timeout(LIMIT, stream.next()).await.expect("an event").unwrap();
        let Event::Data(data) = event else { continue };
        match decoder.decode(&data.data).unwrap() {
            Message::Insert(insert) => rows.push(
                insert
                    .new
                    .map(|cell| match cell {
                        Cell::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
                        Cell::Null => None,
                        other => panic!("{other:?}"),
                    })
                    .collect(),
            ),
            Message::Commit(commit) => return (rows, commit.end_lsn),
            _ => {}
        }
    }
}

fn texts(rows: &[Vec<Option<String>>]) -> Vec<&str> {
    rows.iter().map(|row| row[0].as_deref().unwrap()).collect()
}

#[tokio::test]
async fn a_slot_exports_its_snapshot_and_streams_what_comes_after() {
    let Some((settings, client, handle)) = database("stream").await else { return };
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, s text);
             INSERT INTO t VALUES (1, 'before');
             CREATE PUBLICATION p FOR TABLE t;",
        )
        .await
        .unwrap();
    let mut replication = Replication::connect(&settings).await.unwrap();
    assert!(replication.server_version() >= 100_000, "{}", replication.server_version());
    let system = replication.identify_system().await.unwrap();
    assert!(system.system_id.parse::<u64>().is_ok());
    assert_eq!(system.dbname.as_deref(), Some(settings.dbname.as_str()));

    let slot = replication.create_slot("riverrun_wire_stream", &SLOT).await.unwrap();
    assert_eq!(slot.name, "riverrun_wire_stream");
    assert!(slot.consistent_point >= system.position);
    client.batch_execute("INSERT INTO t VALUES (2, 'after')").await.unwrap();
    let snapshot = slot.snapshot_name.unwrap();
    client
        .batch_execute(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{snapshot}'"
        ))
        .await
        .unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0);
    assert_eq!(count, 1, "the snapshot was taken before the second row");
    client.batch_execute("COMMIT").await.unwrap();

    let from = slot.consistent_point;
    let mut stream = replication.start(&slot.name, from, &options("p")).await.unwrap();
    let (rows, end) = transaction(&mut stream).await;
    assert_eq!(rows, [[Some("2".to_owned()), Some("after".to_owned())]]);

    // What is confirmed is not sent again; what is not, is.
    stream.status_update(end, end, end, Reply::Yes).await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (3, NULL)").await.unwrap();
    assert_eq!(texts(&transaction(&mut stream).await.0), ["3"]);
    stream.finish().await.unwrap();
    let confirmed = client
        .query_one(
            "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1",
            &[&slot.name],
        )
        .await
        .unwrap();
    assert_eq!(confirmed.get::<_, &str>(0), end.to_string());
    let replication = Replication::connect(&settings).await.unwrap();
    let mut stream = replication.start(&slot.name, Lsn::ZERO, &options("p")).await.unwrap();
    assert_eq!(texts(&transaction(&mut stream).await.0), ["3"]);
    stream.finish().await.unwrap();

    // The slot is free once `finish` has returned.
    drop_slot(&settings, &slot.name).await;
    drop_database(settings, client, handle).await;
}

/// Dropping `next` in the middle of a message, again and again, loses nothing.
#[tokio::test]
async fn reading_can_be_cancelled_anywhere() {
    let Some((settings, client, handle)) = database("cancel").await else { return };
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, s text); CREATE PUBLICATION p FOR TABLE t;",
        )
        .await
        .unwrap();
    let mut replication = Replication::connect(&settings).await.unwrap();
    let options_of_slot = SlotOptions { snapshot: Snapshot::Nothing, ..SLOT };
    let slot = replication.create_slot("riverrun_wire_cancel", &options_of_slot).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO t SELECT n, repeat('x', n * 300) FROM generate_series(1, 2000) n",
        )
        .await
        .unwrap();
    let mut stream =
        replication.start(&slot.name, slot.consistent_point, &options("p")).await.unwrap();
    let mut next_id = 1;
    let mut cancelled = 0;
    let mut decoder = Decoder::new();
    loop {
        let event = match stream.next().now_or_never() {
            Some(event) => event.unwrap(),
            None => {
                cancelled += 1;
                // An update sent by a future that is dropped at once still arrives.
                let update = stream.status_update(Lsn::ZERO, Lsn::ZERO, Lsn::ZERO, Reply::No);
                drop(pin!(update).now_or_never());
                tokio::task::yield_now().await;
                continue;
            }
        };
        let Event::Data(data) = event else { continue };
        match decoder.decode(&data.data).unwrap() {
            Message::Insert(insert) => {
                let cells: Vec<_> = insert.new.collect();
                assert_eq!(cells[0], Cell::Text(next_id.to_string().as_bytes()));
                let Cell::Text(text) = cells[1] else { panic!() };
                assert_eq!(text.len(), next_id * 300);
                next_id += 1;
            }
            Message::Commit(_) if next_id > 1 => break,
            _ => {}
        }
    }
    assert_eq!(next_id, 2001);
    assert!(cancelled > 0);
    stream.finish().await.unwrap();
    drop_slot(&settings, &slot.name).await;
    drop_database(settings, client, handle).await;
}

#[tokio::test]
async fn large_messages_and_batches_without_waiting() {
    let Some((settings, client, handle)) = database("large").await else { return };
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, s text); CREATE PUBLICATION p FOR TABLE t;",
        )
        .await
        .unwrap();
    let mut replication = Replication::connect(&settings).await.unwrap();
    let options_of_slot = SlotOptions { snapshot: Snapshot::Nothing, ..SLOT };
    let slot = replication.create_slot("riverrun_wire_large", &options_of_slot).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO t VALUES (0, repeat('y', 20 * 1024 * 1024));
             INSERT INTO t SELECT n, 'small' FROM generate_series(1, 5000) n",
        )
        .await
        .unwrap();
    let mut stream =
        replication.start(&slot.name, slot.consistent_point, &options("p")).await.unwrap();
    let (mut inserts, mut awaited, mut commits) = (0, 0, 0);
    let mut decoder = Decoder::new();
    // Several statements of one simple query are one transaction.
    while commits < 1 {
        let mut event =
            Some(tokio::time::timeout(LIMIT, stream.next()).await.expect("an event").unwrap());
        awaited += 1;
        while let Some(Event::Data(data)) = event {
            match decoder.decode(&data.data).unwrap() {
                Message::Insert(mut insert) => {
                    if inserts == 0 {
                        let Some(Cell::Text(text)) = insert.new.nth(1) else { panic!() };
                        assert_eq!(text.len(), 20 * 1024 * 1024);
                    }
                    inserts += 1;
                }
                Message::Commit(_) => commits += 1,
                _ => {}
            }
            event = stream.try_next().unwrap();
        }
    }
    assert_eq!(inserts, 5001);
    assert!(awaited < 2000, "{awaited} awaits for {inserts} rows");
    stream.finish().await.unwrap();
    drop_slot(&settings, &slot.name).await;
    drop_database(settings, client, handle).await;
}

fn assert_error(error: &Error, code: &str, kind: Kind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.code(), Some(code), "{text}");
    assert_eq!(error.classify(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part} in: {text}");
    }
}

#[tokio::test]
async fn refusals_name_what_was_tried_and_what_to_do() {
    let Some((settings, client, handle)) = database("refuse").await else { return };
    client.batch_execute("CREATE PUBLICATION p FOR ALL TABLES").await.unwrap();

    let nowhere = Settings { dbname: "riverrun_wire_none".into(), ..settings.clone() };
    for error in [
        Replication::connect(&nowhere).await.err().unwrap(),
        sql::connect(&nowhere).await.err().unwrap(),
    ] {
        assert_error(&error, "3D000", Kind::Fatal, &["riverrun_wire_none", "check the name"]);
    }
    let nobody = Settings { user: "riverrun_wire_nobody".into(), ..settings.clone() };
    let error = Replication::connect(&nobody).await.err().unwrap();
    assert_error(&error, "28000", Kind::Fatal, &["user \"riverrun_wire_nobody\""]);

    let replication = Replication::connect(&settings).await.unwrap();
    let error =
        replication.start("riverrun_wire_gone", Lsn::ZERO, &options("p")).await.err().unwrap();
    assert_error(&error, "42704", Kind::Fatal, &["slot \"riverrun_wire_gone\"", "check the names"]);

    let mut replication = Replication::connect(&settings).await.unwrap();
    let error = replication.create_slot("Not A Slot", &SLOT).await.unwrap_err();
    assert_error(&error, "42602", Kind::Fatal, &["create replication slot \"Not A Slot\""]);
    // The connection stays usable after an error.
    let rows = replication.simple_query("SELECT 1 AS one, NULL AS none").await.unwrap();
    assert_eq!(rows.columns, ["one", "none"]);
    assert_eq!(rows.rows, [[Some("1".to_owned()), None]]);
    if replication.server_version() < 170_000 {
        let failover = SlotOptions { failover: true, ..SLOT };
        let error = replication.create_slot("riverrun_wire_failover", &failover).await.unwrap_err();
        assert_eq!(error.classify(), Kind::Fatal);
        assert!(error.to_string().contains("failover slots need 17"), "{error}");
    }

    let slot = replication.create_slot("riverrun_wire_refuse", &SLOT).await.unwrap();
    let error = replication.create_slot("riverrun_wire_refuse", &SLOT).await.unwrap_err();
    assert_error(&error, "42710", Kind::Retriable, &["already exists"]);
    let stream = replication.start(&slot.name, Lsn::ZERO, &options("p")).await.unwrap();
    let second = Replication::connect(&settings).await.unwrap();
    let error = second.start(&slot.name, Lsn::ZERO, &options("p")).await.err().unwrap();
    assert_error(&error, "55006", Kind::Retriable, &["is active for PID", "another name"]);
    stream.finish().await.unwrap();

    // A missing publication shows in the stream, once there is something to decode.
    client.batch_execute("CREATE TABLE t (id int)").await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    let replication = Replication::connect(&settings).await.unwrap();
    let mut stream = replication.start(&slot.name, Lsn::ZERO, &options("missing")).await.unwrap();
    let error = loop {
        match tokio::time::timeout(LIMIT, stream.next()).await.expect("an event") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_error(&error, "42704", Kind::Fatal, &["publication \"missing\" does not exist"]);

    // Whoever said that lets go of the slot a moment later.
    const FREE: &str = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
    while client.query_one(FREE, &[&slot.name]).await.unwrap().get(0) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }

    // Terminated from outside: the server says so, and it may pass.
    let replication = Replication::connect(&settings).await.unwrap();
    let mut stream = replication.start(&slot.name, Lsn::ZERO, &options("p")).await.unwrap();
    // Of this slot only: the server is shared with other readers.
    let kill = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
                WHERE slot_name = $1 AND database = current_database() AND active";
    assert_eq!(client.execute(kill, &[&slot.name]).await.unwrap(), 1);
    let error = loop {
        match tokio::time::timeout(LIMIT, stream.next()).await.expect("an event") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_error(&error, "57P01", Kind::Retriable, &["terminating connection"]);

    let unreachable = Settings { port: 1, ..settings.clone() };
    let error = Replication::connect(&unreachable).await.err().unwrap();
    assert_eq!(error.classify(), Kind::Retriable);
    assert!(error.to_string().contains("check that the server runs"), "{error}");

    drop_slot(&settings, &slot.name).await;
    drop_database(settings, client, handle).await;
}

/// What a session prints does not depend on the server, the database or the role.
#[tokio::test]
async fn sessions_print_values_alike() {
    let Some((settings, client, handle)) = database("session").await else { return };
    client
        .batch_execute(&format!(
            "ALTER DATABASE {0} SET DateStyle = 'German';
             ALTER DATABASE {0} SET TimeZone = 'Asia/Kathmandu';
             ALTER DATABASE {0} SET IntervalStyle = 'iso_8601';
             ALTER DATABASE {0} SET extra_float_digits = -3;
             ALTER DATABASE {0} SET bytea_output = 'escape';",
            settings.dbname
        ))
        .await
        .unwrap();
    const VALUES: &str = "SELECT timestamptz '2024-02-29 12:00:00+00'::text, \
        interval '1 year 2 days'::text, (float8 '0.1' + float8 '0.2')::text, '\\x0aff'::bytea::text";
    let expected = ["2024-02-29 12:00:00+00", "1 year 2 days", "0.30000000000000004", "\\x0aff"];
    let mut replication = Replication::connect(&settings).await.unwrap();
    let rows = replication.simple_query(VALUES).await.unwrap().rows;
    assert_eq!(rows, [expected.map(|text| Some(text.to_owned()))]);
    let (sql_client, _handle) = sql::connect(&settings).await.unwrap();
    let row = sql_client.query_one(VALUES, &[]).await.unwrap();
    assert_eq!([0, 1, 2, 3].map(|index| row.get::<_, &str>(index)), expected);
    replication.close().await;
    drop_database(settings, client, handle).await;
}

#[tokio::test]
async fn copies_decode_to_what_the_table_holds() {
    let Some((settings, client, handle)) = database("copy").await else { return };
    client
        .batch_execute(
            "CREATE TABLE t (id int8, s text);
             INSERT INTO t SELECT n, CASE WHEN n % 3 = 0 THEN NULL ELSE repeat('z', n) END
             FROM generate_series(0, 999) n;",
        )
        .await
        .unwrap();
    let copy = client
        .copy_out("COPY (SELECT * FROM t ORDER BY id) TO STDOUT (FORMAT binary)")
        .await
        .unwrap();
    let mut copy = pin!(copy);
    let mut decoder = copy::Decoder::new();
    let mut id = 0i64;
    while let Some(chunk) = copy.next().await {
        decoder.push(chunk.unwrap());
        while let Some(row) = decoder.next_row().unwrap() {
            let values: Vec<_> = row.collect();
            assert_eq!(values[0], Some(&id.to_be_bytes()[..]));
            let text = "z".repeat(usize::try_from(id).unwrap());
            let text = (id % 3 != 0).then_some(text.as_bytes());
            assert_eq!(values[1], text);
            id += 1;
        }
    }
    decoder.finish().unwrap();
    assert_eq!(id, 1000);
    drop_database(settings, client, handle).await;
}
