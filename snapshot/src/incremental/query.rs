//! Which rows a chunk has: conditions on the columns of a key.

/// A column of the key that chunks follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// In quotes.
    pub name: String,
    pub nullable: bool,
}

/// How the database compares keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// It compares `ROW(a, b)` by an index.
    pub row_values: bool,
    /// It sorts NULL behind all values.
    pub nulls_last: bool,
}

/// A key's values as they stand in a statement; `None` for NULL.
pub type Values = Vec<Option<String>>;

impl Dialect {
    /// Rows behind `key`.
    pub fn above(self, columns: &[KeyColumn], key: &Values) -> String {
        match self.by_rows(columns) {
            true => compare_rows(columns, ">", key),
            false => self.spelled_out(columns, key),
        }
    }

    /// Rows up to `key`, its own row included.
    pub fn up_to(self, columns: &[KeyColumn], key: &Values) -> String {
        match self.by_rows(columns) {
            true => compare_rows(columns, "<=", key),
            false => format!("NOT {}", self.spelled_out(columns, key)),
        }
    }

    fn by_rows(self, columns: &[KeyColumn]) -> bool {
        self.row_values && columns.iter().all(|column| !column.nullable)
    }

    /// `(a > x) OR (a = x AND b > y)`, with NULL where the database sorts it.
    fn spelled_out(self, columns: &[KeyColumn], key: &Values) -> String {
        let equal = |column: &KeyColumn, value: &Option<String>| match value {
            Some(value) => format!("{} = {value}", column.name),
            None => format!("{} IS NULL", column.name),
        };
        let greater = |column: &KeyColumn, value: &Option<String>| {
            let name = &column.name;
            match (value, self.nulls_last) {
                (Some(value), _) if !column.nullable => format!("{name} > {value}"),
                (Some(value), true) => format!("({name} > {value} OR {name} IS NULL)"),
                (Some(value), false) => format!("({name} > {value} AND {name} IS NOT NULL)"),
                (None, true) => "1 = 0".to_owned(),
                (None, false) => format!("{name} IS NOT NULL"),
            }
        };
        let alternative = |last: usize| {
            let pairs = columns.iter().zip(key).take(last + 1).enumerate();
            let terms = pairs.map(|(index, (column, value))| match index == last {
                true => greater(column, value),
                false => equal(column, value),
            });
            format!("({})", terms.collect::<Vec<_>>().join(" AND "))
        };
        let alternatives: Vec<String> = (0..columns.len()).map(alternative).collect();
        format!("({})", alternatives.join(" OR "))
    }
}

fn compare_rows(columns: &[KeyColumn], operator: &str, key: &Values) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let values: Vec<&str> = key.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
    match (names.as_slice(), values.as_slice()) {
        ([name], [value]) => format!("{name} {operator} {value}"),
        _ => format!("ROW({}) {operator} ROW({})", names.join(", "), values.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(nullable: &[bool]) -> Vec<KeyColumn> {
        let column = |(name, nullable): (&str, &bool)| KeyColumn {
            name: name.to_owned(),
            nullable: *nullable,
        };
        ["a", "b", "c"].into_iter().zip(nullable).map(column).collect()
    }

    fn key(values: &[Option<&str>]) -> Values {
        values.iter().map(|value| value.map(str::to_owned)).collect()
    }

    const POSTGRES: Dialect = Dialect { row_values: true, nulls_last: true };
    const MYSQL: Dialect = Dialect { row_values: false, nulls_last: false };

    #[test]
    fn where_a_chunk_begins_and_ends() {
        let (one, two) = (columns(&[false]), columns(&[false, false]));
        assert_eq!(POSTGRES.above(&one, &key(&[Some("1")])), "a > 1");
        assert_eq!(POSTGRES.up_to(&one, &key(&[Some("1")])), "a <= 1");
        let both = key(&[Some("1"), Some("'x'")]);
        assert_eq!(POSTGRES.above(&two, &both), "ROW(a, b) > ROW(1, 'x')");
        assert_eq!(POSTGRES.up_to(&two, &both), "ROW(a, b) <= ROW(1, 'x')");
        assert_eq!(MYSQL.above(&two, &both), "((a > 1) OR (a = 1 AND b > 'x'))");
        assert_eq!(MYSQL.up_to(&one, &key(&[Some("1")])), "NOT ((a > 1))");
    }

    #[test]
    fn nulls_come_last_or_first() {
        let columns = columns(&[false, true]);
        let (value, null) = (key(&[Some("1"), Some("2")]), key(&[Some("1"), None]));
        assert_eq!(
            POSTGRES.above(&columns, &value),
            "((a > 1) OR (a = 1 AND (b > 2 OR b IS NULL)))"
        );
        assert_eq!(POSTGRES.above(&columns, &null), "((a > 1) OR (a = 1 AND 1 = 0))");
        assert_eq!(
            MYSQL.above(&columns, &value),
            "((a > 1) OR (a = 1 AND (b > 2 AND b IS NOT NULL)))"
        );
        assert_eq!(MYSQL.up_to(&columns, &null), "NOT ((a > 1) OR (a = 1 AND b IS NOT NULL))");
    }
}
