//! RFC 3597: types nobody knew when we were built, and which names may be compressed.

use crate::desk::{Server, check};

#[test]
fn an_unknown_type_is_served_as_it_was_written() {
    let mut server = Server::zone("example", r"www TYPE65280 \# 4 0a000001");
    check(
        &mut server,
        "
        ? www.example TYPE65280
          NOERROR aa
          an www.example. 3600 TYPE65280 0a000001
        ? www.example TYPE65281
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn names_in_newer_types_are_not_compressed() {
    let mut server = Server::zone(
        "example",
        "
        _s._tcp SRV 1 2 3 www
        @ MX 10 www
        www A 192.0.2.1
        order NAPTR 1 2 \"s\" \"x\" \"\" www
        svc SVCB 1 www
        web HTTPS 0 www
        old DNAME www
        ",
    );
    let full = b"\x03www\x07example\0";
    let holds = |reply: &[u8]| reply.windows(full.len()).any(|window| window == full);
    for newer in
        ["_s._tcp.example SRV", "order.example NAPTR", "svc.example SVCB", "web.example HTTPS"]
    {
        assert!(holds(&server.ask(newer)), "{newer}");
    }
    assert!(holds(&server.ask("old.example DNAME")));
    assert!(!holds(&server.ask("example MX")));
    check(
        &mut server,
        "
        ? _s._tcp.example SRV
          NOERROR aa
          an _s._tcp.example. 3600 SRV 1 2 3 www.example.
          ad www.example. 3600 A 192.0.2.1
        ? example MX
          NOERROR aa
          an example. 3600 MX 10 www.example.
          ad www.example. 3600 A 192.0.2.1
        ",
    );
}
