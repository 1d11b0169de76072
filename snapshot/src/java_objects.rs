//! Keys as Debezium keeps them in offsets: a Java `Object[]` in the bytes of `ObjectOutputStream`, as
//! hexadecimal digits.
//!
//! What a JVM wrote is read by [`decode`], whatever classes it holds; what [`encode`] writes a JVM
//! reads. The classes are those that JDBC drivers hand out for columns of a key. Byte for byte equal
//! to recordings of Debezium 3.7 but for one thing: an object that occurs twice is written twice, where
//! the JVM refers to the first.
//!
//! ```text
//! ac ed 00 05                    magic, version
//! 75 72 <class> 78 70 <count>    an array: its class, the end of its annotations, no superclass
//!   73 72 <class> 78 <super> …   an object: its class, its superclasses, then the fields of each
//! ```
//!
//! Classes, field types and objects are numbered as they come; one that comes again is named by its
//! number (`71 007e00nn`).

mod stream;
mod write;

use std::fmt;

use num_bigint::BigInt;

pub use stream::decode;
pub use write::encode;

/// A value of a key, as its class in Java is named.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Null,
    Boolean(bool),
    Byte(i8),
    Short(i16),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
    BigInteger(BigInt),
    BigDecimal {
        unscaled: BigInt,
        scale: i32,
    },
    /// Most significant half first.
    Uuid(u128),
    /// `java.sql.Date`: milliseconds since the epoch of a midnight in the JVM's time zone.
    Date(i64),
    /// `java.sql.Timestamp`: milliseconds since the epoch, and the nanoseconds of its second.
    Timestamp {
        millis: i64,
        nanos: i32,
    },
    /// `org.postgresql.util.PGobject`: a value in its text form, of a type that has no class in Java.
    PgObject {
        type_name: String,
        value: Option<String>,
    },
}

/// Why bytes are no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKey(pub(crate) String);

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoKey {}

/// `null` or a key as lower-case digits, as offsets have it.
pub fn to_hexadecimal(key: Option<&[Object]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    encode(key).iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Reads what [`to_hexadecimal`] or Debezium wrote.
///
/// # Errors
///
/// When it is not that, and when it holds an object of a class that is no key's.
pub fn from_hexadecimal(text: &str) -> Result<Option<Vec<Object>>, NoKey> {
    let no_digits = || NoKey("the text is not made of pairs of hexadecimal digits".to_owned());
    if !text.len().is_multiple_of(2) {
        return Err(no_digits());
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    decode(&bytes.ok_or_else(no_digits)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of an object after those of its array, and the object.
    type Case = (&'static str, fn() -> Object);

    /// Recorded from Debezium 3.7, in the offsets of tables with one key column each.
    const RECORDED: [Case; 9] = [
        (
            "737200116a6176612e6c616e672e496e746567657212e2a0a4f781873802000149000576616c7565787200106a6176612e6c616e672e4e756d62657286ac951d0b94e08b020000787000000005",
            || Object::Integer(5),
        ),
        (
            "7372000e6a6176612e6c616e672e4c6f6e673b8be490cc8f23df0200014a000576616c7565787200106a6176612e6c616e672e4e756d62657286ac951d0b94e08b02000078700000000ba43b7400",
            || Object::Long(50_000_000_000),
        ),
        (
            "737200146a6176612e6d6174682e426967446563696d616c54c71557f981284f0300024900057363616c654c0006696e7456616c7400164c6a6176612f6d6174682f426967496e74656765723b787200106a6176612e6c616e672e4e756d62657286ac951d0b94e08b020000787000000002737200146a6176612e6d6174682e426967496e74656765728cfc9f1fa93bfb1d030006490008626974436f756e744900096269744c656e67746849001366697273744e6f6e7a65726f427974654e756d49000c6c6f776573745365744269744900067369676e756d5b00096d61676e69747564657400025b427871007e0004fffffffffffffffffffffffefffffffe00000001757200025b42acf317f8060854e002000078700000000202ee7878",
            || Object::BigDecimal { unscaled: BigInt::from(750), scale: 2 },
        ),
        ("7400066b27c3a95c35", || Object::String("k'é\\5".to_owned())),
        (
            "7372000e6a6176612e7574696c2e55554944bc9903f7986d852f0200024a000c6c65617374536967426974734a000b6d6f737453696742697473787028308fd9f2a7baf3eccbc87e4b5ce2fe",
            || Object::Uuid(0xeccb_c87e_4b5c_e2fe_2830_8fd9_f2a7_baf3),
        ),
        (
            "737200116a6176612e6c616e672e426f6f6c65616ecd207280d59cfaee0200015a000576616c7565787001",
            || Object::Boolean(true),
        ),
        (
            "7372000d6a6176612e73716c2e4461746514fa46683f3566970200007872000e6a6176612e7574696c2e44617465686a81014b597419030000787077080000018d7690880078",
            || Object::Date(1_707_091_200_000),
        ),
        (
            "7372001c6f72672e706f737467726573716c2e7574696c2e50476f626a6563744bf895caac6f64440200024c0004747970657400124c6a6176612f6c616e672f537472696e673b4c000576616c756571007e00037870740004696e657474000831302e302e302e35",
            || Object::PgObject { type_name: "inet".into(), value: Some("10.0.0.5".into()) },
        ),
        ("70", || Object::Null),
    ];

    const ARRAY_OF_ONE: &str =
        "aced0005757200135b4c6a6176612e6c616e672e4f626a6563743b90ce589f1073296c020000787000000001";

    #[test]
    fn recorded_keys_round_trip() {
        for (digits, object) in RECORDED {
            let (recorded, key) = (format!("{ARRAY_OF_ONE}{digits}"), vec![object()]);
            assert_eq!(from_hexadecimal(&recorded), Ok(Some(key.clone())), "{digits}");
            assert_eq!(to_hexadecimal(Some(&key)), recorded);
        }
        assert_eq!(from_hexadecimal("aced000570"), Ok(None));
        assert_eq!(to_hexadecimal(None), "aced000570");
    }

    /// Classes that come again are named by their numbers.
    #[test]
    fn many_objects_of_few_classes_round_trip() {
        let key = vec![
            Object::Integer(1),
            Object::Long(-2),
            Object::Integer(3),
            Object::BigDecimal { unscaled: BigInt::from(-129), scale: 0 },
            Object::BigDecimal { unscaled: BigInt::from(0), scale: -3 },
            Object::BigInteger(BigInt::from(i64::MIN) * 7),
            Object::Bytes(vec![0, 255]),
            Object::Bytes(Vec::new()),
            Object::Null,
            Object::String("\u{0}a\u{10348}é".to_owned()),
            Object::String("x".repeat(70_000)),
            Object::Short(-5),
            Object::Byte(7),
            Object::Float(1.5),
            Object::Double(-0.1),
            Object::Boolean(false),
            Object::Date(-1),
            Object::Timestamp { millis: -1_000, nanos: 5 },
            Object::Uuid(1),
            Object::PgObject { type_name: "xid8".into(), value: None },
            Object::PgObject { type_name: "inet".into(), value: Some("::1".into()) },
        ];
        assert_eq!(decode(&encode(Some(&key))), Ok(Some(key)));
    }

    /// As a JVM writes `{1, 1}` of cached Integers: the second is the first again.
    #[test]
    fn an_object_that_occurs_again_is_found() {
        let one = RECORDED[0].0;
        let recorded = format!(
            "aced0005757200135b4c6a6176612e6c616e672e4f626a6563743b90ce589f1073296c020000787000000002{one}71007e0004"
        );
        let key = vec![Object::Integer(5), Object::Integer(5)];
        assert_eq!(from_hexadecimal(&recorded), Ok(Some(key)));
    }

    #[test]
    fn what_is_no_key_is_an_error() {
        for text in ["", "a", "zz", "aced0005", "aced000575", "00000000", "aced000571007e0000"] {
            assert!(from_hexadecimal(text).is_err(), "{text}");
        }
        // An ArrayList of no elements.
        let list = "aced0005737200136a6176612e7574696c2e41727261794c6973747881d21d99c7619d03000149000473697a6578700000000077040000000078";
        assert!(from_hexadecimal(list).is_err());
    }

    /// Cut, and changed in one byte, wherever that may be.
    #[test]
    fn damaged_keys_never_panic() {
        for (digits, _) in RECORDED {
            let text = format!("{ARRAY_OF_ONE}{digits}");
            let Ok(Some(key)) = from_hexadecimal(&text) else { panic!("{digits}") };
            let whole = encode(Some(&key));
            for at in 0..whole.len() {
                assert!(decode(&whole[..at]).is_err(), "cut at {at}: {digits}");
                for change in [0x01, 0x7f, 0x80, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= change;
                    let _may_be_either = decode(&bytes).is_ok();
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn bytes_of_any_kind_never_panic(bytes: Vec<u8>) {
            let _may_be_either = decode(&bytes).is_ok();
            let mut stream = vec![0xac, 0xed, 0, 5];
            stream.extend(bytes);
            let _may_be_either = decode(&stream).is_ok();
        }

        /// Bytes that mean something to the decoder, in any order.
        #[test]
        fn well_meant_streams_never_panic(parts: Vec<(u8, u16)>) {
            let mut stream = vec![0xac, 0xed, 0, 5];
            for (kind, number) in parts {
                stream.push(0x70 + kind % 0x10);
                match kind % 4 {
                    0 => stream.extend([0, 0x7e, 0, (number & 15) as u8]),
                    1 => stream.extend(number.to_be_bytes()),
                    2 => stream.extend(b"\x00\x01a\0\0\0\0\0\0\0\0\x02\0\0"),
                    _ => {}
                }
            }
            let _may_be_either = decode(&stream).is_ok();
        }

        #[test]
        fn numbers_round_trip(unscaled: i128, scale: i32, text: String, bytes: Vec<u8>, id: u128) {
            let key = vec![
                Object::BigDecimal { unscaled: BigInt::from(unscaled), scale },
                Object::String(text),
                Object::Bytes(bytes),
                Object::Uuid(id),
            ];
            proptest::prop_assert_eq!(decode(&encode(Some(&key))), Ok(Some(key)));
        }
    }
}
