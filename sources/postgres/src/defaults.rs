//! Default values of columns, from the expression in the catalog.
//!
//! Debezium reads literals and gives a placeholder to everything computed, so that a column with
//! `DEFAULT now()` has the epoch as its schema's default (`PostgresDefaultValueConverter`; cases
//! recorded from 3.7 are in the tests below).

use model::value::Value;

use crate::cells::{
    Decode, Phase, Scratch,
    moment::{DateForm, TimeForm, TimestampForm},
    number,
};

/// The default for a schema; `None` when the column has none or it is of no use there.
pub(crate) fn default_value(expression: &str, type_name: &str, decode: &Decode) -> Option<Value> {
    let placeholder = placeholder(type_name, decode)?;
    if expression.starts_with("NULL::") {
        return None;
    }
    let text = if computed(expression, type_name) {
        placeholder.to_owned()
    } else if enumeration(type_name, decode) {
        between_quotes(expression)
    } else {
        literal(expression)
    };
    if let "date" | "time" | "timestamp" | "timestamptz" = type_name
        && let Some(end) = end_of_time(&text, decode)
    {
        return end;
    }
    match decode {
        Decode::DecimalText { scale, .. } => {
            let decimal = number::parse(&text).ok()?;
            let scale = scale.unwrap_or(decimal.scale);
            return decimal.exact(scale).map(|decimal| Value::Text(decimal.to_plain().into()));
        }
        Decode::DecimalDouble { .. } => number::parse(&text).map(|_| ()).ok()?,
        Decode::Decimal { scale } => {
            let mut bytes = Vec::new();
            number::parse(&text).ok()?.exact(*scale)?.unscaled.write_bytes(&mut bytes);
            return Some(Value::Bytes(bytes.into()));
        }
        Decode::Bool => return Some(Value::Bool(matches!(text.as_str(), "true" | "t"))),
        // Anything but a 1 counts as 0.
        Decode::Bits | Decode::BitBool => {
            let bits: String = text.chars().map(|c| if c == '1' { '1' } else { '0' }).collect();
            return decoded(decode, &bits);
        }
        _ => {}
    }
    decoded(decode, &text)
}

/// Defaults go through other classes than values: the ends of time and 24:00 are the last that Java
/// has, which only some forms have room for. `None` for an ordinary default.
fn end_of_time(text: &str, decode: &Decode) -> Option<Option<Value>> {
    // `LocalDate.MAX.toEpochDay()`, of which Debezium keeps 32 bits.
    const LAST_DAY_CUT: i64 = 169_560_311;
    const LAST_MICRO: i64 = 86_399_999_999;
    let iso = |text: &str| Some(Value::Text(text.into()));
    Some(match (text, decode) {
        ("infinity", Decode::Date(DateForm::Days)) => Some(Value::Int(LAST_DAY_CUT)),
        ("infinity", Decode::Date(DateForm::Iso)) => iso("+999999999-12-31Z"),
        ("infinity", Decode::Timestamp(TimestampForm::Micros)) => {
            Some(Value::Int(i64::MAX.wrapping_add(999_999)))
        }
        ("infinity", Decode::Timestamp(TimestampForm::Iso)) => {
            iso("+999999999-12-31T23:59:59.999999999Z")
        }
        ("infinity" | "-infinity", _) => None,
        ("24:00:00", Decode::Time(form)) => match form {
            TimeForm::Millis | TimeForm::Connect => Some(Value::Int(LAST_MICRO / 1_000)),
            TimeForm::Micros => Some(Value::Int(LAST_MICRO)),
            TimeForm::Nanos => Some(Value::Int(LAST_MICRO * 1_000 + 999)),
            TimeForm::Iso => iso("23:59:59.999999999Z"),
            TimeForm::Structured(..) => None,
        },
        _ => return None,
    })
}

fn decoded(decode: &Decode, text: &str) -> Option<Value> {
    let mut scratch = Scratch::default();
    let value = decode.text(text, Phase::Stream, &mut scratch).ok()?.into_value();
    // Debezium gives no default to structs.
    (!matches!(value, Value::Struct(_))).then_some(value)
}

/// The types that get defaults, with what stands for a computed one.
fn placeholder(type_name: &str, decode: &Decode) -> Option<&'static str> {
    Some(match (type_name, decode) {
        (
            _,
            Decode::VariableScaleDecimal(_)
            | Decode::Array(_)
            | Decode::ArrayOfRequired(_)
            | Decode::AlwaysNull,
        ) => return None,
        ("bit", _) => "00",
        ("varbit", _) => "0",
        ("bool", _) => "false",
        ("bpchar" | "varchar" | "text", _) => "",
        ("numeric", _) => "0.0",
        ("float4" | "float8" | "int2" | "int4" | "int8", _) => "0",
        ("json" | "jsonb", _) => "{}",
        ("xml", _) => "",
        ("uuid", _) => "00000000-0000-0000-0000-000000000000",
        ("date", _) => "1970-01-01",
        ("time", _) => "00:00:00",
        ("timestamp", _) => "1970-01-01 00:00:00",
        ("timestamptz", _) => "1970-01-01 00:00:00+00",
        ("interval", _) => "00:00:00",
        _ if enumeration(type_name, decode) => "",
        _ => return None,
    })
}

/// Whether the type is an enum: none of those that are text by themselves.
fn enumeration(type_name: &str, decode: &Decode) -> bool {
    const TEXTS: [&str; 16] = [
        "bpchar", "varchar", "text", "json", "jsonb", "xml", "citext", "name", "inet", "cidr",
        "macaddr", "macaddr8", "char", "ltree", "tsvector", "isbn",
    ];
    *decode == Decode::Text && !TEXTS.contains(&type_name) && !type_name.ends_with("range")
}

/// The text between the first and the last quote, as it stands there: of an enum Debezium leaves
/// quotes doubled.
fn between_quotes(expression: &str) -> String {
    let text = expression.split_once('\'').map_or(expression, |(_, rest)| rest);
    text.rsplit_once('\'').map_or(text, |(text, _)| text).to_owned()
}

/// A function call, perhaps in a parenthesis, or the current time.
fn computed(expression: &str, type_name: &str) -> bool {
    let name = expression.strip_prefix('(').unwrap_or(expression);
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')));
    if end.is_some_and(|end| end > 0 && name[end..].starts_with('(')) {
        return true;
    }
    let temporal = matches!(type_name, "date" | "time" | "timestamp" | "timestamptz");
    temporal
        && ["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIMESTAMP", "LOCALTIME"]
            .iter()
            .any(|word| expression.starts_with(word))
}

/// The text between the first quotes, or the whole when there are none.
fn literal(expression: &str) -> String {
    let Some((before, quoted)) = expression.split_once('\'') else {
        return expression.to_owned();
    };
    let mut out = String::new();
    let mut chars = quoted.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\'' if chars.peek() == Some(&'\'') => out.extend(chars.next()),
            '\'' => break,
            // An E'…' string, as the catalog prints text with a backslash.
            '\\' if before.ends_with('E') => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use relational::modes::BinaryMode;

    use super::*;
    use crate::cells::moment::{IntervalForm, ZonedForm};

    /// Expressions as `pg_get_expr` prints them, answers recorded from Debezium 3.7.
    #[test]
    fn recorded() {
        let text = |text: &str| Some(Value::Text(text.into()));
        let int = |number| Some(Value::Int(number));
        for (expression, type_name, decode, wanted) in [
            ("(1 + 2)", "int4", Decode::Int, None),
            ("'-5'::integer", "int4", Decode::Int, int(-5)),
            ("42", "int4", Decode::Int, int(42)),
            ("nextval('defaults_id_seq'::regclass)", "int4", Decode::Int, int(0)),
            ("'a''b'::text", "text", Decode::Text, text("a'b")),
            ("NULL::character varying", "varchar", Decode::Text, None),
            ("('a'::text || 'b'::text)", "text", Decode::Text, text("a")),
            ("CURRENT_USER", "text", Decode::Text, text("CURRENT_USER")),
            ("upper('abc'::text)", "text", Decode::Text, text("")),
            ("'cc'::citext", "citext", Decode::Text, None),
            ("'sad'::mood", "mood", Decode::Text, text("sad")),
            ("'b''c'::odd", "odd", Decode::Text, text("b''c")),
            ("(1 > 0)", "bool", Decode::Bool, Some(Value::Bool(false))),
            (
                "now()",
                "timestamptz",
                Decode::ZonedTimestamp(ZonedForm::Iso(6)),
                text("1970-01-01T00:00:00.000000Z"),
            ),
            ("CURRENT_DATE", "date", Decode::Date(DateForm::Days), int(0)),
            (
                "'1 mon'::interval",
                "interval",
                Decode::Interval(IntervalForm::Numeric),
                int(2_629_800_000_000),
            ),
            ("age(now())", "interval", Decode::Interval(IntervalForm::Numeric), int(0)),
            (
                "gen_random_uuid()",
                "uuid",
                Decode::Uuid,
                text("00000000-0000-0000-0000-000000000000"),
            ),
            ("B'101'::\"bit\"", "bit", Decode::Bits, Some(Value::Bytes(vec![5].into()))),
            ("(5)::bit(3)", "bit", Decode::Bits, Some(Value::Bytes(vec![].into()))),
            ("((2 * 3))::numeric", "numeric", Decode::Decimal { scale: 1 }, None),
            (
                "'2001-02-03 04:05:06.789012'::timestamp without time zone",
                "timestamp",
                Decode::Timestamp(TimestampForm::Micros),
                int(981_173_106_789_012),
            ),
            ("5", "oid", Decode::Int, None),
            ("'\\x0102'::bytea", "bytea", Decode::Bytea(BinaryMode::Bytes), None),
        ] {
            assert_eq!(default_value(expression, type_name, &decode), wanted, "{expression}");
        }
    }
}
