//! A configuration against its definition: what each key is, what its value is, and what is wrong with
//! it, as `PUT /connector-plugins/{plugin}/config/validate` shows it.
//!
//! Field names, their order and the error texts are Kafka Connect's (ConfigInfos, ConfigException).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Alias, Check, Config, ConfigDef, Default, Given, Group, Importance, KeySpec, Parsed, Secret,
    Type, Width,
};

#[derive(Clone, Debug, Serialize)]
pub struct ConfigInfos {
    pub name: String,
    pub error_count: usize,
    pub groups: Vec<String>,
    pub configs: Vec<ConfigInfo>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ConfigInfo {
    /// `None` for a property that is passed on to a Kafka client which does not know it.
    pub definition: Option<KeyInfo>,
    /// Shown as null when it has no name: see [`Alias::WithoutValue`].
    #[serde(serialize_with = "unless_nameless")]
    pub value: ValueInfo,
}

/// What a key is. Names are owned because some are made at run time: `value.converter.` and the
/// name of the converter's own key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyInfo {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub required: bool,
    pub default_value: Option<String>,
    pub importance: &'static str,
    pub documentation: String,
    pub group: Option<String>,
    pub order_in_group: i32,
    pub width: &'static str,
    pub display_name: String,
    pub dependents: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ValueInfo {
    pub name: String,
    pub value: Option<String>,
    pub recommended_values: Vec<String>,
    pub errors: Vec<String>,
    pub visible: bool,
}

fn unless_nameless<S: serde::Serializer>(value: &ValueInfo, out: S) -> Result<S::Ok, S::Error> {
    Some(value).filter(|value| !value.name.is_empty()).serialize(out)
}

impl ConfigInfos {
    /// Adds an error to the key it is about, and counts it.
    ///
    /// # Panics
    ///
    /// When the definition has no such key.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        let config = self.configs.iter_mut().find(|config| config.value.name == key);
        config.unwrap_or_else(|| panic!("no key {key}")).value.errors.push(message.into());
        self.error_count += 1;
    }
}

impl ConfigDef {
    pub fn validate<'p>(
        &self,
        class: &str,
        props: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> ConfigInfos {
        self.validate_under("", class, props)
    }

    /// As [`ConfigDef::validate`], for keys that a configuration has under a prefix. `props` and the
    /// answer have them without it, and so have the messages of checks; those about values that are
    /// missing or of another type name the whole key, as in Kafka.
    pub fn validate_under<'p>(
        &self,
        prefix: &str,
        class: &str,
        props: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> ConfigInfos {
        let props: BTreeMap<&str, &str> = props.into_iter().collect();
        let mut configs = Vec::new();
        for group in self.0 {
            for (spec, order) in group.placed() {
                let (parsed, errors) = spec.evaluate(prefix, &props);
                let nameless = spec.alias == Alias::WithoutValue && errors.is_empty();
                let value = ValueInfo {
                    name: if nameless { String::new() } else { spec.name.to_owned() },
                    value: parsed.as_ref().and_then(Parsed::show),
                    recommended_values: owned(spec.recommended),
                    errors,
                    visible: spec.visible,
                };
                configs.push(ConfigInfo { definition: Some(group.info(spec, order)), value });
            }
        }
        let error_count = configs.iter().map(|config| config.value.errors.len()).sum();
        ConfigInfos { name: class.to_owned(), error_count, groups: self.groups(), configs }
    }

    /// The headings of the keys, each once, in order.
    pub fn groups(&self) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        for group in self.0.iter().filter(|group| !group.name.is_empty()) {
            if !groups.iter().any(|name| name == group.name) {
                groups.push(group.name.to_owned());
            }
        }
        groups
    }

    /// What the keys are, without values: `GET /connector-plugins/{plugin}/config`.
    pub fn keys(&self) -> Vec<KeyInfo> {
        let of = |group: &Group| -> Vec<KeyInfo> {
            group.placed().map(|(spec, order)| group.info(spec, order)).collect()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Whether one of the keys has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().flat_map(|group| group.keys).any(|spec| spec.name == name)
    }

    pub fn parse<'p>(
        &self,
        props: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Config, Vec<String>> {
        let (config, errors) = self.parse_all(props);
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// The same for who has more to check, so that all that is wrong is said at once. A key whose
    /// value is wrong has its default here; one that is required has no value then.
    pub fn parse_all<'p>(
        &self,
        props: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> (Config, Vec<String>) {
        let props: BTreeMap<&str, &str> = props.into_iter().collect();
        let nothing = BTreeMap::new();
        let mut config = BTreeMap::new();
        let mut errors = Vec::new();
        for spec in self.0.iter().flat_map(|group| group.keys) {
            let (mut parsed, wrong) = spec.evaluate("", &props);
            if !wrong.is_empty() {
                parsed = spec.evaluate("", &nothing).0;
            }
            errors.extend(wrong);
            config.extend(parsed.map(|parsed| (spec.name, parsed)));
        }
        let props =
            props.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        (Config { parsed: config, props, asked: std::sync::Mutex::default() }, errors)
    }

    /// The reference table of a connector's README. A test keeps the README equal to this.
    pub fn markdown(&self) -> String {
        let mut out = String::from(
            "| name | type | default | importance | what it does |\n|---|---|---|---|---|\n",
        );
        for spec in self.0.iter().flat_map(|group| group.keys) {
            let default = match spec.default {
                Default::Required => "*required*",
                Default::Null => "",
                Default::Text(text) => text,
            };
            let doc = match spec.supported {
                true => spec.doc.to_owned(),
                false => format!("*Not yet.* {}", spec.doc),
            };
            let row = [spec.name, spec.kind.name(), default, spec.importance.name(), &doc]
                .map(|cell| cell.replace('|', "\\|"))
                .join(" | ");
            out.push_str(&format!("| {row} |\n"));
        }
        out
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Group {
    /// The keys with their places, counted from 1.
    fn placed(&self) -> impl Iterator<Item = (&'static KeySpec, i32)> {
        self.keys.iter().scan(0, |place, spec| {
            *place += i32::from(spec.alias == Alias::No);
            Some((*spec, *place))
        })
    }

    fn info(&self, spec: &KeySpec, place: i32) -> KeyInfo {
        KeyInfo {
            name: spec.name.to_owned(),
            kind: spec.kind.name(),
            required: matches!(spec.default, Default::Required),
            default_value: spec.parsed_default().and_then(|parsed| parsed.show()),
            importance: spec.importance.name(),
            documentation: spec.doc.to_owned(),
            group: Some(self.name.to_owned()).filter(|name| !name.is_empty()),
            order_in_group: match spec.order {
                _ if self.name.is_empty() => -1,
                Some(order) => order,
                None => place,
            },
            width: spec.width.name(),
            display_name: spec.display.to_owned(),
            dependents: owned(spec.dependents),
        }
    }
}

impl KeySpec {
    fn parsed_default(&self) -> Option<Parsed> {
        match self.default {
            Default::Text(text) => self.kind.parse(self.name, text).ok(),
            Default::Required | Default::Null => None,
        }
    }

    /// Kafka checks the value even after it failed to parse, so one key can report two errors.
    fn evaluate(&self, prefix: &str, props: &Given<'_>) -> (Option<Parsed>, Vec<String>) {
        let given = props.get(self.name).copied();
        let mut errors = Vec::new();
        match self.check {
            Check::Field(check) => return self.evaluate_field(given, check),
            Check::Recommended => {
                return self.evaluate_field(given, |text| one_of(text, self.recommended));
            }
            Check::Fields(check) => {
                return self.evaluate_field(given, |text| check(text, props));
            }
            _ => {}
        }
        let parsed = match (given, self.default) {
            (Some(text), _) => {
                let name = format!("{prefix}{}", self.name);
                self.kind.parse(&name, text).map_err(|error| errors.push(error)).ok()
            }
            (None, Default::Text(text)) => self.kind.parse(self.name, text).ok(),
            (None, Default::Null) => None,
            (None, Default::Required) => {
                errors.push(format!(
                    "Missing required configuration \"{prefix}{}\" which has no default value.",
                    self.name
                ));
                None
            }
        };
        errors.extend(self.wrong(parsed.as_ref().unwrap_or(&Parsed::Null)));
        errors.extend(self.refusal(parsed.as_ref()).filter(|_| errors.is_empty()));
        (parsed, errors)
    }

    fn evaluate_field(
        &self,
        given: Option<&str>,
        check: impl Fn(Option<&str>) -> Vec<String>,
    ) -> (Option<Parsed>, Vec<String>) {
        let text = given.or(match self.default {
            Default::Text(text) => Some(text),
            Default::Required | Default::Null => None,
        });
        let mut errors: Vec<String> = check(text)
            .into_iter()
            .map(|reason| format!("The '{}' value is invalid: {reason}", self.name))
            .collect();
        let parsed = text.and_then(|text| match self.kind.parse(self.name, text) {
            Ok(parsed) => Some(parsed),
            // What is wrong with an alias is said under the key itself.
            Err(error) if errors.is_empty() && self.alias == Alias::No => {
                errors.push(error);
                None
            }
            Err(_) => None,
        });
        if errors.is_empty() && text.is_some() == parsed.is_some() {
            errors.extend(self.refusal(parsed.as_ref()));
        }
        // Debezium forgets a value that is wrong, so REST shows null.
        (parsed.filter(|_| errors.is_empty()), errors)
    }

    /// What the check says of a value.
    fn wrong(&self, parsed: &Parsed) -> Option<String> {
        if let (Check::Unique, Parsed::List(items)) = (self.check, parsed) {
            let name = self.name;
            let twice = items.iter().enumerate().any(|(at, item)| items[..at].contains(item));
            let empty = items.iter().any(String::is_empty);
            return match (twice, empty) {
                (true, _) => Some(format!("Configuration '{name}' values must not be duplicated.")),
                (_, true) => Some(format!("Configuration '{name}' values must not be empty.")),
                _ => None,
            };
        }
        if let Check::Whole(check) = self.check {
            return check(self.name, parsed).err();
        }
        let wrong = self.check.run(parsed).err()?;
        let shown = match parsed {
            Parsed::List(items) => format!("[{}]", items.join(", ")),
            other => other.show().unwrap_or_else(|| "null".to_owned()),
        };
        Some(invalid(&shown, self.name, &wrong))
    }

    /// Why a value of a key without effect is not accepted.
    fn refusal(&self, parsed: Option<&Parsed>) -> Option<String> {
        // Templates leave values empty.
        let empty = matches!(parsed, Some(Parsed::String(text)) if text.trim().is_empty());
        if self.supported || empty || parsed == self.parsed_default().as_ref() {
            return None;
        }
        let wrong = match self.default {
            Default::Text(text) => {
                format!("this version supports no other value than {text:?}; remove the key")
            }
            _ => "this version does not support the key; remove it".to_owned(),
        };
        let shown = parsed.and_then(Parsed::show).unwrap_or_else(|| "null".to_owned());
        Some(invalid(&shown, self.name, &wrong))
    }
}

/// Debezium's check of a key that has a few values.
pub fn one_of(given: Option<&str>, allowed: &[&str]) -> Vec<String> {
    match given.map(str::trim) {
        Some(text) if !allowed.iter().any(|value| value.eq_ignore_ascii_case(text)) => {
            vec![format!("Value must be one of {}", allowed.join(", "))]
        }
        _ => Vec::new(),
    }
}

impl Check {
    fn run(&self, parsed: &Parsed) -> Result<(), String> {
        match (self, parsed) {
            (Check::Range { .. }, Parsed::Null) => Err("Value must be non-null".to_owned()),
            (Check::Range { min: Some(min), .. }, Parsed::Int(value)) if value < min => {
                Err(format!("Value must be at least {min}"))
            }
            (Check::Range { max: Some(max), .. }, Parsed::Int(value)) if value > max => {
                Err(format!("Value must be no more than {max}"))
            }
            (Check::OneOf(allowed), Parsed::String(value)) if allowed.contains(&value.as_str()) => {
                Ok(())
            }
            (Check::OneOf(_), Parsed::Null) => Ok(()),
            (Check::OneOf(allowed), _) => {
                Err(format!("String must be one of: {}", allowed.join(", ")))
            }
            (Check::OneOfAnyCase(_), Parsed::Null) => Ok(()),
            (Check::OneOfAnyCase(allowed), Parsed::String(value))
                if allowed.iter().any(|one| one.eq_ignore_ascii_case(value)) =>
            {
                Ok(())
            }
            (Check::OneOfAnyCase(allowed), _) => {
                Err(format!("String must be one of (case insensitive): {}", allowed.join(", ")))
            }
            (Check::Name, Parsed::String(value)) if value.is_empty() => {
                Err("String may not be empty".to_owned())
            }
            (Check::Name, Parsed::String(value)) => {
                let found: Vec<String> = (value.chars().map(u32::from))
                    .filter(|code| *code < 32 || *code == 127)
                    .map(|code| code.to_string())
                    .collect();
                if found.is_empty() {
                    return Ok(());
                }
                Err(format!(
                    "String may not contain control sequences but had the following ASCII chars: {}",
                    found.join(", ")
                ))
            }
            (Check::NonEmpty, Parsed::String(value)) if value.is_empty() => {
                Err("String must be non-empty".to_owned())
            }
            (Check::With(check), parsed) => check(parsed),
            _ => Ok(()),
        }
    }
}

impl Type {
    fn parse(self, name: &str, text: &str) -> Result<Parsed, String> {
        let trimmed = text.trim();
        let number = |wanted: &str| invalid(text, name, &format!("Not a number of type {wanted}"));
        Ok(match self {
            Type::Boolean if trimmed.eq_ignore_ascii_case("true") => Parsed::Boolean(true),
            Type::Boolean if trimmed.eq_ignore_ascii_case("false") => Parsed::Boolean(false),
            Type::Boolean => {
                return Err(invalid(text, name, "Expected value to be either true or false"));
            }
            Type::Short => Parsed::Int(trimmed.parse::<i16>().map_err(|_| number("SHORT"))?.into()),
            Type::Int => Parsed::Int(trimmed.parse::<i32>().map_err(|_| number("INT"))?.into()),
            Type::Long => Parsed::Int(trimmed.parse::<i64>().map_err(|_| number("LONG"))?),
            Type::Double => Parsed::Double(trimmed.parse().map_err(|_| number("DOUBLE"))?),
            Type::String | Type::Class => Parsed::String(trimmed.to_owned()),
            Type::Password => Parsed::Password(Secret::new(trimmed)),
            Type::List if trimmed.is_empty() => Parsed::List(Vec::new()),
            Type::List => {
                Parsed::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect())
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Type::Boolean => "BOOLEAN",
            Type::Class => "CLASS",
            Type::Double => "DOUBLE",
            Type::Int => "INT",
            Type::List => "LIST",
            Type::Long => "LONG",
            Type::Password => "PASSWORD",
            Type::Short => "SHORT",
            Type::String => "STRING",
        }
    }
}

impl Importance {
    fn name(self) -> &'static str {
        match self {
            Importance::High => "HIGH",
            Importance::Medium => "MEDIUM",
            Importance::Low => "LOW",
        }
    }
}

impl Width {
    fn name(self) -> &'static str {
        match self {
            Width::None => "NONE",
            Width::Short => "SHORT",
            Width::Medium => "MEDIUM",
            Width::Long => "LONG",
        }
    }
}

impl Parsed {
    fn show(&self) -> Option<String> {
        match self {
            Parsed::Null => None,
            Parsed::Boolean(value) => Some(value.to_string()),
            Parsed::Int(value) => Some(value.to_string()),
            Parsed::Double(value) => Some(format!("{value:?}")),
            Parsed::String(value) => Some(value.clone()),
            Parsed::List(items) => Some(items.join(",")),
            Parsed::Password(_) => Some("[hidden]".to_owned()),
        }
    }
}

fn invalid(value: &str, name: &str, wrong: &str) -> String {
    format!("Invalid value {value} for configuration {name}: {wrong}")
}
