//! The types with the values of chance that are compared.

/// A type, how the server makes a value of it (`n` counts, `random()` is seeded), and how it says
/// what the cell of a value `v` is: see [`super::shown`].
pub(super) struct Case {
    pub(super) of: &'static str,
    pub(super) value: &'static str,
    pub(super) cell: &'static str,
}

const fn case(of: &'static str, value: &'static str, cell: &'static str) -> Case {
    Case { of, value, cell }
}

/// The cell is the text that the server prints.
const TEXT: &str = "to_json(format('%s', v))::text";
/// A number that fits in 64 bits.
const NUMBER: &str = "v::int8::text";
/// As [`TEXT`], where the server prints a number.
const FLOAT: &str = "format('%s', v)";
const MICROS: &str = "(extract(epoch FROM v) * 1000000)::int8::text";
const MILLIS: &str = "(extract(epoch FROM v) * 1000)::int8::text";

pub(super) const CASES: &[Case] = &[
    case("bool", "random() < 0.5", "CASE WHEN v THEN 'true' ELSE 'false' END"),
    case("int2", "(random() * 65535 - 32768)::int2", NUMBER),
    case("int4", "(random() * 4294967295 - 2147483648)::int4", NUMBER),
    case("int8", "(random() * 9e18 - 4.5e18)::int8", NUMBER),
    case("oid", "(random() * 4294967295)::int8::oid", NUMBER),
    case(
        "float4",
        "CASE n % 9 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN '-0' ELSE ((random() - 0.5) * 10 ^ (n % 70 - 35))::text END::float4",
        "v::float8::text",
    ),
    case(
        "float8",
        "CASE n % 9 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN '-0' ELSE ((random() - 0.5) * 10 ^ (n % 600 - 300))::text END::float8",
        FLOAT,
    ),
    case("numeric(5,2)", "(random() * 1999 - 999)::numeric(5,2)", "'x' || (v * 100)::int8"),
    case(
        "numeric(38,10)",
        "((random() - 0.5)::numeric * 10::numeric ^ (n % 28))::numeric(38,10)",
        "'x' || trunc(v * 10::numeric ^ 10)::numeric(38,0)",
    ),
    case("numeric(20)", "(random() * 1e19 - 5e18)::numeric(20)", "'x' || v"),
    case(
        "numeric",
        "(random() - 0.5)::numeric(30,20) * 10::numeric ^ (n % 30 - 12)",
        "'{' || scale(trim_scale(v)) || '|x' || trim_scale(v * 10::numeric ^ scale(trim_scale(v))) || '}'",
    ),
    case(
        "numeric",
        "(random() * 1000)::int * 10::numeric ^ (n % 25)",
        "'{0|x' || trim_scale(v) || '}'",
    ),
    case(
        "money",
        "((random() - 0.5) * 10 ^ (n % 14))::numeric(20,2)::money",
        "'x' || (v::numeric * 100)::int8",
    ),
    case("char(7)", "left(md5(n::text), n % 8)", TEXT),
    case("varchar(40)", "translate(left(md5(n::text), n % 33), '0123abc', 'ä€🚀\"\\\t')", TEXT),
    case("text", "repeat(translate(md5(n::text), '0123abc', E'ä€🚀\"\\\\\\t\\n'), n % 9)", TEXT),
    case("\"char\"", "chr(32 + n % 90)::\"char\"", TEXT),
    case("citext", "md5(n::text)", TEXT),
    case("bytea", "decode(left(md5(n::text), n % 17 * 2), 'hex')", "'b' || encode(v, 'hex')"),
    case(
        "json",
        "json_build_object('n', n, 't', md5(n::text), 'a', ARRAY[n, NULL], 'f', random())",
        TEXT,
    ),
    case(
        "jsonb",
        "jsonb_build_object('n', n, 't', md5(n::text), 'a', ARRAY[n, NULL], 'f', random())",
        TEXT,
    ),
    case("xml", "xmlelement(name e, xmlattributes(n AS a), md5(n::text))", TEXT),
    case("uuid", "md5(n::text)::uuid", TEXT),
    case("ltree", "('a' || n || '.b.' || md5(n::text))::ltree", TEXT),
    case("tsvector", "to_tsvector('simple', md5(n::text) || ' it''s ' || n)", TEXT),
    case("oracle_size", "(enum_range(NULL::oracle_size))[1 + n % 3]", TEXT),
    case("oracle_share", "(random())::numeric(5,4)", "'x' || (v * 10000)::int8"),
    case(
        "inet",
        "CASE WHEN n % 2 = 0 THEN '10.0.0.0'::inet + (n * 7919) ELSE set_masklen('fe80::'::inet + n::int8 * 7919, n % 129) END",
        TEXT,
    ),
    case("cidr", "network(set_masklen('10.0.0.0'::inet + (n * 7919), n % 33))", TEXT),
    case("macaddr", "left(md5(n::text), 12)::macaddr", TEXT),
    case("macaddr8", "left(md5(n::text), 16)::macaddr8", TEXT),
    case(
        "int4range",
        "int4range(n, n + (random() * 100)::int, (ARRAY['[)','(]','()','[]'])[1 + n % 4])",
        TEXT,
    ),
    case("int8range", "int8range(NULLIF(n, 3), NULL)", TEXT),
    case("numrange", "numrange(random()::numeric, 2 + random()::numeric, '[]')", TEXT),
    case("daterange", "daterange(date '2000-01-01' + n, NULL)", TEXT),
    case("tsrange", "tsrange(timestamp '2000-01-01' + n * interval '1.000001 hour', NULL)", TEXT),
    case(
        "tstzrange",
        "tstzrange(NULL, timestamptz '2000-01-01Z' + n * interval '1.000001 hour')",
        TEXT,
    ),
    case("date", "date '0001-01-01' + (random() * 3652058)::int", "(v - date '1970-01-01')::text"),
    case("date", "date '1970-01-01' - (random() * 2000000)::int", "(v - date '1970-01-01')::text"),
    case("time", "time '00:00' + random() * interval '23:59:59.999999'", MICROS),
    case("time(3)", "(time '00:00' + random() * interval '23:59:58')::time(3)", MILLIS),
    case("time(0)", "(time '00:00' + random() * interval '23:59:58')::time(0)", MILLIS),
    case("timestamp", "timestamp '1970-01-01' + (random() - 0.5) * interval '4000 years'", MICROS),
    case(
        "timestamp(3)",
        "(timestamp '1970-01-01' + (random() - 0.5) * interval '4000 years')::timestamp(3)",
        MILLIS,
    ),
    case(
        "timestamp(0)",
        "(timestamp '1970-01-01' + (random() - 0.5) * interval '400 years')::timestamp(0)",
        MILLIS,
    ),
    case(
        "timestamptz",
        "timestamptz '2000-01-01Z' + (random() - 0.5) * interval '3900 years'",
        "to_json(to_char(v AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))::text",
    ),
    case(
        "timestamptz(3)",
        "(timestamptz '2000-01-01Z' + (random() - 0.5) * interval '3900 years')::timestamptz(3)",
        "to_json(to_char(v AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))::text",
    ),
    case(
        "timestamptz(0)",
        "(timestamptz '2000-01-01Z' + (random() - 0.5) * interval '3900 years')::timestamptz(0)",
        "to_json(to_char(v AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))::text",
    ),
    case(
        "timetz",
        "(time '00:00' + random() * interval '23:59:59.999999')::time + (n % 2 || ' us')::interval || '+00'",
        "to_json(rtrim(rtrim(to_char(v::time, 'HH24:MI:SS.US'), '0'), '.') || 'Z')::text",
    ),
    case(
        "timetz",
        "(time '00:00' + random() * interval '23:59:59') || '-07:30'",
        "to_json(rtrim(rtrim(to_char(v::time + interval '7 h 30 m', 'HH24:MI:SS.US'), '0'), '.') || 'Z')::text",
    ),
    case(
        "interval",
        "(n % 700 - 350) * interval '1 month' + (n % 41 - 20) * interval '1 day' + (random() - 0.5) * interval '400 hours'",
        "((extract(year FROM v) * 12 + extract(month FROM v))::int8 * 2629800000000 + extract(day FROM v)::int8 * 86400000000 + (extract(hour FROM v) * 3600000000 + extract(minute FROM v) * 60000000 + extract(microseconds FROM v))::int8)::text",
    ),
    case("bit(1)", "(n % 2)::bit(1)", "CASE WHEN v = B'1' THEN 'true' ELSE 'false' END"),
    case("bit(11)", "(random() * 2047)::int::bit(11)", "'l' || v::int4"),
    case("bit(62)", "(random() * 4e18)::int8::bit(62)", "'l' || v::int8"),
    case(
        "varbit(20)",
        "substring((random() * 1048575)::int::bit(20) from 1 for n % 21)",
        "'l' || lpad(v::text, 32, '0')::bit(32)::int8",
    ),
    case(
        "point",
        "point(random() * 1e6 - 5e5, random())",
        "'{' || v[0] || '|' || v[1] || '|b0101000000' || encode(oracle_double(v[0]) || oracle_double(v[1]), 'hex') || '|null}'",
    ),
    case("int4[]", "ARRAY[n, NULL, -n]", "'[' || n || '|null|' || -n || ']'"),
    case("int8[]", "ARRAY[n * 4294967296, NULL]", "'[' || n * 4294967296 || '|null]'"),
    case(
        "bool[]",
        "ARRAY[n % 2 = 0, NULL]",
        "'[' || CASE WHEN n % 2 = 0 THEN 'true' ELSE 'false' END || '|null]'",
    ),
    case("float8[]", "ARRAY[random(), NULL]", "'[' || v[1] || '|null]'"),
    case(
        "text[]",
        "ARRAY[translate(md5(n::text), '0123abc', E'ä€🚀\"\\\\, '), NULL, '', 'NULL']",
        "'[' || to_json(v[1])::text || '|null|\"\"|\"NULL\"]'",
    ),
    case("varchar(9)[]", "ARRAY[left(md5(n::text), 9)]", "'[' || to_json(v[1])::text || ']'"),
    case(
        "numeric(9,2)[]",
        "ARRAY[(random() * 1000)::numeric(9,2), NULL]",
        "'[x' || (v[1] * 100)::int8 || '|null]'",
    ),
    case("uuid[]", "ARRAY[md5(n::text)::uuid]", "'[' || to_json(v[1])::text || ']'"),
    case(
        "date[]",
        "ARRAY[date '2000-01-01' + n, NULL]",
        "'[' || v[1] - date '1970-01-01' || '|null]'",
    ),
    case(
        "timestamp[]",
        "ARRAY[timestamp '2000-01-01' + n * interval '1.000001 hour']",
        "'[' || (extract(epoch FROM v[1]) * 1000000)::int8 || ']'",
    ),
    case("inet[]", "ARRAY['10.0.0.0'::inet + n]", "'[' || to_json(host(v[1]))::text || ']'"),
    case("bytea[]", "ARRAY[decode(md5(n::text), 'hex')]", "'[b' || md5(n::text) || ']'"),
    case("oracle_size[]", "ARRAY['two words', 'XL']::oracle_size[]", "'[\"two words\"|\"XL\"]'"),
    case(
        "geometry",
        "ST_SetSRID(ST_MakeLine(ST_MakePoint(random(), n), ST_MakePoint(-n, 0)), n % 3 * 1000)",
        "'{b' || encode(ST_AsEWKB(v), 'hex') || '|' || CASE ST_SRID(v) WHEN 0 THEN 'null' ELSE ST_SRID(v)::text END || '|null}'",
    ),
    case(
        "geography",
        "ST_MakePoint(random() * 360 - 180, random() * 180 - 90)::geography",
        "'{b' || encode(ST_AsEWKB(v::geometry), 'hex') || '|4326}'",
    ),
    case(
        "geometry[]",
        "ARRAY[ST_MakePoint(n, random()), NULL]",
        "'[{b' || encode(ST_AsEWKB(v[1]), 'hex') || '|null|null}|null]'",
    ),
    case("geography[]", "ARRAY[ST_MakePoint(n % 90, random())::geography]", "NULL"),
    // No arithmetic of the server's: both forms must make the same cell.
    case("box", "box(point(random(), random()), point(random(), 7))", "NULL"),
    case("lseg", "lseg(point(random(), random()), point(random(), 7))", "NULL"),
    case("path", "('((1,2),(3,' || random() || '))')::path", "NULL"),
    case("polygon", "('((1,2),(3,' || random() || '),(5,6))')::polygon", "NULL"),
    case("line", "line(point(random(), random()), point(random() + 2, 7))", "NULL"),
    case("circle", "circle(point(random(), random()), n)", "NULL"),
    case("hstore", "hstore(ARRAY['a', md5(n::text), '\"q\"', NULL, 'é', ''])", "NULL"),
    case("int4multirange", "int4multirange(int4range(n, n + 3), int4range(n + 5, NULL))", "NULL"),
    case("pg_lsn", "'0/0'::pg_lsn + n * 4294967297", "NULL"),
    // What is special about values in binary form.
    case("numeric", "(ARRAY['NaN', '0.000', '-1e-20', '9e130'])[1 + n % 4]", "NULL"),
    case(
        "numeric[]",
        "ARRAY[(ARRAY['NaN', '0.000', '-1e-20', '9e130'])[1 + n % 4]::numeric, NULL]",
        "NULL",
    ),
    case("money", "(n % 2 * 2 - 1) * '92233720368547758.07'::money", "NULL"),
    case(
        "inet",
        "(ARRAY['::', '::1', '::2', '::1.2.3.4', '::ffff:1.2.3.4', '1::', '1:0:0:2:0:0:0:3', '1:0:2:0:3:0:4:0', '::/0', '0.0.0.0/0', '1:2:3:4:5:6:7:0', '0:0:1::'])[1 + n % 12]",
        TEXT,
    ),
    case("cidr", "(ARRAY['::/0', '::ffff:1.2.3.4', '10.1.2.3', '2001:db8::/32'])[1 + n % 4]", TEXT),
    case(
        "date",
        "(ARRAY['infinity', '-infinity', '0044-03-15 BC', '5874897-12-31', '4713-01-01 BC'])[1 + n % 5]",
        "NULL",
    ),
    case(
        "timestamp",
        "(ARRAY['infinity', '-infinity', '0044-03-15 01:02:03.4 BC', '294276-12-31 23:59:59.999999'])[1 + n % 4]",
        "NULL",
    ),
    case(
        "timestamptz[]",
        "ARRAY[(ARRAY['infinity', '-infinity', '0044-03-15 01:02:03.4+05:30 BC', '294276-12-31 23:59:59.999999Z'])[1 + n % 4]::timestamptz, NULL]",
        "NULL",
    ),
    case(
        "timestamp[]",
        "ARRAY[(ARRAY['infinity', '-infinity', '0044-03-15 01:02:03.4 BC', '1500-01-01 00:00:00.000001'])[1 + n % 4]::timestamp]",
        "NULL",
    ),
    case(
        "date[]",
        "ARRAY[(ARRAY['infinity', '-infinity', '0044-03-15 BC', '5874897-12-31'])[1 + n % 4]::date]",
        "NULL",
    ),
    case(
        "time[]",
        "ARRAY['24:00'::time, time '00:00' + random() * interval '23:59:59.999999', NULL]",
        "NULL",
    ),
    case("time(2)[]", "ARRAY[(time '00:00' + random() * interval '23:59:58')::time(2)]", "NULL"),
    case(
        "timetz[]",
        "ARRAY['24:00+15:59:59'::timetz, '00:00:00.000001-15:59', '12:00+05:30']",
        "NULL",
    ),
    case(
        "daterange",
        "(ARRAY['[0044-03-15 BC,)', '(,infinity)', '[-infinity,2020-01-01)', 'empty', '(,)'])[1 + n % 5]",
        TEXT,
    ),
    case("tsrange", "(ARRAY['[\"0044-03-15 00:00:00 BC\",infinity]', 'empty'])[1 + n % 2]", TEXT),
    case(
        "tstzrange[]",
        "ARRAY[tstzrange('2000-01-01Z', timestamptz '2000-01-02Z' + random() * interval '1 year', '[]'), NULL]",
        "NULL",
    ),
    case("int4range[]", "ARRAY[int4range(n, n + 3), 'empty', NULL]", "NULL"),
    case("nummultirange", "'{[' || n || '.50,' || n + 1 || '),[900,)}'", "NULL"),
    case("datemultirange", "datemultirange(daterange(date '2000-01-01' + n, NULL))", "NULL"),
    case("tstzmultirange", "tstzmultirange(tstzrange(timestamptz '2000-01-01Z', NULL))", "NULL"),
    case("int8multirange", "'{}'", "NULL"),
    case(
        "tsvector",
        "(ARRAY[$$a:1A,2B,3C,4 'it''s':16383$$, '', $$'\\\\':1$$, 'é'])[1 + n % 4]",
        TEXT,
    ),
    case("tsvector[]", "ARRAY[to_tsvector('simple', md5(n::text))]", "NULL"),
    case(
        "hstore",
        "hstore(ARRAY['', '\\', ' ', '=>', ',', E'\\n\\t', 'n', NULL]) || hstore(md5(n::text), n::text)",
        "NULL",
    ),
    case("hstore[]", "ARRAY[hstore('a', NULL), '', NULL]", "NULL"),
    case(
        "path",
        "(ARRAY['[(1,2)]', '((1e-7,2e300),(-0,NaN))', '[(Infinity,-Infinity),(1e15,123456789012345680)]'])[1 + n % 3]",
        "NULL",
    ),
    case("circle", "'<(1e15,-0),0.1>'", "NULL"),
    case("box[]", "ARRAY[]::box[]", "NULL"),
    case("box[]", "ARRAY[box(point(1, 2), point(3, 4))]", "NULL"),
    case("varbit", "repeat('10', n % 40)", "NULL"),
    case("bit(3)[]", "ARRAY[B'101']", "NULL"),
    case(
        "float4[]",
        "ARRAY['NaN'::float4, '-Infinity', (random() * 10 ^ (n % 60 - 30))::float4]",
        "NULL",
    ),
    case("\"char\"[]", "ARRAY['a'::\"char\", '', NULL]", "NULL"),
    case("jsonb[]", "ARRAY[jsonb_build_object('n', n), NULL]", "NULL"),
    case("json[]", "ARRAY[json_build_object('n', n)]", "NULL"),
    case("ltree[]", "ARRAY['a.b'::ltree, '']", "NULL"),
    case("citext[]", "ARRAY['Ab'::citext]", "NULL"),
    case("oid[]", "ARRAY[4294967295::oid, NULL]", "NULL"),
    case("int2[]", "ARRAY[[1, 2], [n, 4]]::int2[]", "NULL"),
    case(
        "int4[]",
        "CASE n % 3 WHEN 0 THEN '{}' WHEN 1 THEN '[0:1]={7,8}' ELSE '[2:2][3:4]={{7,8}}' END",
        "NULL",
    ),
    case("text[]", "CASE n % 2 WHEN 0 THEN '{}' ELSE '{{a,b}}' END", "NULL"),
    case("cidr[]", "ARRAY['10.0.0.0/8'::cidr]", "NULL"),
    case("macaddr8[]", "ARRAY[left(md5(n::text), 16)::macaddr8]", "NULL"),
    case("char(4)[]", "ARRAY['a'::char(4)]", "NULL"),
    case("oracle_share[]", "ARRAY[0.5::oracle_share, NULL]", "NULL"),
    case(
        "oracle_ratio[]",
        "ARRAY[((random() - 0.5) * 10 ^ (n % 600 - 300))::oracle_ratio, 1e15, 123456789012345, 1e-4, 1e-5, 0, '-0']",
        "NULL",
    ),
    case(
        "oracle_ratio4[]",
        "ARRAY[((random() - 0.5) * 10 ^ (n % 60 - 30))::oracle_ratio4, 1e6, 999999, 1e-4, 1e-5, 'NaN']",
        "NULL",
    ),
    case("oracle_flag[]", "ARRAY[true::oracle_flag, false]", "NULL"),
    case("oracle_list", "ARRAY[n, NULL]::oracle_list", "NULL"),
    case("xid", "(n * 7919)::text::xid", "NULL"),
    case("xid8", "(n * 4294967297)::text::xid8", "NULL"),
    case("tid", "format('(%s,%s)', n * 7919, n)", "NULL"),
    case("jsonpath", "'$.a[*]?(@ > 1)'", "NULL"),
    case("pg_snapshot", "CASE n % 2 WHEN 0 THEN '10:20:10,14,15' ELSE '10:10:' END", "NULL"),
];

/// Types whose form in a stream with `binary=true` is not read: a table with one is refused.
pub(super) const UNREAD: [&str; 4] = ["tsquery", "regclass", "oracle_pair", "oracle_floats"];
