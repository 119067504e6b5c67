//! The name being looked up: a fixed buffer, so that a query costs no allocation, and the hash
//! that tables of names are built on.
//!
//! Must not know whose names are looked up, nor where the packet is.

use super::name::{LABELS_MAX, NAME_MAX, Name, NameProblem, walk};

/// The name of a question, or the CNAME target that took its place: lower-cased wire bytes and
/// where each label begins. Reused from query to query.
#[derive(Clone)]
pub struct QName {
    /// One more than a name needs, so that a `u8` length never runs over.
    wire: [u8; NAME_MAX + 1],
    len: u8,
    /// Where each label's length byte is, the root's last: `count + 1` of them.
    starts: [u8; LABELS_MAX + 1],
    count: u8,
}

impl Default for QName {
    /// The root.
    fn default() -> Self {
        QName { wire: [0; NAME_MAX + 1], len: 1, starts: [0; LABELS_MAX + 1], count: 0 }
    }
}

impl QName {
    /// The whole name in lower case, its root included.
    #[inline]
    pub fn wire(&self) -> &[u8] {
        &self.wire[..usize::from(self.len)]
    }

    /// How many labels the name has, the root not counted.
    #[inline]
    pub fn label_count(&self) -> usize {
        usize::from(self.count)
    }

    /// The name from its `i`-th label on: all of it for 0, the root for `label_count()` or more.
    #[inline]
    pub fn suffix(&self, i: usize) -> &[u8] {
        let start = self.starts[i.min(self.label_count())];
        &self.wire()[usize::from(start)..]
    }

    /// Becomes `name`.
    pub fn set(&mut self, name: &Name) {
        // A Name is valid by its type; were it not, `replace` leaves the root.
        let _ = self.replace(0, 0, name.as_wire());
    }

    /// Becomes the uncompressed name at the start of `bytes`, in whatever case, and returns
    /// the name's length there. On error it becomes the root.
    #[inline]
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, NameProblem> {
        self.replace(0, 0, bytes)
    }

    /// Becomes the labels `prefix`, which have no root, in front of the whole name `suffix`. On
    /// error it becomes the root.
    pub(super) fn read_joined(&mut self, prefix: &[u8], suffix: &[u8]) -> Result<(), NameProblem> {
        let mut wire = [0; NAME_MAX];
        let len = prefix.len() + suffix.len();
        let Some(joined) = wire.get_mut(..len) else {
            return Err(self.refuse(NameProblem::NameTooLong));
        };
        joined[..prefix.len()].copy_from_slice(prefix);
        joined[prefix.len()..].copy_from_slice(suffix);
        self.read(joined).map(|_| ())
    }

    /// Exchanges the labels from the `i`-th on for `target`, a whole uncompressed name: what a
    /// DNAME does. On error (the result may be too long: YXDOMAIN, RFC 6672 §2.2) it becomes
    /// the root.
    pub fn replace_suffix(&mut self, i: usize, target: &[u8]) -> Result<(), NameProblem> {
        let labels = i.min(self.label_count());
        let keep = usize::from(self.starts[labels]);
        self.replace(keep, labels, target).map(|_| ())
    }

    /// Puts the name at the start of `bytes` behind the first `keep` bytes, which are `labels`
    /// labels, and returns that name's length.
    #[inline]
    fn replace(&mut self, keep: usize, labels: usize, bytes: &[u8]) -> Result<usize, NameProblem> {
        (self.len, self.count) = (1, 0);
        let mut count = labels;
        let starts = &mut self.starts;
        let walked = walk(bytes, |at| {
            // Past the end only where `at` is too, which is refused below.
            if let Some(start) = starts.get_mut(count) {
                *start = (keep + at) as u8;
            }
            count += 1;
        });
        let len = match walked {
            Ok(len) if keep + len <= NAME_MAX => len,
            Ok(_) => return Err(self.refuse(NameProblem::NameTooLong)),
            Err(problem) => return Err(self.refuse(problem)),
        };
        let end = keep + len;
        self.starts[count] = (end - 1) as u8;
        self.wire[keep..end].copy_from_slice(&bytes[..len]);
        lower(&mut self.wire, end);
        (self.len, self.count) = (end as u8, count as u8);
        Ok(len)
    }

    #[cold]
    fn refuse(&mut self, problem: NameProblem) -> NameProblem {
        *self = QName::default();
        problem
    }
}

impl std::fmt::Debug for QName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Name::from_wire(self.wire()) {
            Ok(name) => write!(f, "QName({name})"),
            Err(problem) => write!(f, "QName({problem})"),
        }
    }
}

/// Lowers the letters of the first `len` bytes, sixteen at a time as one vector (up to fifteen
/// more are touched). Length bytes are below 64 and thus no letters: the wire form can be
/// lowered as a whole.
#[inline]
fn lower(wire: &mut [u8; NAME_MAX + 1], len: usize) {
    for vector in &mut wire.as_chunks_mut::<16>().0[..len.div_ceil(16)] {
        *vector = vector.map(|byte| byte.to_ascii_lowercase());
    }
}

/// A hash of a name's lower-cased wire bytes, for the tables of zones and names. The same on
/// every machine and in every run; even in all its bits. Not secret: only names that an
/// operator wrote stand in those tables, so a stranger's can at most miss.
#[inline]
pub fn hash(wire: &[u8]) -> u64 {
    const LENGTH: u64 = 0x9e37_79b9_7f4a_7c15;
    const WORD: u64 = 0xd6e8_feb8_6659_fd93;
    const LAST: u64 = 0xa076_1d64_78bd_642f;
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

    fn qname(text: &str) -> QName {
        let mut qname = QName::default();
        qname.set(&name(text));
        qname
    }

    #[test]
    fn suffixes_go_from_the_whole_name_to_the_root() {
        let mut qname = QName::default();
        let read = qname.read(b"\x03wWw\x07eXample\x03CoM\0\0\x01\0\x01");
        assert_eq!(read, Ok(17));
        assert_eq!(qname.label_count(), 3);
        assert_eq!(qname.suffix(0), b"\x03www\x07example\x03com\0");
        assert_eq!(qname.suffix(1), b"\x07example\x03com\0");
        assert_eq!(qname.suffix(2), b"\x03com\0");
        assert_eq!(qname.suffix(3), b"\0");
        assert_eq!(qname.suffix(999), b"\0");
        assert_eq!(QName::default().suffix(0), b"\0");
    }

    #[test]
    fn the_longest_name_fits_with_all_its_labels() {
        let longest = Name::parse(&["a"; LABELS_MAX].join(".")).unwrap();
        let mut qname = QName::default();
        qname.set(&longest);
        assert_eq!(qname.label_count(), LABELS_MAX);
        assert_eq!(qname.wire(), longest.as_wire());
        assert_eq!(qname.suffix(LABELS_MAX), b"\0");
    }

    #[test]
    fn a_refused_name_leaves_the_root() {
        let too_long = b"\x01a".repeat(300);
        let cases: [&[u8]; 5] = [b"", b"\x05ab", b"\x01a\xc0\x0c", b"\x80", &too_long];
        for bytes in cases {
            let mut qname = qname("www.example");
            assert!(qname.read(bytes).is_err(), "{bytes:?}");
            assert_eq!(qname.wire(), b"\0");
            assert_eq!(qname.label_count(), 0);
        }
    }

    #[test]
    fn a_suffix_is_replaced_as_a_dname_does() {
        let mut name_below = qname("a.b.old.example");
        let target = name("new.example.net");
        name_below.replace_suffix(2, &target.as_wire().to_ascii_uppercase()).unwrap();
        assert_eq!(name_below.wire(), name("a.b.new.example.net").as_wire());
        assert_eq!(name_below.label_count(), 5);
        assert_eq!(name_below.suffix(2), target.as_wire());

        let mut long = qname(&["a"; 125].join("."));
        let refused = long.replace_suffix(124, target.as_wire());
        assert_eq!(refused, Err(NameProblem::NameTooLong));
        assert_eq!(long.wire(), b"\0");
    }

    #[test]
    fn letters_are_lowered_and_nothing_else() {
        for byte in 0..=u8::MAX {
            let mut wire = [byte; NAME_MAX + 1];
            lower(&mut wire, NAME_MAX);
            assert_eq!(wire[NAME_MAX - 1], byte.to_ascii_lowercase());
        }
    }

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

    #[test]
    fn the_hash_spreads_like_chance_in_every_twelve_bits() {
        const NAMES: usize = 40_960;
        const BUCKETS: usize = 4_096;
        for shift in [0, 20, 52] {
            let mut buckets = vec![0u32; BUCKETS];
            for i in 0..NAMES {
                let name = name(&format!("host{i}.gtm.example.com"));
                buckets[(hash(name.as_wire()) >> shift) as usize % BUCKETS] += 1;
            }
            // Chi-squared with 4,095 degrees of freedom: mean 4,095, deviation 90.5; five of them.
            let mean = NAMES as f64 / BUCKETS as f64;
            let chi: f64 = buckets.iter().map(|&n| (f64::from(n) - mean).powi(2) / mean).sum();
            assert!((chi - 4_095.0).abs() < 5.0 * 90.5, "shift {shift}: {chi}");
        }
    }

    proptest! {
        #[test]
        fn a_qname_is_its_name(a in any_name(), b in any_name()) {
            let mut qname = QName::default();
            qname.set(&b);
            qname.read(&a.as_wire().to_ascii_uppercase()).unwrap();
            prop_assert_eq!(qname.wire(), a.as_wire());
            prop_assert_eq!(qname.label_count(), a.label_count());
            let mut suffix = Some(a);
            for i in 0.. {
                let Some(name) = suffix else { break };
                prop_assert_eq!(qname.suffix(i), name.as_wire());
                suffix = name.parent();
            }
        }

        #[test]
        fn reading_never_panics(bytes: Vec<u8>) {
            let _ = QName::default().read(&bytes);
        }
    }
}
