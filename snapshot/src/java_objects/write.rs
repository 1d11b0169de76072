//! `ObjectOutputStream`, for the classes of keys.

use std::collections::HashMap;

use num_bigint::Sign;

use super::Object;

/// What begins each thing in the stream.
pub(super) mod tag {
    pub(crate) const NULL: u8 = 0x70;
    pub(crate) const REFERENCE: u8 = 0x71;
    pub(crate) const CLASS: u8 = 0x72;
    pub(crate) const OBJECT: u8 = 0x73;
    pub(crate) const STRING: u8 = 0x74;
    pub(crate) const ARRAY: u8 = 0x75;
    pub(crate) const BLOCK: u8 = 0x77;
    pub(crate) const END: u8 = 0x78;
    pub(crate) const LONG_BLOCK: u8 = 0x7a;
    pub(crate) const LONG_STRING: u8 = 0x7c;
    pub(crate) const ENUM: u8 = 0x7e;
}

/// The number of the first thing that is numbered.
pub(super) const FIRST_HANDLE: u32 = 0x007e_0000;

/// A class as the stream describes it.
struct Class {
    name: &'static str,
    /// Its `serialVersionUID`.
    uid: u64,
    /// 2 for fields alone, 3 when its `writeObject` adds to them.
    flags: u8,
    /// The type's letter, the name, and the class where the letter is `L` or `[`.
    fields: &'static [(u8, &'static str, &'static str)],
    parent: Option<&'static Class>,
}

const fn class(
    name: &'static str,
    uid: u64,
    fields: &'static [(u8, &'static str, &'static str)],
    parent: Option<&'static Class>,
) -> Class {
    Class { name, uid, flags: 2, fields, parent }
}

const fn boxed(
    name: &'static str,
    uid: u64,
    fields: &'static [(u8, &'static str, &'static str)],
) -> Class {
    class(name, uid, fields, Some(&NUMBER))
}

static OBJECTS: Class = class("[Ljava.lang.Object;", 0x90ce_589f_1073_296c, &[], None);
static BYTES: Class = class("[B", 0xacf3_17f8_0608_54e0, &[], None);
static NUMBER: Class = class("java.lang.Number", 0x86ac_951d_0b94_e08b, &[], None);
static BOOLEAN: Class =
    class("java.lang.Boolean", 0xcd20_7280_d59c_faee, &[(b'Z', "value", "")], None);
static BYTE: Class = boxed("java.lang.Byte", 0x9c4e_6084_ee50_f51c, &[(b'B', "value", "")]);
static SHORT: Class = boxed("java.lang.Short", 0x684d_3713_3460_da52, &[(b'S', "value", "")]);
static INTEGER: Class = boxed("java.lang.Integer", 0x12e2_a0a4_f781_8738, &[(b'I', "value", "")]);
static LONG: Class = boxed("java.lang.Long", 0x3b8b_e490_cc8f_23df, &[(b'J', "value", "")]);
static FLOAT: Class = boxed("java.lang.Float", 0xdaed_c9a2_db3c_f0ec, &[(b'F', "value", "")]);
static DOUBLE: Class = boxed("java.lang.Double", 0x80b3_c24a_296b_fb04, &[(b'D', "value", "")]);
static BIG_INTEGER: Class = Class {
    flags: 3,
    ..boxed(
        "java.math.BigInteger",
        0x8cfc_9f1f_a93b_fb1d,
        &[
            (b'I', "bitCount", ""),
            (b'I', "bitLength", ""),
            (b'I', "firstNonzeroByteNum", ""),
            (b'I', "lowestSetBit", ""),
            (b'I', "signum", ""),
            (b'[', "magnitude", "[B"),
        ],
    )
};
static BIG_DECIMAL: Class = Class {
    flags: 3,
    ..boxed(
        "java.math.BigDecimal",
        0x54c7_1557_f981_284f,
        &[(b'I', "scale", ""), (b'L', "intVal", "Ljava/math/BigInteger;")],
    )
};
static UUID: Class = class(
    "java.util.UUID",
    0xbc99_03f7_986d_852f,
    &[(b'J', "leastSigBits", ""), (b'J', "mostSigBits", "")],
    None,
);
static UTIL_DATE: Class =
    Class { flags: 3, ..class("java.util.Date", 0x686a_8101_4b59_7419, &[], None) };
static SQL_DATE: Class = class("java.sql.Date", 0x14fa_4668_3f35_6697, &[], Some(&UTIL_DATE));
static TIMESTAMP: Class =
    class("java.sql.Timestamp", 0x2618_d5c8_0153_bf65, &[(b'I', "nanos", "")], Some(&UTIL_DATE));
static PG_OBJECT: Class = class(
    "org.postgresql.util.PGobject",
    0x4bf8_95ca_ac6f_6444,
    &[(b'L', "type", "Ljava/lang/String;"), (b'L', "value", "Ljava/lang/String;")],
    None,
);

/// The bytes of a key, or of `null`.
pub fn encode(key: Option<&[Object]>) -> Vec<u8> {
    let mut writer = Writer { out: vec![0xac, 0xed, 0, 5], names: HashMap::new(), handles: 0 };
    match key {
        None => writer.out.push(tag::NULL),
        Some(key) => {
            writer.array(&OBJECTS, key.len());
            key.iter().for_each(|object| writer.object(object));
        }
    }
    writer.out
}

struct Writer {
    out: Vec<u8>,
    /// The numbers of classes and field types that were written.
    names: HashMap<(&'static str, Named), u32>,
    handles: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Named {
    Class,
    FieldType,
}

impl Writer {
    fn handle(&mut self) -> u32 {
        let handle = FIRST_HANDLE + self.handles;
        self.handles += 1;
        handle
    }

    fn array(&mut self, class: &'static Class, length: usize) {
        self.out.push(tag::ARRAY);
        self.class(Some(class));
        self.handle();
        self.int(i32::try_from(length).unwrap_or(i32::MAX));
    }

    /// Begins an object; its fields follow.
    fn begin(&mut self, class: &'static Class) {
        self.out.push(tag::OBJECT);
        self.class(Some(class));
        self.handle();
    }

    fn class(&mut self, class: Option<&'static Class>) {
        let Some(class) = class else { return self.out.push(tag::NULL) };
        if self.reference(class.name, Named::Class) {
            return;
        }
        self.out.push(tag::CLASS);
        self.utf(class.name);
        self.out.extend(class.uid.to_be_bytes());
        let handle = self.handle();
        self.names.insert((class.name, Named::Class), handle);
        self.out.push(class.flags);
        self.out.extend(u16::try_from(class.fields.len()).unwrap_or_default().to_be_bytes());
        for (letter, name, of) in class.fields {
            self.out.push(*letter);
            self.utf(name);
            if matches!(letter, b'L' | b'[') && !self.reference(of, Named::FieldType) {
                let handle = self.handle();
                self.names.insert((of, Named::FieldType), handle);
                self.out.push(tag::STRING);
                self.utf(of);
            }
        }
        self.out.push(tag::END);
        self.class(class.parent);
    }

    /// Writes the number of what was written before; false when it was not.
    fn reference(&mut self, name: &'static str, named: Named) -> bool {
        let Some(handle) = self.names.get(&(name, named)) else { return false };
        self.out.push(tag::REFERENCE);
        self.out.extend(handle.to_be_bytes());
        true
    }

    fn utf(&mut self, ascii: &str) {
        self.out.extend(u16::try_from(ascii.len()).unwrap_or_default().to_be_bytes());
        self.out.extend(ascii.as_bytes());
    }

    fn int(&mut self, value: i32) {
        self.out.extend(value.to_be_bytes());
    }

    fn long(&mut self, value: u64) {
        self.out.extend(value.to_be_bytes());
    }

    fn string(&mut self, text: &str) {
        self.handle();
        let bytes = modified_utf8(text);
        match u16::try_from(bytes.len()) {
            Ok(length) => {
                self.out.push(tag::STRING);
                self.out.extend(length.to_be_bytes());
            }
            Err(_) => {
                self.out.push(tag::LONG_STRING);
                self.long(bytes.len() as u64);
            }
        }
        self.out.extend(bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.array(&BYTES, bytes.len());
        self.out.extend(bytes);
    }

    fn big_integer(&mut self, value: &num_bigint::BigInt) {
        self.begin(&BIG_INTEGER);
        // What is computed anew when it is read: so Java writes it.
        [-1, -1, -2, -2].into_iter().for_each(|unknown| self.int(unknown));
        let (sign, magnitude) = value.to_bytes_be();
        self.int(match sign {
            Sign::Minus => -1,
            Sign::NoSign => 0,
            Sign::Plus => 1,
        });
        self.bytes(if sign == Sign::NoSign { &[] } else { &magnitude });
        self.out.push(tag::END);
    }

    /// What `java.util.Date` adds.
    fn moment(&mut self, millis: i64) {
        self.out.extend([tag::BLOCK, 8]);
        self.long(millis.cast_unsigned());
        self.out.push(tag::END);
    }

    fn object(&mut self, object: &Object) {
        match object {
            Object::Null => self.out.push(tag::NULL),
            Object::Boolean(value) => {
                self.begin(&BOOLEAN);
                self.out.push(u8::from(*value));
            }
            Object::Byte(value) => {
                self.begin(&BYTE);
                self.out.extend(value.to_be_bytes());
            }
            Object::Short(value) => {
                self.begin(&SHORT);
                self.out.extend(value.to_be_bytes());
            }
            Object::Integer(value) => {
                self.begin(&INTEGER);
                self.int(*value);
            }
            Object::Long(value) => {
                self.begin(&LONG);
                self.long(value.cast_unsigned());
            }
            Object::Float(value) => {
                self.begin(&FLOAT);
                self.out.extend(value.to_be_bytes());
            }
            Object::Double(value) => {
                self.begin(&DOUBLE);
                self.out.extend(value.to_be_bytes());
            }
            Object::String(text) => self.string(text),
            Object::Bytes(bytes) => self.bytes(bytes),
            Object::BigInteger(value) => self.big_integer(value),
            Object::BigDecimal { unscaled, scale } => {
                self.begin(&BIG_DECIMAL);
                self.int(*scale);
                self.big_integer(unscaled);
                self.out.push(tag::END);
            }
            Object::Uuid(value) => {
                self.begin(&UUID);
                let bytes = value.to_be_bytes();
                let (most, least) = bytes.split_at(8);
                self.out.extend(least);
                self.out.extend(most);
            }
            Object::Date(millis) => {
                self.begin(&SQL_DATE);
                self.moment(*millis);
            }
            Object::Timestamp { millis, nanos } => {
                self.begin(&TIMESTAMP);
                self.moment(*millis);
                self.int(*nanos);
            }
            Object::PgObject { type_name, value } => {
                self.begin(&PG_OBJECT);
                self.string(type_name);
                match value {
                    Some(value) => self.string(value),
                    None => self.out.push(tag::NULL),
                }
            }
        }
    }
}

/// Java's form of text in streams: a zero in two bytes, each half of a pair of surrogates in three.
fn modified_utf8(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        let low = |shift: u16| 0x80 | (unit >> shift & 0x3f) as u8;
        match unit {
            0x01..=0x7f => out.push(unit as u8),
            0 | 0x80..=0x7ff => out.extend([0xc0 | (unit >> 6) as u8, low(0)]),
            _ => out.extend([0xe0 | (unit >> 12) as u8, low(6), low(0)]),
        }
    }
    out
}
