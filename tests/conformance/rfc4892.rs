//! RFC 4892: which server this is, in class CHAOS; nothing that the operator did not write.

use crate::desk::{Server, check};

const TOLD: &str = "[server]\nversion = 'none of yours'\nid = 'ns1'";

#[test]
fn what_the_operator_wrote_is_told() {
    check(
        &mut Server::guarded(TOLD, "www A 192.0.2.1"),
        "
        ? id.server TXT class=CH
          NOERROR aa
          an id.server. 0 TXT ns1
        ? HOSTNAME.BIND TXT class=CH edns=1232
          NOERROR aa
          an HOSTNAME.BIND. 0 TXT ns1
          opt 1232
        ? version.bind TXT class=CH
          NOERROR aa
          an version.bind. 0 TXT none of yours
        ? version.server ANY class=CH tcp
          NOERROR aa
          an version.server. 0 TXT none of yours
        ",
    );
    let mut server = Server::guarded(TOLD, "www A 192.0.2.1");
    let reply = server.ask("id.server TXT class=CH");
    assert_eq!(reply[27 + 4..][..2], [0, 3], "the record is of class CHAOS");
}

#[test]
fn all_else_in_the_class_is_refused() {
    check(
        &mut Server::guarded(TOLD, "www A 192.0.2.1"),
        "
        ? version.bind A class=CH
          REFUSED
        ? authors.bind TXT class=CH edns=1232
          REFUSED
          opt 1232 ede=20
        ? www.example A class=CH
          REFUSED
        ? id.server TXT class=IN
          REFUSED
        ? id.server TXT class=HS
          REFUSED
        ? id.server TXT class=ANY
          REFUSED
        ",
    );
}

#[test]
fn what_the_operator_did_not_write_is_refused() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    for name in ["version.bind", "version.server", "id.server", "hostname.bind"] {
        assert_eq!(server.shown(&format!("{name} TXT class=CH")), ["REFUSED"], "{name}");
    }
}
