//! Names of schemas and fields that Avro accepts: Debezium's `SchemaNameAdjuster`.

/// `schema.name.adjustment.mode` and `field.name.adjustment.mode`: names that Avro accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    None,
    /// What is not allowed becomes `_`.
    Avro,
    /// What is not allowed becomes `_u` and its code; the underscore is not allowed itself.
    AvroUnicode,
}

impl Adjustment {
    /// The default for what validation has not let through.
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "avro" => Self::Avro,
            "avro_unicode" => Self::AvroUnicode,
            _ => Self::None,
        }
    }

    /// The name of a schema, in which dots are allowed.
    pub fn schema(self, name: &str) -> String {
        self.adjusted(name, true)
    }

    /// The name of a field, in which they are not.
    pub fn field(self, name: &str) -> String {
        self.adjusted(name, false)
    }

    fn adjusted(self, name: &str, dots: bool) -> String {
        let underscores = match self {
            Self::None => return name.to_owned(),
            Self::Avro => true,
            Self::AvroUnicode => false,
        };
        let mut out = String::with_capacity(name.len());
        // Java looks at UTF-16 units, so that an emoji is replaced by two.
        for (index, unit) in name.encode_utf16().enumerate() {
            let ascii = u8::try_from(unit).ok().filter(u8::is_ascii).map(char::from);
            let first = |c: char| c.is_ascii_alphabetic() || (underscores && c == '_');
            let rest = |c: char| c.is_ascii_digit() || (dots && c == '.');
            match ascii {
                Some(c) if first(c) || (index > 0 && rest(c)) => out.push(c),
                _ if underscores => {
                    out.push('_');
                    out.extend(ascii.filter(|c| index == 0 && c.is_ascii_digit()));
                }
                // Short codes get two zeros before them, whatever their length.
                _ if unit <= 0xff => out.push_str(&format!("_u00{unit:x}")),
                _ => out.push_str(&format!("_u{unit:x}")),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules of Debezium's `SchemaNameAdjuster`.
    #[test]
    fn adjusting() {
        use Adjustment::{Avro, AvroUnicode};
        for (mode, name, schema, field) in [
            (Avro, "a.b-c_d", "a.b_c_d", "a_b_c_d"),
            (Avro, "1a", "_1a", "_1a"),
            (Avro, "-1", "_1", "_1"),
            (Avro, "é🚀", "___", "___"),
            (AvroUnicode, "a.b-c_d", "a.b_u002dc_u005fd", "a_u002eb_u002dc_u005fd"),
            (AvroUnicode, "1a", "_u0031a", "_u0031a"),
            (AvroUnicode, "\tā", "_u009_u101", "_u009_u101"),
            (Adjustment::None, "a-b", "a-b", "a-b"),
        ] {
            assert_eq!((mode.schema(name).as_str(), mode.field(name).as_str()), (schema, field));
        }
    }
}
