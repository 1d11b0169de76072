//! `ObjectInputStream`, for bytes of any origin: it makes no objects, allocates no more than the bytes
//! account for, and gives up where they are nested deeply.

use num_bigint::{BigInt, Sign};

use super::{NoKey, Object, write::FIRST_HANDLE, write::tag};

/// Deeper than any class of a key; a chain of classes counts too.
const DEPTH_MAX: usize = 32;

/// How much may come from references in all, in bytes, or things where they have none: a few bytes can
/// refer to much.
const REFERRED_MAX: usize = 1 << 20;

/// Reads the key in `bytes`; `None` is `null`.
///
/// # Errors
///
/// When the bytes are no such stream, and when they hold an object of a class that is no key's.
pub fn decode(bytes: &[u8]) -> Result<Option<Vec<Object>>, NoKey> {
    let mut reader = Reader { rest: bytes, handles: Vec::new(), depth: 0, referred: 0 };
    if reader.take(4)? != [0xac, 0xed, 0, 5] {
        return Err(NoKey("it is no stream of Java objects".to_owned()));
    }
    let key = reader.thing()?;
    if !reader.rest.is_empty() {
        return Err(NoKey(format!("{} bytes follow the key", reader.rest.len())));
    }
    match key {
        Thing::Null => Ok(None),
        Thing::Array(things) => things.into_iter().map(object).collect::<Result<_, _>>().map(Some),
        _ => Err(NoKey("it is no array of objects".to_owned())),
    }
}

/// What is in the stream.
#[derive(Clone, Debug)]
enum Thing {
    Null,
    Text(String),
    Bytes(Vec<u8>),
    Array(Vec<Thing>),
    Object(Vec<Part>),
    Class(Option<usize>),
    /// Being read: nothing may refer to it yet.
    Unfinished,
    /// Primitive values of a field, as big-endian bits.
    Bits(u64),
}

/// What one class in the line of an object's classes has of it.
#[derive(Clone, Debug)]
struct Part {
    class: String,
    fields: Vec<(String, Thing)>,
    block: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Class {
    name: String,
    flags: u8,
    /// Letter and name.
    fields: Vec<(u8, String)>,
    parent: Option<usize>,
}

/// Things by their numbers.
enum Handle {
    Class(Class),
    Thing(Thing),
}

struct Reader<'b> {
    rest: &'b [u8],
    handles: Vec<Handle>,
    depth: usize,
    referred: usize,
}

impl Thing {
    fn weight(&self) -> usize {
        match self {
            Thing::Text(text) => 1 + text.len(),
            Thing::Bytes(bytes) => 1 + bytes.len(),
            Thing::Array(things) => 1 + things.iter().map(Thing::weight).sum::<usize>(),
            Thing::Object(parts) => {
                let field = |(name, thing): &(String, Thing)| name.len() + thing.weight();
                let part = |part: &Part| {
                    let fields: usize = part.fields.iter().map(field).sum();
                    1 + part.class.len() + part.block.len() + fields
                };
                1 + parts.iter().map(part).sum::<usize>()
            }
            _ => 1,
        }
    }
}

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], NoKey> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| NoKey("the stream of Java objects is cut off".to_owned()))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of up to eight bytes.
    fn bits(&mut self, count: usize) -> Result<u64, NoKey> {
        Ok(self.take(count)?.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    fn count(&mut self, bytes: usize) -> Result<usize, NoKey> {
        let count = self.bits(bytes)?;
        usize::try_from(count).map_err(|_| NoKey("a length is out of bounds".to_owned()))
    }

    fn utf(&mut self, length_bytes: usize) -> Result<String, NoKey> {
        let length = self.count(length_bytes)?;
        from_modified_utf8(self.take(length)?)
    }

    fn new_handle(&mut self, handle: Handle) -> usize {
        self.handles.push(handle);
        self.handles.len() - 1
    }

    fn settle(&mut self, handle: usize, thing: &Thing) {
        if let Some(place) = self.handles.get_mut(handle) {
            *place = Handle::Thing(thing.clone());
        }
    }

    fn thing(&mut self) -> Result<Thing, NoKey> {
        let tag = self.bits(1)?;
        self.tagged(tag as u8)
    }

    fn tagged(&mut self, tag: u8) -> Result<Thing, NoKey> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(NoKey("objects are nested too deeply".to_owned()));
        }
        let thing = match tag {
            tag::NULL => Thing::Null,
            tag::REFERENCE => self.reference()?,
            tag::CLASS => Thing::Class(Some(self.described()?)),
            tag::STRING | tag::LONG_STRING => {
                let text = Thing::Text(self.utf(if tag == tag::STRING { 2 } else { 8 })?);
                self.new_handle(Handle::Thing(text.clone()));
                text
            }
            tag::ARRAY => self.array()?,
            tag::OBJECT => self.object()?,
            tag::ENUM => return Err(NoKey("it holds a constant of a Java enum".to_owned())),
            other => return Err(NoKey(format!("byte {other:#04x} begins no Java object"))),
        };
        self.depth -= 1;
        Ok(thing)
    }

    fn reference(&mut self) -> Result<Thing, NoKey> {
        let unknown = || NoKey("it refers to an object that is not there".to_owned());
        let handle = self.bits(4)?.checked_sub(u64::from(FIRST_HANDLE)).ok_or_else(unknown)?;
        let index = usize::try_from(handle).map_err(|_| unknown())?;
        match self.handles.get(index).ok_or_else(unknown)? {
            Handle::Class(_) => Ok(Thing::Class(Some(index))),
            Handle::Thing(Thing::Unfinished) => {
                Err(NoKey("it holds an object that holds itself".to_owned()))
            }
            Handle::Thing(thing) => {
                self.referred += thing.weight();
                if self.referred > REFERRED_MAX {
                    return Err(NoKey("it refers to too much".to_owned()));
                }
                Ok(thing.clone())
            }
        }
    }

    /// A class; `None` where there is no more superclass.
    fn class(&mut self) -> Result<Option<usize>, NoKey> {
        match self.thing()? {
            Thing::Null => Ok(None),
            Thing::Class(class) => Ok(class),
            _ => Err(NoKey("an object has no class".to_owned())),
        }
    }

    fn described(&mut self) -> Result<usize, NoKey> {
        let name = self.utf(2)?;
        self.take(8)?;
        let class = Class { name, flags: 0, fields: Vec::new(), parent: None };
        let handle = self.new_handle(Handle::Class(class));
        let flags = self.bits(1)? as u8;
        let mut fields = Vec::new();
        for _ in 0..self.count(2)? {
            let letter = self.bits(1)? as u8;
            let name = self.utf(2)?;
            if matches!(letter, b'L' | b'[') && !matches!(self.thing()?, Thing::Text(_)) {
                return Err(NoKey(format!("the type of field {name} is not named")));
            }
            fields.push((letter, name));
        }
        self.annotations()?;
        let parent = self.class()?;
        if let Some(Handle::Class(class)) = self.handles.get_mut(handle) {
            (class.flags, class.fields, class.parent) = (flags, fields, parent);
        }
        Ok(handle)
    }

    /// What is written beside fields, up to its end; of that the bytes.
    fn annotations(&mut self) -> Result<Vec<u8>, NoKey> {
        let mut bytes = Vec::new();
        loop {
            match self.bits(1)? as u8 {
                tag::END => return Ok(bytes),
                tag::BLOCK => {
                    let length = self.count(1)?;
                    bytes.extend(self.take(length)?);
                }
                tag::LONG_BLOCK => {
                    let length = self.count(4)?;
                    bytes.extend(self.take(length)?);
                }
                other => drop(self.tagged(other)?),
            }
        }
    }

    fn array(&mut self) -> Result<Thing, NoKey> {
        let class = self.class()?;
        let name = match class.and_then(|class| self.handles.get(class)) {
            Some(Handle::Class(class)) => class.name.clone(),
            _ => return Err(NoKey("an array has no class".to_owned())),
        };
        let handle = self.new_handle(Handle::Thing(Thing::Unfinished));
        let count = self.count(4)?;
        let array = match name.as_str() {
            "[B" => Thing::Bytes(self.take(count)?.to_vec()),
            name if name.starts_with("[L") => {
                // An element takes a byte at least.
                if count > self.rest.len() {
                    return Err(NoKey("the stream of Java objects is cut off".to_owned()));
                }
                let things: Result<Vec<Thing>, NoKey> = (0..count).map(|_| self.thing()).collect();
                Thing::Array(things?)
            }
            other => return Err(NoKey(format!("it holds an array of class {other}"))),
        };
        self.settle(handle, &array);
        Ok(array)
    }

    fn object(&mut self) -> Result<Thing, NoKey> {
        let mut line = Vec::new();
        let mut next = self.class()?;
        while let Some(handle) = next {
            let Some(Handle::Class(class)) = self.handles.get(handle) else {
                return Err(NoKey("an object has no class".to_owned()));
            };
            next = class.parent;
            line.push(class.clone());
            if line.len() > DEPTH_MAX {
                return Err(NoKey("a class has too many superclasses".to_owned()));
            }
        }
        let handle = self.new_handle(Handle::Thing(Thing::Unfinished));
        let mut parts = Vec::new();
        // The fields of the topmost class come first.
        for class in line.into_iter().rev() {
            let mut fields = Vec::new();
            for (letter, name) in class.fields {
                let thing = match letter {
                    b'B' | b'Z' => Thing::Bits(self.bits(1)?),
                    b'C' | b'S' => Thing::Bits(self.bits(2)?),
                    b'I' | b'F' => Thing::Bits(self.bits(4)?),
                    b'J' | b'D' => Thing::Bits(self.bits(8)?),
                    b'L' | b'[' => self.thing()?,
                    _ => return Err(NoKey(format!("field {name} is of no type"))),
                };
                fields.push((name, thing));
            }
            // SC_WRITE_METHOD; an Externalizable has its bytes in blocks too.
            let block = if class.flags & 5 != 0 { self.annotations()? } else { Vec::new() };
            parts.push(Part { class: class.name, fields, block });
        }
        let object = Thing::Object(parts);
        self.settle(handle, &object);
        Ok(object)
    }
}

/// The value of a key that a thing is.
fn object(thing: Thing) -> Result<Object, NoKey> {
    match thing {
        Thing::Null => Ok(Object::Null),
        Thing::Text(text) => Ok(Object::String(text)),
        Thing::Bytes(bytes) => Ok(Object::Bytes(bytes)),
        Thing::Object(parts) => of_class(&parts),
        _ => Err(NoKey("it holds what is no value of a key".to_owned())),
    }
}

fn of_class(parts: &[Part]) -> Result<Object, NoKey> {
    let Some(own) = parts.last() else { return Err(NoKey("an object has no class".to_owned())) };
    let missing = |field: &str| NoKey(format!("an object of class {} lacks {field}", own.class));
    let field = |name: &str| {
        let found = parts.iter().flat_map(|part| &part.fields).find(|(field, _)| field == name);
        found.map(|(_, thing)| thing).ok_or_else(|| missing(name))
    };
    let bits = |name: &str| match field(name)? {
        Thing::Bits(bits) => Ok(*bits),
        _ => Err(missing(name)),
    };
    let millis = || {
        let date = parts.iter().find(|part| part.class == "java.util.Date");
        let block = date.and_then(|part| part.block.get(..8)).ok_or_else(|| missing("its time"))?;
        Ok(block.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte)).cast_signed())
    };
    let text = |name: &str| match field(name)? {
        Thing::Text(text) => Ok(Some(text.clone())),
        Thing::Null => Ok(None),
        _ => Err(missing(name)),
    };
    // Each is as wide as its field, so no conversion below loses anything.
    let int = |name: &str| bits(name).map(|bits| (bits as u32).cast_signed());
    Ok(match own.class.as_str() {
        "java.lang.Boolean" => Object::Boolean(bits("value")? != 0),
        "java.lang.Byte" => Object::Byte((bits("value")? as u8).cast_signed()),
        "java.lang.Short" => Object::Short((bits("value")? as u16).cast_signed()),
        "java.lang.Integer" => Object::Integer(int("value")?),
        "java.lang.Long" => Object::Long(bits("value")?.cast_signed()),
        "java.lang.Float" => Object::Float(f32::from_bits(bits("value")? as u32)),
        "java.lang.Double" => Object::Double(f64::from_bits(bits("value")?)),
        "java.math.BigInteger" => {
            Object::BigInteger(big_integer(int("signum")?, field("magnitude")?)?)
        }
        "java.math.BigDecimal" => {
            let unscaled = match field("intVal")? {
                Thing::Object(parts) => of_class(parts)?,
                _ => return Err(missing("intVal")),
            };
            let Object::BigInteger(unscaled) = unscaled else { return Err(missing("intVal")) };
            Object::BigDecimal { unscaled, scale: int("scale")? }
        }
        "java.util.UUID" => {
            let (most, least) = (bits("mostSigBits")?, bits("leastSigBits")?);
            Object::Uuid(u128::from(most) << 64 | u128::from(least))
        }
        "java.sql.Date" => Object::Date(millis()?),
        "java.sql.Timestamp" => Object::Timestamp { millis: millis()?, nanos: int("nanos")? },
        name if parts.iter().any(|part| part.class == "org.postgresql.util.PGobject") => {
            Object::PgObject {
                type_name: text("type")?.ok_or_else(|| NoKey(format!("a {name} has no type")))?,
                value: text("value")?,
            }
        }
        other => return Err(NoKey(format!("it holds an object of class {other}"))),
    })
}

fn big_integer(sign: i32, magnitude: &Thing) -> Result<BigInt, NoKey> {
    let Thing::Bytes(bytes) = magnitude else {
        return Err(NoKey("a BigInteger has no magnitude".to_owned()));
    };
    let sign = match sign {
        -1 => Sign::Minus,
        0 => Sign::NoSign,
        _ => Sign::Plus,
    };
    Ok(BigInt::from_bytes_be(sign, bytes))
}

fn from_modified_utf8(bytes: &[u8]) -> Result<String, NoKey> {
    let broken = || NoKey("a text is not in the form of Java".to_owned());
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        let low = |at: usize| match after.get(at) {
            Some(byte) if byte & 0xc0 == 0x80 => Ok(u16::from(byte & 0x3f)),
            _ => Err(broken()),
        };
        let (unit, more) = match first {
            0x00..=0x7f => (u16::from(first), 0),
            0xc0..=0xdf => (u16::from(first & 0x1f) << 6 | low(0)?, 1),
            0xe0..=0xef => (u16::from(first & 0x0f) << 12 | low(0)? << 6 | low(1)?, 2),
            _ => return Err(broken()),
        };
        units.push(unit);
        rest = after.get(more..).ok_or_else(broken)?;
    }
    String::from_utf16(&units).map_err(|_| broken())
}
