//! RFC 1035 §4: header, question and message format.

use crate::desk::{Ask, Server, ask::wire_name, check, show};
use tradewind::telemetry::Via;

fn server() -> Server {
    Server::zone("example", "www A 192.0.2.1")
}

fn answer(packet: &[u8]) -> Vec<u8> {
    let ask = Ask::new("www.example A");
    server().answer(packet, ask.from, Via::Udp).to_vec()
}

#[test]
fn a_response_is_never_answered() {
    for query in ["www.example A", "www.example.org A", "www.example A class=CH"] {
        let mut packet = Ask::new(query).packet();
        packet[2] |= 0x80;
        assert!(answer(&packet).is_empty(), "{query}");
    }
}

#[test]
fn what_is_shorter_than_a_header_gets_silence() {
    let packet = Ask::new("www.example A").packet();
    for len in 0..12 {
        assert!(answer(&packet[..len]).is_empty(), "{len}");
    }
}

#[test]
fn every_cut_of_a_query_is_a_format_error() {
    let packet = Ask::new("www.example A edns=1232 ecs=192.0.2.0/24").packet();
    for len in 12..packet.len() {
        let reply = answer(&packet[..len]);
        assert_eq!(show(&reply)[0], "FORMERR", "{len}");
        assert_eq!(reply[..2], packet[..2]);
    }
}

#[test]
fn flags_of_the_query_do_not_matter_and_do_not_come_back() {
    let mut packet = Ask::new("www.example A").packet();
    packet[2] |= 0x06; // AA, TC.
    packet[3] |= 0xff; // RA, Z, AD, CD and an rcode.
    let reply = answer(&packet);
    assert_eq!(show(&reply), ["NOERROR aa", "an www.example. 3600 A 192.0.2.1"]);
    assert_eq!(reply[2..4], [0x84, 0x00]);
}

#[test]
fn broken_names_are_format_errors() {
    let long = [b"\x3f".as_slice(), &[b'a'; 63]].concat().repeat(4);
    let names: [(&str, &[u8]); 6] = [
        ("a pointer to itself", b"\xc0\x0c"),
        ("a pointer forward", b"\xc0\x20"),
        ("a label, then a pointer", b"\x03www\xc0\x0c"),
        ("label type 01", b"\x41\x01\x00"),
        ("label type 10", b"\x81\x01\x00"),
        ("257 bytes", &[&long[..], b"\0"].concat()),
    ];
    for (what, name) in names {
        let mut ask = Ask::new("www.example A");
        ask.name = name.to_vec();
        assert_eq!(show(&answer(&ask.packet())), ["FORMERR"], "{what}");
    }
}

#[test]
fn the_longest_name_is_looked_up() {
    let mut ask = Ask::new("www.example A");
    ask.name = [b"\x01a".repeat(123).as_slice(), &wire_name("example")].concat();
    assert_eq!(ask.name.len(), 255);
    assert_eq!(show(&answer(&ask.packet()))[0], "NXDOMAIN aa");
}

#[test]
fn other_classes_hold_nothing_of_ours() {
    check(
        &mut server(),
        "
        ? www.example A class=CH
          REFUSED
        ? www.example A class=ANY
          REFUSED
        ? version.bind TXT class=CH edns=1232
          REFUSED
          opt 1232 ede=20
        ? www.example A class=CLASS7
          REFUSED
        ",
    );
}

#[test]
fn other_opcodes_are_not_implemented_and_echoed() {
    for opcode in 1..16 {
        let mut packet = Ask::new("example SOA").packet();
        packet[2] = opcode << 3;
        let reply = answer(&packet);
        assert_eq!(show(&reply), ["NOTIMP"], "{opcode}");
        assert_eq!(reply[2], 0x80 | opcode << 3);
    }
}

#[test]
fn bytes_behind_the_message_do_not_matter() {
    let packet = [&Ask::new("www.example A").packet()[..], &[0xc0; 40]].concat();
    assert_eq!(show(&answer(&packet)).len(), 2);
}
