//! The Kafka Connect schema model.

use std::{collections::HashMap, sync::Arc};

use crate::value::Value;

/// The physical type. Logical types (Decimal, Timestamp, `io.debezium.time.*`) are a physical type
/// plus [`Schema::name`]; the value keeps its physical form all the way to the encoder.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
    Bytes,
    Array(Arc<Schema>),
    Map(Arc<Schema>, Arc<Schema>),
    Struct(Fields),
}

impl Kind {
    /// The `type` of a schema in JSON, by which `JsonConverter` and documentation name it.
    pub fn json_name(&self) -> &'static str {
        match self {
            Kind::Int8 => "int8",
            Kind::Int16 => "int16",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Float32 => "float",
            Kind::Float64 => "double",
            Kind::Boolean => "boolean",
            Kind::String => "string",
            Kind::Bytes => "bytes",
            Kind::Array(_) => "array",
            Kind::Map(..) => "map",
            Kind::Struct(_) => "struct",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub kind: Kind,
    pub optional: bool,
    pub default: Option<Value>,
    pub name: Option<Arc<str>>,
    pub version: Option<i32>,
    pub doc: Option<Arc<str>>,
    /// In declaration order, because the JSON converter prints them in that order.
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: Arc<str>,
    pub schema: Arc<Schema>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    list: Vec<Field>,
    by_name: HashMap<Arc<str>, u16>,
}

impl Fields {
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn at(&self, index: usize) -> &Field {
        &self.list[index]
    }

    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|&index| usize::from(index))
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        let list: Vec<Field> = fields.into_iter().collect();
        let by_name =
            list.iter().zip(0..).map(|(field, index)| (field.name.clone(), index)).collect();
        Self { list, by_name }
    }
}

impl Schema {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            optional: false,
            default: None,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
        }
    }

    pub fn structure<N: Into<Arc<str>>>(
        fields: impl IntoIterator<Item = (N, Arc<Schema>)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, schema)| Field { name: name.into(), schema });
        Self::new(Kind::Struct(fields.collect()))
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// A name and a version, as all semantic types have.
    pub fn named(mut self, name: &str, version: i32) -> Self {
        self.version = Some(version);
        self.name_only(name)
    }

    /// A name without a version, as Debezium gives to keys and row values.
    pub fn name_only(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    pub fn doc(mut self, doc: &str) -> Self {
        self.doc = Some(doc.into());
        self
    }

    pub fn default(mut self, value: Value) -> Self {
        self.default = Some(value);
        self
    }

    pub fn parameter(mut self, key: &str, value: &str) -> Self {
        self.parameters.push((key.into(), value.into()));
        self
    }

    /// The fields of a struct schema.
    ///
    /// # Panics
    ///
    /// When the schema is not a struct: only called where the schema was built as one.
    pub fn fields(&self) -> &Fields {
        match &self.kind {
            Kind::Struct(fields) => fields,
            other => panic!("schema {:?} is {other:?}, not a struct", self.name),
        }
    }
}
