//! What a packet asks: header, question and OPT record, and nothing else of it.
//!
//! A query is read once from front to back, in time linear in its length whatever its counts
//! claim, into a [`Query`] that is reused. Must not know the answer, the sender or the socket.

use super::edns::{Edns, MalformedOption, UDP_MAX, UDP_MIN};
use super::name::NAME_MAX;
use super::qname::QName;
use super::types::{Opcode, Rclass, Rcode, Rtype};

/// How long a message's header is; the question follows it.
pub(super) const HEADER_LEN: usize = 12;
/// The flag that tells a reply from a query.
pub(super) const QR: u16 = 0x8000;
/// The flag by which a client asks for recursion; echoed, never followed.
pub(super) const RD: u16 = 0x0100;
/// Where the opcode stands in the flags, and how wide it is.
pub(super) const OPCODE_SHIFT: u32 = 11;
const OPCODE_MASK: u16 = 0xf;

/// What becomes of a packet that is not a query we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Silence: a reply (answering one could go on for ever) or shorter than a header.
    Drop,
    /// The message is broken, or has not exactly one question (RFC 9619 §4).
    FormErr,
    /// Another opcode than QUERY.
    NotImp,
    /// A later EDNS version than ours, 0.
    BadVers,
}

impl Reject {
    /// The rcode to reply with, if there is to be a reply.
    pub fn rcode(self) -> Option<Rcode> {
        match self {
            Reject::Drop => None,
            Reject::FormErr => Some(Rcode::FORMERR),
            Reject::NotImp => Some(Rcode::NOTIMP),
            Reject::BadVers => Some(Rcode::BADVERS),
        }
    }
}

impl From<MalformedOption> for Reject {
    fn from(MalformedOption: MalformedOption) -> Self {
        Reject::FormErr
    }
}

/// A query. Filled by [`Query::parse`] and reused, so that no query allocates.
#[derive(Clone, Debug)]
pub struct Query {
    /// The message's id; echoed.
    pub id: u16,
    /// What kind of request it is; echoed.
    pub opcode: Opcode,
    /// Whether recursion is desired; echoed.
    pub recursion_desired: bool,
    /// The name asked for; the root when the question could not be read.
    pub name: QName,
    /// The type asked for.
    pub qtype: Rtype,
    /// The class asked for.
    pub qclass: Rclass,
    /// What the OPT record says, if there is one.
    pub edns: Option<Edns>,
    question_end: usize,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            id: 0,
            opcode: Opcode::QUERY,
            recursion_desired: false,
            name: QName::default(),
            qtype: Rtype(0),
            qclass: Rclass(0),
            edns: None,
            question_end: HEADER_LEN,
        }
    }
}

impl Query {
    /// Reads `packet`. When it is refused with anything but [`Reject::Drop`], the query holds
    /// what the reply needs: the header's fields, the question if it could be read, and
    /// whether there was an OPT record in front of what is broken (RFC 6891 §7).
    ///
    /// Flags other than QR, opcode and RD, bytes after the last record, and records other than
    /// OPT are of no account.
    #[inline]
    pub fn parse(&mut self, packet: &[u8]) -> Result<(), Reject> {
        let (header, _) = packet
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(Reject::Drop)?;
        let flags = u16_at(header, 2);
        if flags & QR != 0 {
            return Err(Reject::Drop);
        }
        self.id = u16_at(header, 0);
        self.opcode = Opcode((flags >> OPCODE_SHIFT & OPCODE_MASK) as u8);
        self.recursion_desired = flags & RD != 0;
        self.question_end = HEADER_LEN;
        self.edns = None;
        let body = self.read_body(packet, header);
        if self.opcode != Opcode::QUERY {
            return Err(Reject::NotImp);
        }
        body
    }

    /// Where the question ends in the packet, and the reply's records begin. Just behind the
    /// header if there is none or it could not be read.
    #[inline]
    pub fn question_end(&self) -> usize {
        self.question_end
    }

    /// Whether the question could be read.
    #[inline]
    pub fn has_question(&self) -> bool {
        self.question_end > HEADER_LEN
    }

    /// How long a UDP reply may be: no more than the client and we take (RFC 6891 §6.2.3-5).
    #[inline]
    pub fn udp_limit(&self) -> usize {
        self.edns
            .map_or(UDP_MIN, |edns| usize::from(edns.udp_size).min(UDP_MAX))
    }

    fn read_body(&mut self, packet: &[u8], header: &[u8; HEADER_LEN]) -> Result<(), Reject> {
        let [questions, answers, authorities, additionals] =
            [4, 6, 8, 10].map(|at| u16_at(header, at));
        let mut at = HEADER_LEN;
        if questions == 1 {
            at = self.read_question(packet)?;
        } else {
            self.forget_question();
            for _ in 0..questions {
                at = skip_name(packet, at).ok_or(Reject::FormErr)? + 4;
            }
        }
        let others = u32::from(answers) + u32::from(authorities);
        self.find_opt(packet, at, others, additionals)?;
        match questions {
            1 => Ok(()),
            _ => Err(Reject::FormErr),
        }
    }

    /// Reads the one question and returns where it ends. Nothing stands in front of it that a
    /// compression pointer could point to, so there must be none.
    #[inline]
    fn read_question(&mut self, packet: &[u8]) -> Result<usize, Reject> {
        let question = &packet[HEADER_LEN..];
        let read = self.name.read(question).ok();
        let Some((len, fixed)) =
            read.and_then(|len| Some((len, question.get(len..)?.first_chunk::<4>()?)))
        else {
            self.forget_question();
            return Err(Reject::FormErr);
        };
        self.qtype = Rtype(u16_at(fixed, 0));
        self.qclass = Rclass(u16_at(fixed, 2));
        self.question_end = HEADER_LEN + len + 4;
        Ok(self.question_end)
    }

    #[cold]
    fn forget_question(&mut self) {
        self.name = QName::default();
        self.qtype = Rtype(0);
        self.qclass = Rclass(0);
    }

    /// Walks all records after the question in search of the OPT record, which may only be
    /// among the last `additionals` (RFC 6891 §6.1.1). Each step takes eleven bytes at the
    /// least, so counts that lie cost nothing.
    #[inline]
    fn find_opt(
        &mut self,
        packet: &[u8],
        mut at: usize,
        others: u32,
        additionals: u16,
    ) -> Result<(), Reject> {
        for index in 0..others + u32::from(additionals) {
            let owner = at;
            let fixed_at = skip_name(packet, owner).ok_or(Reject::FormErr)?;
            let (fixed, rest) = packet
                .get(fixed_at..)
                .and_then(|record| record.split_first_chunk::<10>())
                .ok_or(Reject::FormErr)?;
            let rdata = rest
                .get(..usize::from(u16_at(fixed, 8)))
                .ok_or(Reject::FormErr)?;
            at = fixed_at + 10 + rdata.len();
            if Rtype(u16_at(fixed, 0)) == Rtype::OPT {
                let at_root = packet[owner] == 0;
                let misplaced = index < others || self.edns.is_some() || !at_root;
                let ttl = u32::from(u16_at(fixed, 4)) << 16 | u32::from(u16_at(fixed, 6));
                self.read_opt(Edns::from_fixed(u16_at(fixed, 2), ttl), rdata, misplaced)?;
            }
        }
        match self.edns {
            Some(Edns { version: 1.., .. }) => Err(Reject::BadVers),
            _ => Ok(()),
        }
    }

    /// Takes an OPT record, keeping what the reply to a broken one needs too. A later
    /// version's options are not ours to judge.
    #[inline]
    fn read_opt(&mut self, edns: Edns, options: &[u8], misplaced: bool) -> Result<(), Reject> {
        let edns = self.edns.insert(edns);
        if misplaced {
            return Err(Reject::FormErr);
        }
        if edns.version == 0 {
            edns.ecs = Edns::read_options(options)?;
        }
        Ok(())
    }
}

/// Where the record's owner which begins at `at` ends; compression pointers are not followed.
#[inline]
fn skip_name(packet: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while end - at < NAME_MAX {
        match *packet.get(end)? {
            0 => return Some(end + 1),
            len @ 1..=0x3f => end += 1 + usize::from(len),
            0xc0..=0xff => return Some(end + 2),
            _ => return None,
        }
    }
    None
}

/// The number at `at`, in network order; `at` is a constant within `N`.
#[inline]
pub(super) fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::testing::{Packet, any_name, name};
    use proptest::prelude::*;

    fn parse(packet: &[u8]) -> (Query, Result<(), Reject>) {
        let mut query = Query::default();
        let outcome = query.parse(packet);
        (query, outcome)
    }

    fn packet() -> Packet {
        Packet::asking("www.example.com", Rtype::A)
    }

    #[test]
    fn a_plain_question_is_read() {
        let bytes = Packet::asking("WWW.Example.com", Rtype::AAAA).build();
        let (query, outcome) = parse(&bytes);
        assert_eq!(outcome, Ok(()));
        assert_eq!(query.id, 0x1234);
        assert!(query.recursion_desired);
        assert_eq!(query.name.wire(), name("www.example.com").as_wire());
        assert_eq!((query.qtype, query.qclass), (Rtype::AAAA, Rclass::IN));
        assert_eq!(query.question_end(), bytes.len());
        assert_eq!(query.edns, None);
        assert_eq!(query.udp_limit(), 512);
    }

    #[test]
    fn the_opt_record_is_found_behind_others() {
        let compressed = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x01";
        let bytes = packet()
            .record(0, compressed)
            .record(1, compressed)
            .record(2, b"\x01k\0\0\xfa\0\xff\0\0\0\0\0\0")
            .opt(1400, 0x8000, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])
            .build();
        let (query, outcome) = parse(&bytes);
        assert_eq!(outcome, Ok(()));
        let edns = query.edns.unwrap();
        assert_eq!((edns.udp_size, edns.dnssec_ok), (1400, true));
        assert_eq!(query.udp_limit(), 1232);
        assert!(query.question_end() < bytes.len());
    }

    #[test]
    fn replies_and_stumps_meet_silence() {
        let mut reply = packet().build();
        reply[2] |= 0x80;
        assert_eq!(parse(&reply).1, Err(Reject::Drop));
        for len in 0..HEADER_LEN {
            assert_eq!(parse(&packet().build()[..len]).1, Err(Reject::Drop));
        }
    }

    /// Packets that deserve FORMERR: whether the question is echoed, and whether OPT is.
    #[test]
    fn every_kind_of_broken_message_is_a_formerr() {
        let opt = |packet: Packet| packet.opt(1232, 0, &[]);
        let raw = |question: &[u8]| Packet::raw_question(question);
        let count = |at: usize, value: u8| {
            let mut bytes = packet().build();
            bytes[at] = value;
            bytes
        };
        let cut = {
            let whole = opt(packet()).build();
            whole[..whole.len() - 1].to_vec()
        };
        let cases: Vec<(&str, Vec<u8>, bool, bool)> = vec![
            (
                "no question",
                opt(Packet::raw_question(b"").questions(0)).build(),
                false,
                true,
            ),
            (
                "two questions",
                opt(packet().second_question()).build(),
                false,
                true,
            ),
            ("a question missing", count(5, 2), false, false),
            (
                "name: pointer to itself",
                raw(b"\xc0\x0c\0\x01\0\x01").build(),
                false,
                false,
            ),
            (
                "name: pointer after a label",
                raw(b"\x01a\xc0\x00\0\x01\0\x01").build(),
                false,
                false,
            ),
            (
                "name: label type 0x40",
                raw(b"\x41\x01\0\0\x01\0\x01").build(),
                false,
                false,
            ),
            (
                "name: label type 0x80",
                raw(b"\x81a\0\0\x01\0\x01").build(),
                false,
                false,
            ),
            (
                "name: too long",
                raw(&[b"\x01a".repeat(128), vec![0; 5]].concat()).build(),
                false,
                false,
            ),
            ("name: no end", raw(b"\x05ab").build(), false, false),
            ("question: no type", raw(b"\x01a\0").build(), false, false),
            (
                "question: half a class",
                raw(b"\x01a\0\0\x01\0").build(),
                false,
                false,
            ),
            ("a record missing", count(11, 1), true, false),
            ("a record cut short", cut, true, false),
            (
                "record: bad owner",
                packet()
                    .record(2, b"\x80\0\0\x01\0\x01\0\0\0\0\0\0")
                    .build(),
                true,
                false,
            ),
            (
                "record: owner too long",
                packet()
                    .record(2, &[b"\x01a".repeat(128), vec![0; 11]].concat())
                    .build(),
                true,
                false,
            ),
            (
                "record: half a pointer",
                packet().record(2, b"\xc0").build(),
                true,
                false,
            ),
            ("two OPTs", opt(opt(packet())).build(), true, true),
            (
                "OPT not at the root",
                packet()
                    .record(2, b"\x01a\0\0\x29\x04\xd0\0\0\0\0\0\0")
                    .build(),
                true,
                true,
            ),
            (
                "OPT by a pointer",
                packet()
                    .record(2, b"\xc0\x1c\0\x29\x04\xd0\0\0\0\0\0\0")
                    .build(),
                true,
                true,
            ),
            (
                "OPT in the answer",
                packet().record(0, b"\0\0\x29\x04\xd0\0\0\0\0\0\0").build(),
                true,
                true,
            ),
            (
                "option: overrun",
                packet().opt(1232, 0, &[0, 10, 0, 9, 1]).build(),
                true,
                true,
            ),
            (
                "option: no length",
                packet().opt(1232, 0, &[0, 10]).build(),
                true,
                true,
            ),
            (
                "ECS: malformed",
                packet().opt(1232, 0, &[0, 8, 0, 4, 0, 1, 24, 0]).build(),
                true,
                true,
            ),
        ];
        for (what, bytes, question, edns) in cases {
            let (query, outcome) = parse(&bytes);
            assert_eq!(outcome, Err(Reject::FormErr), "{what}");
            assert_eq!(query.has_question(), question, "{what}");
            assert_eq!(query.edns.is_some(), edns, "{what}");
            assert_eq!(query.edns.and_then(|edns| edns.ecs), None, "{what}");
            assert_eq!(query.id, 0x1234, "{what}");
        }
    }

    #[test]
    fn other_opcodes_are_not_implemented_however_they_look_inside() {
        for opcode in 1..16 {
            let (query, outcome) = parse(&packet().opcode(opcode).opt(1232, 0, &[]).build());
            assert_eq!(outcome, Err(Reject::NotImp));
            assert_eq!(query.opcode, Opcode(opcode));
            assert!(query.has_question() && query.edns.is_some());
            let broken = Packet::raw_question(b"\xc0\x0c").opcode(opcode).build();
            assert_eq!(parse(&broken).1, Err(Reject::NotImp));
        }
    }

    #[test]
    fn later_edns_versions_are_refused_with_their_options_unread() {
        let (query, outcome) = parse(&packet().opt(1232, 0x0001_0000, &[0, 8, 0, 99]).build());
        assert_eq!(outcome, Err(Reject::BadVers));
        assert!(query.has_question());
        assert_eq!(query.edns.unwrap().version, 1);
    }

    #[test]
    fn what_has_no_meaning_in_a_query_is_ignored() {
        let mut bytes = packet().opt(100, 0x7fff, &[]).build();
        bytes[2] |= 0x06; // AA TC
        bytes[3] |= 0xff; // RA Z AD CD rcode
        bytes.extend(b"trailing bytes");
        let (query, outcome) = parse(&bytes);
        assert_eq!(outcome, Ok(()));
        assert_eq!(query.udp_limit(), 512);
        assert!(!query.edns.unwrap().dnssec_ok);
    }

    #[test]
    fn nothing_stays_from_the_query_before() {
        let mut query = Query::default();
        query.parse(&packet().opt(1232, 0, &[]).build()).unwrap();
        query.parse(&packet().build()).unwrap();
        assert_eq!(query.edns, None);
        assert!(query.parse(&Packet::raw_question(b"\xc0").build()).is_err());
        assert!(!query.has_question());
        assert_eq!((query.name.wire(), query.qtype), (&b"\0"[..], Rtype(0)));
    }

    proptest! {
        #[test]
        fn parsing_arbitrary_bytes_never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn parsing_mutated_queries_never_panics(
            mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut: prop::sample::Index,
        ) {
            let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
            let mut bytes = packet()
                .record(2, b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x01")
                .opt(1232, 0x8000, &subnet)
                .build();
            for (at, value) in mutations {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let (query, _) = parse(&bytes);
            prop_assert!(query.question_end() <= bytes.len());
            let cut = cut.index(bytes.len());
            let _ = parse(&bytes[..cut]);
        }

        #[test]
        fn a_query_is_what_was_written(
            name in any_name(), qtype: u16, id: u16, opt in prop::option::of((any::<u16>(), any::<bool>())),
        ) {
            let mut packet = Packet::raw_question(
                &[name.as_wire(), &qtype.to_be_bytes(), &[0, 1]].concat(),
            ).id(id);
            if let Some((size, dnssec_ok)) = opt {
                packet = packet.opt(size, if dnssec_ok { 0x8000 } else { 0 }, &[]);
            }
            let (query, outcome) = parse(&packet.build());
            prop_assert_eq!(outcome, Ok(()));
            prop_assert_eq!(query.id, id);
            prop_assert_eq!(query.name.wire(), name.as_wire());
            prop_assert_eq!((query.qtype, query.qclass), (Rtype(qtype), Rclass::IN));
            let edns = query.edns.map(|edns| (edns.udp_size, edns.dnssec_ok));
            prop_assert_eq!(edns, opt.map(|(size, dnssec_ok)| (size.max(512), dnssec_ok)));
        }

        #[test]
        fn hickorys_queries_are_read_as_hickory_meant_them(name in any_name(), dnssec_ok: bool) {
            use hickory_proto::op::{Message, Query as Asked};
            use hickory_proto::rr::{Name, RecordType};
            let asked = Name::from_labels(name.labels()).unwrap();
            let mut message = Message::query();
            message.add_query(Asked::query(asked, RecordType::TXT));
            let mut edns = hickory_proto::op::Edns::new();
            edns.set_max_payload(1400).set_dnssec_ok(dnssec_ok);
            message.set_edns(edns);
            let (query, outcome) = parse(&message.to_vec().unwrap());
            prop_assert_eq!(outcome, Ok(()));
            prop_assert_eq!(query.name.wire(), name.as_wire());
            prop_assert_eq!(query.qtype, Rtype::TXT);
            let edns = query.edns.map(|edns| (edns.udp_size, edns.dnssec_ok));
            prop_assert_eq!(edns, Some((1400, dnssec_ok)));
        }
    }
}
