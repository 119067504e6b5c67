//! Which types a name has, as NSEC, NSEC3 and CSYNC list them (RFC 4034 §4.1.2).

use std::collections::BTreeSet;

use super::Refusal;
use super::read::Words;
use super::write::Writing;
use crate::wire::types::Rtype;

/// The longest bitmap of one block: 256 types.
const BLOCK_MAX: usize = 32;

pub(super) fn read(words: &mut Words<'_>, wire: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut types = BTreeSet::new();
    while words.peek().is_some() {
        types.insert(words.rtype()?.0);
    }
    let types: Vec<u16> = types.into_iter().collect();
    for block in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; BLOCK_MAX];
        for rtype in block {
            bits[usize::from(rtype & 0xff) / 8] |= 0x80 >> (rtype % 8);
        }
        let length = bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        wire.extend([(block[0] >> 8) as u8, length as u8]);
        wire.extend_from_slice(&bits[..length]);
    }
    Ok(())
}

pub(super) fn write(writing: &mut Writing<'_>) -> Option<()> {
    let mut above = None;
    while !writing.is_at_end() {
        let (block, length) = (writing.u8()?, usize::from(writing.u8()?));
        let bits = writing.take(length)?;
        let is_well_formed = above < Some(block)
            && (1..=BLOCK_MAX).contains(&length)
            && bits.last().is_some_and(|last| *last != 0);
        is_well_formed.then_some(())?;
        above = Some(block);
        for low in 0..8 * length {
            if bits[low / 8] & (0x80 >> (low % 8)) != 0 {
                writing.word(Rtype(u16::from(block) << 8 | low as u16))?;
            }
        }
    }
    Some(())
}
