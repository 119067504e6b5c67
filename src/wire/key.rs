//! A name's bytes made ready for tables of names: few of them packed into one number, and a hash.
//!
//! Most keys are short (the labels in front of a zone's apex, or an apex), and of a short key
//! hashing and comparing cost a few instructions when it is one number. Must not know what the
//! tables hold.

use super::qname::QName;

/// The longest key that is one number, with its length: `host123456`, or two short labels.
pub const PACKED_MAX: usize = 15;

/// Bytes of a key and its length, zeros between them.
type Block = [u8; PACKED_MAX + 1];

/// Part of a name, lower-cased, in wire form, to be looked up.
#[derive(Clone, Copy, Debug)]
pub struct NameKey<'k> {
    bytes: &'k [u8],
    /// All of a short key; of a longer one nothing.
    packed: u128,
    hash: u64,
}

impl<'k> NameKey<'k> {
    /// The key of these bytes.
    pub fn new(bytes: &'k [u8]) -> Self {
        let mut block = Block::default();
        match block.get_mut(..bytes.len()) {
            Some(front) if bytes.len() <= PACKED_MAX => {
                front.copy_from_slice(bytes);
                Self::short(bytes, u128::from_le_bytes(block))
            }
            _ => Self::long(bytes),
        }
    }

    /// The labels of `name` from the `i`-th on, without its last `cut` bytes.
    #[inline]
    pub fn of(name: &'k QName, i: usize, cut: usize) -> Self {
        let (bytes, block) = name.part(i, cut);
        match (KEPT.get(bytes.len()), block) {
            (Some(kept), Some(block)) => Self::short(bytes, u128::from_le_bytes(*block) & kept),
            _ => Self::long(bytes),
        }
    }

    #[inline]
    fn short(bytes: &'k [u8], block: u128) -> Self {
        let packed = block | (bytes.len() as u128) << (8 * PACKED_MAX);
        NameKey { bytes, packed, hash: hash_packed(packed) }
    }

    fn long(bytes: &'k [u8]) -> Self {
        NameKey { bytes, packed: 0, hash: hash(bytes) }
    }

    /// The bytes.
    #[inline]
    pub fn bytes(self) -> &'k [u8] {
        self.bytes
    }

    /// Its hash; even in all its bits.
    #[inline]
    pub fn hash(self) -> u64 {
        self.hash
    }

    /// A key of at most [`PACKED_MAX`] bytes as one number: the first byte in the lowest bits, the
    /// length in the highest eight.
    #[inline]
    pub fn packed(self) -> Option<u128> {
        (self.bytes.len() <= PACKED_MAX).then_some(self.packed)
    }
}

/// By length: the bits of a block that belong to a short key.
#[expect(clippy::indexing_slicing, reason = "it is done by the compiler")]
const KEPT: [u128; PACKED_MAX + 1] = {
    let mut kept = [0; PACKED_MAX + 1];
    let mut len = 1;
    while len <= PACKED_MAX {
        kept[len] = kept[len - 1] << 8 | 0xff;
        len += 1;
    }
    kept
};

const WORD: u64 = 0xd6e8_feb8_6659_fd93;
const LAST: u64 = 0xa076_1d64_78bd_642f;

/// The hash of a short key, its length included.
#[inline]
fn hash_packed(packed: u128) -> u64 {
    let (low, high) = (packed as u64, (packed >> 64) as u64);
    fold(fold(low ^ LAST, WORD) ^ high, LAST)
}

/// A hash of a name's lower-cased wire bytes, for the tables of zones and names. The same on
/// every machine and in every run; even in all its bits. Not secret: only names that an
/// operator's files have stand in those tables, so a stranger's can at most miss. Who writes those
/// files for others should bound their names: some thousands can be chosen to have one hash.
#[inline]
pub fn hash(wire: &[u8]) -> u64 {
    const LENGTH: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = LENGTH ^ (wire.len() as u64).wrapping_mul(WORD);
    let (words, rest) = wire.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), WORD);
    }
    // The last word overlaps the one before it; a short name fills up with zeros, which the
    // length in the state tells apart.
    let last = match wire.last_chunk::<8>() {
        Some(last) => *last,
        None => std::array::from_fn(|i| rest.get(i).copied().unwrap_or(0)),
    };
    fold(fold(state ^ u64::from_le_bytes(last), LAST), WORD)
}

/// Both halves of the full product, so that every bit of `a` reaches every bit of the result.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{any_name, name};
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_the_same_on_every_machine() {
        // Computed by another implementation.
        let cases = [
            (".", 0x79d4_54f2_81ec_957d),
            ("a", 0xe681_11d8_0c37_c436),
            ("www.example.com", 0xf3df_f315_872e_fb38),
            ("www.example.org", 0x3c55_4210_3828_05dc),
        ];
        for (text, hashed) in cases {
            assert_eq!(hash(name(text).as_wire()), hashed, "{text}");
        }
    }

    /// Chi-squared over 4,096 buckets, with 4,095 degrees of freedom: mean 4,095, deviation 90.5;
    /// five of them.
    fn assert_even(hashes: &[u64], what: &str) {
        const BUCKETS: usize = 4_096;
        for shift in [0, 20, 52] {
            let mut buckets = vec![0u32; BUCKETS];
            for hash in hashes {
                buckets[(hash >> shift) as usize % BUCKETS] += 1;
            }
            let mean = hashes.len() as f64 / BUCKETS as f64;
            let chi: f64 = buckets.iter().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum();
            assert!((chi - 4_095.0).abs() < 5.0 * 90.5, "{what}, shift {shift}: {chi}");
        }
    }

    #[test]
    fn hashes_spread_like_chance_in_every_twelve_bits() {
        let of = |spelled: &dyn Fn(usize) -> String| -> Vec<u64> {
            (0..40_960).map(|i| NameKey::new(name(&spelled(i)).as_wire()).hash()).collect()
        };
        assert_even(&of(&|i| format!("host{i}.gtm.example.com")), "long");
        assert_even(&of(&|i| format!("host{i}")), "short");
        assert_even(&of(&|i| format!("{i}")), "numbers");
        assert_even(&of(&|i| format!("{}.{}", i % 64, i / 64)), "two labels");
    }

    #[test]
    fn keys_that_differ_in_length_alone_differ() {
        let zeros = [0; PACKED_MAX];
        for len in 1..=PACKED_MAX {
            let (shorter, longer) = (NameKey::new(&zeros[..len - 1]), NameKey::new(&zeros[..len]));
            assert_ne!(shorter.packed(), longer.packed());
            assert_ne!(shorter.hash(), longer.hash());
        }
        assert_eq!(NameKey::new(&[0; PACKED_MAX + 1]).packed(), None);
    }

    proptest! {
        #[test]
        fn a_part_of_a_query_name_is_the_key_of_its_bytes(name in any_name(), i in 0usize..130, cut in 0usize..260) {
            let mut qname = QName::default();
            qname.set(&name);
            let key = NameKey::of(&qname, i, cut);
            let suffix = qname.suffix(i);
            let bytes = &suffix[..suffix.len().saturating_sub(cut)];
            let same = NameKey::new(bytes);
            prop_assert_eq!(key.bytes(), bytes);
            prop_assert_eq!((key.packed(), key.hash()), (same.packed(), same.hash()));
        }
    }
}
