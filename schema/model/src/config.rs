//! Configuration: declared once as data, read typed, served by REST, printed as documentation.
//!
//! ```
//! use riverrun_model::config::{Check, ConfigDef, Group, Importance, Key};
//!
//! static SLOT_NAME: Key<String> = Key::string("slot.name")
//!     .default("debezium")
//!     .importance(Importance::Medium)
//!     .display("Slot")
//!     .doc("The logical replication slot to read from; created when it does not exist.");
//!
//! static CONFIG: ConfigDef = ConfigDef(&[Group { name: "Replication", keys: &[&SLOT_NAME.spec] }]);
//!
//! let config = CONFIG.parse([("slot.name", "orders")]).unwrap();
//! assert_eq!(config.get(&SLOT_NAME), "orders");
//! ```

use std::{collections::BTreeMap, marker::PhantomData};

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Boolean,
    Class,
    Double,
    Int,
    List,
    Long,
    Password,
    Short,
    String,
}

#[derive(Clone, Copy, Debug)]
pub enum Importance {
    High,
    Medium,
    Low,
}

#[derive(Clone, Copy, Debug)]
pub enum Width {
    None,
    Short,
    Medium,
    Long,
}

#[derive(Clone, Copy, Debug)]
pub enum Default {
    Required,
    Null,
    /// As it would be written in a properties file, and as REST shows it.
    Text(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub enum Check {
    Any,
    NonEmpty,
    /// As [`Check::NonEmpty`], in other words, and without control characters: names of connectors.
    Name,
    /// A list in which nothing stands twice.
    Unique,
    Range {
        min: Option<i64>,
        max: Option<i64>,
    },
    OneOf(&'static [&'static str]),
    /// The same without regard to case.
    OneOfAnyCase(&'static [&'static str]),
    /// Returns what is wrong with the value, in the words the user will read.
    With(fn(&Parsed) -> Result<(), String>),
    /// The same, with the whole message in words of its own; it also gets the key's name.
    Whole(fn(&str, &Parsed) -> Result<(), String>),
    /// Debezium's `Field` validation instead of Kafka's: it sees the text as given (or the default)
    /// and returns the reasons, reported as `The 'key' value is invalid: reason`. A text that does
    /// not parse is only reported by this check.
    Field(fn(Option<&str>) -> Vec<String>),
    /// One of those recommended, without regard to case, in Debezium's words.
    Recommended,
    /// As [`Check::Field`] for a value that has to fit those of other keys: it sees all that is given.
    Fields(fn(Option<&str>, &Given<'_>) -> Vec<String>),
}

/// What the user gave, by key.
pub type Given<'p> = BTreeMap<&'p str, &'p str>;

#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    pub name: &'static str,
    pub kind: Type,
    pub default: Default,
    pub importance: Importance,
    pub width: Width,
    pub display: &'static str,
    pub doc: &'static str,
    pub check: Check,
    pub dependents: &'static [&'static str],
    pub recommended: &'static [&'static str],
    /// The place REST shows when it is not the place in the group.
    pub order: Option<i32>,
    /// Whether REST says that the key may be shown. It doesn't depend on other keys.
    pub visible: bool,
    /// An older name of the key before it, whose place it shares.
    pub alias: Alias,
    /// False for a key that the original has and this connector has not got yet: any value but the
    /// default is refused by name, so that no setting is ignored in silence.
    pub supported: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alias {
    No,
    Yes,
    /// The same, and REST shows no value at all for it.
    WithoutValue,
}

impl KeySpec {
    /// See [`KeySpec::supported`].
    pub const fn unsupported(self) -> Self {
        Self { supported: false, ..self }
    }

    /// See [`KeySpec::alias`].
    pub const fn alias(self, alias: Alias) -> Self {
        Self { alias, ..self }
    }

    /// The same key as another connector has it.
    pub const fn with_default(self, text: &'static str) -> Self {
        Self { default: Default::Text(text), ..self }
    }

    /// See [`Check::Recommended`].
    pub const fn with_one_of(self, recommended: &'static [&'static str]) -> Self {
        Self { recommended, check: Check::Recommended, ..self }
    }

    pub const fn with_check(self, check: Check) -> Self {
        Self { check, ..self }
    }

    pub const fn with_importance(self, importance: Importance) -> Self {
        Self { importance, ..self }
    }

    pub const fn with_width(self, width: Width) -> Self {
        Self { width, ..self }
    }

    pub const fn with_display(self, display: &'static str) -> Self {
        Self { display, ..self }
    }

    pub const fn with_doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    pub const fn with_dependents(self, dependents: &'static [&'static str]) -> Self {
        Self { dependents, ..self }
    }
}

/// A key that knows the Rust type of its value.
pub struct Key<T> {
    pub spec: KeySpec,
    kind: PhantomData<fn() -> T>,
}

macro_rules! constructors {
    ($($function:ident: $rust:ty = $kind:ident;)*) => {$(
        impl Key<$rust> {
            pub const fn $function(name: &'static str) -> Self {
                let spec = KeySpec {
                    name,
                    kind: Type::$kind,
                    default: Default::Required,
                    importance: Importance::Medium,
                    width: Width::None,
                    display: name,
                    doc: "",
                    check: Check::Any,
                    dependents: &[],
                    recommended: &[],
                    order: None,
                    visible: true,
                    alias: Alias::No,
                    supported: true,
                };
                Key { spec, kind: PhantomData }
            }
        }
    )*};
}

constructors! {
    boolean: bool = Boolean;
    int: i32 = Int;
    long: i64 = Long;
    double: f64 = Double;
    short: i32 = Short;
    string: String = String;
    list: Vec<String> = List;
    password: Secret = Password;
}

impl Key<String> {
    /// A class name; its value is checked by whoever loads the class.
    pub const fn class(name: &'static str) -> Self {
        let key = Key::string(name);
        let spec = KeySpec { kind: Type::Class, ..key.spec };
        key.with(spec)
    }
}

impl<T> Key<T> {
    const fn with(self, spec: KeySpec) -> Self {
        Key { spec, kind: PhantomData }
    }

    pub const fn default(self, text: &'static str) -> Self {
        let spec = KeySpec { default: Default::Text(text), ..self.spec };
        self.with(spec)
    }

    pub const fn default_null(self) -> Self {
        let spec = KeySpec { default: Default::Null, ..self.spec };
        self.with(spec)
    }

    pub const fn importance(self, importance: Importance) -> Self {
        let spec = KeySpec { importance, ..self.spec };
        self.with(spec)
    }

    pub const fn width(self, width: Width) -> Self {
        let spec = KeySpec { width, ..self.spec };
        self.with(spec)
    }

    pub const fn display(self, display: &'static str) -> Self {
        let spec = KeySpec { display, ..self.spec };
        self.with(spec)
    }

    pub const fn doc(self, doc: &'static str) -> Self {
        let spec = KeySpec { doc, ..self.spec };
        self.with(spec)
    }

    pub const fn check(self, check: Check) -> Self {
        let spec = KeySpec { check, ..self.spec };
        self.with(spec)
    }

    /// See [`KeySpec::supported`].
    pub const fn unsupported(self) -> Self {
        let spec = self.spec.unsupported();
        self.with(spec)
    }

    pub const fn dependents(self, dependents: &'static [&'static str]) -> Self {
        let spec = KeySpec { dependents, ..self.spec };
        self.with(spec)
    }

    /// See [`KeySpec::order`].
    pub const fn order(self, order: i32) -> Self {
        let spec = KeySpec { order: Some(order), ..self.spec };
        self.with(spec)
    }

    /// See [`KeySpec::visible`].
    pub const fn invisible(self) -> Self {
        let spec = KeySpec { visible: false, ..self.spec };
        self.with(spec)
    }

    /// See [`Check::Recommended`].
    pub const fn one_of(self, recommended: &'static [&'static str]) -> Self {
        let spec = self.spec.with_one_of(recommended);
        self.with(spec)
    }

    pub const fn recommended(self, recommended: &'static [&'static str]) -> Self {
        let spec = KeySpec { recommended, ..self.spec };
        self.with(spec)
    }
}

/// Keys under one heading. Their order here is their order in REST and in the documentation.
pub struct Group {
    /// Empty for keys that belong to no group: REST shows `null` and the order -1 then.
    pub name: &'static str,
    pub keys: &'static [&'static KeySpec],
}

pub struct ConfigDef(pub &'static [Group]);

#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    Null,
    Boolean(bool),
    Int(i64),
    Double(f64),
    String(String),
    List(Vec<String>),
    Password(Secret),
}

/// Never printed, never logged.
#[derive(Clone, PartialEq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A configuration that has passed validation.
pub struct Config {
    parsed: BTreeMap<&'static str, Parsed>,
    /// As given, for keys whose names are made by the user (`topic.creation.NAME.partitions`).
    props: BTreeMap<String, String>,
}

pub trait Read: Sized {
    fn read(parsed: &Parsed) -> Option<Self>;
}

macro_rules! reads {
    ($($rust:ty: $pattern:pat => $value:expr;)*) => {$(
        impl Read for $rust {
            fn read(parsed: &Parsed) -> Option<Self> {
                match parsed { $pattern => $value, _ => None }
            }
        }
    )*};
}

reads! {
    bool: Parsed::Boolean(value) => Some(*value);
    i32: Parsed::Int(value) => i32::try_from(*value).ok();
    i64: Parsed::Int(value) => Some(*value);
    f64: Parsed::Double(value) => Some(*value);
    String: Parsed::String(value) => Some(value.clone());
    Vec<String>: Parsed::List(value) => Some(value.clone());
    Secret: Parsed::Password(value) => Some(value.clone());
}

impl Config {
    /// The value of a key that is required or has a default.
    ///
    /// # Panics
    ///
    /// When the key is not in the definition, or its default is null: use [`Config::find`] then.
    pub fn get<T: Read>(&self, key: &Key<T>) -> T {
        self.find(key)
            .unwrap_or_else(|| panic!("{} has no value; read it with find", key.spec.name))
    }

    pub fn find<T: Read>(&self, key: &Key<T>) -> Option<T> {
        self.parsed.get(key.spec.name).and_then(T::read)
    }

    /// A property by its full name, whether or not the definition has it.
    pub fn prop(&self, name: &str) -> Option<&str> {
        self.props.get(name).map(String::as_str)
    }

    pub fn props(&self) -> &BTreeMap<String, String> {
        &self.props
    }
}

// ---- PUT /connector-plugins/{plugin}/config/validate -------------------------------------------
//
// Field names, their order and the error texts are Kafka Connect's (ConfigInfos, ConfigException).

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
        let props: BTreeMap<&str, &str> = props.into_iter().collect();
        let mut config = BTreeMap::new();
        let mut errors = Vec::new();
        for spec in self.0.iter().flat_map(|group| group.keys) {
            let (parsed, wrong) = spec.evaluate("", &props);
            errors.extend(wrong);
            config.extend(parsed.map(|parsed| (spec.name, parsed)));
        }
        let props =
            props.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if errors.is_empty() { Ok(Config { parsed: config, props }) } else { Err(errors) }
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
        if self.supported || parsed == self.parsed_default().as_ref() {
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
            Type::Password => Parsed::Password(Secret(trimmed.to_owned())),
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
