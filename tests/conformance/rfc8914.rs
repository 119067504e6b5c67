//! RFC 8914: extended errors say why, to those who speak EDNS.

use crate::desk::{Server, check};

#[test]
fn prohibited_is_said_to_whom_it_applies_and_only_with_edns() {
    let told = "[access]\ndeny = ['10.0.0.0/8']";
    check(
        &mut Server::guarded(told, "www A 192.0.2.1"),
        "
        ? www.example A from=10.0.0.1
          REFUSED
        ? www.example A from=10.0.0.1 edns=1232
          REFUSED
          opt 1232 ede=18
        ? www.example A from=10.0.0.1 edns=1232 tcp
          REFUSED
          opt 1232 ede=18
        ",
    );
}

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
