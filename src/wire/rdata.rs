//! One RRset's data in the form it is answered in: copied once, patched in a few places.
//!
//! Everything that does not depend on the query is done here, when a zone is built: rdata is
//! validated, framed by its length, freed of duplicates, and where names may be compressed
//! (RFC 3597 §4) the zone's apex at their end is left open for a pointer into the question.
//! Must not know owner or TTL, which are the reply's.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::name::{Name, NameProblem, walk};
use super::qname::QName;
use super::types::Rtype;

/// What stands in stored rdata for the pointer to the apex.
const PLACEHOLDER: [u8; 2] = [0xc0, 0x00];

/// The longest [`Data`] that needs no block of its own: three A records, one AAAA, or a name of
/// some length. As many as fit without making [`Data`] larger than a block's address needs.
const HERE_MAX: usize = 22;

/// Why rdata cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RdataProblem {
    /// No records at all: a set that does not exist has no rdata.
    #[error("a set of {0} records is empty")]
    Empty(Rtype),
    /// Rdata that its type does not allow.
    #[error("rdata of a {0} record is malformed")]
    Malformed(Rtype),
    /// More than any reply could hold.
    #[error("a set of {0} records is larger than a DNS message")]
    TooLarge(Rtype),
}

/// The rdata of one RRset, ready to be copied into a reply: never empty, without duplicates.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rdatas {
    rtype: Rtype,
    count: u16,
    patch_count: u16,
    /// For each record rdlength and rdata; then, for each patch, its place among them (two
    /// bytes each).
    data: Data,
}

/// The bytes of a set, in one block or in none, because a server holds millions of these: a
/// name with one address costs no allocation, 32 bytes less, and one cache miss less to answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Data {
    /// Few bytes, zeros behind them.
    Here {
        len: u8,
        bytes: [u8; HERE_MAX],
    },
    Apart(Box<[u8]>),
}

impl Data {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`len` is at most HERE_MAX")]
    fn as_slice(&self) -> &[u8] {
        match self {
            Data::Here { len, bytes } => &bytes[..usize::from(*len)],
            Data::Apart(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Data {
    fn from(data: Vec<u8>) -> Self {
        let mut bytes = [0; HERE_MAX];
        match bytes.get_mut(..data.len()) {
            Some(here) => {
                here.copy_from_slice(&data);
                Data::Here { len: data.len() as u8, bytes }
            }
            None => Data::Apart(data.into()),
        }
    }
}

impl Rdatas {
    /// The set of `records`, each uncompressed rdata. Names in records of RFC 1035's types are
    /// left open at `apex`, if they end in it; such a set may only be answered in that zone.
    pub fn build<'r>(
        rtype: Rtype,
        records: impl IntoIterator<Item = &'r [u8]>,
        apex: Option<&Name>,
    ) -> Result<Self, RdataProblem> {
        // A pointer to the root is longer than the root.
        let apex = apex.filter(|apex| !apex.is_root());
        let mut builder = Builder::new(rtype);
        for rdata in records {
            builder.push(rdata, apex)?;
        }
        match builder.count {
            0 => Err(RdataProblem::Empty(rtype)),
            _ => Ok(builder.finish()),
        }
    }

    /// A set of A records in this order.
    pub fn addresses_v4(addresses: &[Ipv4Addr]) -> Result<Self, RdataProblem> {
        let octets: Vec<_> = addresses.iter().map(Ipv4Addr::octets).collect();
        Self::build(Rtype::A, octets.iter().map(<[u8; 4]>::as_slice), None)
    }

    /// A set of AAAA records in this order.
    pub fn addresses_v6(addresses: &[Ipv6Addr]) -> Result<Self, RdataProblem> {
        let octets: Vec<_> = addresses.iter().map(Ipv6Addr::octets).collect();
        Self::build(Rtype::AAAA, octets.iter().map(<[u8; 16]>::as_slice), None)
    }

    /// The type of all records.
    #[inline]
    pub fn rtype(&self) -> Rtype {
        self.rtype
    }

    /// How many records there are.
    #[inline]
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The records' rdata in full, as it was given to [`Rdatas::build`] with that `apex`.
    pub fn iter<'r>(&'r self, apex: Option<&'r Name>) -> impl Iterator<Item = Vec<u8>> + 'r {
        let (data, apex) = (self.data.as_slice(), apex.map_or(&[][..], Name::as_wire));
        let mut patches = self.patches().peekable();
        let mut at = 0;
        std::iter::from_fn(move || {
            let (rdata, _) = split_framed(self.framed().get(at..)?)?;
            let mut full = Vec::with_capacity(rdata.len());
            let (mut from, end) = (at + 2, at + 2 + rdata.len());
            while let Some(patch) = patches.next_if(|patch| *patch < end) {
                full.extend_from_slice(data.get(from..patch)?);
                full.extend_from_slice(apex);
                from = patch + PLACEHOLDER.len();
            }
            full.extend_from_slice(data.get(from..end)?);
            at = end;
            Some(full)
        })
    }

    /// Puts the target of this CNAME (or DNAME) into `name`; `apex` is the wire form of the
    /// apex it was built with. On error `name` is the root.
    pub fn read_target(&self, apex: &[u8], name: &mut QName) -> Result<(), NameProblem> {
        let (rdata, _) = split_framed(self.framed()).ok_or(NameProblem::Truncated)?;
        match self.patches().next() {
            Some(patch) => {
                // Places are counted from the rdlength.
                let labels = patch.checked_sub(2).and_then(|cut| rdata.get(..cut));
                name.read_joined(labels.ok_or(NameProblem::Truncated)?, apex)
            }
            None => name.read(rdata).map(|_| ()),
        }
    }

    /// All records as they are stored: rdlength and rdata of each.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the places are part of the data")]
    pub(super) fn framed(&self) -> &[u8] {
        let data = self.data.as_slice();
        &data[..data.len() - 2 * usize::from(self.patch_count)]
    }

    /// The places in [`Self::framed`] where the pointer to the apex must be written.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the records are part of the data")]
    pub(super) fn patches(&self) -> impl Iterator<Item = usize> + '_ {
        let (places, _) = self.data.as_slice()[self.framed().len()..].as_chunks::<2>();
        places.iter().map(|place| usize::from(u16::from_be_bytes(*place)))
    }

    /// Whether any pointer to the apex must be written.
    #[inline]
    pub(super) fn has_patches(&self) -> bool {
        self.patch_count > 0
    }
}

/// The first record of `framed` and the records behind it.
#[inline]
pub(super) fn split_framed(framed: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = framed.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// How rdata that we look into is laid out: bytes, then names, then bytes.
struct Layout {
    before: usize,
    names: usize,
    after: usize,
    /// Whether the names may be compressed.
    compressible: bool,
}

impl Layout {
    /// The layout of a type whose length is fixed, or whose names may be compressed (RFC 3597 §4)
    /// or differ in case without being different (RFC 4034 §6.2).
    fn of(rtype: Rtype) -> Option<Self> {
        let (before, names, after, compressible) = match rtype {
            Rtype::A => (4, 0, 0, false),
            Rtype::AAAA => (16, 0, 0, false),
            Rtype::NS | Rtype::CNAME | Rtype::PTR => (0, 1, 0, true),
            Rtype::MX => (2, 1, 0, true),
            Rtype::SOA => (0, 2, 20, true),
            // RFC 1035 has these too, but they are too rare to be worth a patch.
            Rtype::MD | Rtype::MF | Rtype::MB | Rtype::MG | Rtype::MR => (0, 1, 0, false),
            Rtype::MINFO | Rtype::RP => (0, 2, 0, false),
            Rtype::AFSDB | Rtype::RT | Rtype::KX => (2, 1, 0, false),
            Rtype::PX => (2, 2, 0, false),
            Rtype::SRV => (6, 1, 0, false),
            Rtype::DNAME => (0, 1, 0, false),
            _ => return None,
        };
        Some(Layout { before, names, after, compressible })
    }
}

struct Builder {
    rtype: Rtype,
    layout: Option<Layout>,
    count: u16,
    framed: Vec<u8>,
    patches: Vec<u16>,
}

impl Builder {
    fn new(rtype: Rtype) -> Self {
        Builder {
            rtype,
            layout: Layout::of(rtype),
            count: 0,
            framed: Vec::new(),
            patches: Vec::new(),
        }
    }

    /// Appends `rdata`, unless the set has it already (RFC 2181 §5).
    fn push(&mut self, rdata: &[u8], apex: Option<&Name>) -> Result<(), RdataProblem> {
        let (start, patches) = (self.framed.len(), self.patches.len());
        self.framed.extend([0, 0]);
        match self.layout {
            Some(_) => self.push_parts(rdata, apex)?,
            None => self.framed.extend_from_slice(rdata),
        }
        // With the whole set below 64 KiB, so are each rdlength, each patch and the count.
        if self.framed.len() > usize::from(u16::MAX) {
            return Err(RdataProblem::TooLarge(self.rtype));
        }
        let len = (self.framed.len() - start - 2) as u16;
        if let Some(place) = self.framed.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            *place = len.to_be_bytes();
        }
        if self.holds_twice(start) {
            self.framed.truncate(start);
            self.patches.truncate(patches);
        } else {
            self.count += 1;
        }
        Ok(())
    }

    fn push_parts(&mut self, rdata: &[u8], apex: Option<&Name>) -> Result<(), RdataProblem> {
        let malformed = RdataProblem::Malformed(self.rtype);
        let Some(Layout { before, names, after, compressible }) = self.layout else {
            return Err(malformed);
        };
        let apex = apex.filter(|_| compressible);
        let Some((head, mut rest)) = rdata.split_at_checked(before) else {
            return Err(malformed);
        };
        self.framed.extend_from_slice(head);
        for _ in 0..names {
            let len = walk(rest, |_| ()).ok();
            let Some((name, behind)) = len.and_then(|len| rest.split_at_checked(len)) else {
                return Err(malformed);
            };
            self.push_name(name, apex);
            rest = behind;
        }
        if rest.len() != after {
            return Err(malformed);
        }
        self.framed.extend_from_slice(rest);
        Ok(())
    }

    /// Appends `name` in the case it has, with the placeholder instead of `apex` at its end.
    fn push_name(&mut self, name: &[u8], apex: Option<&Name>) {
        let Some(labels) = apex.and_then(|apex| labels_before(name, apex)) else {
            self.framed.extend_from_slice(name);
            return;
        };
        self.framed.extend_from_slice(labels);
        // Beyond u16 only in a set that is about to be refused as too large.
        self.patches.push(self.framed.len() as u16);
        self.framed.extend(PLACEHOLDER);
    }

    /// Whether the record at `start`, the last one, equals one before it.
    fn holds_twice(&self, start: usize) -> bool {
        let Some((earlier, last)) = self.framed.split_at_checked(start) else { return false };
        let Some((last, _)) = split_framed(last) else { return false };
        let mut rest = earlier;
        while let Some((rdata, behind)) = split_framed(rest) {
            if self.equal(rdata, last) {
                return true;
            }
            rest = behind;
        }
        false
    }

    /// Whether two records are the same: names in any case, all else to the bit.
    fn equal(&self, a: &[u8], b: &[u8]) -> bool {
        let Some(Layout { before, after, .. }) = self.layout else {
            return a == b;
        };
        let parts = |rdata| split_around(rdata, before, after);
        match (parts(a), parts(b)) {
            (Some([head_a, names_a, tail_a]), Some([head_b, names_b, tail_b])) => {
                head_a == head_b && names_a.eq_ignore_ascii_case(names_b) && tail_a == tail_b
            }
            _ => a == b,
        }
    }

    fn finish(mut self) -> Rdatas {
        let places = self.patches.iter().flat_map(|place| place.to_be_bytes());
        self.framed.extend(places);
        Rdatas {
            rtype: self.rtype,
            count: self.count,
            patch_count: self.patches.len() as u16,
            data: self.framed.into(),
        }
    }
}

/// The first `before` bytes of `rdata`, its last `after`, and what is between them.
fn split_around(rdata: &[u8], before: usize, after: usize) -> Option<[&[u8]; 3]> {
    let (head, rest) = rdata.split_at_checked(before)?;
    let (names, tail) = rest.split_at_checked(rest.len().checked_sub(after)?)?;
    Some([head, names, tail])
}

/// The labels of `name`, a whole wire name in any case, in front of `apex`, if it ends in it.
fn labels_before<'n>(name: &'n [u8], apex: &Name) -> Option<&'n [u8]> {
    let cut = name.len().checked_sub(apex.as_wire().len())?;
    let mut on_a_label = false;
    walk(name, |at| on_a_label |= at == cut).ok()?;
    let (labels, end) = name.split_at_checked(cut)?;
    (on_a_label && end.eq_ignore_ascii_case(apex.as_wire())).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{any_name, name};
    use proptest::prelude::*;

    #[test]
    fn a_set_is_as_small_as_its_bytes_allow() {
        assert_eq!(size_of::<Rdatas>(), 32);
        for (count, here) in [(1, true), (3, true), (4, false)] {
            let addresses: Vec<_> = (0..count).map(|host| [192, 0, 2, host].into()).collect();
            let set = Rdatas::addresses_v4(&addresses).unwrap();
            assert_eq!(matches!(set.data, Data::Here { .. }), here, "{count}");
            assert_eq!(set.framed().len(), 6 * addresses.len());
        }
    }

    fn build(rtype: Rtype, records: &[&[u8]], apex: &Name) -> Result<Rdatas, RdataProblem> {
        Rdatas::build(rtype, records.iter().copied(), Some(apex))
    }

    #[test]
    fn addresses_are_framed_in_their_order_without_duplicates() {
        let [a, b] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
        let set = Rdatas::addresses_v4(&[b, a, b]).unwrap();
        assert_eq!((set.rtype(), set.count()), (Rtype::A, 2));
        assert_eq!(set.framed(), b"\0\x04\xc0\0\x02\x02\0\x04\xc0\0\x02\x01");
        assert!(!set.has_patches());
        let set = Rdatas::addresses_v6(&[Ipv6Addr::LOCALHOST]).unwrap();
        assert_eq!(set.framed()[..2], [0, 16]);
        assert_eq!(Rdatas::addresses_v4(&[]), Err(RdataProblem::Empty(Rtype::A)));
    }

    #[test]
    fn names_of_rfc_1035_types_are_left_open_at_the_apex() {
        let apex = name("example.com");
        let cases: [(Rtype, &[u8], &[u8]); 7] = [
            (Rtype::NS, b"\x03Ns1\x07EXAMPLE\x03com\0", b"\0\x06\x03Ns1\xc0\0"),
            (Rtype::CNAME, b"\x07example\x03com\0", b"\0\x02\xc0\0"),
            (Rtype::PTR, b"\x03ns1\x03org\0", b"\0\x09\x03ns1\x03org\0"),
            (Rtype::MX, b"\0\x0a\x01m\x07example\x03com\0", b"\0\x06\0\x0a\x01m\xc0\0"),
            (
                Rtype::SOA,
                b"\x01a\x07example\x03com\0\x01b\x07example\x03com\0aaaabbbbccccddddeeee",
                b"\0\x1c\x01a\xc0\0\x01b\xc0\0aaaabbbbccccddddeeee",
            ),
            (Rtype::CNAME, b"\x0cAexample.com\0", b"\0\x0e\x0cAexample.com\0"),
            (
                Rtype::SRV,
                b"\0\0\0\0\0\0\x07example\x03com\0",
                b"\0\x13\0\0\0\0\0\0\x07example\x03com\0",
            ),
        ];
        for (rtype, rdata, framed) in cases {
            let set = build(rtype, &[rdata], &apex).unwrap();
            assert_eq!(set.framed(), framed, "{rtype}");
            for patch in set.patches() {
                assert_eq!(set.framed()[patch..patch + 2], PLACEHOLDER);
            }
            let full: Vec<_> = set.iter(Some(&apex)).collect();
            assert!(full[0].eq_ignore_ascii_case(rdata), "{rtype}");
        }
    }

    #[test]
    fn a_root_apex_is_written_out() {
        let set = build(Rtype::NS, &[b"\x01a\0"], &Name::root()).unwrap();
        assert_eq!(set.framed(), b"\0\x03\x01a\0");
    }

    #[test]
    fn duplicates_differ_in_case_of_names_only() {
        let apex = name("example");
        let twice: [&[u8]; 3] =
            [b"\0\x0a\x01m\x07example\0", b"\0\x0a\x01M\x07EXAMPLE\0", b"\0\x0a\x01n\0"];
        assert_eq!(build(Rtype::MX, &twice, &apex).unwrap().count(), 2);
        // Preferences 0x4141 and 0x6161 are letters only to a careless comparison.
        let apart: [&[u8]; 2] = [b"AA\x01m\0", b"aa\x01m\0"];
        assert_eq!(build(Rtype::MX, &apart, &apex).unwrap().count(), 2);
        assert_eq!(build(Rtype::DNAME, &[b"\x01a\0", b"\x01A\0"], &apex).unwrap().count(), 1);
        assert_eq!(build(Rtype::TXT, &[b"\x01a", b"\x01A", b"\x01a"], &apex).unwrap().count(), 2);
    }

    #[test]
    fn malformed_and_oversized_sets_are_refused() {
        let apex = name("example");
        let cases: [(Rtype, &[u8]); 8] = [
            (Rtype::A, &[1, 2, 3]),
            (Rtype::A, &[1, 2, 3, 4, 5]),
            (Rtype::AAAA, &[0; 15]),
            (Rtype::MX, &[0]),
            (Rtype::NS, b""),
            (Rtype::NS, b"\x01a\0x"),
            (Rtype::CNAME, b"\x01a\xc0\x0c"),
            (Rtype::SOA, b"\0\0tooshort"),
        ];
        for (rtype, rdata) in cases {
            let refused = build(rtype, &[rdata], &apex);
            assert_eq!(refused, Err(RdataProblem::Malformed(rtype)), "{rdata:?}");
        }
        let large = [vec![1; 40_000], vec![2; 40_000]];
        let refused = build(Rtype::TXT, &[&large[0], &large[1]], &apex);
        assert_eq!(refused, Err(RdataProblem::TooLarge(Rtype::TXT)));
        assert_eq!(build(Rtype::TXT, &[], &apex), Err(RdataProblem::Empty(Rtype::TXT)));
    }

    proptest! {
        #[test]
        fn what_is_stored_reads_back(
            targets in prop::collection::vec(any_name(), 1..5), apex in any_name(), label in "[a-z]{1,9}",
        ) {
            let below = apex.prepend(label.as_bytes()).unwrap();
            let mut wires = vec![below.as_wire()];
            for target in &targets {
                if !wires.contains(&target.as_wire()) {
                    wires.push(target.as_wire());
                }
            }
            let set = build(Rtype::CNAME, &wires, &apex).unwrap();
            prop_assert!(set.iter(Some(&apex)).eq(wires.iter().copied()));
            let mut target = QName::default();
            prop_assert_eq!(set.read_target(apex.as_wire(), &mut target), Ok(()));
            prop_assert_eq!(target.wire(), below.as_wire());
        }

        #[test]
        fn building_never_panics(rdata: Vec<u8>, rtype in 0u16..20, apex in any_name()) {
            let _ = build(Rtype(rtype), &[&rdata], &apex);
        }
    }
}
