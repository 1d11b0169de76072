//! Request bodies. What does not parse is answered with 500, as Connect does, in the words of its
//! parser ([`super::json`]) and with the names of its classes.

use model::connector::Object;

use super::{
    Answer, Call,
    json::{Fault, Place, Reader, Token, object},
};
use crate::herder::{RawConfig, Refusal, Target};

type Read<T> = Result<T, Fault>;

const ENTITIES: &str = "org.apache.kafka.connect.runtime.rest.entities.";
const TEXTS: &str = "java.util.LinkedHashMap<java.lang.String,java.lang.String>";
const OBJECTS: &str = "java.util.LinkedHashMap<java.lang.String,java.lang.Object>";

fn wrong(message: impl Into<String>) -> Answer {
    Refusal::new(500, message).into()
}

/// What the JVM says when a body is missing or null: its own variable's name is part of it.
fn missing(call: &str, variable: &str) -> Answer {
    wrong(format!("Cannot invoke \"{call}\" because \"{variable}\" is null"))
}

/// Reads a whole body. `None` when there is none, or null.
fn whole<T>(
    call: &Call<'_>,
    bound: &str,
    read: impl FnOnce(&mut Reader<'_>, Token) -> Read<T>,
) -> Result<Option<T>, Answer> {
    call.require_reader()?;
    let text = unicode(call.body);
    let mut reader = Reader::new(&text);
    let parse = || -> Read<Option<T>> {
        let value = match reader.next()? {
            None => return Ok(None),
            Some(Token::Null) => None,
            Some(first) => Some(read(&mut reader, first)?),
        };
        match reader.next()? {
            None => Ok(value),
            Some(token) => {
                let message = format!(
                    "Trailing token (of type {}) found after value (bound as `{bound}`): not \
                     allowed as per `DeserializationFeature.FAIL_ON_TRAILING_TOKENS`",
                    token.name()
                );
                Err(Fault::new(message, reader.place()))
            }
        }
    };
    parse().map_err(|fault| wrong(fault.show()))
}

/// A body may be UTF-16, which shows in its first bytes: JSON begins with an ASCII character.
fn unicode(body: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let read = |unit: fn([u8; 2]) -> u16| {
        let units = body.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: String =
            char::decode_utf16(units).map(|char| char.unwrap_or('\u{fffd}')).collect();
        text.trim_start_matches('\u{feff}').to_owned().into_bytes()
    };
    match *body {
        [0, 1..=0xff, ..] | [0xfe, 0xff, ..] => read(u16::from_be_bytes).into(),
        [1..=0xff, 0, ..] | [0xff, 0xfe, ..] if body.len() > 2 => read(u16::from_le_bytes).into(),
        _ => body.into(),
    }
}

/// The token as it stands in a message: its kind, and its name.
fn kind(token: &Token) -> (&'static str, &'static str) {
    let kind = match token {
        Token::StartArray | Token::EndArray => "Array value",
        Token::StartObject | Token::EndObject | Token::Field(_) => "Object value",
        Token::Text(_) => "String value",
        Token::Integer(_) => "Integer value",
        Token::Float(_) => "Floating-point value",
        Token::True | Token::False => "Boolean value",
        Token::Null => "Null value",
    };
    (kind, token.name())
}

fn mismatch<T>(wanted: &str, token: &Token, place: Place) -> Read<T> {
    let (kind, name) = kind(token);
    let message = format!(
        "Cannot deserialize value of type `{wanted}` from {kind} (token `JsonToken.{name}`)"
    );
    Err(Fault::new(message, place))
}

/// A single value where an object of this class belongs.
fn no_object<T>(class: &str, token: &Token, place: Place) -> Read<T> {
    let (argument, value) = match token {
        Token::Text(text) if text.trim().is_empty() && class.starts_with(ENTITIES) => {
            let message = format!(
                "Cannot coerce empty String (\"\") to `{class}` value (but could if coercion was \
                 enabled using `CoercionConfig`)"
            );
            return Err(Fault::new(message, place));
        }
        Token::Text(text) => ("String", format!("String value ('{text}')")),
        Token::Integer(text) if text.parse::<i32>().is_ok() => {
            ("int/Int", format!("Number value ({text})"))
        }
        Token::Integer(text) if text.parse::<i64>().is_ok() => {
            ("long/Long", format!("Number value ({text})"))
        }
        Token::Integer(text) => ("BigInteger", format!("Number value ({text})")),
        Token::Float(text) => ("double/Double", format!("Number value ({text})")),
        Token::True => ("boolean/Boolean", "boolean value (true)".to_owned()),
        Token::False => ("boolean/Boolean", "boolean value (false)".to_owned()),
        other => return mismatch(class, other, place),
    };
    let message = format!(
        "Cannot construct instance of `{class}` (although at least one Creator exists): no \
         {argument}-argument constructor/factory method to deserialize from {value}"
    );
    Err(Fault::new(message, place))
}

/// What a map of this type says of something else.
fn no_map<T>(wanted: &str, token: &Token, place: Place) -> Read<T> {
    match token {
        Token::Text(text) if text.trim().is_empty() => {
            let message = "Cannot coerce empty String (\"\") to element of \
                           `java.util.LinkedHashMap` (but could if coercion was enabled using \
                           `CoercionConfig`)";
            Err(Fault::new(message, place))
        }
        Token::Text(_) => no_object("java.util.LinkedHashMap", token, place),
        other => mismatch(wanted, other, place),
    }
}

fn text(reader: &Reader<'_>, token: Token) -> Read<Option<String>> {
    match token {
        Token::Text(text) | Token::Integer(text) | Token::Float(text) => Ok(Some(text)),
        Token::True => Ok(Some("true".to_owned())),
        Token::False => Ok(Some("false".to_owned())),
        Token::Null => Ok(None),
        other => mismatch("java.lang.String", &other, reader.place()),
    }
}

/// A flat map of texts. Numbers and booleans are taken as they are written.
fn texts(reader: &mut Reader<'_>, first: Token) -> Read<RawConfig> {
    if first != Token::StartObject {
        return no_map(TEXTS, &first, reader.place());
    }
    let mut entries = Vec::new();
    while let Some(Token::Field(name)) = reader.next()? {
        let Some(token) = reader.next()? else { break };
        let step = || format!("java.util.LinkedHashMap[\"{name}\"]");
        let value = text(reader, token).map_err(|fault| fault.under(step()))?;
        entries.push((name, value));
    }
    Ok(entries.into_iter().collect())
}

/// Goes through an object of one of Connect's classes; faults within a field are told with its name.
fn fields(
    reader: &mut Reader<'_>,
    first: &Token,
    class: &str,
    known: &[&str],
    mut take: impl FnMut(&mut Reader<'_>, &str, Token) -> Read<()>,
) -> Read<()> {
    let class = format!("{ENTITIES}{class}");
    if *first != Token::StartObject {
        return match first {
            Token::StartArray => mismatch(&class, first, reader.place()),
            _ => no_object(&class, first, reader.place()),
        };
    }
    let mut odd: Option<String> = None;
    while let Some(Token::Field(name)) = reader.next()? {
        let step = || format!("{class}[\"{name}\"]");
        let known_here = known.contains(&name.as_str());
        let token = reader.next().map_err(|fault| match fault.within_text && known_here {
            true => fault.under(step()),
            false => fault,
        })?;
        let Some(token) = token else { break };
        if known_here {
            take(reader, &name, token).map_err(|fault| fault.under(step()))?;
        } else {
            reader.skip(&token)?;
            odd.get_or_insert(name);
        }
    }
    let Some(name) = odd else { return Ok(()) };
    let listed: Vec<String> = known.iter().map(|name| format!("\"{name}\"")).collect();
    let listed = match listed.as_slice() {
        [one] => format!("one known property: {one}"),
        more => format!("{} known properties: {}", more.len(), more.join(", ")),
    };
    let message = format!(
        "Unrecognized field \"{name}\" (class {class}), not marked as ignorable ({listed})"
    );
    Err(Fault::new(message, reader.behind()).under(format!("{class}[\"{name}\"]")))
}

/// A configuration in the body; the JVM's variable that would be null without one.
pub(super) fn config(call: &Call<'_>) -> Result<Option<RawConfig>, Answer> {
    whole(call, "java.util.Map", texts)
}

/// The same, where there must be one.
pub(super) fn some_config(call: &Call<'_>) -> Result<RawConfig, Answer> {
    config(call)?.ok_or_else(no_config)
}

fn no_config() -> Answer {
    missing("java.util.Map.get(Object)", "connectorConfig")
}

/// The body of `POST /connectors`.
pub(super) struct Create {
    pub(super) name: String,
    pub(super) config: RawConfig,
    pub(super) initial: Option<Target>,
}

pub(super) fn create(call: &Call<'_>) -> Result<Create, Answer> {
    const CLASS: &str = "CreateConnectorRequest";
    let bound = format!("{ENTITIES}{CLASS}");
    let read = |reader: &mut Reader<'_>, first: Token| {
        let (mut name, mut config, mut initial) = (None, None, None);
        let known = ["config", "name", "initial_state"];
        fields(reader, &first, CLASS, &known, |reader, field, token| {
            match (field, token) {
                ("name", token) => name = text(reader, token)?,
                ("config", Token::Null) => config = None,
                ("config", token) => config = Some(texts(reader, token)?),
                (_, Token::Null) => initial = None,
                (_, token) => initial = Some(initial_state(reader, token)?),
            }
            Ok(())
        })?;
        Ok((name, config, initial))
    };
    let Some((name, config, initial)) = whole(call, &bound, read)? else {
        return Err(missing(&format!("{bound}.name()"), "createRequest"));
    };
    let name = name.unwrap_or_default();
    // Java's `trim` takes off every control character.
    let name = name.trim_matches(|char| char <= ' ').to_owned();
    Ok(Create { name, config: config.ok_or_else(no_config)?, initial })
}

fn initial_state(reader: &Reader<'_>, token: Token) -> Read<Target> {
    let class = format!("{ENTITIES}CreateConnectorRequest");
    if token == Token::StartObject {
        return mismatch(&format!("{class}$InitialState"), &token, reader.place());
    }
    if token == Token::StartArray {
        let (kind, name) = kind(&token);
        let message = format!(
            "Input mismatch reading Enum `{class}$InitialState`: properties-based `@JsonCreator` \
             ([method {class}$InitialState#forValue(java.lang.String)]) expects String Value, got \
             {kind} (`JsonToken.{name}`)"
        );
        return Err(Fault::new(message, reader.place()));
    }
    let given = text(reader, token)?.unwrap_or_default().to_uppercase();
    match given.as_str() {
        "RUNNING" => Ok(Target::Running),
        "PAUSED" => Ok(Target::Paused),
        "STOPPED" => Ok(Target::Stopped),
        _ => {
            let message = format!(
                "Cannot construct instance of `{class}$InitialState`, problem: No enum constant \
                 {class}.InitialState.{given}"
            );
            Err(Fault::new(message, reader.place()))
        }
    }
}

/// The level in the body of `PUT /admin/loggers/{name}`.
pub(super) fn level(call: &Call<'_>) -> Result<String, Answer> {
    let Some(map) = config(call)? else {
        return Err(missing("java.util.Map.get(Object)", "levelMap"));
    };
    match map.get("level") {
        Some(level) => Ok(level.to_owned()),
        None => {
            let text = "Desired 'level' parameter was not specified in request.";
            Err(Refusal::new(400, text).into())
        }
    }
}

/// The body of `POST /connectors/{name}/tasks`; `None` when there is a null where a configuration
/// belongs.
pub(super) fn tasks(call: &Call<'_>) -> Result<Option<Vec<RawConfig>>, Answer> {
    let bound = "java.util.ArrayList<java.util.Map<java.lang.String,java.lang.String>>";
    let text = unicode(call.body);
    let mut reader = Reader::new(&text);
    let mut parse = || match reader.next()? {
        // The one body that is read without a parser of web requests around it.
        None => Err(Fault::new("No content to map due to end-of-input", Place::NOWHERE)),
        Some(Token::Null) => Ok(None),
        Some(Token::StartArray) => task_list(&mut reader),
        Some(other) => mismatch(bound, &other, reader.place()),
    };
    parse().map_err(|fault| wrong(fault.show()))
}

fn task_list(reader: &mut Reader<'_>) -> Read<Option<Vec<RawConfig>>> {
    let mut tasks = Vec::new();
    while let Some(token) = reader.next()? {
        tasks.push(match token {
            Token::EndArray => break,
            Token::Null => None,
            token => {
                let step = format!("java.util.ArrayList[{}]", tasks.len());
                Some(texts(reader, token).map_err(|fault| fault.under(step))?)
            }
        });
    }
    Ok(tasks.into_iter().collect())
}

/// A partition with its offset, either of which may be null.
pub(super) type OffsetChange = (Option<Object>, Option<Object>);

/// The body of `PATCH /connectors/{name}/offsets`.
pub(super) fn offsets(call: &Call<'_>) -> Result<Vec<OffsetChange>, Answer> {
    const CLASS: &str = "ConnectorOffsets";
    let bound = format!("{ENTITIES}{CLASS}");
    let read = |reader: &mut Reader<'_>, first: Token| {
        let mut offsets = Vec::new();
        fields(reader, &first, CLASS, &["offsets"], |reader, _, token| {
            offsets = match token {
                Token::Null => Vec::new(),
                token => offset_list(reader, &token)?,
            };
            Ok(())
        })?;
        Ok(offsets)
    };
    let Some(offsets) = whole(call, &bound, read)? else {
        return Err(missing(&format!("{bound}.offsets()"), "offsets"));
    };
    if offsets.is_empty() {
        let text = "Partitions / offsets need to be provided for an alter offsets request";
        return Err(Refusal::new(400, text).into());
    }
    let missing = || missing(&format!("{ENTITIES}ConnectorOffset.partition()"), "offset");
    offsets.into_iter().map(|offset| offset.ok_or_else(missing)).collect()
}

fn offset_list(reader: &mut Reader<'_>, first: &Token) -> Read<Vec<Option<OffsetChange>>> {
    const CLASS: &str = "ConnectorOffset";
    if *first != Token::StartArray {
        let list = format!("java.util.ArrayList<{ENTITIES}{CLASS}>");
        return mismatch(&list, first, reader.place());
    }
    let mut list = Vec::new();
    while let Some(token) = reader.next()? {
        let step = || format!("java.util.ArrayList[{}]", list.len());
        let item = match token {
            Token::EndArray => break,
            Token::Null => None,
            token => {
                let (mut partition, mut offset) = (None, None);
                let known = ["partition", "offset"];
                fields(reader, &token, CLASS, &known, |reader, field, token| {
                    let read = match token {
                        Token::Null => None,
                        Token::StartObject => Some(object(reader)?),
                        other => return no_map(OBJECTS, &other, reader.place()),
                    };
                    match field {
                        "partition" => partition = read,
                        _ => offset = read,
                    }
                    Ok(())
                })
                .map_err(|fault| fault.under(step()))?;
                Some((partition, offset))
            }
        };
        list.push(item);
    }
    Ok(list)
}
