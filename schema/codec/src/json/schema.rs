//! A schema from Connect's JSON.

use std::sync::Arc;

use model::{
    schema::{Field, Kind, Schema},
    value::Value,
};

use super::{
    decode::{self, Nulls},
    number,
    parse::Json,
};

/// Schemas are walked by recursion, here and wherever they are used.
const MAX_DEPTH: usize = 200;

/// `None` for JSON's null. An error is Connect's message.
pub(crate) fn read(json: &Json<'_>, nulls: Nulls) -> Result<Option<Arc<Schema>>, String> {
    read_at(json, nulls, 0)
}

fn read_at(json: &Json<'_>, nulls: Nulls, depth: usize) -> Result<Option<Arc<Schema>>, String> {
    if depth > MAX_DEPTH {
        return Err(format!(
            "Riverrun reads schemas nested up to {MAX_DEPTH} levels; this is more"
        ));
    }
    let read = |json: &Json<'_>| read_at(json, nulls, depth + 1);
    if *json == Json::Null {
        return Ok(None);
    }
    let field = |name: &str| match json {
        Json::Object(object) => object.get(name),
        _ => None,
    };
    let Some(Json::Text(name)) = field("type") else {
        return Err("Schema must contain 'type' field".to_owned());
    };
    let kind = match name.as_ref() {
        "boolean" => Kind::Boolean,
        "int8" => Kind::Int8,
        "int16" => Kind::Int16,
        "int32" => Kind::Int32,
        "int64" => Kind::Int64,
        "float" => Kind::Float32,
        "double" => Kind::Float64,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        "array" => {
            let items = field("items").map(read).transpose()?.flatten();
            Kind::Array(items.ok_or("Array schema did not specify the element type")?)
        }
        "map" => {
            let keys = field("keys").ok_or("Map schema did not specify the key type")?;
            let values = field("values").ok_or("Map schema did not specify the value type")?;
            let (keys, values) = (read(keys)?, read(values)?);
            Kind::Map(
                keys.ok_or("keySchema cannot be null.")?,
                values.ok_or("valueSchema cannot be null.")?,
            )
        }
        "struct" => {
            let Some(Json::Array(fields)) = field("fields") else {
                return Err("Struct schema's \"fields\" argument is not an array.".to_owned());
            };
            read_fields(fields, read)?
        }
        other => return Err(format!("Unknown schema type: {other}")),
    };
    let text = |name: &str| match field(name) {
        Some(Json::Text(text)) => Some(Arc::from(text.as_ref())),
        _ => None,
    };
    let mut schema = Schema::new(kind);
    schema.optional = field("optional") == Some(&Json::Bool(true));
    schema.name = text("name");
    if let Some(version @ Json::Integer(_)) = field("version") {
        schema.version = Some(number::to_i64(version) as i32);
    }
    schema.doc = text("doc");
    if let Some(Json::Object(parameters)) = field("parameters") {
        for (key, value) in parameters.iter() {
            let Json::Text(value) = value else {
                return Err("Schema parameters must have string values.".to_owned());
            };
            schema.parameters.push((key.as_ref().into(), value.as_ref().into()));
        }
    }
    let schema = Arc::new(schema);
    match field("default") {
        None => Ok(Some(schema)),
        Some(default) => {
            let value = decode::with_schema(&schema, Some(default), nulls)?;
            // The struct has the schema without the default, and so is no value of the schema with
            // it: Connect cannot have a struct for a default.
            if let Value::Struct(_) = value {
                return Err("Invalid default value".to_owned());
            }
            decode::check_nulls(&schema, &value, &|| "value".to_owned())
                .map_err(|_| "Invalid default value")?;
            let mut schema = Arc::unwrap_or_clone(schema);
            schema.default = (!value.as_ref().is_null()).then_some(value);
            Ok(Some(Arc::new(schema)))
        }
    }
}

fn read_fields(
    list: &[Json<'_>],
    read: impl Fn(&Json<'_>) -> Result<Option<Arc<Schema>>, String>,
) -> Result<Kind, String> {
    let mut fields: Vec<Field> = Vec::with_capacity(list.len());
    for item in list {
        let name = match item {
            Json::Object(object) => object.get("field"),
            _ => None,
        };
        let Some(Json::Text(name)) = name else {
            return Err("Struct schema's field name not specified properly".to_owned());
        };
        let schema = read(item)?.ok_or("Schema must contain 'type' field")?;
        if name.is_empty() {
            return Err("fieldName cannot be null.".to_owned());
        }
        fields.push(Field { name: name.as_ref().into(), schema });
    }
    let mut names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("Cannot create field because of field name duplication {}", twice[0]));
    }
    if fields.len() > usize::from(u16::MAX) {
        return Err(format!("a struct of {} fields is more than Riverrun holds", fields.len()));
    }
    Ok(Kind::Struct(fields.into_iter().collect()))
}
