//! The types that TYPES.md shows, each with a value that a server prints.

/// Types of one mapping, by the names they are declared with, and a value of theirs.
pub(super) struct Sample {
    pub(super) declared: &'static [&'static str],
    pub(super) text: &'static str,
    /// What schema and example do not show.
    pub(super) note: &'static str,
}

const fn sample(declared: &'static [&'static str], text: &'static str) -> Sample {
    Sample { declared, text, note: "" }
}

const fn noted(
    declared: &'static [&'static str],
    text: &'static str,
    note: &'static str,
) -> Sample {
    Sample { declared, text, note }
}

/// Labels of the enum that the page calls `mood`.
pub(super) const MOODS: [&str; 2] = ["sad", "ok"];
/// What the domain stands for that the page calls `share`.
pub(super) const SHARE: &str = "numeric(5,4)";

pub(super) const SAMPLES: &[Sample] = &[
    sample(&["boolean"], "t"),
    sample(&["smallint"], "7"),
    sample(&["integer"], "7"),
    sample(&["bigint", "oid"], "7"),
    sample(&["real"], "0.5"),
    sample(&["double precision"], "10000000000"),
    sample(&["numeric(5,2)"], "-999.99"),
    noted(&["numeric"], "100.500", "trailing zeros are dropped"),
    noted(&["money"], "$1,234.57", "no parameter for the precision"),
    noted(&["char(5)"], "ab   ", "padded"),
    sample(&["varchar(9)", "text", "citext", "\"char\""], "a"),
    sample(&["name"], "a_name"),
    sample(&["bytea"], "\\x00ff"),
    noted(&["json", "jsonb"], "{\"a\": 1}", "the text of the server"),
    sample(&["xml"], "<a/>"),
    sample(&["uuid"], "0b9f4a52-93a5-4f7e-9d55-0c2a6d0a1b2c"),
    noted(&["hstore"], "\"k\"=>\"v\", \"n\"=>NULL", "keys in the order of a Java HashMap"),
    sample(&["ltree"], "Top.Leaf"),
    sample(&["tsvector"], "'fox':3 'quick':2"),
    noted(&["mood"], "ok", "an enum, with its labels"),
    noted(&["share"], "0.5000", "a domain over numeric(5,4) counts as that"),
    noted(&["date"], "2024-02-29", "days"),
    noted(&["time(3)"], "12:34:56.789", "milliseconds; up to 3 digits"),
    noted(&["time"], "12:34:56.789012", "microseconds; 4 digits and more"),
    noted(&["timetz"], "12:34:56.7+02", "in UTC"),
    noted(&["timestamp(3)"], "2024-02-29 12:34:56.789", "milliseconds; up to 3 digits"),
    noted(&["timestamp"], "2024-02-29 12:34:56.789012", "microseconds; 4 digits and more"),
    noted(&["timestamptz"], "2024-02-29 12:34:56.7+00", "in UTC"),
    noted(&["timestamptz(2)"], "2024-02-29 12:34:56.7+00", "as many digits as declared"),
    noted(&["interval"], "1 mon", "microseconds; a month has 30.4375 days"),
    sample(&["inet", "cidr"], "10.0.0.0/24"),
    sample(&["macaddr"], "02:00:5e:10:00:01"),
    sample(&["macaddr8"], "02:00:5e:ff:fe:10:00:01"),
    sample(&["int4range", "int8range", "numrange"], "[1,10)"),
    sample(&["daterange"], "[2024-02-29,2024-03-01)"),
    sample(&["tsrange"], "[\"2024-02-29 00:00:00\",)"),
    sample(&["tstzrange"], "[\"2024-02-29 00:00:00+00\",)"),
    sample(&["bit(1)", "varbit(1)"], "1"),
    noted(
        &["bit(11)", "varbit(11)"],
        "00000000101",
        "little-endian; no bytes above the highest bit that is set",
    ),
    sample(&["point"], "(1.5,-2)"),
    sample(&["box"], "(1,1),(0,0)"),
    sample(&["lseg"], "[(0,0),(1,0)]"),
    sample(&["path"], "[(0,0),(1,0)]"),
    sample(&["polygon"], "((0,0),(1,0),(0,1))"),
    sample(&["line"], "{1,-1,0}"),
    sample(&["circle"], "<(1,2),3>"),
    noted(
        &["geometry"],
        "0101000020E6100000000000000000F03F0000000000000040",
        "PostGIS; wkb is the whole EWKB, srid what it says",
    ),
    noted(&["geography"], "0101000020E6100000000000000000F03F0000000000000040", "PostGIS"),
    noted(&["vector(2)"], "[1,2.5]", "pgvector"),
    noted(&["halfvec(2)"], "[1,2.5]", "pgvector"),
    noted(&["sparsevec(5)"], "{1:0.5,3:2}/5", "pgvector"),
    sample(&["integer[]"], "{7,NULL}"),
    sample(&["text[]"], "{a,\"b c\",NULL}"),
    sample(&["numeric(5,2)[]"], "{1.50,NULL}"),
    noted(&["timestamp[]"], "{\"2024-02-29 12:34:56.7\"}", "days before 1582-10-15 as in Java"),
    noted(&["time[]"], "{12:34:56.789012}", "in steps of milliseconds"),
    sample(&["mood[]"], "{ok}"),
    sample(&["geometry[]"], "{0101000000000000000000F03F0000000000000040:NULL}"),
    noted(&["bit(11)[]"], "{00000000101}", "the schema of a bit string, and no value"),
    noted(&["box[]", "lseg[]", "path[]", "polygon[]"], "{}", "null unless empty"),
    noted(&["line[]"], "{}", "null unless empty"),
    noted(&["circle[]"], "{}", "null unless empty"),
];

/// Values that no arithmetic knows.
pub(super) const SPECIAL: &[(&str, &[&str])] = &[
    ("numeric", &["NaN", "Infinity"]),
    ("numeric(5,2)", &["NaN"]),
    ("double precision", &["NaN", "-Infinity"]),
    ("date", &["infinity", "-infinity", "0044-03-15 BC"]),
    ("time", &["24:00:00"]),
    ("timestamp", &["infinity", "-infinity"]),
    ("timestamptz", &["infinity", "-infinity", "20240-03-15 10:00:00+00"]),
    ("interval", &["-1 years -2 mons +3 days -04:05:06.000001"]),
    ("bit(11)", &["00000000000"]),
    ("integer[]", &["{{1,2},{3,4}}"]),
    ("text[]", &["{{a,b}}"]),
    ("date[]", &["{infinity}"]),
];

/// Types of the server's own and of its extensions that have no mapping, or whose arrays have none.
pub(super) const MAYBE_LEFT_OUT: &[&str] = &[
    "tsquery",
    "pg_lsn",
    "xid",
    "xid8",
    "tid",
    "cid",
    "pg_snapshot",
    "txid_snapshot",
    "jsonpath",
    "refcursor",
    "regclass",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "pair",
    "floatrange",
    "money[]",
    "name[]",
    "interval[]",
    "xml[]",
    "point[]",
    "varbit(3)[]",
    "refcursor[]",
    "share[]",
    "tsquery[]",
    "pair[]",
];
