//! PostgreSQL's geometric types as Debezium's structs over little-endian WKB.
//!
//! Shapes, rings and the map `extensions` were recorded from Debezium 3.7 (test case
//! `pg_types_default`).

use std::sync::Arc;

use bytes::Bytes;
use model::{
    schema::{Kind, Schema},
    value::{Struct, Value},
};

use super::{BadValue, bad};

/// `io.debezium.data.geometry.Geometry` in its second version, which has the map `extensions`.
pub(crate) fn geometry() -> Schema {
    let string = || Arc::new(Schema::new(Kind::String));
    let extensions = Schema::new(Kind::Map(string(), string())).optional();
    Schema::structure([
        ("wkb", Arc::new(Schema::new(Kind::Bytes))),
        ("srid", Arc::new(Schema::new(Kind::Int32).optional())),
        ("extensions", Arc::new(extensions)),
    ])
    .named("io.debezium.data.geometry.Geometry", 2)
    .doc("Geometry")
}

pub(crate) fn line() -> Schema {
    let field = || Arc::new(Schema::new(Kind::Float64));
    Schema::structure([("a", field()), ("b", field()), ("c", field())])
        .named("io.debezium.data.geometry.Line", 1)
        .doc("Geometry (LINE)")
}

pub(crate) fn circle(point: &Arc<Schema>) -> Schema {
    Schema::structure([("center", point.clone()), ("radius", Arc::new(Schema::new(Kind::Float64)))])
        .named("io.debezium.data.geometry.Circle", 1)
        .doc("Geometry (CIRCLE)")
}

type Xy = (f64, f64);

/// All numbers of a text, whatever brackets are around them.
fn numbers(text: &str) -> Result<Vec<f64>, BadValue> {
    let is_bracket = |c: char| matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',');
    text.split(is_bracket)
        .filter(|part| !part.is_empty())
        .map(|part| match part {
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            "NaN" => Ok(f64::NAN),
            part => part.parse().or(bad("coordinates")),
        })
        .collect()
}

fn points(text: &str) -> Result<Vec<Xy>, BadValue> {
    let numbers = numbers(text)?;
    if numbers.len() % 2 != 0 {
        return bad("pairs of coordinates");
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn wkb(kind: u32, rings: Option<u32>, points: &[Xy]) -> Bytes {
    let mut out = Vec::with_capacity(13 + points.len() * 16);
    out.push(1); // Little-endian.
    out.extend(kind.to_le_bytes());
    if let Some(rings) = rings {
        out.extend(rings.to_le_bytes());
    }
    if kind != POINT {
        out.extend((points.len() as u32).to_le_bytes());
    }
    for (x, y) in points {
        out.extend(x.to_le_bytes());
        out.extend(y.to_le_bytes());
    }
    out.into()
}

const POINT: u32 = 1;
const LINE_STRING: u32 = 2;
const POLYGON: u32 = 3;

fn shape(schema: &Arc<Schema>, wkb: Bytes, extensions: &[(&str, &str)]) -> Value {
    let text = |text: &str| Value::Text(text.into());
    let entries = extensions.iter().map(|(key, value)| (text(key), text(value)));
    let fields = vec![Value::Bytes(wkb), Value::Null, Value::Map(entries.collect())];
    Value::Struct(Struct::new(schema.clone(), fields))
}

pub(crate) fn point_value(schema: &Arc<Schema>, (x, y): Xy) -> Value {
    let fields = vec![
        Value::Float64(x),
        Value::Float64(y),
        Value::Bytes(wkb(POINT, None, &[(x, y)])),
        Value::Null,
    ];
    Value::Struct(Struct::new(schema.clone(), fields))
}

pub(crate) fn parse_point(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    match points(text)?.as_slice() {
        [point] => Ok(point_value(schema, *point)),
        _ => bad("a point as (x,y)"),
    }
}

/// `(x1,y1),(x2,y2)`: the upper right and the lower left corner.
pub(crate) fn parse_box(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    match points(text)?.as_slice() {
        [(x1, y1), (x2, y2)] => {
            let ring = [(*x1, *y1), (*x1, *y2), (*x2, *y2), (*x2, *y1), (*x1, *y1)];
            Ok(shape(schema, wkb(POLYGON, Some(1), &ring), &[("type", "box")]))
        }
        _ => bad("a box as (x1,y1),(x2,y2)"),
    }
}

pub(crate) fn parse_lseg(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    match points(text)?.as_slice() {
        ends @ [_, _] => Ok(shape(schema, wkb(LINE_STRING, None, ends), &[("type", "lseg")])),
        _ => bad("a line segment as [(x1,y1),(x2,y2)]"),
    }
}

pub(crate) fn parse_path(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    let closed = if text.starts_with('(') { "true" } else { "false" };
    let line = wkb(LINE_STRING, None, &points(text)?);
    Ok(shape(schema, line, &[("type", "path"), ("closed", closed)]))
}

/// Stands for a missing path; it does not say whether it is closed.
pub(crate) fn path_fallback(schema: &Arc<Schema>) -> Value {
    shape(schema, wkb(LINE_STRING, None, &[(0.0, 0.0), (1.0, 0.0)]), &[("type", "path")])
}

/// The ring of a polygon is closed by its first point.
pub(crate) fn parse_polygon(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    let mut ring = points(text)?;
    if let (Some(first), Some(last)) = (ring.first().copied(), ring.last())
        && first != *last
    {
        ring.push(first);
    }
    Ok(shape(schema, wkb(POLYGON, Some(1), &ring), &[("type", "polygon")]))
}

pub(crate) fn line_value(schema: &Arc<Schema>, numbers: [f64; 3]) -> Value {
    let fields = numbers.iter().map(|number| Value::Float64(*number));
    Value::Struct(Struct::new(schema.clone(), fields.collect()))
}

pub(crate) fn parse_line(schema: &Arc<Schema>, text: &str) -> Result<Value, BadValue> {
    match numbers(text)?.as_slice() {
        [a, b, c] => Ok(line_value(schema, [*a, *b, *c])),
        _ => bad("a line as {a,b,c}"),
    }
}

pub(crate) fn circle_value(
    circle: &Arc<Schema>,
    point: &Arc<Schema>,
    center: Xy,
    radius: f64,
) -> Value {
    let fields = vec![point_value(point, center), Value::Float64(radius)];
    Value::Struct(Struct::new(circle.clone(), fields))
}

pub(crate) fn parse_circle(
    circle: &Arc<Schema>,
    point: &Arc<Schema>,
    text: &str,
) -> Result<Value, BadValue> {
    match numbers(text)?.as_slice() {
        [x, y, radius] => Ok(circle_value(circle, point, (*x, *y), *radius)),
        _ => bad("a circle as <(x,y),radius>"),
    }
}
