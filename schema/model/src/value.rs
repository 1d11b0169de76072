//! Values: owned ([`Value`]) and borrowed ([`ValueRef`]).

use std::sync::Arc;

use bytes::Bytes;

use crate::{change::Change, row::Row, schema::Schema};

/// An owned value. Integer width is the schema's business; Rust needs one integer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    Text(Arc<str>),
    Bytes(Bytes),
    Array(Arc<[Value]>),
    Map(Arc<[(Value, Value)]>),
    Struct(Struct),
}

/// What an encoder, a sink or a transform sees: a value wherever it is stored.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Array(&'a [Value]),
    Map(&'a [(Value, Value)]),
    Struct(StructRef<'a>),
}

/// A struct is its schema plus one of four bodies. Reading never changes the body; the first
/// [`Struct::set`] turns it into `Fields`.
#[derive(Clone, Debug)]
pub struct Struct {
    schema: Arc<Schema>,
    body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Fields(Vec<Value>),
    /// A table row, in column order.
    Row(Row),
    /// The key: some columns of a row, in key order.
    Columns(Row, Arc<[u16]>),
    /// A Debezium envelope.
    Change(Box<Change>),
}

#[derive(Clone, Copy, Debug)]
pub struct StructRef<'a> {
    pub schema: &'a Arc<Schema>,
    body: BodyRef<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum BodyRef<'a> {
    Fields(&'a [Value]),
    Row(&'a Row),
    Columns(&'a Row, &'a Arc<[u16]>),
    Change(&'a Change),
}

impl Value {
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::Int(value) => ValueRef::Int(*value),
            Value::Float32(value) => ValueRef::Float32(*value),
            Value::Float64(value) => ValueRef::Float64(*value),
            Value::Text(value) => ValueRef::Text(value),
            Value::Bytes(value) => ValueRef::Bytes(value),
            Value::Array(items) => ValueRef::Array(items),
            Value::Map(entries) => ValueRef::Map(entries),
            Value::Struct(value) => ValueRef::Struct(value.as_ref()),
        }
    }
}

impl ValueRef<'_> {
    /// Copies out one level: a struct stays packed, held by a reference count.
    pub fn to_owned(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::Int(value) => Value::Int(value),
            ValueRef::Float32(value) => Value::Float32(value),
            ValueRef::Float64(value) => Value::Float64(value),
            ValueRef::Text(value) => Value::Text(value.into()),
            ValueRef::Bytes(value) => Value::Bytes(Bytes::copy_from_slice(value)),
            ValueRef::Array(items) => Value::Array(items.into()),
            ValueRef::Map(entries) => Value::Map(entries.into()),
            ValueRef::Struct(value) => Value::Struct(value.to_owned()),
        }
    }

    pub fn is_null(self) -> bool {
        matches!(self, ValueRef::Null)
    }

    /// Equal when they read equal; a NaN equals itself, as in `java.lang.Double.equals`.
    pub fn same(self, other: ValueRef<'_>) -> bool {
        match (self, other) {
            (ValueRef::Null, ValueRef::Null) => true,
            (ValueRef::Bool(a), ValueRef::Bool(b)) => a == b,
            (ValueRef::Int(a), ValueRef::Int(b)) => a == b,
            (ValueRef::Float32(a), ValueRef::Float32(b)) => a == b || (a.is_nan() && b.is_nan()),
            (ValueRef::Float64(a), ValueRef::Float64(b)) => a == b || (a.is_nan() && b.is_nan()),
            (ValueRef::Text(a), ValueRef::Text(b)) => a == b,
            (ValueRef::Bytes(a), ValueRef::Bytes(b)) => a == b,
            (ValueRef::Array(a), ValueRef::Array(b)) => a == b,
            (ValueRef::Map(a), ValueRef::Map(b)) => a == b,
            (ValueRef::Struct(a), ValueRef::Struct(b)) => a.to_owned() == b.to_owned(),
            _ => false,
        }
    }
}

impl<'a> StructRef<'a> {
    pub(crate) fn new(schema: &'a Arc<Schema>, body: BodyRef<'a>) -> Self {
        Self { schema, body }
    }

    pub fn at(self, index: usize) -> ValueRef<'a> {
        match self.body {
            BodyRef::Fields(values) => values[index].as_ref(),
            BodyRef::Row(row) => row.get(index),
            BodyRef::Columns(row, columns) => row.get(usize::from(columns[index])),
            BodyRef::Change(change) => change.at(self.schema, index),
        }
    }

    /// The packed row this struct is, if it is one.
    pub fn packed(self) -> Option<&'a Row> {
        match self.body {
            BodyRef::Row(row) => Some(row),
            _ => None,
        }
    }

    pub fn get(self, name: &str) -> Option<ValueRef<'a>> {
        self.schema.fields().index_of(name).map(|index| self.at(index))
    }

    pub fn to_owned(self) -> Struct {
        let body = match self.body {
            BodyRef::Fields(values) => Body::Fields(values.to_vec()),
            BodyRef::Row(row) => Body::Row(row.clone()),
            BodyRef::Columns(row, columns) => Body::Columns(row.clone(), columns.clone()),
            BodyRef::Change(change) => Body::Change(Box::new(change.clone())),
        };
        Struct { schema: self.schema.clone(), body }
    }
}

impl Struct {
    pub fn new(schema: Arc<Schema>, values: Vec<Value>) -> Self {
        assert!(
            values.len() == schema.fields().len(),
            "{} values for {} fields",
            values.len(),
            schema.fields().len()
        );
        Self { schema, body: Body::Fields(values) }
    }

    /// A row may be wider than its schema: cells after those of the fields are for its key alone.
    pub fn row(schema: Arc<Schema>, row: Row) -> Self {
        assert!(
            row.width() >= schema.fields().len(),
            "{} cells for {} fields",
            row.width(),
            schema.fields().len()
        );
        Self { schema, body: Body::Row(row) }
    }

    pub fn columns(schema: Arc<Schema>, row: Row, columns: Arc<[u16]>) -> Self {
        Self { schema, body: Body::Columns(row, columns) }
    }

    pub fn change(schema: Arc<Schema>, change: Change) -> Self {
        Self { schema, body: Body::Change(Box::new(change)) }
    }

    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    pub fn as_ref(&self) -> StructRef<'_> {
        let body = match &self.body {
            Body::Fields(values) => BodyRef::Fields(values),
            Body::Row(row) => BodyRef::Row(row),
            Body::Columns(row, columns) => BodyRef::Columns(row, columns),
            Body::Change(change) => BodyRef::Change(change),
        };
        StructRef { schema: &self.schema, body }
    }

    /// Unpacks this level, so that its fields can be written.
    pub fn fields_mut(&mut self) -> &mut Vec<Value> {
        if !matches!(self.body, Body::Fields(_)) {
            let packed = self.as_ref();
            let values = (0..self.schema.fields().len()).map(|index| packed.at(index).to_owned());
            self.body = Body::Fields(values.collect());
        }
        match &mut self.body {
            Body::Fields(values) => values,
            _ => unreachable!("unpacked just above"),
        }
    }

    pub fn set(&mut self, index: usize, value: Value) {
        self.fields_mut()[index] = value;
    }

    /// Splits a change out of its envelope without unpacking it, for `ExtractNewRecordState`.
    pub fn into_change(self) -> Result<Change, Self> {
        match self.body {
            Body::Change(change) => Ok(*change),
            body => Err(Self { schema: self.schema, body }),
        }
    }
}

/// Equal when they read equal, whatever the bodies.
impl PartialEq for Struct {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.as_ref(), other.as_ref());
        self.schema == other.schema
            && (0..self.schema.fields().len())
                .all(|index| a.at(index).to_owned() == b.at(index).to_owned())
    }
}
