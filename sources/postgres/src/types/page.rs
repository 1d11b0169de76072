//! TYPES.md is made from the mapping: what each type becomes, in each mode, by the code that makes
//! events of it. Prose stands between the parts that are made.

use std::{fmt::Write, path::Path, sync::Arc};

use model::{
    schema::{Kind, Schema},
    value::Value,
};
use relational::modes::{BinaryMode, DecimalMode, TemporalMode};

use super::{Mapped, Placeholder, Settings, TypeInfo, TypeKind, Types, map};
use crate::{
    catalog,
    cells::{Phase, Scratch},
    session::Session,
    wire::tests::live,
};
use samples::{MAYBE_LEFT_OUT, MOODS, SAMPLES, SHARE, SPECIAL, Sample};

mod samples;

/// A declared type as `pg_attribute` has it: the name in `pg_type`, the modifier, and whether it is
/// an array of that.
fn declared(sql: &str) -> (&str, i32, bool) {
    let (sql, array) = match sql.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (sql, false),
    };
    let (name, arguments) = match sql.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').unwrap()),
        None => (sql, ""),
    };
    let name = match name {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "char" => "bpchar",
        "\"char\"" => "char",
        name => name,
    };
    let numbers: Vec<i32> = arguments.split(',').flat_map(str::parse).collect();
    let typmod = match (name, numbers.as_slice()) {
        ("numeric", [precision, scale]) => ((precision << 16) | scale) + 4,
        ("bpchar" | "varchar", [length]) => length + 4,
        (_, [number]) => *number,
        (_, []) => -1,
        _ => panic!("{sql}"),
    };
    (name, typmod, array)
}

/// All types of the page, under made-up numbers.
fn known() -> Types {
    let of_samples = SAMPLES.iter().flat_map(|sample| sample.declared);
    let all =
        of_samples.chain(MAYBE_LEFT_OUT).map(|sql| declared(sql).0).chain([declared(SHARE).0]);
    let mut names: Vec<&str> = all.collect();
    names.sort_unstable();
    names.dedup();
    let oid = |wanted: &str| (1..).zip(&names).find(|(_, name)| **name == wanted).unwrap().0;
    let mut types = Types::new();
    for (number, name) in (1..).zip(&names) {
        let kind = match *name {
            "mood" => TypeKind::Enum { labels: MOODS.map(str::to_owned).to_vec() },
            "share" => {
                let (base, typmod, _) = declared(SHARE);
                TypeKind::Domain { base: oid(base), typmod }
            }
            "money" => TypeKind::Money { digits: 2 },
            "pair" => TypeKind::Other,
            name if name.ends_with("range") => TypeKind::Other,
            _ => TypeKind::Base,
        };
        types.insert(number, TypeInfo { name: (*name).into(), kind, array_of: None });
        let array =
            TypeInfo { name: format!("_{name}"), kind: TypeKind::Base, array_of: Some(number) };
        types.insert(1_000 + number, array);
    }
    types
}

fn mapped(types: &Types, sql: &str, settings: &Settings) -> Option<Mapped> {
    let (name, typmod, array) = declared(sql);
    let name = if array { format!("_{name}") } else { name.to_owned() };
    let (oid, _) = types.iter().find(|(_, info)| info.name == name).unwrap();
    map(types, *oid, typmod, settings)
}

fn settings() -> Settings {
    Settings {
        placeholder: Placeholder::parse("__debezium_unavailable_value").unwrap(),
        decimals: DecimalMode::Precise,
        times: TemporalMode::Adaptive,
        binaries: BinaryMode::Bytes,
        hstore_as_map: false,
        interval_as_text: false,
        money_scale: 2,
        unknown: false,
    }
}

/// Each mode that is not the default, as its key has it.
fn modes() -> Vec<(&'static str, &'static str, Settings)> {
    let mut modes = Vec::new();
    for mode in ["double", "string"] {
        let decimals = DecimalMode::parse(mode);
        modes.push(("decimal.handling.mode", mode, Settings { decimals, ..settings() }));
    }
    modes.push(("money.fraction.digits", "0", Settings { money_scale: 0, ..settings() }));
    for mode in [
        "adaptive_time_microseconds",
        "microseconds",
        "nanoseconds",
        "connect",
        "isostring",
        "structured",
    ] {
        let times = TemporalMode::parse(mode);
        modes.push(("time.precision.mode", mode, Settings { times, ..settings() }));
    }
    let interval = Settings { interval_as_text: true, ..settings() };
    modes.push(("interval.handling.mode", "string", interval));
    for mode in ["base64", "base64-url-safe", "hex"] {
        let binaries = BinaryMode::parse(mode);
        modes.push(("binary.handling.mode", mode, Settings { binaries, ..settings() }));
    }
    modes.push(("hstore.handling.mode", "map", Settings { hstore_as_map: true, ..settings() }));
    modes
}

fn shown_kind(kind: &Kind) -> String {
    match kind {
        Kind::Array(element) => format!("array of {}", shown_part(element)),
        Kind::Map(key, value) => format!("map of {} to {}", shown_part(key), shown_part(value)),
        kind => kind.json_name().to_owned(),
    }
}

/// An element or a field: optional ones have a question mark.
fn shown_part(schema: &Schema) -> String {
    let optional = if schema.optional { "?" } else { "" };
    match &schema.name {
        Some(name) => format!("`{name}`{optional}"),
        None => format!("{}{optional}", shown_kind(&schema.kind)),
    }
}

fn shown_schema(mapped: &Mapped) -> String {
    let schema = &mapped.schema;
    let mut out = shown_kind(&schema.kind);
    if let Some(name) = &schema.name {
        write!(out, ", `{name}`").unwrap();
    }
    if let Some(version) = schema.version.filter(|version| *version != 1) {
        write!(out, " version {version}").unwrap();
    }
    for (name, value) in &schema.parameters {
        write!(out, ", {name} {value}").unwrap();
    }
    if let Kind::Struct(fields) = &schema.kind {
        let field = |(name, schema): (&str, &Schema)| format!("{name} {}", shown_part(schema));
        let fields = fields.iter().map(|each| field((&each.name, &each.schema)));
        write!(out, " ({})", fields.collect::<Vec<_>>().join(", ")).unwrap();
    }
    if mapped.always_optional {
        out.push_str(", always optional");
    }
    out
}

/// What the JSON converter writes of a column's value.
async fn json(mapped: &Mapped, value: Value) -> String {
    let optional = Schema { optional: true, ..mapped.schema.clone() };
    let options = [("schemas.enable".to_owned(), "false".to_owned())].into();
    let mut converter =
        codec::converter("JsonConverter", &options, codec::Role::Value).ok().unwrap();
    let schema = Arc::new(optional);
    let value = crate::cells::bind_value(value, &schema);
    let mut encoder = converter.encoder("types", Some(&schema)).await.unwrap();
    let mut out = Vec::new();
    encoder.encode(value.as_ref(), &mut out).unwrap();
    if out.is_empty() { "null".into() } else { String::from_utf8(out).unwrap() }
}

/// A value of the server's as JSON, in a snapshot and in the stream; what can't be converted is null.
async fn of_text(mapped: &Mapped, text: &str) -> [String; 2] {
    let mut both = Vec::new();
    for phase in [Phase::Snapshot, Phase::Stream] {
        let mut scratch = Scratch::default();
        let decoded = mapped.decode.text(text, phase, &mut scratch);
        let value = decoded.map_or(Value::Null, |cell| cell.into_value());
        both.push(json(mapped, value).await);
    }
    both.try_into().unwrap()
}

fn code(text: &str) -> String {
    assert!(!text.contains(['`', '|']), "{text} would break the table");
    format!("`{text}`")
}

/// Without the end of a long geometry, which nobody reads.
fn cut(json: &str) -> String {
    const SHOWN: usize = 44;
    let mut out = String::new();
    for (index, part) in json.split("\"wkb\":\"").enumerate() {
        if index == 0 {
            out.push_str(part);
            continue;
        }
        let (wkb, rest) = part.split_once('"').unwrap();
        let shown = wkb.get(..SHOWN).map_or(wkb.to_owned(), |begin| format!("{begin}…"));
        write!(out, "\"wkb\":\"{shown}\"{rest}").unwrap();
    }
    out
}

fn shown_json([snapshot, stream]: &[String; 2]) -> String {
    if snapshot == stream {
        return code(&cut(snapshot));
    }
    format!("{} in snapshots, {} in the stream", code(snapshot), code(stream))
}

/// Names of types and what they are in events; several only where they are the same.
async fn line(types: &Types, sample: &Sample, settings: &Settings) -> (String, String) {
    let mut lines = Vec::new();
    for sql in sample.declared {
        let mapped = mapped(types, sql, settings).expect(sql);
        let json = of_text(&mapped, sample.text).await;
        lines.push((shown_schema(&mapped), shown_json(&json)));
    }
    assert!(lines.iter().all(|line| *line == lines[0]), "{:?}: {lines:?}", sample.declared);
    lines.swap_remove(0)
}

async fn table_of_types(types: &Types) -> String {
    let mut out = "| type | schema | example | in JSON |\n|---|---|---|---|\n".to_owned();
    for sample in SAMPLES {
        let (schema, json) = line(types, sample, &settings()).await;
        let note = if sample.note.is_empty() { "" } else { "; " };
        let (names, text) = (sample.declared.join(", "), code(sample.text));
        writeln!(out, "| {names} | {schema}{note}{} | {text} | {json} |", sample.note).unwrap();
    }
    out
}

/// Each mode with the types that it changes.
async fn table_of_modes(types: &Types) -> String {
    let mut out = String::new();
    let (mut last_key, plain) = ("", settings());
    for (key, value, settings) in modes() {
        if key != last_key {
            write!(out, "\n### `{key}`\n\n").unwrap();
            out.push_str("| value | type | schema | example | in JSON |\n|---|---|---|---|---|\n");
        }
        last_key = key;
        let mut shown_value = value;
        for sample in SAMPLES {
            let changed = line(types, sample, &settings).await;
            if changed == line(types, sample, &plain).await {
                continue;
            }
            let (schema, json) = changed;
            let (names, text) = (sample.declared.join(", "), code(sample.text));
            writeln!(out, "| {shown_value} | {names} | {schema} | {text} | {json} |").unwrap();
            shown_value = "";
        }
        assert!(shown_value.is_empty(), "{key}={value} changes no type");
    }
    out
}

/// Values beyond arithmetic, in each mode that shows them in another way.
async fn table_of_special(types: &Types) -> String {
    let mut out = "| type | value | in JSON | mode |\n|---|---|---|---|\n".to_owned();
    for (sql, texts) in SPECIAL {
        for text in *texts {
            let plain = of_text(&mapped(types, sql, &settings()).unwrap(), text).await;
            writeln!(out, "| {sql} | {} | {} | |", code(text), shown_json(&plain)).unwrap();
            let mut seen = vec![plain];
            for (key, value, settings) in modes() {
                let json = of_text(&mapped(types, sql, &settings).unwrap(), text).await;
                if !seen.contains(&json) {
                    let shown = shown_json(&json);
                    writeln!(out, "| | | {shown} | `{key}={value}` |").unwrap();
                    seen.push(json);
                }
            }
        }
    }
    out
}

/// What stands for what is missing.
async fn table_of_missing(types: &Types) -> String {
    let mut out = "| type | a NOT NULL column that an old row lacks | a large value left alone |\n|---|---|---|\n".to_owned();
    let mut lines: Vec<(Vec<&str>, String)> = Vec::new();
    for sql in SAMPLES.iter().flat_map(|sample| sample.declared) {
        let mapped = mapped(types, sql, &settings()).unwrap();
        let fallback = json(&mapped, mapped.fallback.clone()).await;
        let unchanged = match &mapped.unchanged {
            Value::Null => "".into(),
            value => code(&json(&mapped, value.clone()).await),
        };
        let line = format!("{} | {unchanged}", code(&cut(&fallback)));
        match lines.iter_mut().find(|(_, known)| *known == line) {
            Some((names, _)) => names.push(sql),
            None => lines.push((vec![sql], line)),
        }
    }
    for (names, line) in lines {
        writeln!(out, "| {} | {line} |", names.join(", ")).unwrap();
    }
    out
}

fn left_out(types: &Types) -> String {
    let named = |sql: &&&str| -> String {
        match **sql {
            "pair" => "composite types".into(),
            "pair[]" => "arrays of composite types".into(),
            "floatrange" => "ranges that a user has made".into(),
            "share[]" => "arrays of domains".into(),
            sql => code(sql),
        }
    };
    let unknown = Settings { unknown: true, ..settings() };
    let lacking = |settings: &Settings| {
        let none = MAYBE_LEFT_OUT.iter().filter(|sql| mapped(types, sql, settings).is_none());
        none.map(|sql| named(&sql)).collect::<Vec<_>>().join(", ")
    };
    let (always, plain) = (lacking(&unknown), lacking(&settings()));
    format!(
        "Left out of events, with a warning at the start: {plain}.\n\n\
         With `include.unknown.datatypes=true` they are what the server prints for them, in the form of `binary.handling.mode`, but for these, which stay out: {always}.\n"
    )
}

/// `text` with what is between the marks of each name replaced.
fn filled(text: &str, parts: &[(&str, String)]) -> String {
    let mut text = text.to_owned();
    for (name, made) in parts {
        let (from, to) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
        let (before, rest) = text.split_once(&from).unwrap_or_else(|| panic!("no mark {from}"));
        let (_, after) = rest.split_once(&to).unwrap_or_else(|| panic!("no mark {to}"));
        text = format!("{before}{from}\n{}\n{to}{after}", made.trim());
    }
    text
}

#[tokio::test]
async fn page_is_what_the_code_does() {
    let types = known();
    let parts = [
        ("types", table_of_types(&types).await),
        ("left out", left_out(&types)),
        ("modes", table_of_modes(&types).await),
        ("special", table_of_special(&types).await),
        ("missing", table_of_missing(&types).await),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("TYPES.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let wanted = filled(&text, &parts);
    if std::env::var_os("REWRITE").is_some() {
        return std::fs::write(&path, wanted).unwrap();
    }
    assert!(
        text == wanted,
        "TYPES.md is out of date: REWRITE=1 cargo test -p riverrun-source-postgres --lib page"
    );
}

/// The examples of the page are what a server prints, under the types that it has for the names.
#[tokio::test]
async fn examples_are_the_servers() {
    let Some((server, client, handle)) = live::database("types_page").await else { return };
    let session = Session::connect(&server, &[]).await.unwrap();
    let labels = MOODS.map(|label| format!("'{label}'")).join(", ");
    let prepare = format!(
        "CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE EXTENSION ltree;
         CREATE TYPE mood AS ENUM ({labels}); CREATE DOMAIN share AS {SHARE};
         CREATE TYPE pair AS (a int, b int); CREATE TYPE floatrange AS RANGE (subtype = float8)"
    );
    session.execute("prepare", &prepare).await.unwrap();
    let types = catalog::types(&session).await.unwrap();
    let special = SPECIAL.iter().flat_map(|(sql, texts)| texts.iter().map(move |text| (sql, text)));
    let samples = SAMPLES
        .iter()
        .flat_map(|sample| sample.declared.iter().map(move |declared| (declared, &sample.text)));
    let mut printed = 0;
    for (sql, text) in samples.chain(special) {
        let (name, typmod, array) = declared(sql);
        // Of extensions that the server may lack.
        if matches!(name, "geometry" | "geography" | "vector" | "halfvec" | "sparsevec") {
            continue;
        }
        let quoted = text.replace('\'', "''");
        session
            .execute(sql, &format!("CREATE TEMP TABLE one AS SELECT '{quoted}'::{sql} AS v"))
            .await
            .unwrap();
        let query = "SELECT format('%s', v), a.atttypid, a.atttypmod FROM one, pg_attribute a
                      WHERE a.attrelid = 'one'::regclass AND a.attname = 'v'";
        let row = session.query_one(sql, query, &[]).await.unwrap();
        let (shown, oid): (&str, u32) = (row.get(0), row.get(1));
        assert_eq!(shown, *text, "{sql}");
        let found = &types[&oid];
        let wanted = if array { format!("_{name}") } else { name.to_owned() };
        assert_eq!((&found.name, row.get::<_, i32>(2)), (&wanted, typmod), "{sql}");
        session.execute(sql, "DROP TABLE one").await.unwrap();
        printed += 1;
    }
    assert!(printed > SAMPLES.len(), "{printed} examples");
    for sql in MAYBE_LEFT_OUT {
        let name = declared(sql).0;
        assert!(types.values().any(|info| info.name == name), "{name} is no type");
    }
    drop(session);
    live::drop_database(server, client, handle).await;
}
