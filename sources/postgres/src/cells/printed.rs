//! Values in the server's binary form, printed as the server prints them.
//!
//! For the types that have no decoder of their binary form: what becomes of a text is decided in one
//! place ([`super::text`]). The session's settings are fixed (`wire::session`), so a value has one
//! text. Layouts: the `*_send` functions of the server, `src/backend/utils/adt`, and those of the
//! extensions hstore, PostGIS and pgvector; texts: the `*_out` functions beside them.

use std::fmt::Write;

use super::{
    BadValue, bad,
    binary::{fixed, integer, numeric},
    number::{Decimal, Unscaled},
};
use fields::Fields;
use float::{push_float32, push_float64};

mod address;
mod document;
pub(super) mod fields;
mod float;
mod moment;
mod shape;
mod vector;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The text itself.
    Text,
    /// The text after a byte that is the version of the form (`jsonb_send`, `ltree_send`).
    Versioned,
    /// A byte, which is zero when there is no character (`charsend`).
    Char,
    Bool,
    Integer,
    /// Four or eight bytes without a sign.
    Unsigned,
    Float32,
    Float64,
    Numeric,
    /// `digits` after the point, as the server's `lc_monetary` says; the form does not.
    Money {
        digits: u8,
    },
    Bytes,
    Uuid,
    Date,
    Time,
    ZonedTime,
    Timestamp,
    ZonedTimestamp,
    Address,
    HardwareAddress,
    Bits,
    Point,
    Box,
    Segment,
    Path,
    Polygon,
    Line,
    Circle,
    Hstore,
    Lexemes,
    Range(Bound),
    Multirange(Bound),
    /// A position in the log.
    Lsn,
    /// A row's place in its table.
    Place,
    Snapshot,
    /// A geometry of PostGIS, in hexadecimal digits.
    Ewkb,
    Vector,
    HalfVector,
    SparseVector,
}

/// What a range is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Integer,
    Numeric,
    Date,
    Timestamp,
    ZonedTimestamp,
}

impl Bound {
    fn form(self) -> Form {
        match self {
            Self::Integer => Form::Integer,
            Self::Numeric => Form::Numeric,
            Self::Date => Form::Date,
            Self::Timestamp => Form::Timestamp,
            Self::ZonedTimestamp => Form::ZonedTimestamp,
        }
    }
}

impl Form {
    /// Of the type of this name; `None` when its binary form is not read.
    pub(super) fn of(type_name: &str) -> Option<Self> {
        Some(match type_name {
            "bpchar" | "varchar" | "text" | "citext" | "xml" | "json" | "name" | "refcursor"
            // Has no binary form, and so comes as text.
            | "isbn" => Self::Text,
            "jsonb" | "ltree" | "jsonpath" => Self::Versioned,
            "char" => Self::Char,
            "bool" => Self::Bool,
            "int2" | "int4" | "int8" => Self::Integer,
            "oid" | "xid" | "cid" | "xid8" => Self::Unsigned,
            "float4" => Self::Float32,
            "float8" => Self::Float64,
            "numeric" => Self::Numeric,
            "bytea" => Self::Bytes,
            "uuid" => Self::Uuid,
            "date" => Self::Date,
            "time" => Self::Time,
            "timetz" => Self::ZonedTime,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::ZonedTimestamp,
            "inet" | "cidr" => Self::Address,
            "macaddr" | "macaddr8" => Self::HardwareAddress,
            "bit" | "varbit" => Self::Bits,
            "point" => Self::Point,
            "box" => Self::Box,
            "lseg" => Self::Segment,
            "path" => Self::Path,
            "polygon" => Self::Polygon,
            "line" => Self::Line,
            "circle" => Self::Circle,
            "hstore" => Self::Hstore,
            "tsvector" => Self::Lexemes,
            "int4range" | "int8range" => Self::Range(Bound::Integer),
            "numrange" => Self::Range(Bound::Numeric),
            "daterange" => Self::Range(Bound::Date),
            "tsrange" => Self::Range(Bound::Timestamp),
            "tstzrange" => Self::Range(Bound::ZonedTimestamp),
            "int4multirange" | "int8multirange" => Self::Multirange(Bound::Integer),
            "nummultirange" => Self::Multirange(Bound::Numeric),
            "datemultirange" => Self::Multirange(Bound::Date),
            "tsmultirange" => Self::Multirange(Bound::Timestamp),
            "tstzmultirange" => Self::Multirange(Bound::ZonedTimestamp),
            "pg_lsn" => Self::Lsn,
            "tid" => Self::Place,
            "pg_snapshot" | "txid_snapshot" => Self::Snapshot,
            "geometry" | "geography" => Self::Ewkb,
            "vector" => Self::Vector,
            "halfvec" => Self::HalfVector,
            "sparsevec" => Self::SparseVector,
            _ => return None,
        })
    }

    /// The text of a value, which is in the field itself or in `out`.
    pub(super) fn text<'a>(
        self,
        field: &'a [u8],
        out: &'a mut String,
    ) -> Result<&'a str, BadValue> {
        match (self, field) {
            (Self::Text, text) | (Self::Versioned, [1, text @ ..]) => {
                std::str::from_utf8(text).or(bad("text in UTF-8"))
            }
            (Self::Versioned, _) => bad("a value in version 1 of its binary form"),
            (form, field) => {
                out.clear();
                form.print(field, out)?;
                Ok(out)
            }
        }
    }

    /// Appends the text of a value.
    fn print(self, field: &[u8], out: &mut String) -> Result<(), BadValue> {
        match self {
            Self::Text | Self::Versioned => {
                let mut own = String::new();
                out.push_str(self.text(field, &mut own)?);
            }
            Self::Char => match field {
                [0] => {}
                [byte @ 0..=0x7F] => out.push(char::from(*byte)),
                // The server prints others in octal since PostgreSQL 16, and before as they are, which
                // is no UTF-8.
                _ => return bad("a character of ASCII"),
            },
            Self::Bool => match field {
                [0] => out.push('f'),
                [1] => out.push('t'),
                _ => return bad("a byte that is 0 or 1"),
            },
            Self::Integer => push(out, integer(field)?),
            Self::Unsigned if field.len() == 4 => {
                push(out, u32::from_be_bytes(fixed(field, "4 bytes")?));
            }
            Self::Unsigned => {
                push(out, u64::from_be_bytes(fixed(field, "4 or 8 bytes without a sign")?));
            }
            Self::Float32 => push_float32(out, f32::from_be_bytes(fixed(field, "4 bytes")?)),
            Self::Float64 => push_float64(out, f64::from_be_bytes(fixed(field, "8 bytes")?)),
            Self::Numeric => match field {
                // The sign says that it is none of a number.
                [_, _, _, _, 0xC0, 0, ..] => out.push_str("NaN"),
                [_, _, _, _, 0xD0, 0, ..] => out.push_str("Infinity"),
                [_, _, _, _, 0xF0, 0, ..] => out.push_str("-Infinity"),
                field => out.push_str(&numeric(field)?.to_plain()),
            },
            Self::Money { digits } => {
                let units = i64::from_be_bytes(fixed(field, "8 bytes")?);
                let unscaled = Unscaled::Small(units.into());
                out.push_str(&Decimal { unscaled, scale: digits.into() }.to_plain());
            }
            Self::Bytes => {
                out.push_str("\\x");
                push_hexadecimal(out, field, b"0123456789abcdef");
            }
            Self::Uuid => {
                let uuid = uuid::Uuid::from_bytes(fixed(field, "16 bytes")?);
                out.push_str(uuid.hyphenated().encode_lower(&mut [0; 36]));
            }
            Self::Date => moment::date(field, out)?,
            Self::Time => moment::time(field, out)?,
            Self::ZonedTime => moment::zoned_time(field, out)?,
            Self::Timestamp => moment::timestamp(field, "", out)?,
            Self::ZonedTimestamp => moment::timestamp(field, "+00", out)?,
            Self::Address => address::address(field, out)?,
            Self::HardwareAddress => address::hardware(field, out)?,
            Self::Bits => bits(field, out)?,
            Self::Point => shape::point(field, out)?,
            Self::Box => shape::corners(field, out)?,
            Self::Segment => shape::segment(field, out)?,
            Self::Path => shape::path(field, out)?,
            Self::Polygon => shape::polygon(field, out)?,
            Self::Line => shape::line(field, out)?,
            Self::Circle => shape::circle(field, out)?,
            Self::Hstore => document::hstore(field, out)?,
            Self::Lexemes => document::lexemes(field, out)?,
            Self::Range(bound) => range(bound, field, out)?,
            Self::Multirange(bound) => multirange(bound, field, out)?,
            Self::Lsn => {
                let [high, low] = halves(fixed(field, "8 bytes of a position")?);
                write!(out, "{high:X}/{low:X}").expect("a string takes all");
            }
            Self::Place => {
                let mut fields = Fields::new(field, "6 bytes of a row's place");
                let (page, row) = (fields.i32()?.cast_unsigned(), fields.i16()?.cast_unsigned());
                fields.end()?;
                write!(out, "({page},{row})").expect("a string takes all");
            }
            Self::Snapshot => snapshot(field, out)?,
            Self::Ewkb => push_hexadecimal(out, field, b"0123456789ABCDEF"),
            Self::Vector => vector::dense(field, out)?,
            Self::HalfVector => vector::half(field, out)?,
            Self::SparseVector => vector::sparse(field, out)?,
        }
        Ok(())
    }
}

fn push(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

fn push_hexadecimal(out: &mut String, bytes: &[u8], digits: &[u8; 16]) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(digits[usize::from(byte >> 4)]));
        out.push(char::from(digits[usize::from(byte & 15)]));
    }
}

/// Two numbers of four bytes.
fn halves(bytes: [u8; 8]) -> [u32; 2] {
    let both = u64::from_be_bytes(bytes);
    [(both >> 32) as u32, both as u32]
}

/// `varbit_send`: how many bits, then the bits, the first one the highest of its byte.
fn bits(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "as many bits as the value says";
    let mut fields = Fields::new(field, EXPECTED);
    let count = fields.count()?;
    let bytes = fields.take(count.div_ceil(8))?;
    fields.end()?;
    out.reserve(count);
    for index in 0..count {
        let bit = bytes[index / 8] >> (7 - index % 8) & 1;
        out.push(char::from(b'0' + bit));
    }
    Ok(())
}

/// `range_send`: flags, then the bounds that there are with their lengths.
fn range(bound: Bound, field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "a range in the form of range_send";
    const EMPTY: u8 = 1;
    const LOWER_INCLUDED: u8 = 2;
    const UPPER_INCLUDED: u8 = 4;
    // Infinite, or, in a form of old, null.
    const LOWER_OPEN: u8 = 8 | 32;
    const UPPER_OPEN: u8 = 16 | 64;
    let mut fields = Fields::new(field, EXPECTED);
    let [flags] = fields.array()?;
    if flags & EMPTY != 0 {
        out.push_str("empty");
        return fields.end();
    }
    let mut end = |open: u8, out: &mut String| -> Result<(), BadValue> {
        if flags & open != 0 {
            return Ok(());
        }
        let Some(Some(value)) = fields.next_sized()? else { return bad(EXPECTED) };
        // Of what these bounds may have in their text only a blank calls for quotes.
        let quoted = matches!(bound, Bound::Timestamp | Bound::ZonedTimestamp | Bound::Date);
        let start = out.len();
        bound.form().print(value, out)?;
        if quoted && out[start..].contains(' ') {
            out.insert(start, '"');
            out.push('"');
        }
        Ok(())
    };
    out.push(if flags & LOWER_INCLUDED != 0 { '[' } else { '(' });
    end(LOWER_OPEN, out)?;
    out.push(',');
    end(UPPER_OPEN, out)?;
    out.push(if flags & UPPER_INCLUDED != 0 { ']' } else { ')' });
    fields.end()
}

/// `multirange_send`: how many, then the ranges with their lengths.
fn multirange(bound: Bound, field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "ranges in the form of multirange_send";
    let mut fields = Fields::new(field, EXPECTED);
    let count = fields.count()?;
    out.push('{');
    for index in 0..count {
        let Some(Some(each)) = fields.next_sized()? else { return bad(EXPECTED) };
        if index > 0 {
            out.push(',');
        }
        range(bound, each, out)?;
    }
    out.push('}');
    fields.end()
}

/// `pg_snapshot_send`: how many transactions are in progress, the first, the one after the last, and
/// those.
fn snapshot(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "a snapshot in the form of pg_snapshot_send";
    let mut fields = Fields::new(field, EXPECTED);
    let count = fields.count()?;
    for index in 0..count.saturating_add(2) {
        match index {
            0 => {}
            1 | 2 => out.push(':'),
            _ => out.push(','),
        }
        push(out, u64::from_be_bytes(fields.array()?));
    }
    if count == 0 {
        out.push(':');
    }
    fields.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server (15, with its extensions) sends and prints of the same value.
    const BOTH: &[(&str, &str, &str)] = &[
        ("inet", "03400010fe800000000000000000000000000001", "fe80::1/64"),
        ("cidr", "020801040a000000", "10.0.0.0/8"),
        ("macaddr8", "02005efffe100001", "02:00:5e:ff:fe:10:00:01"),
        ("bit", "0000000b00a0", "00000000101"),
        ("timetz", "0000000a8be4ca60ffffb2a8", "12:34:56.7+05:30"),
        ("date", "fff49d7b", "0044-03-15 BC"),
        ("timestamptz", "0002b58341712a60", "2024-02-29 12:34:56.7+00"),
        (
            "path",
            "0000000002000000000000000000000000000000003ff00000000000003e7ad7f29abcaf48",
            "[(0,0),(1,1e-07)]",
        ),
        ("circle", "3ff000000000000040000000000000004008000000000000", "<(1,2),3>"),
        (
            "hstore",
            "00000002000000016b000000057620227122000000016effffffff",
            r#""k"=>"v \"q\"", "n"=>NULL"#,
        ),
        (
            "tsvector",
            "00000003666f78000001c00369742773000000717569636b0000010002",
            "'fox':3A 'it''s' 'quick':2",
        ),
        ("int4range", "020000000400000001000000040000000a", "[1,10)"),
        ("tsrange", "12000000080002b578b58c6000", "[\"2024-02-29 00:00:00\",)"),
        ("numrange", "01", "empty"),
        (
            "int4multirange",
            "0000000200000011020000000400000001000000040000000300000009120000000400000005",
            "{[1,3),[5,)}",
        ),
        ("numeric", "0003000140000004000109291a2c", "-12345.6700"),
        ("numeric", "00000000c0000000", "NaN"),
        ("pg_lsn", "00000016b374d848", "16/B374D848"),
        (
            "pg_snapshot",
            "00000002000000000000000a0000000000000014000000000000000a000000000000000e",
            "10:20:10,14",
        ),
        (
            "geometry",
            "0101000020e6100000000000000000f03f0000000000000040",
            "0101000020E6100000000000000000F03F0000000000000040",
        ),
        ("jsonb", "017b2261223a20317d", "{\"a\": 1}"),
    ];

    #[test]
    fn as_the_server_prints() {
        for (name, hexadecimal, wanted) in BOTH {
            let (mut field, mut out) = (Vec::new(), String::new());
            super::super::text::read_hexadecimal(hexadecimal, &mut field).unwrap();
            let form = Form::of(name).unwrap();
            assert_eq!(form.text(&field, &mut out), Ok(*wanted), "{name}");
            // What is cut off is no value, and neither is what has more to it; but a text is.
            if !matches!(form, Form::Versioned | Form::Ewkb) && *wanted != "NaN" {
                let cut = &field[..field.len() - 1];
                assert!(form.text(cut, &mut out).is_err(), "{name} cut: {out}");
                field.push(0);
                assert!(form.text(&field, &mut out).is_err(), "{name} and more: {out}");
            }
        }
        // The form of money does not say how many of its digits are behind the point.
        let field = (-5i64).to_be_bytes();
        for (digits, wanted) in [(2, "-0.05"), (0, "-5"), (3, "-0.005")] {
            let mut out = String::new();
            assert_eq!(Form::Money { digits }.text(&field, &mut out), Ok(wanted));
        }
    }
}
