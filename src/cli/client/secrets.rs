//! Which values of a configuration are not shown.

use serde_json::{Map, Value};

pub(super) const HIDDEN: &str = "[hidden]";

/// By their names: the keys of plugins that a worker knows are known to it, those of clients,
/// converters and transforms are not.
const WORDS: [&str; 8] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "sasl.jaas.config",
    "basic.auth.user.info",
    "private.key",
];

/// The keys whose values are secrets.
#[derive(Default)]
pub(super) struct Secrets {
    /// Those that the plugin declares as passwords.
    declared: Vec<String>,
    shown: bool,
}

impl Secrets {
    /// `keys` is what `GET /connector-plugins/{plugin}/config` answers, if it is known.
    pub(super) fn new(keys: Option<&Value>, shown: bool) -> Self {
        let keys = keys.and_then(Value::as_array).into_iter().flatten();
        let passwords = keys.filter(|key| key["type"] == "PASSWORD");
        let names = passwords.filter_map(|key| key["name"].as_str().map(str::to_owned));
        Self { declared: names.collect(), shown }
    }

    /// The value as it may be shown. A reference to a config provider is no secret.
    pub(super) fn mask<'v>(&self, key: &str, value: &'v str) -> &'v str {
        let lower = key.to_ascii_lowercase();
        let secret = self.declared.iter().any(|name| name == key)
            || WORDS.iter().any(|word| lower.contains(word));
        let reference = value.starts_with("${") && value.ends_with('}');
        if secret && !self.shown && !reference && !value.is_empty() { HIDDEN } else { value }
    }

    /// A configuration as it may be shown.
    pub(super) fn masked(&self, config: &Value) -> Value {
        let Some(config) = config.as_object() else { return config.clone() };
        let mask = |(key, value): (&String, &Value)| {
            let value = match value.as_str() {
                Some(text) => Value::from(self.mask(key, text)),
                None => value.clone(),
            };
            (key.clone(), value)
        };
        Value::Object(config.iter().map(mask).collect::<Map<_, _>>())
    }
}
