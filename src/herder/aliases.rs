//! The keys that a configuration makes itself by naming transforms and predicates: for each alias
//! its type, the type's version, and the keys of the type.
//!
//! What there is is shown and checked as Connect does it. No transform can be run yet, so a connector
//! that names one is refused when it is to be created: see [`refusal`].

use model::{
    config::{ConfigDef, ConfigInfo, ConfigInfos, Group, Key, KeyInfo, ValueInfo},
    connector::Props,
};
use transforms::Plugin;

use super::{RawConfig, Refusal, validate::missing_version, versions::Range};
use crate::plugins;

/// Transforms or predicates.
pub(super) struct Kind {
    /// The key with the aliases, which is also the prefix of theirs.
    key: &'static str,
    group: &'static str,
    /// As it stands in display names.
    name: &'static str,
    of: transforms::Kind,
    /// The keys that each of this kind has besides its own.
    implicit: &'static ConfigDef,
}

pub(super) const TRANSFORMS: Kind = Kind {
    key: "transforms",
    group: "Transforms",
    name: "Transformation",
    of: transforms::Kind::Transformation,
    implicit: &CONDITION,
};
pub(super) const PREDICATES: Kind = Kind {
    key: "predicates",
    group: "Predicates",
    name: "Predicate",
    of: transforms::Kind::Predicate,
    implicit: &ConfigDef(&[]),
};

/// When a transform is applied.
static CONDITION: ConfigDef =
    ConfigDef(&[Group { name: "", keys: &[&PREDICATE.spec, &NEGATE.spec] }]);
static PREDICATE: Key<String> = Key::string("predicate")
    .default_null()
    .doc("Alias of the predicate that a record must meet to be transformed.");
static NEGATE: Key<bool> = Key::boolean("negate")
    .default("false")
    .doc("Transform the records that do not meet the predicate, and no others.");

/// What stands behind the name of a class.
enum Found {
    Plugin(&'static Plugin),
    /// Only its `$Key` and its `$Value` are classes that can be used.
    Abstract(Vec<&'static str>),
    /// A class of another kind.
    Other(&'static str),
    Unknown,
}

impl Found {
    fn of(kind: &Kind, name: &str) -> Self {
        match transforms::find(name) {
            Some(plugin) if plugin.kind == kind.of => return Found::Plugin(plugin),
            _ => {}
        }
        let variants: Vec<_> = transforms::variants(name).collect();
        match plugins::any_class(name) {
            Some(class) => Found::Other(class),
            None if !variants.is_empty() => Found::Abstract(variants),
            None => Found::Unknown,
        }
    }
}

/// The aliases, each once.
fn aliases<'p>(kind: &Kind, props: &'p Props) -> Vec<&'p str> {
    let given = props.get(kind.key).map_or("", |text| text.trim());
    let mut aliases = Vec::new();
    if !given.is_empty() {
        for alias in given.split(',').map(str::trim) {
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
    }
    aliases
}

/// The keys of all aliases, with what is wrong with them. `raw` has what `props` lacks: keys that
/// are null.
pub(super) fn infos(kind: &Kind, props: &Props, raw: &RawConfig) -> Vec<ConfigInfo> {
    let of = |alias| infos_of(kind, alias, props, raw);
    aliases(kind, props).into_iter().flat_map(of).collect()
}

fn infos_of(kind: &Kind, alias: &str, props: &Props, raw: &RawConfig) -> Vec<ConfigInfo> {
    let prefix = format!("{}.{alias}.", kind.key);
    let key = |key: &str| format!("{prefix}{key}");
    let given = props.get(&key("type")).map(String::as_str);
    let found = given.map(|name| Found::of(kind, name.trim()));
    let plugin = match found {
        Some(Found::Plugin(plugin)) => Some(plugin),
        _ => None,
    };
    let mut class = class_info(kind, alias, given, found.as_ref());
    let wanted = props.get(&key("plugin.version")).map(String::as_str);
    let mut version = version_info(kind, alias, wanted, plugin);
    let missing = match (plugin, wanted) {
        (Some(plugin), _) => missing_version(plugin.class, wanted, &[plugin.version]),
        (None, Some(wanted)) if given.is_some() => Range::parse(wanted).map(|_| None),
        _ => Ok(None),
    };
    let wrong = missing.unwrap_or_else(Some);
    if let Some(wrong) = &wrong {
        version.value.errors.push(wrong.clone());
        class.value.errors.extend(plugin.map(|_| wrong.clone()));
    }
    let has = |name: String| raw.iter().any(|(key, _)| key == name);
    if matches!(kind.of, transforms::Kind::Transformation)
        && has(key("negate"))
        && !has(key("predicate"))
    {
        // A class that is there is looked at no further then.
        if class.value.value.is_some() {
            class.value.errors.clear();
        }
        class.value.errors.push(format!(
            "Config '{prefix}negate' was provided but there is no config '{prefix}predicate' \
             defining a predicate to be negated."
        ));
    }
    // With blanks around its name the class is found, and its keys and its version are not.
    let as_written = given.is_some_and(|name| name.trim() == name);
    if !as_written {
        version.value.value = wanted.map(str::to_owned);
        if let Some(definition) = &mut version.definition {
            definition.default_value = None;
        }
    }
    let own = match plugin.filter(|_| as_written && wrong.is_none()) {
        Some(plugin) => own_infos(kind, alias, plugin, props),
        None => Vec::new(),
    };
    [class, version].into_iter().chain(own).collect()
}

/// `transforms.ALIAS.type`.
fn class_info(kind: &Kind, alias: &str, given: Option<&str>, found: Option<&Found>) -> ConfigInfo {
    let key = format!("{}.{alias}.type", kind.key);
    let name = given.map(str::trim).unwrap_or_default();
    let (value, error) = match found {
        Some(Found::Plugin(plugin)) => (Some(plugin.class), None),
        Some(Found::Abstract(variants)) => {
            let variants = variants.join(", ");
            let wrong =
                format!("This class is abstract and cannot be created. Did you mean {variants}?");
            (Some(name), Some(wrong))
        }
        Some(Found::Other(class)) => (
            Some(*class),
            Some(format!(
                "Class class {class} does not implement the {} interface",
                kind.of.interface()
            )),
        ),
        Some(Found::Unknown) => (
            None,
            Some(format!(
                "Invalid value {name} for configuration {key}: Class {name} could not be found."
            )),
        ),
        None => (
            None,
            Some(format!("Missing required configuration \"{key}\" which has no default value.")),
        ),
    };
    let all = transforms::plugins().iter().filter(|plugin| plugin.kind == kind.of);
    ConfigInfo {
        definition: Some(define(kind, alias, key.clone(), "CLASS", "Type", 0)),
        value: ValueInfo {
            name: key,
            value: value.map(str::to_owned),
            recommended_values: all.map(|plugin| plugin.class.to_owned()).collect(),
            errors: error.into_iter().collect(),
            visible: true,
        },
    }
}

/// `transforms.ALIAS.plugin.version`.
fn version_info(
    kind: &Kind,
    alias: &str,
    wanted: Option<&str>,
    plugin: Option<&Plugin>,
) -> ConfigInfo {
    let key = format!("{}.{alias}.plugin.version", kind.key);
    let version = plugin.map(|plugin| plugin.version.to_owned());
    let definition = KeyInfo {
        required: false,
        default_value: version.clone(),
        ..define(kind, alias, key.clone(), "STRING", "Version", 1)
    };
    ConfigInfo {
        definition: Some(definition),
        value: ValueInfo {
            name: key,
            value: wanted.map(str::to_owned).or(version.clone()),
            recommended_values: version.into_iter().collect(),
            errors: Vec::new(),
            visible: true,
        },
    }
}

fn define(
    kind: &Kind,
    alias: &str,
    name: String,
    of: &'static str,
    what: &str,
    order: i32,
) -> KeyInfo {
    KeyInfo {
        name,
        kind: of,
        required: true,
        default_value: None,
        importance: "HIGH",
        documentation: format!("{what} of the {} {alias}.", kind.name.to_lowercase()),
        group: Some(format!("{}: {alias}", kind.group)),
        order_in_group: order,
        width: "LONG",
        display_name: format!("{} {} for {alias}", kind.name, what.to_lowercase()),
        dependents: Vec::new(),
    }
}

/// The keys of the class, in Connect's order: those that must be given, then by importance and name.
fn own_infos(kind: &Kind, alias: &str, plugin: &Plugin, props: &Props) -> Vec<ConfigInfo> {
    let prefix = format!("{}.{alias}.", kind.key);
    let given = || {
        props.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value.as_str())))
    };
    let mut infos = plugin.config.validate_under(&prefix, "", given()).configs;
    infos.extend(kind.implicit.validate_under(&prefix, "", given()).configs);
    infos.sort_by_cached_key(|info| {
        let definition = info.definition.as_ref();
        let importance = definition.map(|definition| match definition.importance {
            "HIGH" => 0,
            "MEDIUM" => 1,
            _ => 2,
        });
        let optional = definition.is_some_and(|definition| !definition.required);
        (optional, importance, info.value.name.clone())
    });
    for (info, order) in infos.iter_mut().zip(2..) {
        info.value.name.insert_str(0, &prefix);
        if let Some(definition) = &mut info.definition {
            definition.name.clone_from(&info.value.name);
            definition.group = Some(format!("{}: {alias}", kind.group));
            definition.order_in_group = order;
        }
    }
    infos
}

/// Why a connector with transforms is not created: records would go out as they are, in silence.
pub(super) fn refusal(infos: &ConfigInfos) -> Option<Refusal> {
    let value = |key: &str| {
        let config = infos.configs.iter().find(|config| config.value.name == key)?;
        config.value.value.as_deref().filter(|value| !value.is_empty())
    };
    let aliases = value(TRANSFORMS.key)?;
    let named: Vec<String> = (aliases.split(','))
        .map(|alias| {
            let class = value(&format!("{}.{alias}.type", TRANSFORMS.key)).unwrap_or_default();
            format!("{alias} ({class})")
        })
        .collect();
    Some(Refusal::new(
        400,
        format!(
            "Connector configuration names single message transforms, which this version does not \
             run: {}. Remove them from the key {}.",
            named.join(", "),
            TRANSFORMS.key
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a JVM worker says of classes that it does not have.
    #[test]
    fn unknown_types() {
        let props: Props = [
            ("transforms", "a, a,b"),
            ("transforms.a.type", "no.such.Smt"),
            ("transforms.a.negate", "true"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let raw = props.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        let infos = infos(&TRANSFORMS, &props, &raw);
        let found: Vec<_> =
            infos.iter().map(|info| (&info.value.name, &info.value.errors)).collect();
        let text = format!("{found:?}");
        assert_eq!(infos.len(), 4, "{text}");
        for wanted in [
            "Invalid value no.such.Smt for configuration transforms.a.type: Class no.such.Smt could \
             not be found.",
            "Config 'transforms.a.negate' was provided but there is no config \
             'transforms.a.predicate' defining a predicate to be negated.",
            "Missing required configuration \\\"transforms.b.type\\\" which has no default value.",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        let definition = infos[0].definition.as_ref().unwrap();
        assert_eq!(definition.display_name, "Transformation type for a");
        assert_eq!(definition.group.as_deref(), Some("Transforms: a"));
    }

    fn found(given: &[(&str, &str)]) -> Vec<ConfigInfo> {
        let props: Props =
            given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let raw = props.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        let mut found = infos(&TRANSFORMS, &props, &raw);
        found.extend(infos(&PREDICATES, &props, &raw));
        found
    }

    /// Keys in the order of a JVM worker, which is not that of the class's own list.
    #[test]
    fn keys_of_types() {
        let infos = found(&[
            ("transforms", "a"),
            ("transforms.a.type", "org.apache.kafka.connect.transforms.TimestampConverter$Value"),
            ("transforms.a.target.type", "UNIX"),
            ("transforms.a.negate", "maybe"),
            ("transforms.a.predicate", "p"),
            ("predicates", "p"),
            ("predicates.p.type", "HasHeaderKey"),
        ]);
        let shown: Vec<_> = infos
            .iter()
            .map(|info| {
                let definition = info.definition.as_ref().unwrap();
                let group = definition.group.as_deref().unwrap();
                assert_eq!(definition.name, info.value.name);
                (definition.name.as_str(), group, definition.order_in_group)
            })
            .collect();
        let (a, p) = ("Transforms: a", "Predicates: p");
        assert_eq!(
            shown,
            [
                ("transforms.a.type", a, 0),
                ("transforms.a.plugin.version", a, 1),
                ("transforms.a.target.type", a, 2),
                ("transforms.a.field", a, 3),
                ("transforms.a.format", a, 4),
                ("transforms.a.negate", a, 5),
                ("transforms.a.predicate", a, 6),
                ("transforms.a.replace.null.with.default", a, 7),
                ("transforms.a.unix.precision", a, 8),
                ("predicates.p.type", p, 0),
                ("predicates.p.plugin.version", p, 1),
                ("predicates.p.name", p, 2),
            ]
        );
        let errors: Vec<_> = infos.iter().flat_map(|info| &info.value.errors).collect();
        assert_eq!(
            errors,
            [
                "Invalid value UNIX for configuration target.type: String must be one of: string, \
                 unix, Date, Time, Timestamp",
                "Invalid value maybe for configuration transforms.a.negate: Expected value to be \
                 either true or false",
                "Missing required configuration \"predicates.p.name\" which has no default value.",
            ]
        );
        assert_eq!(
            infos[9].value.value.as_deref(),
            Some("org.apache.kafka.connect.transforms.predicates.HasHeaderKey")
        );
    }

    #[test]
    fn types_that_are_none() {
        let cast = "org.apache.kafka.connect.transforms.Cast";
        let predicate = "org.apache.kafka.connect.transforms.predicates.HasHeaderKey";
        for (name, version, shown, wanted) in [
            (
                cast,
                "4.3.1",
                cast,
                "This class is abstract and cannot be created. Did you mean \
                 org.apache.kafka.connect.transforms.Cast$Key, \
                 org.apache.kafka.connect.transforms.Cast$Value?",
            ),
            (
                "HasHeaderKey",
                "4.3.1",
                predicate,
                "Class class org.apache.kafka.connect.transforms.predicates.HasHeaderKey does not \
                 implement the Transformation interface",
            ),
            (
                "FileStreamSource",
                "4.3.1",
                "org.apache.kafka.connect.file.FileStreamSourceConnector",
                "Class class org.apache.kafka.connect.file.FileStreamSourceConnector does not \
                 implement the Transformation interface",
            ),
            (
                "Filter",
                "[5,)",
                "org.apache.kafka.connect.transforms.Filter",
                "Plugin org.apache.kafka.connect.transforms.Filter not found that matches the \
                 version range [5,), available versions: [4.3.1]",
            ),
        ] {
            let infos = found(&[
                ("transforms", "a"),
                ("transforms.a.type", name),
                ("transforms.a.plugin.version", version),
            ]);
            assert_eq!(infos.len(), 2, "{name}");
            assert_eq!(infos[0].value.value.as_deref(), Some(shown));
            assert_eq!(infos[0].value.errors, [wanted]);
        }
    }

    #[test]
    fn connectors_with_transforms_are_refused_by_name() {
        let with = |given: &[(&str, &str)]| {
            let key = |name: &str, value: &str| ConfigInfo {
                definition: None,
                value: ValueInfo {
                    name: name.to_owned(),
                    value: Some(value.to_owned()),
                    recommended_values: Vec::new(),
                    errors: Vec::new(),
                    visible: true,
                },
            };
            let configs = given.iter().map(|(name, value)| key(name, value)).collect();
            refusal(&ConfigInfos {
                name: String::new(),
                error_count: 0,
                groups: Vec::new(),
                configs,
            })
        };
        let refused = with(&[
            ("transforms", "a,b"),
            ("transforms.a.type", "x.Y"),
            ("transforms.b.type", "Z"),
        ]);
        let refused = refused.unwrap();
        assert_eq!(refused.status, 400);
        assert!(refused.message.contains("a (x.Y), b (Z)"), "{}", refused.message);
        assert!(with(&[("transforms", "")]).is_none());
    }
}
