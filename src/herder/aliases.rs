//! The keys that a configuration makes itself by naming transforms and predicates: for each alias
//! its type, the type's version, and the keys of the type.
//!
//! This version has no transforms and no predicates yet, so every type is one that isn't found, which
//! is said under the key that names it.

use model::{
    config::{ConfigInfo, KeyInfo, ValueInfo},
    connector::Props,
};

/// Transforms or predicates.
pub(super) struct Kind {
    /// The key with the aliases, which is also the prefix of theirs.
    key: &'static str,
    group: &'static str,
    /// As it stands in display names.
    name: &'static str,
}

pub(super) const TRANSFORMS: Kind =
    Kind { key: "transforms", group: "Transforms", name: "Transformation" };
pub(super) const PREDICATES: Kind =
    Kind { key: "predicates", group: "Predicates", name: "Predicate" };

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

/// The keys of all aliases, with what is wrong with them.
pub(super) fn infos(kind: &Kind, props: &Props) -> Vec<ConfigInfo> {
    let of = |alias| infos_of(kind, alias, props);
    aliases(kind, props).into_iter().flat_map(of).collect()
}

fn infos_of(kind: &Kind, alias: &str, props: &Props) -> [ConfigInfo; 2] {
    let key = |key: &str| format!("{}.{alias}.{key}", kind.key);
    let define = |name: String, of: &'static str, what: &str, required: bool, order: i32| KeyInfo {
        name,
        kind: of,
        required,
        default_value: None,
        importance: "HIGH",
        documentation: format!("{what} of the {} {alias}.", kind.name.to_lowercase()),
        group: Some(format!("{}: {alias}", kind.group)),
        order_in_group: order,
        width: "LONG",
        display_name: format!("{} {} for {alias}", kind.name, what.to_lowercase()),
        dependents: Vec::new(),
    };
    let value = |name: String, value: Option<String>, errors: Vec<String>| ValueInfo {
        name,
        value,
        recommended_values: Vec::new(),
        errors,
        visible: true,
    };
    let (type_key, version_key) = (key("type"), key("plugin.version"));
    let mut errors = Vec::new();
    match props.get(&type_key) {
        Some(class) => errors.push(format!(
            "Invalid value {class} for configuration {type_key}: Class {class} could not be found."
        )),
        None => errors.push(format!(
            "Missing required configuration \"{type_key}\" which has no default value."
        )),
    }
    let (negate, predicate) = (key("negate"), key("predicate"));
    if props.contains_key(&negate) && !props.contains_key(&predicate) {
        errors.push(format!(
            "Config '{negate}' was provided but there is no config '{predicate}' defining a \
             predicate to be negated."
        ));
    }
    let version = props.get(&version_key).cloned();
    [
        ConfigInfo {
            definition: Some(define(type_key.clone(), "CLASS", "Type", true, 0)),
            value: value(type_key, None, errors),
        },
        ConfigInfo {
            definition: Some(define(version_key.clone(), "STRING", "Version", false, 1)),
            value: value(version_key, version, Vec::new()),
        },
    ]
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
        let infos = infos(&TRANSFORMS, &props);
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
