//! Geometric types.

use super::{
    super::{BadValue, bad},
    fields::Fields,
    float::push_float64,
};

/// Numbers with commas between them.
fn push_numbers<const N: usize>(fields: &mut Fields<'_>, out: &mut String) -> Result<(), BadValue> {
    for index in 0..N {
        if index > 0 {
            out.push(',');
        }
        push_float64(out, fields.f64()?);
    }
    Ok(())
}

/// So many points with commas between them.
fn push_points(fields: &mut Fields<'_>, count: usize, out: &mut String) -> Result<(), BadValue> {
    for index in 0..count {
        if index > 0 {
            out.push(',');
        }
        out.push('(');
        push_numbers::<2>(fields, out)?;
        out.push(')');
    }
    Ok(())
}

pub(super) fn point(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    let mut fields = Fields::new(field, "16 bytes of a point");
    push_points(&mut fields, 1, out)?;
    fields.end()
}

/// `box_send`: the upper right and the lower left corner.
pub(super) fn corners(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    let mut fields = Fields::new(field, "32 bytes of a box");
    push_points(&mut fields, 2, out)?;
    fields.end()
}

pub(super) fn segment(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    let mut fields = Fields::new(field, "32 bytes of a line segment");
    out.push('[');
    push_points(&mut fields, 2, out)?;
    out.push(']');
    fields.end()
}

/// `path_send`: whether it is closed, how many points, the points.
pub(super) fn path(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "a path in the form of path_send";
    let mut fields = Fields::new(field, EXPECTED);
    let (open, close) = match fields.array()? {
        [0] => ('[', ']'),
        [1] => ('(', ')'),
        [_] => return bad(EXPECTED),
    };
    let count = fields.count()?;
    out.push(open);
    push_points(&mut fields, count, out)?;
    out.push(close);
    fields.end()
}

/// `poly_send`: how many points, the points.
pub(super) fn polygon(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    let mut fields = Fields::new(field, "a polygon in the form of poly_send");
    let count = fields.count()?;
    out.push('(');
    push_points(&mut fields, count, out)?;
    out.push(')');
    fields.end()
}

pub(super) fn line(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    let mut fields = Fields::new(field, "24 bytes of a line");
    out.push('{');
    push_numbers::<3>(&mut fields, out)?;
    out.push('}');
    fields.end()
}

/// `circle_send`: the center, the radius.
pub(super) fn circle(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    let mut fields = Fields::new(field, "24 bytes of a circle");
    out.push('<');
    push_points(&mut fields, 1, out)?;
    out.push(',');
    push_numbers::<1>(&mut fields, out)?;
    out.push('>');
    fields.end()
}
