//! RFC 6891: EDNS(0), with RFC 3225 (DO) and RFC 9715 (sizes).

use crate::desk::{Ask, Server, ask::opt, check, show};
use tradewind::telemetry::Via;

const ZONE: &str = "www A 192.0.2.1\n$GENERATE 1-25 a A 192.0.2.$\n$GENERATE 1-60 b A 192.0.2.$\n\
    $GENERATE 1-74 c A 192.0.2.$\n$GENERATE 1-75 d A 192.0.2.$";

/// The reply to a query with `records` as its additional section.
fn answer(records: &[Vec<u8>]) -> Vec<String> {
    let mut packet = Ask::new("www.example A").packet();
    packet[11] = records.len() as u8;
    packet.extend(records.concat());
    let from = Ask::new("www.example A").from;
    show(Server::zone("example", ZONE).answer(&packet, from, Via::Udp))
}

#[test]
fn opt_comes_back_on_every_rcode_and_only_if_it_was_sent() {
    check(
        &mut Server::zone("example", ZONE),
        "
        ? www.example A
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ? www.example A edns=1232
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232
        ? nx.example A edns=1232
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232
        ? example.org A edns=1232
          REFUSED
          opt 1232 ede=20
        ? www.example AXFR edns=1232
          REFUSED
          opt 1232 ede=21
        ",
    );
}

#[test]
fn do_is_echoed_and_other_flags_are_not() {
    check(
        &mut Server::zone("example", ZONE),
        "
        ? www.example A do
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 do
        ",
    );
    assert_eq!(answer(&[opt(1232, 0x7fff, &[])])[2], "opt 1232");
}

#[test]
fn a_reply_is_no_longer_than_both_sides_take() {
    let mut server = Server::zone("example", ZONE);
    for (query, rcode) in [
        ("a.example A", "NOERROR aa"),
        ("a.example A edns=100", "NOERROR aa"),
        ("b.example A", "NOERROR aa tc"),
        ("b.example A edns=512", "NOERROR aa tc"),
        // 27 bytes of header and question, 60 × 16 of records, 11 of OPT.
        ("b.example A edns=998", "NOERROR aa"),
        ("b.example A edns=997", "NOERROR aa tc"),
        ("c.example A edns=1232", "NOERROR aa"),
        ("d.example A edns=1232", "NOERROR aa tc"),
        ("d.example A edns=65535", "NOERROR aa tc"),
        ("d.example A edns=65535 tcp", "NOERROR aa"),
        ("d.example A tcp", "NOERROR aa"),
    ] {
        assert_eq!(server.shown(query)[0], rcode, "{query}");
    }
}

#[test]
fn a_later_version_is_answered_with_ours_and_nothing_else() {
    let ecs = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
    for version in [1, 2, 255] {
        let ttl = version << 16;
        assert_eq!(answer(&[opt(1232, ttl, &[])]), ["BADVERS", "opt 1232"]);
        assert_eq!(answer(&[opt(1232, ttl | 0x8000, &ecs)]), ["BADVERS", "opt 1232 do"]);
        let asked = [&[0, 3, 0, 0, 0, 10, 0, 8][..], &[7; 8]].concat();
        assert_eq!(answer(&[opt(1232, ttl, &asked)]), ["BADVERS", "opt 1232"]);
    }
}

#[test]
fn unknown_options_are_ignored_and_not_echoed() {
    let options = [0xfd, 0xe9, 0, 2, 1, 2, 0, 12, 0, 3, 0, 0, 0, 0, 3, 0, 0];
    assert_eq!(answer(&[opt(1232, 0, &options)])[2], "opt 1232");
}

#[test]
fn two_opts_or_one_that_is_broken_are_a_format_error() {
    let whole = opt(1232, 0, &[]);
    let mut named = whole.clone();
    named.splice(0..1, *b"\x01a\0");
    for (what, records) in [
        ("two", vec![whole.clone(), whole.clone()]),
        ("an option that overruns", vec![opt(1232, 0, &[0, 10, 0, 9, 1])]),
        ("half an option", vec![opt(1232, 0, &[0, 10, 0])]),
        ("an owner", vec![named]),
    ] {
        assert_eq!(answer(&records), ["FORMERR", "opt 1232"], "{what}");
    }
}

#[test]
fn opt_may_stand_anywhere_among_the_additional_records() {
    let tsig = b"\0\0\xfa\0\xff\0\0\0\0\0\0".to_vec();
    let other = b"\x01a\0\0\x01\0\x01\0\0\0\0\0\x04abcd".to_vec();
    for records in [vec![other.clone(), opt(1232, 0, &[])], vec![opt(1232, 0, &[]), tsig]] {
        assert_eq!(answer(&records)[0], "NOERROR aa");
        assert_eq!(answer(&records)[2], "opt 1232");
    }
}
