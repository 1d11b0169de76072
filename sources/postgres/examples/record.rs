//! Records what a PostgreSQL server sends, as test data (`testdata/wire/*.hex`) and as the corpus
//! of the fuzz targets (`fuzz/corpus`).
//!
//! ```text
//! cargo run -p riverrun-source-postgres --example record -- "host=127.0.0.1 user=postgres" sources/postgres
//! REWRITE=1 cargo test -p riverrun-source-postgres captures     # then read the difference
//! ```
//!
//! Needs a superuser, `wal_level=logical`, `max_prepared_transactions` of at least 1, and the
//! output plugin test_decoding, whose reading of the same changes is put beside the bytes. Works in
//! a database of its own, which it makes and drops.

use std::{collections::HashMap, error::Error, fmt::Write, fs, path::Path};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DATABASE: &str = "riverrun_record";

/// One situation, one file.
struct Case {
    name: &'static str,
    about: &'static str,
    setup: &'static str,
    sql: &'static str,
    options: &'static str,
}

const PLAIN: &str = "'proto_version','1','publication_names','p'";

const CASES: &[Case] = &[
    Case {
        name: "insert",
        about: "Inserts with nulls, empty texts and several rows.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, s text, n numeric(6,2));",
        sql: "INSERT INTO t VALUES (1, 'one', 1.50); INSERT INTO t VALUES (2, '', NULL), (3, NULL, -0.01), (4, 'ä€😀', 9999.99);",
        options: PLAIN,
    },
    Case {
        name: "identity-default",
        about: "Updates and deletes under the default replica identity: the old key only, and only when it has changed.",
        setup: "CREATE TABLE t (a int, b text, c text, PRIMARY KEY (a, b)); INSERT INTO t VALUES (1, 'x', 'c'), (2, 'y', 'c');",
        sql: "UPDATE t SET c = 'd' WHERE a = 1; UPDATE t SET b = 'z' WHERE a = 1; DELETE FROM t;",
        options: PLAIN,
    },
    Case {
        name: "identity-full",
        about: "Updates and deletes under REPLICA IDENTITY FULL: the whole old row.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, s text); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, NULL);",
        sql: "UPDATE t SET s = 'new'; UPDATE t SET id = 2; DELETE FROM t;",
        options: PLAIN,
    },
    Case {
        name: "identity-index",
        about: "Updates and deletes with a unique index as replica identity.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, email text NOT NULL, s text); CREATE UNIQUE INDEX t_email ON t (email); ALTER TABLE t REPLICA IDENTITY USING INDEX t_email; INSERT INTO t VALUES (1, 'a@b', 's');",
        sql: "UPDATE t SET id = 2; UPDATE t SET email = 'c@d'; DELETE FROM t;",
        options: PLAIN,
    },
    Case {
        name: "identity-nothing",
        about: "Under REPLICA IDENTITY NOTHING only inserts can be published.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, s text); ALTER TABLE t REPLICA IDENTITY NOTHING;",
        sql: "INSERT INTO t VALUES (1, 'x');",
        options: PLAIN,
    },
    Case {
        name: "toast-unchanged",
        about: "A large value that an update leaves alone is not sent, unless the identity is FULL.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, title text, body text); ALTER TABLE t ALTER body SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, 'a', repeat('x', 3000)); CREATE TABLE f (id int PRIMARY KEY, title text, body text); ALTER TABLE f ALTER body SET STORAGE EXTERNAL; ALTER TABLE f REPLICA IDENTITY FULL; INSERT INTO f VALUES (1, 'a', repeat('y', 3000));",
        sql: "UPDATE t SET title = 'b'; UPDATE f SET title = 'b';",
        options: PLAIN,
    },
    Case {
        name: "truncate",
        about: "Truncates of one table, and of several with both flags.",
        setup: "CREATE TABLE t (id serial PRIMARY KEY); CREATE TABLE child (t int REFERENCES t);",
        sql: "TRUNCATE child; TRUNCATE t RESTART IDENTITY CASCADE;",
        options: PLAIN,
    },
    Case {
        name: "messages",
        about: "Logical messages, transactional and not.",
        setup: "CREATE TABLE t (id int PRIMARY KEY);",
        sql: "SELECT pg_logical_emit_message(false, 'out', 'side'); SELECT pg_logical_emit_message(true, 'in', '\\x017f7e'::bytea); INSERT INTO t VALUES (1);",
        options: "'proto_version','1','publication_names','p','messages','true'",
    },
    Case {
        name: "types",
        about: "Columns of own types, type modifiers, arrays; names that need quotes.",
        setup: "CREATE SCHEMA \"Odd Schema\"; CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN posint AS int CHECK (VALUE > 0); CREATE TYPE pair AS (x int, y int); CREATE TABLE \"Odd Schema\".\"T \"\"1\" (\"Key\" bigint PRIMARY KEY, m mood, p posint, c pair, v varchar(20), n numeric(10,3), ts timestamptz(3), a int[], b bytea, bits bit(5), gone text, j jsonb); ALTER TABLE \"Odd Schema\".\"T \"\"1\" DROP COLUMN gone;",
        sql: "INSERT INTO \"Odd Schema\".\"T \"\"1\" VALUES (1, 'ok', 5, (1, 2), 'v', 1.5, '2024-02-29 12:00:00.123+00', '{1,NULL,3}', '\\x00ff', B'10101', '{\"a\": 1}');",
        options: PLAIN,
    },
    Case {
        name: "ddl-between",
        about: "A table altered between two changes is announced again.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, s text);",
        sql: "INSERT INTO t VALUES (1, 'a'); ALTER TABLE t ADD COLUMN more int DEFAULT 7; INSERT INTO t VALUES (2, 'b'); ALTER TABLE t DROP COLUMN s; INSERT INTO t VALUES (3, 8);",
        options: PLAIN,
    },
    Case {
        name: "binary",
        about: "Values in binary form.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, s text, n numeric, f float8, b bool, ts timestamptz);",
        sql: "INSERT INTO t VALUES (1, 'text', 12.5, 0.5, true, '2024-02-29 12:00:00+00'), (2, NULL, NULL, NULL, NULL, NULL); UPDATE t SET id = 3 WHERE id = 1;",
        options: "'proto_version','1','publication_names','p','binary','true'",
    },
    Case {
        name: "origin",
        about: "A transaction replicated from elsewhere names its origin.",
        setup: "CREATE TABLE t (id int PRIMARY KEY); SELECT pg_replication_origin_create('riverrun_record_origin');",
        sql: "SELECT pg_replication_origin_session_setup('riverrun_record_origin'); BEGIN; SELECT pg_replication_origin_xact_setup('16/B374D848', '2020-01-01 00:00:00+00'); INSERT INTO t VALUES (1); COMMIT; SELECT pg_replication_origin_session_reset();",
        options: PLAIN,
    },
    Case {
        name: "streamed",
        about: "Protocol 2: a large transaction in pieces, with a subtransaction rolled back.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, s text); SET logical_decoding_work_mem = '64kB';",
        sql: "BEGIN; INSERT INTO t SELECT n, 'a' FROM generate_series(1, 260) n; SAVEPOINT s; INSERT INTO t SELECT n, 'b' FROM generate_series(1001, 1260) n; ROLLBACK TO s; DELETE FROM t WHERE id = 1; COMMIT;",
        options: "'proto_version','2','publication_names','p','streaming','on'",
    },
    Case {
        name: "prepared",
        about: "Protocol 3: two-phase transactions, committed and rolled back.",
        setup: "CREATE TABLE t (id int PRIMARY KEY);",
        sql: "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'riverrun one'; COMMIT PREPARED 'riverrun one'; BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'riverrun two'; ROLLBACK PREPARED 'riverrun two';",
        options: "'proto_version','3','publication_names','p'",
    },
    Case {
        name: "streamed-prepared",
        about: "Protocol 3: a large two-phase transaction, streamed before it was prepared.",
        setup: "CREATE TABLE t (id int PRIMARY KEY, s text); SET logical_decoding_work_mem = '64kB';",
        sql: "BEGIN; INSERT INTO t SELECT n, 'a' FROM generate_series(1, 700) n; PREPARE TRANSACTION 'riverrun three'; COMMIT PREPARED 'riverrun three';",
        options: "'proto_version','3','publication_names','p','streaming','on'",
    },
];

/// A COPY, and the same values as the server's send functions give them.
struct Copy {
    name: &'static str,
    about: &'static str,
    copy: &'static str,
    values: &'static str,
}

const COPIES: &[Copy] = &[
    Copy {
        name: "copy-values",
        about: "Rows with nulls, empty and large values.",
        copy: "SELECT n::int8 AS a, CASE WHEN n % 3 = 0 THEN NULL ELSE repeat('é', n * n) END AS b, (n % 2 = 0) AS c FROM generate_series(0, 12) n",
        values: "SELECT encode(int8send(a), 'hex'), encode(textsend(b), 'hex'), encode(boolsend(c), 'hex') FROM",
    },
    Copy {
        name: "copy-empty",
        about: "No rows: a header and a trailer.",
        copy: "SELECT 1::int8 AS a, ''::text AS b, true AS c WHERE false",
        values: "SELECT encode(int8send(a), 'hex'), encode(textsend(b), 'hex'), encode(boolsend(c), 'hex') FROM",
    },
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), Some(directory), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: record <connection string> <directory of the package>".into());
    };
    let directory = Path::new(&directory);
    let config: Config = server.parse()?;
    let admin = connect(&config).await?;
    for case in CASES {
        record(&config, &admin, case, directory).await?;
    }
    for copy in COPIES {
        record_copy(&admin, copy, directory).await?;
    }
    Ok(())
}

async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "the connection ended");
        }
    });
    client
        .batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex'")
        .await?;
    Ok(client)
}

async fn record(config: &Config, admin: &Client, case: &Case, directory: &Path) -> Result<()> {
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
    let client = connect(config.clone().dbname(DATABASE)).await?;
    // Statement by statement: in one query they would be one transaction.
    for statement in statements(case.setup).chain(["CREATE PUBLICATION p FOR ALL TABLES"]) {
        client.simple_query(statement).await.map_err(|error| format!("{statement}: {error}"))?;
    }
    let two_phase = case.options.contains("'3'");
    for (slot, plugin) in [("rr_record_a", "pgoutput"), ("rr_record_b", "test_decoding")] {
        let make = "SELECT pg_create_logical_replication_slot($1, $2, true, $3)";
        client.execute(make, &[&slot, &plugin, &two_phase]).await?;
    }
    for statement in statements(case.sql) {
        client.simple_query(statement).await.map_err(|error| format!("{statement}: {error}"))?;
    }

    let mut file = format!("# {}\n# recorded by examples/record.rs\n", case.about);
    writeln!(file, "# server: PostgreSQL {}", text(&client, "SHOW server_version").await?)?;
    writeln!(file, "# options: {}", case.options.replace('\'', ""))?;
    for statement in statements(case.setup) {
        writeln!(file, "# setup: {statement}")?;
    }
    for statement in statements(case.sql) {
        writeln!(file, "# sql: {statement}")?;
    }
    let read = "SELECT data FROM pg_logical_slot_get_changes('rr_record_b', NULL, NULL)";
    for row in client.query(read, &[]).await? {
        writeln!(file, "# test_decoding: {}", row.get::<_, &str>(0))?;
    }
    let read = format!(
        "SELECT lsn::text, encode(data, 'hex'), data FROM pg_logical_slot_get_binary_changes('rr_record_a', NULL, NULL, {})",
        case.options
    );
    let messages = client.query(&read, &[]).await?;
    for row in &messages {
        writeln!(file, "{} {}", row.get::<_, &str>(0), row.get::<_, &str>(1))?;
    }
    fs::write(directory.join(format!("testdata/wire/{}.hex", case.name)), file)?;

    // Two messages of each kind are enough to start from.
    let mut kinds: HashMap<u8, usize> = HashMap::new();
    let corpus = directory.join("fuzz/corpus/pgoutput");
    fs::create_dir_all(&corpus)?;
    for row in messages {
        let bytes: &[u8] = row.get(2);
        let Some(&kind) = bytes.first() else { continue };
        let count = kinds.entry(kind).or_default();
        *count += 1;
        if *count <= 2 {
            fs::write(corpus.join(format!("{}-{}{count}", case.name, char::from(kind))), bytes)?;
        }
    }
    if case.name == "origin" {
        client.simple_query("SELECT pg_replication_origin_drop('riverrun_record_origin')").await?;
    }
    drop(client);
    // Waits for the temporary slots to go, which FORCE alone does not.
    let active =
        format!("SELECT count(*)::text FROM pg_replication_slots WHERE database = '{DATABASE}'");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while text(admin, &active).await? != "0" {
        if std::time::Instant::now() > deadline {
            return Err("the slots of the recording are still there".into());
        }
        tokio::task::yield_now().await;
    }
    admin.batch_execute(&format!("DROP DATABASE {DATABASE} WITH (FORCE)")).await?;
    Ok(())
}

async fn record_copy(client: &Client, copy: &Copy, directory: &Path) -> Result<()> {
    use futures_util::TryStreamExt;
    let mut file = format!("# {}\n# recorded by examples/record.rs\n", copy.about);
    writeln!(file, "# server: PostgreSQL {}", text(client, "SHOW server_version").await?)?;
    writeln!(file, "# copy: {}", copy.copy)?;
    writeln!(file, "# values: {}", copy.values)?;
    let out = format!("COPY ({}) TO STDOUT (FORMAT binary)", copy.copy);
    let chunks: Vec<_> = client.copy_out(&out).await?.try_collect().await?;
    for chunk in &chunks {
        for byte in chunk {
            write!(file, "{byte:02x}")?;
        }
        file.push('\n');
    }
    fs::write(directory.join(format!("testdata/wire/{}.hex", copy.name)), file)?;
    let corpus = directory.join("fuzz/corpus/copy");
    fs::create_dir_all(&corpus)?;
    // The target's first byte is the size of the chunks.
    fs::write(corpus.join(copy.name), [&[7], chunks.concat().as_slice()].concat())?;

    let mut values = String::new();
    for row in client.query(&format!("{} ({}) rows", copy.values, copy.copy), &[]).await? {
        let cells: Vec<&str> = (0..row.len())
            .map(|index| row.get::<_, Option<&str>>(index).unwrap_or("null"))
            .collect();
        writeln!(values, "{}", cells.join("\t"))?;
    }
    fs::write(directory.join(format!("testdata/wire/{}.txt", copy.name)), values)?;
    Ok(())
}

fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(';').map(str::trim).filter(|statement| !statement.is_empty())
}

async fn text(client: &Client, sql: &str) -> Result<String> {
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            return Ok(row.get(0).unwrap_or_default().to_owned());
        }
    }
    Err(format!("{sql} gave no row").into())
}
