//! RFC 8914: extended errors say why, to those who speak EDNS.

use crate::desk::{Server, check};

#[test]
fn errors_say_why() {
    let mut server =
        Server::zones(&[("example", "www A 192.0.2.1"), ("never.example", "www A 192.0.2.256")]);
    check(
        &mut server,
        "
        ? www.never.example A
          SERVFAIL
        ? www.never.example A edns=1232
          SERVFAIL
          opt 1232 ede=14
        ? never.example SOA edns=1232
          SERVFAIL
          opt 1232 ede=14
        ? www.example.org A edns=1232
          REFUSED
          opt 1232 ede=20
        ? www.example A edns=1232 class=CH
          REFUSED
          opt 1232 ede=20
        ? example AXFR edns=1232 tcp
          REFUSED
          opt 1232 ede=21
        ? www.example NXNAME edns=1232
          FORMERR
          opt 1232 ede=30
        ? www.example OPT edns=1232
          FORMERR
          opt 1232 ede=30
        ? www.example MAILB edns=1232
          NOTIMP
          opt 1232 ede=21
        ",
    );
}
