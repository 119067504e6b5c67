//! Whatever arrives, the server says something well-formed or nothing: arbitrary bytes, and
//! queries with a few bytes changed, cut or added. 75,000 are put to a desk both ways, 25,000
//! more to the real binary over UDP and over TCP.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod desk;
mod fuzzed;
mod support;

use desk::{Ask, Server, medley};
use proptest::{
    collection::vec, prelude::*, sample::Index, strategy::ValueTree, test_runner::TestRunner,
};
use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
};
use support::{
    DEADLINE, figure,
    scratch::Scratch,
    server::Server as Binary,
    stream::{Stream, frame},
};
use tradewind::{engine::AHEAD, telemetry::Via};

/// One way to spoil a packet.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    Repeat(Index, Index),
}

impl Change {
    fn spoil(&self, packet: &mut Vec<u8>) {
        match self {
            _ if packet.is_empty() => {}
            Change::Set(at, byte) => *at.get_mut(packet) = *byte,
            Change::Flip(at, bit) => *at.get_mut(packet) ^= 1 << (bit % 8),
            Change::Cut(at) => packet.truncate(at.index(packet.len())),
            Change::Insert(at, bytes) => {
                let at = at.index(packet.len());
                packet.splice(at..at, bytes.iter().copied());
            }
            Change::Repeat(from, to) => {
                let (from, to) = (from.index(packet.len()), to.index(packet.len()));
                packet.extend_from_within(from.min(to)..from.max(to));
            }
        }
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => any::<(Index, u8)>().prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => any::<(Index, u8)>().prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => (any::<Index>(), vec(any::<u8>(), 1..20))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => any::<(Index, Index)>().prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

/// A query of the medley, spoilt.
fn spoilt_query() -> impl Strategy<Value = Vec<u8>> {
    let query = prop::sample::select(medley::QUERIES);
    (query, vec(any_change(), 0..6)).prop_map(|((_, query), changes)| {
        let mut packet = Ask::new(query).packet();
        changes.iter().for_each(|change| change.spoil(&mut packet));
        packet
    })
}

/// A header that asks one question, and anything behind it.
fn nearly_a_query() -> impl Strategy<Value = Vec<u8>> {
    let header = (any::<u16>(), any::<u16>(), 0..3_u16, 0..3_u16);
    (header, vec(any::<u8>(), 0..600)).prop_map(|((id, flags, others, additionals), body)| {
        let head = [id, flags & 0x7fff, 1, others, 0, additionals];
        let head = head.into_iter().flat_map(u16::to_be_bytes);
        head.chain(body).collect()
    })
}

/// Sends `packet` both ways and looks at what comes back.
fn check(server: &mut Server, packet: &[u8]) -> Result<(), TestCaseError> {
    for via in [Via::Udp, Via::Tcp] {
        let replied = fuzzed::doors::hold_reply(server, packet, via);
        let is_query = packet.len() >= 12 && packet[2] & 0x80 == 0;
        prop_assert_eq!(replied, is_query, "silence, and only then");
    }
    Ok(())
}

fn hold(count: u32, packets: impl Strategy<Value = Vec<u8>>) {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(count));
    let server = std::cell::RefCell::new(medley::medley());
    let held = runner.run(&packets, |packet| check(&mut server.borrow_mut(), &packet));
    held.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn arbitrary_bytes_get_a_reply_or_silence() {
    hold(5_000, vec(any::<u8>(), 0..2_000));
}

#[test]
fn arbitrary_questions_get_a_reply() {
    hold(20_000, nearly_a_query());
}

#[test]
fn spoilt_queries_get_a_reply() {
    hold(50_000, spoilt_query());
}

/// Holds that two servers, one that foresees packets and one that does not, answer and count alike.
/// (Once they did not, their dice are apart, and a shorter case may say little.)
fn hold_foreseen(count: u32, make: fn() -> Server, packets: impl Strategy<Value = Vec<u8>>) {
    let mut runner = TestRunner::new(ProptestConfig::with_cases(count));
    let servers = std::cell::RefCell::new((make(), make()));
    let from = Ipv4Addr::new(203, 0, 113, 7).into();
    let held = runner.run(&vec(packets, 1..=AHEAD + 1), |packets| {
        let (one_by_one, together) = &mut *servers.borrow_mut();
        let replies = together.answer_together(&packets, from, Via::Udp);
        for (packet, reply) in packets.iter().zip(replies) {
            prop_assert_eq!(one_by_one.answer(packet, from, Via::Udp), &reply[..]);
        }
        prop_assert_eq!(one_by_one.totals(), together.totals());
        Ok(())
    });
    held.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn packets_that_were_foreseen_are_answered_as_if_they_were_not() {
    hold_foreseen(2_000, medley::medley, spoilt_query());
}

/// So many names that lookups in them are begun early, and names that are steered by place.
#[test]
fn what_was_begun_early_is_answered_as_if_it_was_not() {
    let make = || {
        let geo = "[pools.eu]\nendpoints = [{ name = 'eu', ipv4 = '192.0.2.1' }]\n\
                   [pools.na]\nendpoints = [{ name = 'na', ipv4 = '192.0.2.2' }]\n\
                   [records.geo]\npolicy = 'geo'\n\
                   rules = [{ match = ['continent:EU'], use = ['eu'] }, { match = ['*'], use = ['na'] }]\n";
        Server::steered("$GENERATE 1-12000 n$ A 192.0.2.3\n* TXT any\nalias CNAME geo\n", geo)
    };
    let query = prop_oneof![
        4 => (0..20_000).prop_map(|n| format!("n{n}.example A")),
        1 => Just("a-label-that-is-too-long-for-an-entry.example TXT".to_owned()),
        1 => Just("www.example.net A".to_owned()),
        4 => (any::<[u8; 3]>(), prop::sample::select(&["geo", "alias"][..]))
            .prop_map(|([a, b, c], name)| format!("{name}.example A ecs={a}.{b}.{c}.0/24")),
        1 => any::<[u16; 3]>()
            .prop_map(|[a, b, c]| format!("geo.example A ecs={a:x}:{b:x}:{c:x}::/48")),
    ];
    hold_foreseen(1_000, make, query.prop_map(|query| Ask::new(&query).packet()));
}

/// Packets put to the real binary in all, and between two control queries.
const PACKETS: usize = 25_000;
const GROUP: usize = 50;
/// After so many groups every buffer and cache is as large as it gets; from then on memory may
/// grow by what an allocator keeps back, and not with the packets.
const WARM: usize = 100;
const GROWTH_MAX_KIB: u64 = 4 << 10;
/// What no packet changes: a query whose whole reply is known. It has no EDNS, so its reply ends
/// with the address.
const CONTROL: &str = "www.example A";
const CONTROL_ENDS: [u8; 4] = [192, 0, 2, 80];

/// Packets like those above, all kinds mixed, the same in each run.
fn packets() -> impl Iterator<Item = Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let mixed = prop_oneof![
        1 => vec(any::<u8>(), 1..600),
        4 => nearly_a_query(),
        10 => spoilt_query(),
    ];
    (0..PACKETS).map(move |_| mixed.new_tree(&mut runner).unwrap().current())
}

fn control(id: u16) -> Vec<u8> {
    let mut ask = Ask::new(CONTROL);
    ask.id = id;
    ask.packet()
}

/// Looks at a reply that came over UDP or TCP; whether it is the one to `control`.
fn is_control(reply: &[u8], control: &[u8], longest: usize) -> bool {
    assert!(reply.len() >= 12 && reply[2] & 0x80 != 0, "{reply:02x?}");
    // Whoever sends no OPT takes 512 bytes over UDP (RFC 6891 §6.2.3), and gets no OPT back.
    let without_opt = reply[10..12] == [0, 0];
    let most = if without_opt { longest.min(512) } else { longest };
    assert!(longest > 1_232 || reply.len() <= most, "{} bytes", reply.len());
    let answers = reply.get(12..control.len()) == Some(&control[12..]);
    let is_control = reply[..2] == control[..2] && answers && reply.len() == control.len() + 16;
    assert!(!is_control || reply.ends_with(&CONTROL_ENDS), "{reply:02x?}");
    is_control
}

/// Sends a group and the control query over UDP. Replies of one socket keep their order.
fn over_udp(socket: &UdpSocket, group: &[Vec<u8>], control: &[u8]) -> usize {
    group.iter().for_each(|packet| assert!(socket.send(packet).is_ok()));
    socket.send(control).unwrap();
    let mut reply = [0; 65_535];
    for replies in 0.. {
        let len = socket.recv(&mut reply).unwrap();
        if is_control(&reply[..len], control, 1_232) {
            return replies;
        }
    }
    unreachable!("the loop ends with the control reply");
}

/// The same over a connection of its own.
fn over_tcp(server: &Binary, group: &[Vec<u8>], control: &[u8]) -> usize {
    let mut stream = Stream::connect(server.tcp());
    let all: Vec<u8> = group.iter().flat_map(|packet| frame(packet)).collect();
    stream.send(&[&all[..], &frame(control)].concat());
    for replies in 0.. {
        let reply = stream.next().expect("the control query is answered");
        if is_control(&reply, control, 65_535) {
            return replies;
        }
    }
    unreachable!("the loop ends with the control reply");
}

fn resident_kib(server: &Binary) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_binary_bears_them_over_udp_and_tcp_and_answers_control_queries_throughout() {
    let listen = "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n";
    let server = Binary::start(Scratch::with(&[
        ("tradewind.toml", &format!("{}{listen}", desk::SERVER)),
        ("zones/example.toml", &medley::zone()),
    ]));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(DEADLINE)).unwrap();
    udp.connect(server.udp()).unwrap();
    let packets: Vec<Vec<u8>> = packets().filter(|packet| !packet.is_empty()).collect();
    let (mut replies, mut warm) = ([0, 0], 0);
    for (number, group) in packets.chunks(GROUP).enumerate() {
        if number == WARM {
            warm = resident_kib(&server);
        }
        let control = control(number as u16);
        replies[0] += over_udp(&udp, group, &control);
        replies[1] += over_tcp(&server, group, &control);
    }
    let grown = resident_kib(&server).saturating_sub(warm);
    figure("memory grown, KiB", grown);
    figure("replies over UDP and TCP", format!("{replies:?} to {} each", packets.len()));
    // Over UDP nobody is owed an answer to each: rate limits are there for such floods.
    assert!(replies[1] > PACKETS / 2, "most of them have a header, and so a reply");
    assert!(grown < GROWTH_MAX_KIB, "{grown} KiB in {PACKETS} packets");
    assert_eq!(server.metric("tradewind_panics_total"), 0.0);
}
