//! Everything a [`Reply`] writes is read by hickory-proto, which shares no code with it.

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use proptest::prelude::*;
use std::time::Duration;

use super::*;
use crate::wire::testing::{Packet, any_name, name};
use crate::wire::{Name, Reject};

const TTL: Ttl = Ttl::from_secs(30);
const SOA: &[u8] = b"\x03ns1\x03gtm\x07example\0\x01h\x07example\0\0\0\0\x01aaaabbbbccccdddd";

fn parse(packet: &[u8]) -> Query {
    let mut query = Query::default();
    query.parse(packet).unwrap();
    query
}

/// Answers `packet` in place within `limit`; the bytes behind the question are trodden on, so
/// that a reply which relies on them shows.
fn reply_within(limit: usize, packet: &[u8], write: impl FnOnce(&mut Reply<'_>)) -> Vec<u8> {
    let query = parse(packet);
    let mut buf = vec![0xee; 70_000];
    buf[..query.question_end()].copy_from_slice(&packet[..query.question_end()]);
    let mut reply = Reply::begin(&mut buf, &query, limit, &Options::NONE);
    write(&mut reply);
    let len = reply.finish();
    assert!(len <= limit);
    buf.truncate(len);
    buf
}

fn reply(packet: &[u8], write: impl FnOnce(&mut Reply<'_>)) -> Vec<u8> {
    reply_within(parse(packet).udp_limit(), packet, write)
}

/// The records of a decoded reply, a line each; OPT apart.
fn lines(bytes: &[u8]) -> Vec<String> {
    let message = Message::from_vec(bytes).unwrap();
    let sections =
        [("an", &message.answers), ("au", &message.authorities), ("ad", &message.additionals)];
    sections
        .iter()
        .flat_map(|(section, records)| {
            records.iter().map(move |record| format!("{section} {record}"))
        })
        .collect()
}

fn set(rtype: Rtype, apex: &str, records: &[&[u8]]) -> Rdatas {
    Rdatas::build(rtype, records.iter().copied(), Some(&name(apex))).unwrap()
}

fn a(last: u8) -> Rdatas {
    set(Rtype::A, ".", &[&[192, 0, 2, last]])
}

fn qname(text: &str) -> QName {
    let mut qname = QName::default();
    qname.set(&name(text));
    qname
}

#[test]
fn an_answer_keeps_the_question_and_adds_records_of_sixteen_bytes() {
    let packet = Packet::asking("wWw.GTM.example", Rtype::A).build();
    let bytes = reply(&packet, |reply| {
        reply.enter_zone(name("gtm.example").as_wire());
        reply.set_authoritative();
        let addresses = [[192, 0, 2, 1], [192, 0, 2, 2]].map(Into::into);
        let set = Rdatas::addresses_v4(&addresses).unwrap();
        reply.records(Section::Answer, Owner::Current, TTL, &set).unwrap();
    });
    assert_eq!(bytes[12..packet.len()], packet[12..]);
    assert_eq!(bytes.len(), packet.len() + 2 * 16);
    assert_eq!(
        lines(&bytes),
        ["an wWw.GTM.example. 30 IN A 192.0.2.1", "an wWw.GTM.example. 30 IN A 192.0.2.2",]
    );
    let head = Message::from_vec(&bytes).unwrap().metadata;
    assert_eq!((head.id, head.message_type), (0x1234, MessageType::Response));
    assert!(head.authoritative && head.recursion_desired && !head.truncation);
    assert!(!head.recursion_available && !head.authentic_data && !head.checking_disabled);
    assert_eq!(head.response_code, ResponseCode::NoError);
}

#[test]
fn flags_of_the_query_do_not_leak_into_the_reply() {
    let mut packet = Packet::asking("a.example", Rtype::A).build();
    packet[2] = 0x06; // AA TC, no RD
    packet[3] = 0xff; // RA Z AD CD rcode
    let bytes = reply(&packet, |_| ());
    assert_eq!(bytes[2..4], [0x80, 0]);
}

#[test]
fn a_negative_answer_has_its_soa_at_the_apex() {
    let packet = Packet::asking("nx.gtm.example", Rtype::A).build();
    let bytes = reply(&packet, |reply| {
        reply.enter_zone(name("gtm.example").as_wire());
        reply.set_authoritative();
        reply.set_rcode(Rcode::NXDOMAIN);
        let soa = set(Rtype::SOA, "gtm.example", &[SOA]);
        reply.records(Section::Authority, Owner::Apex, TTL, &soa).unwrap();
    });
    let message = Message::from_vec(&bytes).unwrap();
    assert_eq!(message.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(
        lines(&bytes),
        [
            "au gtm.example. 30 IN SOA ns1.gtm.example. h.example. 1 1633771873 1650614882 1667457891 1684300900"
        ]
    );
}

#[test]
fn a_referral_has_owners_of_every_kind() {
    let packet = Packet::asking("a.b.cut.gtm.example", Rtype::A).build();
    let bytes = reply(&packet, |reply| {
        let asked = qname("a.b.cut.gtm.example");
        reply.enter_zone(name("gtm.example").as_wire());
        let ns = set(
            Rtype::NS,
            "gtm.example",
            &[name("ns.cut.gtm.example").as_wire(), name("ns.other.test").as_wire()],
        );
        let authority = Section::Authority;
        reply.records(authority, Owner::Ancestor(asked.suffix(2)), TTL, &ns).unwrap();
        let glue = Rdatas::addresses_v6(&[1, 2].map(|last: u128| last.into())).unwrap();
        let below = Owner::Relative(b"\x02ns\x03cut");
        reply.records(Section::Additional, below, TTL, &glue).unwrap();
        let other = name("ns.other.test");
        let pair = set(Rtype::A, ".", &[&[192, 0, 2, 1], &[192, 0, 2, 2]]);
        let owner = Owner::Name(other.as_wire());
        reply.records(Section::Additional, owner, TTL, &pair).unwrap();
    });
    assert_eq!(
        lines(&bytes),
        [
            "au cut.gtm.example. 30 IN NS ns.cut.gtm.example.",
            "au cut.gtm.example. 30 IN NS ns.other.test.",
            "ad ns.cut.gtm.example. 30 IN AAAA ::1",
            "ad ns.cut.gtm.example. 30 IN AAAA ::2",
            "ad ns.other.test. 30 IN A 192.0.2.1",
            "ad ns.other.test. 30 IN A 192.0.2.2",
        ]
    );
}

#[test]
fn a_chain_of_cnames_goes_on_through_our_other_zones() {
    let packet = Packet::asking("w.one.example", Rtype::A).build();
    let hops = [
        ("one.example", "x.y.one.example"),
        ("one.example", "z.two.test"),
        ("two.test", "t.sub.two.test"),
        ("sub.two.test", "sub.two.test"),
    ];
    let bytes = reply(&packet, |reply| {
        let mut target = QName::default();
        for (apex, to) in hops {
            reply.enter_zone(name(apex).as_wire());
            let cname = set(Rtype::CNAME, apex, &[name(to).as_wire()]);
            reply.records(Section::Answer, Owner::Current, TTL, &cname).unwrap();
            cname.read_target(name(apex).as_wire(), &mut target).unwrap();
            assert_eq!(target.wire(), name(to).as_wire());
            reply.follow(&target).unwrap();
        }
        reply.enter_zone(name("sub.two.test").as_wire());
        reply.records(Section::Answer, Owner::Current, TTL, &a(1)).unwrap();
        let ns = set(Rtype::NS, "sub.two.test", &[name("ns.sub.two.test").as_wire()]);
        reply.records(Section::Authority, Owner::Apex, TTL, &ns).unwrap();
    });
    assert_eq!(
        lines(&bytes),
        [
            "an w.one.example. 30 IN CNAME x.y.one.example.",
            "an x.y.one.example. 30 IN CNAME z.two.test.",
            "an z.two.test. 30 IN CNAME t.sub.two.test.",
            "an t.sub.two.test. 30 IN CNAME sub.two.test.",
            "an sub.two.test. 30 IN A 192.0.2.1",
            "au sub.two.test. 30 IN NS ns.sub.two.test.",
        ]
    );
}

#[test]
fn a_dname_is_answered_with_the_cname_made_from_it() {
    let packet = Packet::asking("a.old.gtm.example", Rtype::A).build();
    let bytes = reply(&packet, |reply| {
        let mut asked = qname("a.old.gtm.example");
        reply.enter_zone(name("gtm.example").as_wire());
        let dname = set(Rtype::DNAME, "gtm.example", &[name("new.gtm.example").as_wire()]);
        let owner = Owner::Ancestor(asked.suffix(1));
        reply.records(Section::Answer, owner, TTL, &dname).unwrap();
        asked.replace_suffix(1, name("new.gtm.example").as_wire()).unwrap();
        reply.synthesize_cname(TTL, &asked).unwrap();
        reply.enter_zone(name("gtm.example").as_wire());
        reply.records(Section::Answer, Owner::Current, TTL, &a(7)).unwrap();
    });
    let mut lines = lines(&bytes);
    // hickory keeps DNAME as a type it does not know.
    assert!(lines.remove(0).starts_with("an old.gtm.example. 30 IN DNAME"));
    assert_eq!(
        lines,
        [
            "an a.old.gtm.example. 30 IN CNAME a.new.gtm.example.",
            "an a.new.gtm.example. 30 IN A 192.0.2.7",
        ]
    );
}

#[test]
fn a_set_that_does_not_fit_leaves_no_trace() {
    let packet = Packet::asking("a.example", Rtype::TXT).opt(512, 0, &[]).build();
    let large = set(Rtype::TXT, ".", &[&[0; 470]]);
    let bytes = reply(&packet, |reply| {
        let txt = set(Rtype::TXT, ".", &[b"\x02hi"]);
        reply.records(Section::Answer, Owner::Current, TTL, &txt).unwrap();
        let full = reply.records(Section::Additional, Owner::Current, TTL, &large);
        assert_eq!(full, Err(Full));
        let target = qname(&["a"; 125].join("."));
        reply.synthesize_cname(TTL, &target).unwrap();
        assert_eq!(reply.synthesize_cname(TTL, &target), Err(Full));
    });
    let lines = lines(&bytes);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], "an a.example. 30 IN TXT hi");
    assert!(lines[1].starts_with("an a.example. 30 IN CNAME a.a."));
    assert!(!Message::from_vec(&bytes).unwrap().metadata.truncation);
}

#[test]
fn options_take_their_room_from_records() {
    let nsid = Nsid::new(&[b'n'; Nsid::MAX]).unwrap();
    let keepalive = Some(IdleTime::within(Duration::from_secs(10)));
    let options = Options { cookie: Some([7; 24]), nsid: Some(&nsid), keepalive };
    for (packet, opt) in [
        (Packet::asking("a.example", Rtype::TXT), 0),
        (Packet::asking("a.example", Rtype::TXT).ecs(1, 24, &[192, 0, 2]), 22 + 28 + 132 + 6),
    ] {
        let query = parse(&packet.build());
        let room = 512 - query.question_end() - opt;
        for (rdlength, fits) in [(room - 12, true), (room - 11, false)] {
            let mut buf = [0; 600];
            buf[..query.question_end()].copy_from_slice(&packet.build()[..query.question_end()]);
            let mut reply = Reply::begin(&mut buf, &query, 512, &options);
            let txt = set(Rtype::TXT, ".", &[&vec![0; rdlength]]);
            let written = reply.records(Section::Answer, Owner::Current, TTL, &txt);
            assert_eq!((written.is_ok(), reply.finish() == 512), (fits, fits));
        }
    }
}

#[test]
fn a_reply_fills_its_limit_to_the_byte_and_opt_always_fits() {
    let subnet = [192, 0, 2];
    for (packet, opt) in [
        (Packet::asking("a.example", Rtype::TXT), 0),
        (Packet::asking("a.example", Rtype::TXT).opt(512, 0, &[]), 11),
        (Packet::asking("a.example", Rtype::TXT).ecs(1, 24, &subnet), 22),
    ] {
        let packet = packet.build();
        let room = 512 - parse(&packet).question_end() - opt;
        for (rdlength, fits) in [(room - 12, true), (room - 11, false)] {
            let rdata = vec![0; rdlength];
            let txt = set(Rtype::TXT, ".", &[&rdata]);
            let bytes = reply_within(512, &packet, |reply| {
                let written = reply.records(Section::Answer, Owner::Current, TTL, &txt);
                assert_eq!(written.is_ok(), fits);
            });
            let message = Message::from_vec(&bytes).unwrap();
            assert_eq!(message.answers.len(), usize::from(fits));
            assert_eq!(message.edns.is_some(), opt > 0);
            assert_eq!(bytes.len() == 512, fits);
        }
    }
}

#[test]
fn a_truncated_reply_has_tc_and_opt_and_no_records() {
    let packet = Packet::asking("a.example", Rtype::A).opt(1232, 0x8000, &[]).build();
    let bytes = reply(&packet, |reply| {
        reply.records(Section::Answer, Owner::Current, TTL, &a(1)).unwrap();
        reply.truncate();
        let after = reply.records(Section::Answer, Owner::Current, TTL, &a(2));
        assert_eq!(after, Err(Full));
    });
    let message = Message::from_vec(&bytes).unwrap();
    assert!(message.metadata.truncation);
    assert_eq!(lines(&bytes), [""; 0]);
    assert_eq!(message.queries.len(), 1);
    assert!(message.edns.is_some_and(|edns| edns.flags().dnssec_ok));
    assert_eq!(bytes.len(), parse(&packet).question_end() + 11);
}

#[test]
fn opt_is_answered_with_our_size_and_their_do_and_nothing_else() {
    let unknown = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    for (ttl, dnssec_ok) in [(0x8000, true), (0x7fff, false)] {
        let packet = Packet::asking("a.example", Rtype::A).opt(4096, ttl, &unknown).build();
        let edns = Message::from_vec(&reply(&packet, |_| ())).unwrap().edns.unwrap();
        assert_eq!((edns.max_payload(), edns.version()), (1232, 0));
        assert_eq!(edns.flags().dnssec_ok, dnssec_ok);
        assert_eq!(edns.flags().z, 0);
        assert!(edns.options().as_ref().is_empty());
    }
}

#[test]
fn a_client_network_comes_back_with_the_scope() {
    let cases: [(u8, u8, &[u8], &str); 3] = [
        (1, 24, &[192, 0, 2], "192.0.2.0"),
        (2, 48, &[0x20, 1, 0xd, 0xb8, 0, 1], "2001:db8:1::"),
        (1, 0, &[], "0.0.0.0"),
    ];
    for (family, prefix, address, shown) in cases {
        let packet = Packet::asking("a.example", Rtype::A).ecs(family, prefix, address).build();
        let bytes = reply(&packet, |reply| reply.set_scope(17));
        let edns = Message::from_vec(&bytes).unwrap().edns.unwrap();
        let Some(EdnsOption::Subnet(subnet)) = edns.option(EdnsCode::Subnet) else {
            panic!("no subnet in {edns:?}");
        };
        assert_eq!(subnet.addr(), shown.parse::<std::net::IpAddr>().unwrap());
        assert_eq!((subnet.source_prefix(), subnet.scope_prefix()), (prefix, 17));
    }
    // hickory knows no family 0: the bytes themselves.
    let packet = Packet::asking("a.example", Rtype::A).ecs(0, 0, &[]).build();
    assert!(reply(&packet, |_| ()).ends_with(&[0, 8, 0, 8, 0, 4, 0, 0, 0, 0]));
}

#[test]
fn an_extended_error_is_told_to_those_who_speak_edns_if_it_fits() {
    let plain = Packet::asking("a.example", Rtype::A).build();
    let edns = Packet::asking("a.example", Rtype::A).opt(512, 0, &[]).build();
    let refuse = |reply: &mut Reply<'_>| {
        reply.set_rcode(Rcode::REFUSED);
        reply.set_extended_error(Ede::NOT_AUTHORITATIVE);
    };
    assert_eq!(reply(&plain, refuse).len(), plain.len());
    let told = reply(&edns, refuse);
    assert!(told.ends_with(&[0, 6, 0, 15, 0, 2, 0, 20]));
    assert!(Message::from_vec(&told).is_ok());
    let filler = vec![0; 512 - edns.len() - 12 - 5];
    let full = reply(&edns, |reply| {
        refuse(reply);
        let txt = set(Rtype::TXT, ".", &[&filler]);
        reply.records(Section::Answer, Owner::Current, TTL, &txt).unwrap();
    });
    assert_eq!(full.len(), 512 - 5);
    assert!(Message::from_vec(&full).unwrap().edns.unwrap().options().as_ref().is_empty());
}

#[test]
fn errors_keep_what_could_be_read_of_the_query() {
    let asking = || Packet::asking("a.example", Rtype::A);
    let cases: [(Packet, Reject, ResponseCode, usize, bool); 6] = [
        (
            asking().opt(1232, 0x1_0000, &[0, 8]),
            Reject::BadVers,
            ResponseCode::BADSIG, // hickory's name for 16 too
            1,
            true,
        ),
        (asking().opt(1232, 0, &[0, 8]), Reject::FormErr, ResponseCode::FormErr, 1, true),
        (asking().second_question(), Reject::FormErr, ResponseCode::FormErr, 0, false),
        (
            Packet::raw_question(b"\xc0\x0c\0\x01\0\x01"),
            Reject::FormErr,
            ResponseCode::FormErr,
            0,
            false,
        ),
        (asking().opcode(2), Reject::NotImp, ResponseCode::NotImp, 1, false),
        (asking().opcode(4).opt(512, 0, &[]), Reject::NotImp, ResponseCode::NotImp, 1, true),
    ];
    for (packet, reject, rcode, questions, edns) in cases {
        let mut buf = packet.build();
        let mut query = Query::default();
        assert_eq!(query.parse(&buf), Err(reject));
        buf.resize(512, 0xee);
        let len = Reply::error(&mut buf, &query, reject.rcode().unwrap());
        let message = Message::from_vec(&buf[..len]).unwrap();
        assert_eq!(message.metadata.response_code, rcode);
        assert_eq!(message.metadata.op_code, hickory_proto::op::OpCode::from_u8(query.opcode.0));
        assert!(message.metadata.recursion_desired && !message.metadata.authoritative);
        assert_eq!(message.queries.len(), questions);
        assert_eq!(message.edns.is_some(), edns);
        assert!(message.edns.is_none_or(|edns| edns.options().as_ref().is_empty()));
    }
}

#[test]
fn a_large_reply_over_tcp_points_no_further_than_a_pointer_reaches() {
    let packet = Packet::asking("a.example", Rtype::A).build();
    let bytes = reply_within(TCP_MAX, &packet, |reply| {
        reply.enter_zone(name("example").as_wire());
        let filler = set(Rtype::TXT, ".", &[&[0; 16_400]]);
        reply.records(Section::Answer, Owner::Current, TTL, &filler).unwrap();
        let cname = set(Rtype::CNAME, "example", &[name("b.example").as_wire()]);
        reply.records(Section::Answer, Owner::Current, TTL, &cname).unwrap();
        assert_eq!(reply.follow(&qname("b.example")), Err(Full));
        let owner = name("far.away");
        let pair = set(Rtype::A, ".", &[&[192, 0, 2, 1], &[192, 0, 2, 2]]);
        let owner = Owner::Name(owner.as_wire());
        reply.records(Section::Additional, owner, TTL, &pair).unwrap();
    });
    assert_eq!(
        lines(&bytes)[1..],
        [
            "an a.example. 30 IN CNAME b.example.",
            "ad far.away. 30 IN A 192.0.2.1",
            "ad far.away. 30 IN A 192.0.2.2",
        ]
    );
}

/// The slow obvious model of a reply: every name in full.
struct Model {
    bytes: Vec<u8>,
    counts: [u16; 3],
}

impl Model {
    fn new(asked: &Name) -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes.extend([asked.as_wire(), &[0, 1, 0, 1]].concat());
        Model { bytes, counts: [0; 3] }
    }

    fn add(&mut self, section: Section, owner: &Name, rtype: Rtype, records: &[Vec<u8>]) {
        for rdata in records {
            self.bytes.extend(owner.as_wire());
            self.bytes.extend(rtype.0.to_be_bytes());
            self.bytes.extend([0, 1, 0, 0, 0, 30]);
            self.bytes.extend((rdata.len() as u16).to_be_bytes());
            self.bytes.extend(rdata);
            self.counts[section as usize] += 1;
        }
    }

    fn decode(mut self) -> Message {
        for (section, count) in self.counts.into_iter().enumerate() {
            self.bytes[6 + 2 * section..][..2].copy_from_slice(&count.to_be_bytes());
        }
        self.bytes[2] = 0x81;
        self.bytes[5] = 1;
        self.bytes[..2].copy_from_slice(&[0x12, 0x34]);
        Message::from_vec(&self.bytes).unwrap()
    }
}

/// Rdata of one of the types whose names are compressed, or of A.
fn rdata_of(rtype: Rtype, target: &Name) -> Vec<u8> {
    let target = target.as_wire();
    match rtype {
        Rtype::A => vec![192, 0, 2, target.len() as u8],
        Rtype::MX => [&[0, 10], target].concat(),
        Rtype::SOA => [target, target, &[1; 20]].concat(),
        _ => target.to_vec(),
    }
}

proptest! {
    #[test]
    fn hickory_reads_the_same_with_and_without_compression(
        apex in any_name(),
        asked in "[a-z]{1,9}",
        sets in prop::collection::vec(
            (
                prop::sample::select(vec![Rtype::A, Rtype::NS, Rtype::CNAME, Rtype::MX, Rtype::SOA, Rtype::PTR]),
                prop::collection::vec((any_name(), "[a-z]{1,9}", any::<bool>()), 1..4),
                0..4u8,
            ),
            0..5,
        ),
    ) {
        let asked = apex.prepend(asked.as_bytes()).unwrap();
        let mut model = Model::new(&asked);
        let question = [asked.as_wire(), &[0, 1, 0, 1]].concat();
        let bytes = reply_within(TCP_MAX, &Packet::raw_question(&question).build(), |reply| {
            reply.enter_zone(apex.as_wire());
            for (rtype, targets, owner) in &sets {
                let records: Vec<_> = targets
                    .iter()
                    .map(|(other, label, inside)| match inside {
                        true => apex.prepend(label.as_bytes()).unwrap(),
                        false => other.clone(),
                    })
                    .map(|target| rdata_of(*rtype, &target))
                    .collect();
                let set = Rdatas::build(*rtype, records.iter().map(Vec::as_slice), Some(&apex)).unwrap();
                let (name, owner) = match owner {
                    0 => (asked.clone(), Owner::Current),
                    1 => (apex.clone(), Owner::Apex),
                    2 => (apex.prepend(b"rel").unwrap(), Owner::Relative(b"\x03rel")),
                    _ => (targets[0].0.clone(), Owner::Name(targets[0].0.as_wire())),
                };
                reply.records(Section::Answer, owner, TTL, &set).unwrap();
                let distinct: Vec<_> = set.iter(Some(&apex)).collect();
                assert!(distinct.iter().all(|rdata| records.contains(rdata)));
                assert!(records.iter().all(|rdata| distinct.contains(rdata)));
                model.add(Section::Answer, &name, *rtype, &distinct);
            }
        });
        let (ours, plain) = (Message::from_vec(&bytes).unwrap(), model.decode());
        prop_assert_eq!(ours, plain);
    }
}
