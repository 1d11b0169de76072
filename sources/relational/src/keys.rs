//! `message.key.columns`: keys that are not the primary key.

use fancy_regex::Regex;

use crate::{filters::compile, table::TableId};

/// Entries `table-regex:column-regex,…`, separated by `;`.
#[derive(Debug, Default)]
pub struct KeyColumns(Vec<(Regex, Vec<Regex>)>);

impl KeyColumns {
    /// # Errors
    ///
    /// The reason in Debezium's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut entries = Vec::new();
        for entry in text.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
            let invalid = || {
                format!(
                    "{entry} has an invalid format (expecting '^\\s*([^:]+):([^:,]+(,[^:,]+)*)\\s*$')"
                )
            };
            let (table, columns) = entry.split_once(':').ok_or_else(invalid)?;
            if table.is_empty() || columns.contains(':') || columns.split(',').any(str::is_empty) {
                return Err(invalid());
            }
            let columns = columns
                .split(',')
                .map(|column| compile(column.trim()))
                .collect::<Result<_, _>>()?;
            // A blank before the colon is the expression's, which then matches no ordinary name.
            entries.push((compile(table.trim_start())?, columns));
        }
        Ok(Self(entries))
    }

    /// The indexes of a table's key columns; `None` when no entry matches. The order is that of the
    /// entries and their patterns, then that of the table's columns.
    pub fn columns_of<'c>(
        &self,
        table: &TableId,
        columns: impl Iterator<Item = &'c str> + Clone,
    ) -> Option<Vec<u16>> {
        let id = table.to_string();
        let matches = |regex: &Regex, text: &str| regex.is_match(text).unwrap_or(false);
        let mut found = Vec::new();
        for (_, patterns) in self.0.iter().filter(|(table, _)| matches(table, &id)) {
            for pattern in patterns {
                for (name, index) in columns.clone().zip(0u16..) {
                    if matches(pattern, name) && !found.contains(&index) {
                        found.push(index);
                    }
                }
            }
        }
        Some(found).filter(|found| !found.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debezium 3.7 takes them.
    #[test]
    fn blanks() {
        let table = TableId { namespace: "public".into(), name: "t".into() };
        for (text, wanted) in [
            ("public.t:v,id", Some(vec![1, 0])),
            (" public.t: v , id ; other:x", Some(vec![1, 0])),
            ("public.t :v", None),
        ] {
            let keys = KeyColumns::parse(text).unwrap();
            assert_eq!(keys.columns_of(&table, ["id", "v"].into_iter()), wanted, "{text}");
        }
        assert!(KeyColumns::parse("public.t").is_err());
    }
}
