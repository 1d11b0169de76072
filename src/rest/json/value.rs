//! Values of any kind, as a tree.

use model::connector::Object;
use serde_json::Value;

use super::{Read, Reader, Token};

/// What has been read of an array or an object, and under which name its next value goes.
enum Open {
    Array(Vec<Value>),
    Object(Object, String),
}

/// The rest of an object, of any values. Depth costs no stack: a body may be as deep as it likes.
pub(in crate::rest) fn object(reader: &mut Reader<'_>) -> Read<Object> {
    let mut outer: Vec<Open> = Vec::new();
    let mut open = Open::Object(Object::new(), String::new());
    while let Some(token) = reader.next()? {
        let value = match (token, &mut open) {
            (Token::Field(name), Open::Object(_, next)) => {
                *next = name;
                continue;
            }
            (Token::StartObject, _) => {
                let inner = Open::Object(Object::new(), String::new());
                outer.push(std::mem::replace(&mut open, inner));
                continue;
            }
            (Token::StartArray, _) => {
                outer.push(std::mem::replace(&mut open, Open::Array(Vec::new())));
                continue;
            }
            (Token::EndObject | Token::EndArray, _) => {
                let Some(around) = outer.pop() else { break };
                match std::mem::replace(&mut open, around) {
                    Open::Array(items) => Value::Array(items),
                    Open::Object(object, _) => Value::Object(object),
                }
            }
            (token, _) => scalar(token),
        };
        match &mut open {
            Open::Array(items) => items.push(value),
            Open::Object(object, next) => drop(object.insert(std::mem::take(next), value)),
        }
    }
    match open {
        Open::Object(object, _) => Ok(object),
        Open::Array(_) => Ok(Object::new()),
    }
}

fn scalar(token: Token) -> Value {
    match token {
        Token::Text(text) => Value::String(text),
        // As written: what is made of it is the connector's affair.
        Token::Integer(text) => serde_json::from_str(&text).unwrap_or(Value::Null),
        // Java reads a double.
        Token::Float(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
        Token::True => Value::Bool(true),
        Token::False => Value::Bool(false),
        _ => Value::Null,
    }
}
