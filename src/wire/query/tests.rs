//! Queries well and badly formed, by hand, by chance and by hickory-proto.

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

/// Whether `packet` gets FORMERR, with the question and with OPT in the reply.
fn assert_formerr(what: &str, packet: &[u8], question: bool, edns: bool) {
    let (query, outcome) = parse(packet);
    assert_eq!(outcome, Err(Reject::FormErr), "{what}");
    assert_eq!(query.has_question(), question, "{what}");
    assert_eq!(query.edns.is_some(), edns, "{what}");
    assert_eq!(query.edns.and_then(|edns| edns.ecs), None, "{what}");
    assert_eq!(query.id, 0x1234, "{what}");
}

#[test]
fn a_broken_question_is_a_formerr_without_it() {
    let too_long = [b"\x01a".repeat(128), vec![0; 5]].concat();
    let cases: [(&str, &[u8]); 8] = [
        ("a pointer to itself", b"\xc0\x0c\0\x01\0\x01"),
        ("a pointer after a label", b"\x01a\xc0\x00\0\x01\0\x01"),
        ("label type 0x40", b"\x41\x01\0\0\x01\0\x01"),
        ("label type 0x80", b"\x81a\0\0\x01\0\x01"),
        ("a name too long", &too_long),
        ("a name without end", b"\x05ab"),
        ("no type", b"\x01a\0"),
        ("half a class", b"\x01a\0\0\x01\0"),
    ];
    for (what, question) in cases {
        let packet = Packet::raw_question(question).build();
        assert_formerr(what, &packet, false, false);
    }
}

#[test]
fn other_than_one_question_is_a_formerr_without_it() {
    let none = || Packet::raw_question(b"").questions(0);
    assert_formerr("none", &none().build(), false, false);
    let none = none().opt(1232, 0, &[]).build();
    assert_formerr("none, with OPT", &none, false, true);
    let two = packet().second_question().opt(1232, 0, &[]).build();
    assert_formerr("two, with OPT", &two, false, true);
    let missing = packet().questions(2).build();
    assert_formerr("a second one claimed", &missing, false, false);
    let many = packet().questions(0xffff).build();
    assert_formerr("many claimed", &many, false, false);
}

#[test]
fn a_cookie_may_stand_in_for_the_question() {
    let alone = |options: &[u8]| {
        let packet = Packet::raw_question(b"").questions(0).opt(1232, 0, options).build();
        let (query, outcome) = parse(&packet);
        assert!(!query.has_question());
        outcome
    };
    assert_eq!(alone(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]), Ok(()));
    assert_eq!(alone(&[0, 10, 0, 7, 1, 2, 3, 4, 5, 6, 7]), Err(Reject::FormErr));
    assert_eq!(alone(&[0, 3, 0, 0]), Err(Reject::FormErr));
}

#[test]
fn a_broken_record_is_a_formerr_with_the_question() {
    let too_long = [b"\x01a".repeat(128), vec![0; 11]].concat();
    let cases: [(&str, &[u8]); 6] = [
        ("claimed only", b""),
        ("owner of unknown label type", b"\x80\0\0\x01\0\x01\0\0\0\0\0\0"),
        ("owner too long", &too_long),
        ("half a pointer", b"\xc0"),
        ("fixed fields cut short", b"\0\0\x29\x04\xd0\0\0\0\0\0"),
        ("rdata cut short", b"\0\0\x29\x04\xd0\0\0\0\0\0\x01"),
    ];
    for (what, record) in cases {
        for section in 0..3 {
            let packet = packet().record(section, record).build();
            assert_formerr(what, &packet, true, false);
        }
    }
}

#[test]
fn a_broken_opt_record_is_a_formerr_with_question_and_opt() {
    let cases: [(&str, usize, &[u8]); 7] = [
        ("not at the root", 2, b"\x01a\0\0\x29\x04\xd0\0\0\0\0\0\0"),
        ("at the root by a pointer", 2, b"\xc0\x1c\0\x29\x04\xd0\0\0\0\0\0\0"),
        ("in the answer", 0, b"\0\0\x29\x04\xd0\0\0\0\0\0\0"),
        ("in the authority", 1, b"\0\0\x29\x04\xd0\0\0\0\0\0\0"),
        ("option overrun", 2, b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x0a\0\x02\0"),
        ("option cut short", 2, b"\0\0\x29\x04\xd0\0\0\0\0\0\x02\0\x0a"),
        ("malformed ECS", 2, b"\0\0\x29\x04\xd0\0\0\0\0\0\x08\0\x08\0\x04\0\x01\x18\0"),
    ];
    for (what, section, record) in cases {
        assert_formerr(what, &packet().record(section, record).build(), true, true);
    }
    let two = packet().opt(1232, 0, &[]).opt(1232, 0, &[]).build();
    assert_formerr("two", &two, true, true);
    let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    let behind = [&subnet[..], &[0, 10, 0, 9]].concat();
    let behind = packet().opt(1232, 0, &behind).build();
    assert_formerr("broken behind a client's network", &behind, true, true);
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
