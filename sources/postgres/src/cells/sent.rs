//! How the stream has the values of a column in binary form (`binary=true` in `slot.stream.params`).
//!
//! Numbers, times and bytes are decoded from that form, as in a COPY. What has no decoder of its own
//! is printed as the server prints it ([`super::printed`]), and then goes where its text goes. So
//! whatever the modes say, both forms end in the same cell.

use model::value::Value;

use super::{
    BadValue, Cell, Decode, Phase, Scratch, bad,
    printed::{Form, fields::Fields},
    text::whole,
};
use crate::types::{TypeKind, Types};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// As in a COPY without a cast.
    Plain,
    /// To be printed first.
    Printed(Form),
    /// The elements' own form after the bounds of the array (`array_send`).
    Array(Box<Sent>),
    /// In a form that is not read, because it says too little or nobody needs it.
    Unread,
}

impl Sent {
    /// `decode` is what reads the type's text.
    pub(crate) fn of(types: &Types, oid: u32, decode: &Decode) -> Self {
        let Some(info) = types.get(&oid) else { return Self::Unread };
        match (&info.kind, info.array_of) {
            (TypeKind::Domain { base, .. }, _) => Self::of(types, *base, decode),
            // In text they are no arrays.
            (_, Some(_)) if matches!(info.name.as_str(), "int2vector" | "oidvector") => {
                Self::Unread
            }
            (_, Some(element)) => {
                let of_element = match decode {
                    Decode::Array(decode) | Decode::ArrayOfRequired(decode) => {
                        Self::of(types, element, decode)
                    }
                    decode => Self::of(types, element, decode),
                };
                match of_element {
                    Self::Plain | Self::Printed(_) if !sent_as_text(&info.name) => {
                        Self::Array(Box::new(of_element))
                    }
                    _ => Self::Unread,
                }
            }
            (TypeKind::Enum { .. }, _) => Self::Printed(Form::Text),
            // Its form has no sign, so it is not the integer that the column is read as.
            _ if info.name == "oid" => Self::Printed(Form::Unsigned),
            _ if decode.comes_binary() => Self::Plain,
            (TypeKind::Money { digits }, _) => Self::Printed(Form::Money { digits: *digits }),
            _ => Form::of(&info.name).map_or(Self::Unread, Self::Printed),
        }
    }

    /// The cell of a value in binary form; `scratch.printed` is not used.
    pub(crate) fn decode<'a>(
        &self,
        decode: &Decode,
        field: &'a [u8],
        phase: Phase,
        printed: &'a mut String,
        scratch: &'a mut Scratch,
    ) -> Result<Cell<'a>, BadValue> {
        match self {
            _ if *decode == Decode::AlwaysNull => Ok(Cell::Null),
            Self::Plain => decode.copied(field, phase, scratch),
            Self::Printed(form) => decode.text(form.text(field, printed)?, phase, scratch),
            Self::Array(element) => match decode {
                Decode::Array(decode) => {
                    array(element, decode, field, printed, scratch).map(Cell::Nested)
                }
                Decode::ArrayOfRequired(decode) => {
                    whole(array(element, decode, field, printed, scratch)?).map(Cell::Nested)
                }
                _ => bad("a type that is not an array"),
            },
            Self::Unread => bad("a type that is read in binary form"),
        }
    }
}

/// Types of the extension `isn` have no binary form: alone they come as text all the same, and their
/// arrays make the server fail.
fn sent_as_text(array: &str) -> bool {
    matches!(array, "_isbn")
}

/// `array_send`: number of dimensions, whether there are nulls, the elements' type, length and lower
/// bound of each dimension, then the elements with their lengths.
fn array(
    sent: &Sent,
    decode: &Decode,
    field: &[u8],
    printed: &mut String,
    scratch: &mut Scratch,
) -> Result<Value, BadValue> {
    const EXPECTED: &str = "an array in the form of array_send";
    let mut fields = Fields::new(field, EXPECTED);
    let dimensions = fields.i32()?;
    let _flags_and_type = fields.take(8)?;
    match dimensions {
        0 => return Ok(Value::Array([].into())),
        1 => {}
        // As of text: of a second dimension Debezium makes one null for each row.
        2..=6 if matches!(decode, Decode::Int) => {
            let (rows, _lower) = (fields.i32()?, fields.i32()?);
            // More rows than there are bytes can't be.
            let rows = usize::try_from(rows).ok().filter(|rows| *rows <= field.len());
            let rows = rows.ok_or(BadValue { expected: EXPECTED })?;
            return Ok(Value::Array(std::iter::repeat_n(Value::Null, rows).collect()));
        }
        2..=6 => return bad("an array of one dimension"),
        _ => return bad(EXPECTED),
    }
    let (count, _lower) = (fields.i32()?, fields.i32()?);
    let mut items = Vec::new();
    while let Some(element) = fields.next_sized()? {
        items.push(match element {
            None => Value::Null,
            // The JDBC driver reads arrays, in streams too.
            Some(element) => {
                sent.decode(decode, element, Phase::Snapshot, printed, scratch)?.into_value()
            }
        });
    }
    if i32::try_from(items.len()) != Ok(count) {
        return bad(EXPECTED);
    }
    Ok(Value::Array(items.into()))
}
