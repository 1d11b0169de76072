//! Kafka Connect's single message transforms and predicates: their classes, versions and keys.
//!
//! This is what REST shows and checks. The table is the place where a transform that can be run gets
//! its constructor; until one has it, the worker refuses connectors that name it.

mod checks;
mod fields;
mod predicates;
mod record;
mod routing;

use model::config::ConfigDef;

/// What a class of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Transformation,
    Predicate,
}

impl Kind {
    /// As REST names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Transformation => "transformation",
            Kind::Predicate => "predicate",
        }
    }

    /// The interface that such a class implements in Connect.
    pub fn interface(self) -> &'static str {
        match self {
            Kind::Transformation => "Transformation",
            Kind::Predicate => "Predicate",
        }
    }
}

/// A row of `GET /connector-plugins`.
pub struct Plugin {
    pub class: &'static str,
    pub kind: Kind,
    /// Kafka's version whose class this is equal to.
    pub version: &'static str,
    pub config: &'static ConfigDef,
}

const VERSION: &str = "4.3.1";

macro_rules! table {
    ($($kind:ident $class:literal $config:expr;)*) => {
        &[$(Plugin {
            class: concat!("org.apache.kafka.connect.transforms.", $class),
            kind: Kind::$kind,
            version: VERSION,
            config: &$config,
        }),*]
    };
}

/// Transforms, then predicates, each by class. A new one is a line here.
static PLUGINS: &[Plugin] = table! {
    Transformation "Cast$Key" fields::CAST;
    Transformation "Cast$Value" fields::CAST;
    Transformation "DropHeaders" record::DROP_HEADERS;
    Transformation "ExtractField$Key" fields::EXTRACT_FIELD;
    Transformation "ExtractField$Value" fields::EXTRACT_FIELD;
    Transformation "Filter" record::FILTER;
    Transformation "Flatten$Key" fields::FLATTEN;
    Transformation "Flatten$Value" fields::FLATTEN;
    Transformation "HeaderFrom$Key" fields::HEADER_FROM;
    Transformation "HeaderFrom$Value" fields::HEADER_FROM;
    Transformation "HoistField$Key" fields::HOIST_FIELD;
    Transformation "HoistField$Value" fields::HOIST_FIELD;
    Transformation "InsertField$Key" fields::INSERT_FIELD;
    Transformation "InsertField$Value" fields::INSERT_FIELD;
    Transformation "InsertHeader" record::INSERT_HEADER;
    Transformation "MaskField$Key" fields::MASK_FIELD;
    Transformation "MaskField$Value" fields::MASK_FIELD;
    Transformation "RegexRouter" routing::REGEX_ROUTER;
    Transformation "ReplaceField$Key" fields::REPLACE_FIELD;
    Transformation "ReplaceField$Value" fields::REPLACE_FIELD;
    Transformation "SetSchemaMetadata$Key" record::SET_SCHEMA_METADATA;
    Transformation "SetSchemaMetadata$Value" record::SET_SCHEMA_METADATA;
    Transformation "TimestampConverter$Key" fields::TIMESTAMP_CONVERTER;
    Transformation "TimestampConverter$Value" fields::TIMESTAMP_CONVERTER;
    Transformation "TimestampRouter" routing::TIMESTAMP_ROUTER;
    Transformation "ValueToKey" fields::VALUE_TO_KEY;
    Predicate "predicates.HasHeaderKey" predicates::HAS_HEADER_KEY;
    Predicate "predicates.RecordIsTombstone" predicates::RECORD_IS_TOMBSTONE;
    Predicate "predicates.TopicNameMatches" predicates::TOPIC_NAME_MATCHES;
};

/// Every transform and predicate: transforms first, each kind by class.
pub fn plugins() -> &'static [Plugin] {
    PLUGINS
}

/// A class by its full name or its alias. Aliases are simple names, without the name of the
/// interface at the end; those of `$Key` and `$Value` would all be the same, so they have none.
pub fn find(class_or_alias: &str) -> Option<&'static Plugin> {
    PLUGINS.iter().find(|plugin| {
        let alias = plugin.class.rsplit('.').next().filter(|simple| !simple.contains('$'));
        class_or_alias == plugin.class || alias == Some(class_or_alias)
    })
}

/// The classes that a name stands for that lacks its `$Key` or `$Value`.
pub fn variants(class: &str) -> impl Iterator<Item = &'static str> {
    let variant = move |plugin: &'static Plugin| {
        let (outer, _) = plugin.class.split_once('$')?;
        (outer == class).then_some(plugin.class)
    };
    PLUGINS.iter().filter_map(variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let class = |name: &str| find(name).map(|plugin| plugin.class);
        let router = "org.apache.kafka.connect.transforms.RegexRouter";
        assert_eq!(class("RegexRouter"), Some(router));
        assert_eq!(class(router), Some(router));
        assert_eq!(class("Cast$Value"), None);
        assert_eq!(class("Value"), None);
        assert_eq!(find("HasHeaderKey").map(|plugin| plugin.kind), Some(Kind::Predicate));
        assert_eq!(
            variants("org.apache.kafka.connect.transforms.Cast").collect::<Vec<_>>(),
            [
                "org.apache.kafka.connect.transforms.Cast$Key",
                "org.apache.kafka.connect.transforms.Cast$Value"
            ]
        );
        assert_eq!(variants(router).count(), 0);
    }

    /// REST lists them in this order.
    #[test]
    fn sorted_by_class_within_a_kind() {
        for kind in [Kind::Transformation, Kind::Predicate] {
            let classes = PLUGINS.iter().filter(|plugin| plugin.kind == kind);
            assert!(classes.map(|plugin| plugin.class).is_sorted());
        }
        assert!(PLUGINS.iter().map(|plugin| plugin.kind == Kind::Predicate).is_sorted());
    }

    /// Defaults are values that their own checks accept.
    #[test]
    fn defaults_are_valid() {
        for plugin in PLUGINS {
            for config in plugin.config.validate("", []).configs {
                let required = config.definition.is_some_and(|definition| definition.required);
                assert!(required || config.value.errors.is_empty(), "{:?}", config.value);
            }
        }
    }
}
