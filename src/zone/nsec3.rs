//! NSEC3: names stand in the chain as hashes, in hash order (RFC 5155).
//!
//! What a name of the zone proves is found when the zone is built, so that an answer hashes one
//! name at most: the one that was asked for and is not there. Must not know which proofs an
//! answer needs; [`super::denial`] does.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

use super::rrset::{NONE, Rrset};
/// More than this is refused: unbound, BIND and Knot Resolver treat such zones as insecure or
/// bogus (RFC 9276 §3.2). A name costs at most 51 hashes of a digest and a salt of 255 bytes, five
/// blocks each: 20 µs.
pub(super) const ITERATIONS_MAX: u16 = 50;

/// The one hash there is (RFC 5155 §11).
const SHA_1: u8 = 1;

/// The bit of an NSEC3's flags (RFC 5155 §3.1.2.1).
const OPT_OUT: u8 = 1;

/// 20 bytes of hash, five bits a letter.
const LABEL_LEN: usize = SHA1_OUTPUT_LEN * 8 / 5;

/// The first label of an NSEC3 record's owner, in wire form: a length and a hash in base32hex,
/// whose letters sort as the hashes do (RFC 4648 §7).
pub(super) type Label = [u8; 1 + LABEL_LEN];

/// How names are hashed (RFC 5155 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    pub iterations: u16,
    pub salt: Box<[u8]>,
}

impl Parameters {
    /// From the rdata of an NSEC3PARAM, or the front of an NSEC3's; and what is behind them. None
    /// for another hash than SHA-1.
    pub(super) fn read(rdata: &[u8]) -> Option<(Self, &[u8])> {
        let ([hash, _flags, i0, i1, salt_len], rest) = rdata.split_first_chunk()?;
        let (salt, rest) = rest.split_at_checked(usize::from(*salt_len))?;
        let iterations = u16::from_be_bytes([*i0, *i1]);
        (*hash == SHA_1).then(|| (Parameters { iterations, salt: salt.into() }, rest))
    }

    /// The label under which the name made of `parts`, lower-case wire form, stands in the chain (RFC 5155 §5).
    pub(super) fn label(&self, parts: &[&[u8]]) -> Label {
        let mut hashing = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        parts.iter().for_each(|part| hashing.update(part));
        hashing.update(&self.salt);
        let mut digest = hashing.finish();
        for _ in 0..self.iterations {
            let mut hashing = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
            hashing.update(digest.as_ref());
            hashing.update(&self.salt);
            digest = hashing.finish();
        }
        label_of(digest.as_ref())
    }
}

/// A hash as a label.
pub(super) fn label_of(hash: &[u8]) -> Label {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut label = [0; 1 + LABEL_LEN];
    label[0] = LABEL_LEN as u8;
    for (letters, bytes) in label[1..].chunks_exact_mut(8).zip(hash.chunks_exact(5)) {
        let bits = bytes.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for (place, letter) in letters.iter_mut().enumerate() {
            *letter = LETTERS[(bits >> (35 - 5 * place)) as usize & 31];
        }
    }
    label
}

/// One NSEC3 record of the chain.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// Its owner.
    pub label: Label,
    pub rrset: Rrset,
}

/// What an NSEC3 record says (RFC 5155 §3.2).
pub(super) struct Said {
    pub parameters: Parameters,
    /// Names that are delegated to unsigned zones may be left out up to the next hash.
    pub opt_out: bool,
    pub next: Label,
    /// The types, as a bitmap.
    pub types: Box<[u8]>,
}

impl Link {
    /// What its record says; none for another hash than SHA-1, or where it is several.
    pub(super) fn said(&self) -> Option<Said> {
        let mut records = self.rrset.rdatas.iter(None);
        let rdata = records.next().filter(|_| self.rrset.rdatas.count() == 1)?;
        let (parameters, rest) = Parameters::read(&rdata)?;
        let (hash_len, rest) = rest.split_first()?;
        let (next, types) = rest.split_at_checked(usize::from(*hash_len))?;
        let (is_hash, opt_out) = (next.len() == SHA1_OUTPUT_LEN, rdata.get(1)? & OPT_OUT != 0);
        is_hash.then(|| Said { parameters, opt_out, next: label_of(next), types: types.into() })
    }
}

/// The whole chain of a zone, and what each of its names finds in it.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub parameters: Parameters,
    /// By label; never empty.
    pub links: Box<[Link]>,
    /// For each node of the zone.
    pub places: Box<[Place]>,
}

/// Where a node stands in the chain, as indices of links.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The link of the closest provable encloser: the node's own, but for a node without one
    /// (opt-out), which has that of the nearest above it.
    pub closest: u32,
    /// For a node without a link of its own: the one that covers the next closer name, which is
    /// the node or above it. [`NONE`] for all others.
    pub next_closer: u32,
    /// The one that covers the `*` below the closest provable encloser.
    pub wildcard: u32,
}

impl Default for Place {
    fn default() -> Self {
        Place { closest: NONE, next_closer: NONE, wildcard: NONE }
    }
}

impl Chain {
    /// The link whose hash is that of `label` or the last before it: it matches or covers.
    pub(super) fn at_or_before(&self, label: &Label) -> u32 {
        at_or_before(&self.links, label)
    }
}

/// The same in a list of links, which is sorted by label and not empty. What is before the first
/// stands behind the last (RFC 5155 §3.1.7).
pub(super) fn at_or_before(links: &[Link], label: &Label) -> u32 {
    let behind = links.partition_point(|link| link.label <= *label);
    (behind.checked_sub(1).unwrap_or(links.len() - 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::name;
    use crate::wire::types::Rtype;

    #[test]
    fn rfc5155_appendix_a_hashes() {
        let (iterations, salt) = (12, Box::from([0xaa, 0xbb, 0xcc, 0xdd]));
        let parameters = Parameters { iterations, salt };
        let cases = [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
            ("xx.example", "t644ebqk9bibcna874givr6joj62mlhv"),
        ];
        for (text, hash) in cases {
            let label = parameters.label(&[name(text).as_wire()]);
            assert_eq!(&label[1..], hash.as_bytes(), "{text}");
        }
    }

    #[test]
    fn the_chain_is_a_ring() {
        let link = |byte: u8| Link {
            label: label_of(&[byte; SHA1_OUTPUT_LEN]),
            rrset: Rrset {
                ttl: crate::units::Ttl::from_secs(1),
                rdatas: crate::wire::Rdatas::build(Rtype::NSEC3, [&b"x"[..]], None).unwrap(),
                companions: NONE,
            },
        };
        let links = [link(10), link(20), link(30)];
        for (byte, expected) in [(5, 2), (10, 0), (15, 0), (20, 1), (35, 2)] {
            assert_eq!(at_or_before(&links, &label_of(&[byte; SHA1_OUTPUT_LEN])), expected);
        }
    }
}
