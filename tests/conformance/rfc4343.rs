//! RFC 4343: letters in either case are the same letter, and come back as they came.

use crate::desk::{Server, check};

#[test]
fn a_name_is_found_in_any_case_and_keeps_the_askers() {
    let mut server =
        Server::zone("eXample", "WwW A 192.0.2.1\nAlias CNAME wWw\n*.Wild A 192.0.2.2");
    check(
        &mut server,
        "
        ? www.EXAMPLE A
          NOERROR aa
          an www.EXAMPLE. 3600 A 192.0.2.1
        ? ALIAS.example A
          NOERROR aa
          an ALIAS.example. 3600 CNAME wWw.example.
          an wWw.example. 3600 A 192.0.2.1
        ? X.WILD.Example A
          NOERROR aa
          an X.WILD.Example. 3600 A 192.0.2.2
        ? NX.Example A
          NXDOMAIN aa
          au Example. 300 SOA ns1.Example. host.Example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn only_ascii_letters_have_a_case() {
    let mut server = Server::zone("example", "a^ A 192.0.2.1");
    check(
        &mut server,
        r"
        ? A^.example A
          NOERROR aa
          an A\^.example. 3600 A 192.0.2.1
        ? a~.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}
