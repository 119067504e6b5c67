//! Doors of the wire: packets, options, names, PROXY headers; and location databases.

use crate::desk::{
    Server,
    ask::{Ask, opt},
    medley, signed,
};
use hickory_proto::op::{Message, MessageType};
use std::{cell::RefCell, net::IpAddr, sync::Arc, time::Duration};
use tradewind::{
    place::{LocationTable, mmdb},
    telemetry::Via,
    transport::proxy::{self, HEADER_MAX, HeaderProblem},
    wire::{Name, QName},
};

/// The longest reply over UDP: 1,232 bytes, and 512 to those who say nothing of EDNS.
const UDP_MAX: usize = 1_232;
const PLAIN_MAX: usize = 512;
/// Of a packet longer than this nothing comes in.
const PACKET_MAX: usize = 65_535;

thread_local! {
    /// Those that answer whoever asks: every way an answer comes about, with and without signatures.
    static OPEN: RefCell<Vec<Server>> = RefCell::new({
        let signed = [signed::NSEC, signed::NSEC3, signed::OPT_OUT].map(signed::signed);
        signed.into_iter().chain([medley::medley()]).collect()
    });
    /// One that limits, denies and checks cookies.
    static GUARDED: RefCell<Server> = RefCell::new({
        let mut server = medley::made(medley::ALL_ON);
        server.at(Duration::ZERO, medley::COOKIES_MADE);
        server
    });
}

/// Packet → answer, over UDP and over TCP: silence to what is no query and, where nothing is
/// limited, to nothing else; else a reply to this very query, no longer than allowed, that
/// somebody else can read.
pub fn packet(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(PACKET_MAX)];
    let is_query = bytes.len() >= 12 && bytes[2] & 0x80 == 0;
    for via in [Via::Udp, Via::Tcp] {
        OPEN.with_borrow_mut(|servers| {
            for server in servers {
                let replied = hold_reply(server, bytes, via);
                assert_eq!(replied, is_query, "silence to what is no query, and only to that");
            }
        });
        let replied = GUARDED.with_borrow_mut(|server| hold_reply(server, bytes, via));
        assert!(is_query || !replied, "silence to what is no query");
    }
}

/// The same, for a query whose OPT record has these options.
pub fn options(bytes: &[u8]) {
    let mut query = Ask::new("geo.example A").packet();
    query[11] = 1;
    query.extend(opt(1_232, 0, &bytes[..bytes.len().min(PACKET_MAX - 100)]));
    packet(&query);
}

/// Whether there was a reply; if so it is as it must be.
pub fn hold_reply(server: &mut Server, packet: &[u8], via: Via) -> bool {
    let reply = server.answer(packet, Ask::new("a A").from, via);
    if reply.is_empty() {
        return false;
    }
    assert!(reply.len() <= allowed(packet, reply, via), "{} bytes over {via:?}", reply.len());
    assert_eq!(reply[..2], packet[..2], "the id");
    assert_ne!(reply[2] & 0x80, 0, "QR");
    assert_eq!(reply[2] & 0x79, packet[2] & 0x79, "opcode and RD");
    // hickory knows no ECS of family 0, which opts out and is echoed as it came.
    if reply.windows(8).any(|bytes| bytes == [0, 8, 0, 4, 0, 0, 0, 0]) {
        return true;
    }
    match Message::from_vec(reply) {
        Ok(message) => assert_eq!(message.metadata.message_type, MessageType::Response),
        Err(problem) => panic!("{problem}: {reply:02x?}"),
    }
    true
}

/// How long the reply may be, as another reader understands the query.
fn allowed(packet: &[u8], reply: &[u8], via: Via) -> usize {
    if via == Via::Tcp {
        return PACKET_MAX;
    }
    // Without OPT in the reply there was none in the query.
    if reply[10..12] == [0, 0] {
        return PLAIN_MAX;
    }
    let query = Message::from_vec(packet).ok();
    let size = query.and_then(|query| Some(query.edns?.max_payload()));
    size.map_or(UDP_MAX, |size| usize::from(size).clamp(PLAIN_MAX, UDP_MAX))
}

/// Names, as wire bytes and as text: both readers of wire bytes agree, and what was read is
/// written and read again as the same.
pub fn names(bytes: &[u8]) {
    let mut question = QName::default();
    let read = question.read(bytes);
    let name = Name::from_wire(&bytes[..*read.as_ref().unwrap_or(&bytes.len())]);
    assert_eq!(read.is_ok(), name.is_ok(), "{read:?} {name:?}");
    if let Ok(name) = name {
        assert_eq!(question.wire(), name.as_wire());
        hold_name(&name);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    let origin = Name::parse("origin.example").expect("a name");
    let relative = Name::parse_relative(text, &origin);
    [Name::parse(text), relative].iter().flatten().for_each(hold_name);
}

fn hold_name(name: &Name) {
    assert!(name.as_wire().len() <= 255 && name.labels().all(|label| label.len() <= 63));
    assert_eq!(name.labels().count(), name.label_count());
    assert_eq!(Name::from_wire(name.as_wire()).as_ref(), Ok(name));
    assert_eq!(Name::parse(&name.to_string()).as_ref(), Ok(name));
    let mut asked = QName::default();
    asked.set(name);
    assert_eq!(asked.wire(), name.as_wire());
    if let Some(parent) = name.parent() {
        assert!(name.is_at_or_below(&parent) && !parent.is_at_or_below(name));
        assert!(parent < *name, "parents come first");
    }
}

/// A header of the PROXY protocol: no longer than what came, the same whatever follows, and none
/// of what it begins with is already one.
pub fn proxy(bytes: &[u8]) {
    match proxy::parse(bytes) {
        Ok(header) => {
            assert!(header.len <= bytes.len() && header.len <= HEADER_MAX);
            assert_eq!(proxy::parse(&bytes[..header.len]), Ok(header));
            let cut = &bytes[..header.len - 1];
            assert_eq!(proxy::parse(cut), Err(HeaderProblem::Incomplete));
        }
        // Of whatever is longer than any header nothing more can come.
        Err(HeaderProblem::Incomplete) => assert!(bytes.len() < HEADER_MAX),
        Err(HeaderProblem::Malformed) => {}
    }
}

/// Where lookups are tried: the ends of the address space, and some places in it.
const PROBED: [&str; 6] =
    ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "ffff::"];

/// A location database: an error, or a table in which each address finds the network around it.
pub fn mmdb(bytes: &[u8]) {
    let Ok(database) = mmdb::parse(bytes) else { return };
    let mut table = LocationTable::default();
    table.fill(|| Arc::new(database));
    for ip in PROBED.map(|ip| ip.parse::<IpAddr>().expect("an address")) {
        if let Some((network, _)) = table.lookup(ip) {
            assert!(network.contains(&ip), "{network} around {ip}");
        }
    }
}
