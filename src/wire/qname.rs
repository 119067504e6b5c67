//! The name being looked up: a fixed buffer, so that a query costs no allocation.
//!
//! Must not know whose names are looked up, nor where the packet is.

use super::name::{LABELS_MAX, NAME_MAX, Name, NameProblem, walk};

/// What stands behind the longest name: so that sixteen bytes can be read from any place in it.
const SLACK: usize = 16;
const WIRE_LEN: usize = NAME_MAX + 1 + SLACK;

/// The name of a question, or the CNAME target that took its place: lower-cased wire bytes and
/// where each label begins. Reused from query to query.
#[derive(Clone)]
pub struct QName {
    /// One more than a name needs, so that a `u8` length never runs over, and [`SLACK`].
    wire: [u8; WIRE_LEN],
    len: u8,
    /// Where each label's length byte is, the root's last: `count + 1` of them.
    starts: [u8; LABELS_MAX + 1],
    count: u8,
}

impl Default for QName {
    /// The root.
    fn default() -> Self {
        QName { wire: [0; WIRE_LEN], len: 1, starts: [0; LABELS_MAX + 1], count: 0 }
    }
}

impl QName {
    /// The whole name in lower case, its root included.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "any u8 is less than WIRE_LEN")]
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
    #[expect(clippy::indexing_slicing, reason = "labels begin within the name")]
    pub fn suffix(&self, i: usize) -> &[u8] {
        &self.wire()[self.start(i)..]
    }

    /// Where the `i`-th label begins, or the root if there are not so many.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "there is a start for each label and the root")]
    fn start(&self, i: usize) -> usize {
        usize::from(self.starts[i.min(self.label_count())])
    }

    /// The labels from the `i`-th on, without the last `cut` bytes; and as many bytes from there
    /// on as fit into a number, whatever they are.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "any u8 is less than WIRE_LEN, and `end` is one")]
    pub(super) fn part(&self, i: usize, cut: usize) -> (&[u8], Option<&[u8; SLACK]>) {
        let start = self.start(i);
        let end = usize::from(self.len).saturating_sub(cut).max(start);
        (&self.wire[start..end], self.wire[start..].first_chunk())
    }

    /// Becomes `name`.
    pub fn set(&mut self, name: &Name) {
        // A Name is valid by its type; were it not, `replace` leaves the root.
        let _ = self.replace(0, 0, name.as_wire());
    }

    /// Becomes the uncompressed name at the start of `bytes`, in whatever case, and returns
    /// the name's length there. On error it becomes the root.
    #[inline(always)] // So that `replace` is compiled for a whole name by itself.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, NameProblem> {
        self.replace(0, 0, bytes)
    }

    /// Becomes the labels `prefix`, which have no root, in front of the whole name `suffix`. On
    /// error it becomes the root.
    #[expect(clippy::indexing_slicing, reason = "`len` is at most NAME_MAX, so `count` LABELS_MAX")]
    pub(super) fn read_joined(&mut self, prefix: &[u8], suffix: &[u8]) -> Result<(), NameProblem> {
        let len = prefix.len() + suffix.len();
        if len > NAME_MAX {
            return Err(self.refuse(NameProblem::NameTooLong));
        }
        let (front, back) = self.wire[..len].split_at_mut(prefix.len());
        front.copy_from_slice(prefix);
        back.copy_from_slice(suffix);
        let mut count = 0;
        let walked = walk(&self.wire[..len], |at| {
            self.starts[count] = at as u8;
            count += 1;
        });
        match walked {
            Ok(whole) if whole == len => {}
            Ok(_) => return Err(self.refuse(NameProblem::TrailingBytes)),
            Err(problem) => return Err(self.refuse(problem)),
        }
        self.starts[count] = (len - 1) as u8;
        lower(&mut self.wire, len);
        (self.len, self.count) = (len as u8, count as u8);
        Ok(())
    }

    /// Exchanges the labels from the `i`-th on for `target`, a whole uncompressed name: what a
    /// DNAME does. On error (the result may be too long: YXDOMAIN, RFC 6672 §2.2) it becomes
    /// the root.
    pub fn replace_suffix(&mut self, i: usize, target: &[u8]) -> Result<(), NameProblem> {
        let labels = i.min(self.label_count());
        let keep = self.start(labels);
        self.replace(keep, labels, target).map(|_| ())
    }

    /// Puts the name at the start of `bytes` behind the first `keep` bytes, which are `labels`
    /// labels, and returns that name's length.
    #[inline(always)] // As `read`.
    #[expect(clippy::indexing_slicing, reason = "`end` is at most NAME_MAX, so `count` LABELS_MAX")]
    fn replace(&mut self, keep: usize, labels: usize, bytes: &[u8]) -> Result<usize, NameProblem> {
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
        copy_lowered(&mut self.wire[keep..end], &bytes[..len]);
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

/// Copies a name with its letters lowered. Length bytes are below 64 and thus no letters: the
/// wire form can be lowered as a whole. Of the usual lengths both ends are taken, which overlap,
/// each as one vector or one number.
#[inline]
fn copy_lowered(to: &mut [u8], name: &[u8]) {
    match name.len() {
        16..=32 => {
            let lower = |bytes: [u8; 16]| bytes.map(|byte| byte.to_ascii_lowercase());
            copy_ends(to, name, lower);
        }
        8..=15 => copy_ends(to, name, lower_eight),
        _ => copy_any(to, name),
    }
}

#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], name: &[u8], lower: impl Fn([u8; N]) -> [u8; N]) {
    if let (Some(to), Some(name)) = (to.first_chunk_mut(), name.first_chunk()) {
        *to = lower(*name);
    }
    if let (Some(to), Some(name)) = (to.last_chunk_mut(), name.last_chunk()) {
        *to = lower(*name);
    }
}

/// Lowers eight bytes as one number: they are too few for the compiler to take them as a vector,
/// and byte by byte they cost a hundred instructions. The top bit of each byte says whether it is
/// at least `A`, and whether it is past `Z`, once so much is added to its other seven that it
/// carries over.
#[inline]
fn lower_eight(bytes: [u8; 8]) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = 0x80 * EACH;
    let word = u64::from_le_bytes(bytes);
    let seven = word & !TOP;
    let from_a = seven + (0x80 - b'A' as u64) * EACH;
    let past_z = seven + (0x7f - b'Z' as u64) * EACH;
    let is_upper = from_a & !past_z & !word & TOP;
    (word | is_upper >> 2).to_le_bytes()
}

/// Lowers the name of `len` bytes where it stands, and what is behind it in the same sixteen bytes,
/// which is nobody's.
#[inline]
fn lower(wire: &mut [u8; WIRE_LEN], len: usize) {
    let (blocks, _) = wire.as_chunks_mut::<16>();
    for block in blocks.iter_mut().take(len.div_ceil(16)) {
        *block = block.map(|byte| byte.to_ascii_lowercase());
    }
}

#[inline(never)]
fn copy_any(to: &mut [u8], name: &[u8]) {
    to.copy_from_slice(name);
    to.make_ascii_lowercase();
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
        for len in 0..=NAME_MAX {
            let name: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let mut copy = vec![0; len];
            copy_lowered(&mut copy, &name);
            assert_eq!(copy, name.to_ascii_lowercase());
        }
        for (byte, place) in (0..=u8::MAX).flat_map(|byte| (0..8).map(move |at| (byte, at))) {
            let mut name = *b"\x07eXAMPLE";
            name[place] = byte;
            assert_eq!(lower_eight(name), name.map(|byte| byte.to_ascii_lowercase()));
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
