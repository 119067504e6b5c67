//! RFC 9471: a referral has all glue of names below the cut, or TC.

use crate::desk::{Server, check};

#[test]
fn glue_below_the_cut_truncates_when_it_does_not_fit() {
    let mut server = Server::zone(
        "example",
        "
        $GENERATE 1-13 sub NS a-long-name-of-a-server-$.sub
        $GENERATE 1-13 a-long-name-of-a-server-$.sub A 192.0.2.$
        ",
    );
    check(
        &mut server,
        "
        ? www.sub.example A
          NOERROR tc
        ",
    );
    let reply = server.shown("www.sub.example A edns=1232");
    assert_eq!((reply[0].as_str(), reply.len()), ("NOERROR", 28));
    let reply = server.shown("www.sub.example A tcp");
    assert_eq!((reply[0].as_str(), reply.len()), ("NOERROR", 27));
}

#[test]
fn sibling_glue_comes_if_it_fits() {
    let mut server = Server::zone(
        "example",
        "
        a NS ns.a
        a NS ns.b
        b NS ns.b
        ns.a A 192.0.2.1
        $GENERATE 1-40 ns.b A 198.51.100.$
        ",
    );
    check(
        &mut server,
        "
        ? a.example A
          NOERROR
          au a.example. 3600 NS ns.a.example.
          au a.example. 3600 NS ns.b.example.
          ad ns.a.example. 3600 A 192.0.2.1
        ",
    );
    assert_eq!(server.shown("a.example A edns=1232").len(), 45);
}
