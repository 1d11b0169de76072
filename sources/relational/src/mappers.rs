//! Columns whose values are cut, masked or hashed, and columns that carry the type they have in the
//! database: Debezium's `ColumnMappers`.
//!
//! Of all rules the first that matches a column counts, in this order: `column.truncate.to.N.chars`,
//! `column.mask.with.N.chars`, `column.propagate.source.type`, `datatype.propagate.source.type`,
//! `column.mask.hash.*`, `column.mask.hash.v2.*`. The fields of a key have no mapper, so that a masked
//! key column is masked in the row only.

use std::sync::Arc;

use model::schema::Schema;

use crate::{filters::Patterns, hash::Hasher, table::TableId};

/// The rules of a configuration.
#[derive(Debug, Default)]
pub struct ColumnMappers(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    patterns: Patterns,
    /// The patterns are of types (`schema.table.type`), not of columns.
    by_type: bool,
    mapper: Mapper,
}

/// What is done to a column.
#[derive(Clone, Debug)]
pub enum Mapper {
    /// To at most so many UTF-16 units, or bytes.
    Truncate(usize),
    Mask(Arc<str>),
    Hash(Arc<Hasher>),
    Propagate,
}

/// A column as the database describes it.
#[derive(Clone, Copy, Debug)]
pub struct SourceColumn<'a> {
    pub name: &'a str,
    pub type_name: &'a str,
    /// As JDBC reports it.
    pub length: Option<i32>,
    pub scale: Option<i32>,
    pub comment: Option<&'a str>,
    /// The JDBC type is one of characters: only those are masked.
    pub characters: bool,
}

/// What a mapper does to the values of one column.
#[derive(Clone, Debug)]
pub enum Change {
    /// Whatever the value was, and for null too.
    Constant(Arc<str>),
    /// Text is hashed, and the hash cut to the length of the column.
    Hash(Arc<Hasher>, Option<usize>),
    /// Text is cut to so many UTF-16 units, bytes to so many bytes.
    Truncate(usize),
}

impl ColumnMappers {
    /// Reads the rules from properties.
    ///
    /// # Errors
    ///
    /// An expression that does not compile, a number that is none, or a hash algorithm that is not
    /// supported.
    pub fn read<'p>(
        props: impl Iterator<Item = (&'p str, &'p str)> + Clone,
    ) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (kind, prefix) in [
            "column.truncate.to.",
            "column.mask.with.",
            "column.propagate.source.type",
            "datatype.propagate.source.type",
            "column.mask.hash.",
            "column.mask.hash.v2.",
        ]
        .into_iter()
        .enumerate()
        {
            for (key, list) in props.clone() {
                let Some(rest) = key.strip_prefix(prefix) else { continue };
                let mapper = match kind {
                    0 | 1 => {
                        let digits = rest.strip_suffix(".chars").filter(|digits| {
                            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
                        });
                        let Some(digits) = digits else { continue };
                        let count = digits
                            .parse::<i32>()
                            .map_err(|_| format!("{key}: {digits} is too large a number"))?;
                        let count = count.unsigned_abs() as usize;
                        match kind {
                            0 => Mapper::Truncate(count),
                            _ => Mapper::Mask("*".repeat(count).into()),
                        }
                    }
                    2 | 3 if rest.is_empty() => Mapper::Propagate,
                    2 | 3 => continue,
                    _ => {
                        let Some((algorithm, salt)) = rest.split_once(".with.salt.") else {
                            continue;
                        };
                        if algorithm.is_empty() || algorithm.contains('.') || salt.is_empty() {
                            continue;
                        }
                        let hasher = Hasher::new(algorithm, salt, kind == 5)
                            .map_err(|error| format!("{key}: {error}"))?;
                        Mapper::Hash(Arc::new(hasher))
                    }
                };
                let patterns = Patterns::parse(list).map_err(|error| format!("{key}: {error}"))?;
                rules.push(Rule { patterns, by_type: kind == 3, mapper });
            }
        }
        Ok(Self(rules))
    }

    /// The mapper of a column; `None` for a column that no rule names.
    pub fn of(&self, table: &TableId, column: &str, type_name: &str) -> Option<&Mapper> {
        if self.0.is_empty() {
            return None;
        }
        let by_name = format!("{table}.{column}");
        let by_type = format!("{table}.{type_name}");
        let matching = self
            .0
            .iter()
            .find(|rule| rule.patterns.matches(if rule.by_type { &by_type } else { &by_name }));
        matching.map(|rule| &rule.mapper)
    }
}

impl Mapper {
    /// The schema of the column's field with the mapper's parameters.
    pub fn alter(&self, schema: Schema, column: &SourceColumn<'_>) -> Schema {
        match self {
            Mapper::Truncate(count) if possible(*count, column) => {
                schema.parameter("truncateLength", &count.to_string())
            }
            Mapper::Truncate(_) => schema,
            Mapper::Mask(_) | Mapper::Hash(_) => schema.parameter("masked", "true"),
            Mapper::Propagate => propagated(schema, column),
        }
    }

    /// What happens to the values; `None` when nothing does.
    pub fn change(&self, column: &SourceColumn<'_>) -> Option<Change> {
        match self {
            Mapper::Truncate(count) => possible(*count, column).then_some(Change::Truncate(*count)),
            Mapper::Mask(mask) => column.characters.then(|| Change::Constant(mask.clone())),
            Mapper::Hash(hasher) => column.characters.then(|| {
                let length = column.length.and_then(|length| usize::try_from(length).ok());
                Change::Hash(hasher.clone(), length.filter(|length| *length > 0))
            }),
            Mapper::Propagate => None,
        }
    }
}

/// Whether a column can be longer than that at all.
fn possible(count: usize, column: &SourceColumn<'_>) -> bool {
    match column.length.map(usize::try_from) {
        Some(Ok(length)) => length > count,
        // Debezium's length of a column without one is -1.
        _ => true,
    }
}

fn propagated(schema: Schema, column: &SourceColumn<'_>) -> Schema {
    let number = |schema: Schema, key: &str, number: Option<i32>| match number {
        Some(number) => schema.parameter(key, &number.to_string()),
        None => schema,
    };
    let schema =
        schema.parameter("__debezium.source.column.type", &column.type_name.to_uppercase());
    let schema = number(schema, "__debezium.source.column.length", column.length);
    let schema = number(schema, "__debezium.source.column.scale", column.scale);
    let schema = match column.comment.filter(|comment| !comment.is_empty()) {
        Some(comment) => schema.parameter("__debezium.source.column.comment", comment),
        None => schema,
    };
    schema.parameter("__debezium.source.column.name", column.name)
}

/// The longest beginning of `text` with at most so many UTF-16 units, as Java's `substring` counts. A
/// pair of surrogates is not parted: half of one is no text.
pub fn truncated(text: &str, units: usize) -> &str {
    if text.len() <= units {
        return text;
    }
    let mut left = units;
    for (index, c) in text.char_indices() {
        match left.checked_sub(c.len_utf16()) {
            Some(rest) => left = rest,
            None => return &text[..index],
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use model::schema::Kind;

    use super::*;

    fn mappers(props: &[(&str, &str)]) -> Result<ColumnMappers, String> {
        ColumnMappers::read(props.iter().copied())
    }

    fn table() -> TableId {
        TableId { namespace: "public".into(), name: "t".into() }
    }

    #[test]
    fn the_first_rule_counts() {
        let mappers = mappers(&[
            ("column.mask.hash.v2.SHA-256.with.salt.a.b", "public.t.(hash|cut)"),
            ("column.mask.with.3.chars", r"public\.t\.(mask|cut|type)"),
            ("column.propagate.source.type", "public.t.(cut|type)"),
            ("column.truncate.to.20.chars", "PUBLIC.T.CUT"),
            ("column.truncate.to.x.chars", ".*"),
            ("datatype.propagate.source.type", ".*\\.int4"),
        ])
        .unwrap();
        let of = |column, type_name| match mappers.of(&table(), column, type_name) {
            None => "none".to_owned(),
            Some(Mapper::Truncate(count)) => format!("cut {count}"),
            Some(Mapper::Mask(mask)) => format!("mask {mask}"),
            Some(Mapper::Hash(_)) => "hash".to_owned(),
            Some(Mapper::Propagate) => "propagate".to_owned(),
        };
        for (column, type_name, wanted) in [
            ("cut", "text", "cut 20"),
            ("mask", "text", "mask ***"),
            ("type", "text", "mask ***"),
            ("hash", "text", "hash"),
            ("other", "int4", "propagate"),
            ("other", "int8", "none"),
        ] {
            assert_eq!(of(column, type_name), wanted, "{column} {type_name}");
        }
    }

    #[test]
    fn refused() {
        let error = |key: &str, list: &str| mappers(&[(key, list)]).unwrap_err();
        assert!(error("column.mask.with.5.chars", "a,[").starts_with("column.mask.with.5.chars: "));
        let unknown = error("column.mask.hash.WHIRL.with.salt.x", "a");
        assert!(unknown.contains("WHIRL"), "{unknown}");
        assert!(error("column.truncate.to.99999999999.chars", "a").contains("99999999999"));
    }

    #[test]
    fn parameters() {
        let column = SourceColumn {
            name: "v",
            type_name: "varchar",
            length: Some(10),
            scale: Some(0),
            comment: Some("short"),
            characters: true,
        };
        let of = |mapper: &Mapper| {
            let schema = mapper.alter(Schema::new(Kind::String), &column);
            let pairs = schema.parameters.iter().map(|(key, value)| format!("{key}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&Mapper::Truncate(10)), "");
        assert_eq!(of(&Mapper::Truncate(9)), "truncateLength=9");
        assert_eq!(of(&Mapper::Mask("*".into())), "masked=true");
        assert_eq!(
            of(&Mapper::Propagate),
            "__debezium.source.column.type=VARCHAR __debezium.source.column.length=10 \
             __debezium.source.column.scale=0 __debezium.source.column.comment=short \
             __debezium.source.column.name=v"
        );
    }

    #[test]
    fn cutting() {
        for (text, units, wanted) in
            [("abc", 5, "abc"), ("abc", 2, "ab"), ("é🚀é", 3, "é🚀"), ("a🚀", 2, "a"), ("x", 0, "")]
        {
            assert_eq!(truncated(text, units), wanted);
        }
    }
}
