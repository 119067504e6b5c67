//! RFC 8906: no well-formed query is met with silence.

use crate::desk::{Server, check};

#[test]
fn every_type_is_answered() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    for qtype in 0..=u16::MAX {
        let first = server.shown(&format!("www.example TYPE{qtype} tcp")).swap_remove(0);
        let expected = match qtype {
            41 | 128..=250 => "FORMERR",
            251 | 252 => "REFUSED",
            253 | 254 => "NOTIMP",
            _ => "NOERROR aa",
        };
        assert_eq!(first, expected, "TYPE{qtype}");
    }
}

#[test]
fn transfers_are_refused() {
    check(
        &mut Server::zone("example", "www A 192.0.2.1"),
        "
        ? example AXFR tcp
          REFUSED
        ? example IXFR edns=1232
          REFUSED
          opt 1232 ede=21
        ",
    );
}
