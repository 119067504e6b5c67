//! RFC 2181: RRsets, truncation, any byte in a label.

use crate::desk::{Ask, Server, check, show};
use tradewind::telemetry::Via;

#[test]
fn an_rrset_has_one_ttl_and_no_duplicates() {
    let mut server = Server::zone(
        "example",
        "
        www 300 A 192.0.2.1
        www 60  A 192.0.2.2
        www 300 A 192.0.2.1
        ",
    );
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 60 A 192.0.2.1
          an www.example. 60 A 192.0.2.2
        ",
    );
}

#[test]
fn what_is_asked_for_and_does_not_fit_truncates() {
    let mut server = Server::zone("example", "$GENERATE 1-100 many A 192.0.2.$");
    check(
        &mut server,
        "
        ? many.example A
          NOERROR aa tc
        ? many.example A edns=1232
          NOERROR aa tc
          opt 1232
        ? many.example A edns=4096 ecs=198.51.100.0/24
          NOERROR aa tc
          opt 1232 ecs=198.51.100.0/24/0
        ",
    );
    assert_eq!(server.shown("many.example A tcp").len(), 101);
}

#[test]
fn what_only_helps_is_left_out_without_a_trace() {
    let mut server = Server::zone(
        "example",
        "
        @ MX 10 mail
        @ MX 20 mail2
        $GENERATE 1-30 mail A 192.0.2.$
        mail2 A 192.0.2.99
        ",
    );
    check(
        &mut server,
        "
        ? example MX
          NOERROR aa
          an example. 3600 MX 10 mail.example.
          an example. 3600 MX 20 mail2.example.
          ad mail2.example. 3600 A 192.0.2.99
        ",
    );
    assert_eq!(server.shown("example MX tcp").len(), 34);
}

#[test]
fn a_label_may_hold_any_byte() {
    let mut server = Server::zone("example", r"a\000b\.c\255 A 192.0.2.1");
    let mut ask = Ask::new("x.example A");
    ask.name = [b"\x07a\0b.c\xff\xff".as_slice(), b"\x07example\0"].concat();
    assert_eq!(show(server.answer(&ask.packet(), ask.from, Via::Udp))[0], "NXDOMAIN aa");
    ask.name = [b"\x06A\0B.C\xff".as_slice(), b"\x07example\0"].concat();
    assert_eq!(show(server.answer(&ask.packet(), ask.from, Via::Udp))[0], "NOERROR aa");
}

#[test]
fn the_longest_ttl_is_served_as_it_is() {
    let mut server = Server::zone("example", "www 2147483647 A 192.0.2.1");
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 2147483647 A 192.0.2.1
        ",
    );
}
