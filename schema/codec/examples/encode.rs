//! What it costs to write a Debezium envelope of 12 columns as JSON.
//!
//! ```text
//! cargo run --release -p riverrun-codec --example encode
//! ```

#![allow(clippy::print_stdout)]

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Instant};

use model::{
    change::{BatchBuilder, Event, Op, TableSchema, envelope},
    convert::Encode,
    record::{Batch, Record, no_headers},
    schema::{Kind, Schema},
    value::Value,
};
use riverrun_codec::{Role, converter};

/// About as many as a batch has.
const EVENTS: usize = 2_000;
const ROUNDS: usize = 50;

fn main() {
    let table = table();
    let records: Vec<Record> = batch(&table).records.collect();
    println!("| | bytes an event | ns an event, best of {ROUNDS} |\n|---|---|---|");
    for enable in ["false", "true"] {
        let options = BTreeMap::from([("schemas.enable".to_owned(), enable.to_owned())]);
        let mut json = converter("Json", &options, Role::Value).expect("the options are right");
        let mut encoder = now(json.encoder("shop.public.orders", Some(&table.envelope)));
        let (bytes, ns) = measure(encoder.as_mut(), &records);
        println!("| value, schemas.enable={enable} | {bytes} | {ns} |");
    }
}

fn measure(encoder: &mut dyn Encode, records: &[Record]) -> (usize, u128) {
    let mut out = Vec::new();
    let best = (0..ROUNDS).map(|_| {
        out.clear();
        let start = Instant::now();
        for record in records {
            encoder
                .encode(black_box(record.value.value.as_ref()), &mut out)
                .expect("it fits its schema");
        }
        start.elapsed().as_nanos()
    });
    let best = best.min().expect("there are rounds");
    (out.len() / EVENTS, best / EVENTS as u128)
}

fn table() -> Arc<TableSchema> {
    let required = |kind| Arc::new(Schema::new(kind));
    let optional = |kind| Arc::new(Schema::new(kind).optional());
    let named = |kind, name: &str| Arc::new(Schema::new(kind).named(name, 1).optional());
    let decimal = Schema::new(Kind::Bytes)
        .named("org.apache.kafka.connect.data.Decimal", 1)
        .parameter("scale", "2")
        .optional();
    let row = Schema::structure([
        ("id", required(Kind::Int64)),
        ("customer_id", required(Kind::Int32)),
        ("status", required(Kind::String)),
        ("amount", Arc::new(decimal)),
        ("currency", optional(Kind::String)),
        ("weight", optional(Kind::Float64)),
        ("paid", optional(Kind::Boolean)),
        ("created_at", named(Kind::Int64, "io.debezium.time.MicroTimestamp")),
        ("updated_at", named(Kind::String, "io.debezium.time.ZonedTimestamp")),
        ("shipped_on", named(Kind::Int32, "io.debezium.time.Date")),
        ("note", optional(Kind::String)),
        ("items", optional(Kind::Int16)),
    ])
    .name_only("shop.public.orders.Value")
    .optional();
    let snapshot = Schema::new(Kind::String)
        .named("io.debezium.data.Enum", 1)
        .parameter(
            "allowed",
            "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental",
        )
        .default(Value::Text("false".into()))
        .optional();
    let source = Schema::structure([
        ("version", required(Kind::String)),
        ("connector", required(Kind::String)),
        ("name", required(Kind::String)),
        ("ts_ms", required(Kind::Int64)),
        ("snapshot", Arc::new(snapshot)),
        ("db", required(Kind::String)),
        ("sequence", optional(Kind::String)),
        ("ts_us", optional(Kind::Int64)),
        ("ts_ns", optional(Kind::Int64)),
        ("schema", required(Kind::String)),
        ("table", required(Kind::String)),
        ("txId", optional(Kind::Int64)),
        ("lsn", optional(Kind::Int64)),
        ("xmin", optional(Kind::Int64)),
    ])
    .name_only("io.debezium.connector.postgresql.Source");
    let (row, source) = (Arc::new(row), Arc::new(source));
    let envelope = Arc::new(envelope("shop.public.orders.Envelope", &row, &source));
    Arc::new(TableSchema { topic: "shop.public.orders".into(), key: None, row, envelope })
}

fn batch(table: &Arc<TableSchema>) -> Batch {
    let mut batch = BatchBuilder::new(no_headers());
    let constants = ["3.7.0.Final", "postgresql", "shop", "shop", "public", "orders"];
    let [version, connector, name, db, schema, relation] =
        constants.map(|text| batch.rows.share(text.into()));
    for index in 0..EVENTS as i64 {
        let rows = &mut batch.rows;
        rows.int(1_000_000 + index);
        rows.int(index % 977);
        rows.text(if index % 3 == 0 { "shipped" } else { "created" });
        rows.bytes(&(index as i32 * 37).to_be_bytes());
        rows.text("EUR");
        rows.float64(index as f64 * 0.37);
        rows.bool(index % 2 == 0);
        rows.int(1_700_000_000_000_000 + index * 1_013);
        rows.text("2026-11-21T10:00:00.123456Z");
        rows.int(20_000 + index % 365);
        if index % 4 == 0 {
            rows.null()
        } else {
            rows.text("leave at the door, please")
        }
        rows.int(index % 12);
        let after = rows.end();
        rows.shared(version);
        rows.shared(connector);
        rows.shared(name);
        rows.int(1_700_000_000_000 + index);
        rows.null();
        rows.shared(db);
        rows.text("[\"23456789\",\"23456999\"]");
        rows.int((1_700_000_000_000 + index) * 1_000);
        rows.int((1_700_000_000_000 + index) * 1_000_000);
        rows.shared(schema);
        rows.shared(relation);
        rows.int(765 + index);
        rows.int(23_456_999 + index * 64);
        rows.null();
        let source = rows.end();
        let ts_ns = 1_700_000_000_000_000_000 + index;
        let event = Event {
            op: Op::Create,
            before: None,
            after: Some(after),
            source,
            transaction: None,
            ts_ns,
            key_header: None,
        };
        batch.push(table, event);
    }
    batch.seal(None)
}

/// JSON's encoders are ready at once.
fn now<T, E: std::fmt::Debug>(future: impl Future<Output = Result<T, E>>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value.expect("planning does not fail"),
        std::task::Poll::Pending => unreachable!("nothing to wait for"),
    }
}
