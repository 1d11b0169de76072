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

use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    sync::{Mutex, PoisonError},
};

use zeroize::Zeroizing;

mod validate;

pub use validate::{ConfigInfo, ConfigInfos, KeyInfo, ValueInfo, one_of};

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

/// Never printed, never logged, and overwritten in memory when it is no longer needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
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
    /// The names that [`Config::prop`] was asked for.
    asked: Mutex<BTreeSet<String>>,
}

/// Keys that the worker reads; further parts may follow behind a dot.
const WORKER: [&str; 17] = [
    "name",
    "connector.class",
    "connector.plugin.version",
    "tasks.max",
    "task.class",
    "key.converter",
    "value.converter",
    "header.converter",
    "transforms",
    "predicates",
    "config.action.reload",
    "errors",
    "topic.creation",
    "exactly.once.support",
    "transaction.boundary",
    "offsets.storage.topic",
    "producer.override",
];

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
        let found = self.props.get(name).map(String::as_str);
        if found.is_some() {
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        }
        found
    }

    /// Properties that nobody knows: the definition does not have them, [`Config::prop`] was not asked
    /// for them, no name of `families` begins them, and the worker has no such key. A slip of the pen
    /// is among them.
    pub fn unknown(&self, families: &[&str]) -> Vec<&str> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |key: &str| {
            let of_worker = |text: &&str| {
                key.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            self.parsed.contains_key(key)
                || asked.contains(key)
                || families.iter().any(|family| key.starts_with(family))
                || WORKER.iter().any(of_worker)
        };
        self.props.keys().map(String::as_str).filter(|key| !known(key)).collect()
    }

    pub fn props(&self) -> &BTreeMap<String, String> {
        &self.props
    }
}
