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
    let given = props.get(&key("type"));
    let found = given.map(|name| Found::of(kind, name.trim()));
    let mut class = class_info(kind, alias, given.map(String::as_str), found.as_ref());
    let has = |name: String| raw.iter().any(|(key, _)| key == name);
    if matches!(kind.of, transforms::Kind::Transformation)
        && has(key("negate"))
        && !has(key("predicate"))
    {
        class.value.errors.push(format!(
            "Config '{prefix}negate' was provided but there is no config '{prefix}predicate' \
             defining a predicate to be negated."
        ));
    }
    let plugin = match found {
        Some(Found::Plugin(plugin)) => Some(plugin),
        _ => None,
    };
    let wanted = props.get(&key("plugin.version")).map(String::as_str);
    let mut version = version_info(kind, alias, wanted, plugin);
    // The default is that of the class as it is written.
    if given.is_some_and(|name| name.trim() != name) {
        version.value.value = wanted.map(str::to_owned);
        if let Some(definition) = &mut version.definition {
            definition.default_value = None;
        }
    }
    let missing = match plugin {
        Some(plugin) => missing_version(plugin.class, wanted, &[plugin.version]),
        None => wanted.map_or(Ok(None), |wanted| Range::parse(wanted).map(|_| None)),
    };
    let own = match missing {
        Ok(None) => plugin.map(|plugin| own_infos(kind, alias, plugin, props)).unwrap_or_default(),
        Ok(Some(wrong)) | Err(wrong) => {
            if plugin.is_some() {
                class.value.errors.push(wrong.clone());
            }
            version.value.errors.push(wrong);
            Vec::new()
        }
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
}
