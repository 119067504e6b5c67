//! Address prefixes, `[!]FAMILY:ADDRESS/PREFIX` (RFC 3123).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Refusal;
use super::read::{Words, digits};
use super::write::Writing;

/// The families that have a text form (RFC 3123 §4.1 and §4.2).
const IPV4: u16 = 1;
const IPV6: u16 = 2;
/// Says that the prefix is excepted.
const NEGATION: u8 = 0x80;

pub(super) fn read(words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Refusal> {
    while words.peek().is_some() {
        wire.extend(words.parsed(item, "a prefix such as `1:192.0.2.0/24`")?);
    }
    Ok(())
}

fn item(text: &str) -> Option<Vec<u8>> {
    let plain = text.strip_prefix('!');
    let negation = if plain.is_some() { NEGATION } else { 0 };
    let (family, rest) = plain.unwrap_or(text).split_once(':')?;
    let (address, prefix) = rest.split_once('/')?;
    let family = u16::try_from(digits(family)?).ok()?;
    let address = match family {
        IPV4 => address.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        IPV6 => address.parse::<Ipv6Addr>().ok()?.octets().to_vec(),
        _ => return None,
    };
    let prefix = digits(prefix).filter(|prefix| *prefix <= 8 * address.len() as u64)?;
    // Zeros at the end are left out (RFC 3123 §4).
    let length = address.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let [high, low] = family.to_be_bytes();
    Some([&[high, low, prefix as u8, negation | length as u8], &address[..length]].concat())
}

pub(super) fn write(writing: &mut Writing<'_>) -> Option<()> {
    while !writing.is_at_end() {
        let (family, prefix, length) = (writing.u16()?, writing.u8()?, writing.u8()?);
        let kept = writing.take(usize::from(length & !NEGATION))?;
        let negation = if length & NEGATION != 0 { "!" } else { "" };
        if matches!(family, IPV4 | IPV6) && kept.last() == Some(&0) {
            return None;
        }
        match family {
            IPV4 => {
                let address = Ipv4Addr::from(padded::<4>(kept, prefix)?);
                writing.word(format_args!("{negation}{family}:{address}/{prefix}"))?;
            }
            IPV6 => {
                let address = Ipv6Addr::from(padded::<16>(kept, prefix)?);
                writing.word(format_args!("{negation}{family}:{address}/{prefix}"))?;
            }
            _ => writing.note_unknown(),
        }
    }
    Some(())
}

/// A whole address; `None` if it or the prefix is too long.
fn padded<const N: usize>(kept: &[u8], prefix: u8) -> Option<[u8; N]> {
    let mut address = [0; N];
    address.get_mut(..kept.len())?.copy_from_slice(kept);
    (usize::from(prefix) <= 8 * N).then_some(address)
}
