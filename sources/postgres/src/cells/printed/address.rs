//! Addresses of networks.

use std::fmt::Write;

use super::{
    super::{BadValue, bad},
    fields::Fields,
    push,
};

const TAKEN: &str = "a string takes all";

/// `inet_send`: family, bits of the mask, whether it is a network, then the address with its length.
pub(super) fn address(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    const EXPECTED: &str = "an address in the form of inet_send";
    let mut fields = Fields::new(field, EXPECTED);
    let [family, mask, network, length] = fields.array()?;
    let all = match (family, length) {
        (2, 4) => {
            push_version4(out, fields.array()?);
            32
        }
        (3, 16) => {
            push_version6(out, fields.array()?);
            128
        }
        _ => return bad(EXPECTED),
    };
    // A network shows its mask always, an address when it has one.
    if network != 0 || mask != all {
        out.push('/');
        push(out, mask);
    }
    if mask > all {
        return bad(EXPECTED);
    }
    fields.end()
}

fn push_version4(out: &mut String, bytes: [u8; 4]) {
    for (index, byte) in bytes.into_iter().enumerate() {
        if index > 0 {
            out.push('.');
        }
        push(out, byte);
    }
}

/// As `inet_net_ntop` does it: the first of the longest runs of zeros is left out, and an address that
/// has one of version 4 in it ends as that one.
fn push_version6(out: &mut String, bytes: [u8; 16]) {
    let mut words = [0u16; 8];
    for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
        *word = u16::from_be_bytes([pair[0], pair[1]]);
    }
    let (mut best, mut run) = (0..0, 0..0);
    for (index, word) in words.iter().enumerate() {
        if *word == 0 {
            run = if run.end == index && !run.is_empty() {
                run.start..index + 1
            } else {
                index..index + 1
            };
            if run.len() > best.len() {
                best = run.clone();
            }
        }
    }
    if best.len() < 2 {
        best = 8..8;
    }
    let version4 = best.start == 0 && (best.len() == 6 || (best.len() == 5 && words[5] == 0xffff));
    for (index, word) in words.iter().enumerate() {
        if best.contains(&index) {
            if index == best.start {
                out.push(':');
            }
            continue;
        }
        if index > 0 {
            out.push(':');
        }
        if version4 && index == 6 {
            let [.., a, b, c, d] = bytes;
            push_version4(out, [a, b, c, d]);
            return;
        }
        write!(out, "{word:x}").expect(TAKEN);
    }
    if !best.is_empty() && best.end == 8 {
        out.push(':');
    }
}

/// `macaddr_send`, `macaddr8_send`: six or eight bytes.
pub(super) fn hardware(field: &[u8], out: &mut String) -> Result<(), BadValue> {
    if !matches!(field.len(), 6 | 8) {
        return bad("6 or 8 bytes of a hardware address");
    }
    for (index, byte) in field.iter().enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        write!(out, "{colon}{byte:02x}").expect(TAKEN);
    }
    Ok(())
}
