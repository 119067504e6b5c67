//! Whatever arrives, the desk says something well-formed or nothing: arbitrary bytes, and
//! queries with a few bytes changed, cut or added.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod desk;

use desk::{Ask, Server, medley};
use hickory_proto::op::{Message, MessageType};
use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};
use tradewind::telemetry::Via;

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
    let from = Ask::new("a A").from;
    for via in [Via::Udp, Via::Tcp] {
        let reply = server.answer(packet, from, via);
        let is_query = packet.len() >= 12 && packet[2] & 0x80 == 0;
        prop_assert_eq!(!reply.is_empty(), is_query, "silence, and only then");
        if reply.is_empty() {
            continue;
        }
        prop_assert!(via == Via::Tcp || reply.len() <= 1232);
        prop_assert_eq!(&reply[..2], &packet[..2]);
        // hickory knows no ECS of family 0, which opts out and is echoed as it came.
        let option = [0, 8, 0, 4, 0, 0, 0, 0];
        if reply.ends_with(&option) || reply.windows(8).any(|bytes| bytes == option) {
            continue;
        }
        let message = Message::from_vec(reply);
        prop_assert!(message.is_ok(), "{:?}: {:02x?}", message, reply);
        prop_assert_eq!(message.unwrap().metadata.message_type, MessageType::Response);
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
