//! Names of topics: `topic.naming.strategy` and its keys.

use std::sync::Arc;

use crate::table::TableId;

pub mod routing;

use routing::Routing;

/// How Debezium's classes make a table's topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `prefix.schema.table`
    Schema,
    /// `prefix.table`, as a table of PostgreSQL has no database in its name.
    Default,
    /// As [`Strategy::Schema`], with characters that Kafka does not allow, and `_`, by their code.
    SchemaUnicode,
    /// As [`Strategy::Default`], in the same way.
    DefaultUnicode,
    /// As [`Strategy::Schema`], and then by [`Routing`].
    SchemaRegex,
    /// As [`Strategy::Default`], and then by [`Routing`].
    DefaultRegex,
}

/// The classes by name.
const STRATEGIES: [(&str, Strategy); 6] = [
    ("io.debezium.schema.SchemaTopicNamingStrategy", Strategy::Schema),
    ("io.debezium.schema.DefaultTopicNamingStrategy", Strategy::Default),
    ("io.debezium.schema.SchemaUnicodeTopicNamingStrategy", Strategy::SchemaUnicode),
    ("io.debezium.schema.DefaultUnicodeTopicNamingStrategy", Strategy::DefaultUnicode),
    ("io.debezium.schema.SchemaRegexTopicNamingStrategy", Strategy::SchemaRegex),
    ("io.debezium.schema.DefaultRegexTopicNamingStrategy", Strategy::DefaultRegex),
];

/// Names the topics of one connector.
#[derive(Clone, Debug)]
pub struct Naming {
    pub strategy: Strategy,
    /// What the regex strategies go by; no other has it.
    pub routing: Option<Routing>,
    /// `topic.prefix`
    pub prefix: Arc<str>,
    /// `topic.delimiter`
    pub delimiter: String,
    /// `topic.transaction`
    pub transaction: String,
    /// `topic.heartbeat.prefix`
    pub heartbeat_prefix: String,
    /// `topic.heartbeat.name`, which stands for the whole name when there is one.
    pub heartbeat_name: Option<String>,
}

impl Strategy {
    /// # Errors
    ///
    /// Why a class can not be used here.
    pub fn parse(class: &str) -> Result<Self, String> {
        let class = class.trim();
        let found = STRATEGIES.iter().find(|(name, _)| *name == class);
        found.map(|(_, strategy)| *strategy).ok_or_else(|| {
            let known: Vec<&str> = STRATEGIES.iter().map(|(name, _)| *name).collect();
            format!("{class} is not supported; use one of {}", known.join(", "))
        })
    }

    /// Whether it goes by [`Routing`].
    pub fn routed(self) -> bool {
        matches!(self, Self::SchemaRegex | Self::DefaultRegex)
    }

    fn unicode(self) -> bool {
        matches!(self, Self::SchemaUnicode | Self::DefaultUnicode)
    }
}

impl Naming {
    /// The topic of a table's events.
    pub fn data(&self, table: &TableId) -> String {
        let joined = self.joined(table);
        let topic = if self.strategy.unicode() { escape(&joined) } else { sanitize(&joined) };
        match &self.routing {
            Some(routing) => routing.topic(topic),
            None => topic,
        }
    }

    /// What keys of a table have beside its columns: the name of the field, and its value.
    pub fn key_field(&self, table: &TableId) -> Option<(Arc<str>, Arc<str>)> {
        self.routing.as_ref()?.key_field(self.joined(table))
    }

    /// Before characters are replaced that Kafka does not allow.
    fn joined(&self, table: &TableId) -> String {
        let parts: &[&str] = match self.strategy {
            Strategy::Schema | Strategy::SchemaUnicode | Strategy::SchemaRegex => {
                &[&table.namespace, &table.name]
            }
            Strategy::Default | Strategy::DefaultUnicode | Strategy::DefaultRegex => &[&table.name],
        };
        join(&self.prefix, &self.delimiter, parts)
    }

    /// The topic of transactions' boundaries. Like all that are no table's it is taken as it is.
    pub fn transactions(&self) -> String {
        format!("{}{}{}", self.prefix, self.delimiter, self.transaction)
    }

    pub fn heartbeats(&self) -> String {
        match &self.heartbeat_name {
            Some(name) => name.clone(),
            None => format!("{}{}{}", self.heartbeat_prefix, self.delimiter, self.prefix),
        }
    }
}

fn join(prefix: &str, delimiter: &str, parts: &[&str]) -> String {
    let mut joined = prefix.to_owned();
    for part in parts.iter().filter(|part| !part.trim().is_empty()) {
        joined.push_str(delimiter);
        joined.push_str(part);
    }
    joined
}

/// What Kafka takes at most.
const LENGTH_MAX: usize = 249;

/// A name that Kafka accepts: other characters than letters, digits, `.`, `_` and `-` become `_`,
/// and it ends after 249 characters.
pub fn sanitize(name: &str) -> String {
    match name {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        name => name
            .encode_utf16()
            .map(|unit| match char::from_u32(u32::from(unit)) {
                Some(c) if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') => c,
                _ => '_', // Java replaces UTF-16 units, so an emoji becomes two underscores.
            })
            .take(LENGTH_MAX)
            .collect(),
    }
}

/// The same so that different names stay different: `_` and what Kafka does not allow become `_u` and
/// the hexadecimal code of the UTF-16 unit, which has two zeros before it when it is as short as two
/// digits.
fn escape(name: &str) -> String {
    let code = |unit: u16| match unit {
        ..0x100 => format!("_u00{unit:x}"),
        unit => format!("_u{unit:x}"),
    };
    if let "." | ".." = name {
        return code(u16::from(b'.')).repeat(name.len());
    }
    let mut out = String::with_capacity(name.len());
    for unit in name.encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some(c) if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => out.push(c),
            _ => out.push_str(&code(unit)),
        }
    }
    out.truncate(LENGTH_MAX);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(class: &str) -> Naming {
        Naming {
            strategy: Strategy::parse(class).unwrap(),
            routing: None,
            prefix: "shop".into(),
            delimiter: "-".into(),
            transaction: "tx".into(),
            heartbeat_prefix: "beat".into(),
            heartbeat_name: None,
        }
    }

    /// Names recorded from Debezium 3.7.
    #[test]
    fn strategies() {
        let table = TableId { namespace: "inv.a".into(), name: "my_täble€".into() };
        for (class, wanted) in [
            ("io.debezium.schema.SchemaTopicNamingStrategy", "shop-inv.a-my_t_ble_"),
            ("io.debezium.schema.DefaultTopicNamingStrategy", "shop-my_t_ble_"),
            (
                "io.debezium.schema.SchemaUnicodeTopicNamingStrategy",
                "shop-inv.a-my_u005ft_u00e4ble_u20ac",
            ),
            (
                "io.debezium.schema.DefaultUnicodeTopicNamingStrategy",
                "shop-my_u005ft_u00e4ble_u20ac",
            ),
        ] {
            assert_eq!(naming(class).data(&table), wanted, "{class}");
        }
        assert!(Strategy::parse("com.example.OwnTopicNamingStrategy").is_err());
    }

    #[test]
    fn topics_of_no_table() {
        let mut naming = naming("io.debezium.schema.SchemaTopicNamingStrategy");
        assert_eq!(naming.transactions(), "shop-tx");
        assert_eq!(naming.heartbeats(), "beat-shop");
        naming.heartbeat_name = Some("all beats".into());
        assert_eq!(naming.heartbeats(), "all beats");
    }
}
