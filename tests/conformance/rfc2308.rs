//! RFC 2308: what is not there, and for how long.

use crate::desk::{Server, check};

#[test]
fn a_name_that_is_not_there_is_denied_with_the_soa() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    check(
        &mut server,
        "
        ? nx.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? a.b.www.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? nx.example NS edns=1232
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232
        ",
    );
}

#[test]
fn a_type_that_is_not_there_is_no_data_with_the_soa() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    check(
        &mut server,
        "
        ? www.example AAAA
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? example A
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? www.example TYPE65280
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn a_denial_lives_for_the_lesser_of_the_soas_ttl_and_minimum() {
    let mut server = Server::zones(&[
        ("a.example", "@ 120 SOA ns1 host 1 2h 15m 2w 5m"),
        ("b.example", "www A 192.0.2.1"),
    ]);
    check(
        &mut server,
        "
        ? nx.a.example A
          NXDOMAIN aa
          au a.example. 120 SOA ns1.a.example. host.a.example. 1 7200 900 1209600 300
        ? a.example SOA
          NOERROR aa
          an a.example. 120 SOA ns1.a.example. host.a.example. 1 7200 900 1209600 300
        ? nx.b.example A
          NXDOMAIN aa
          au b.example. 300 SOA ns1.b.example. host.b.example. 1 7200 900 1209600 300
        ? b.example SOA
          NOERROR aa
          an b.example. 3600 SOA ns1.b.example. host.b.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn at_the_end_of_a_chain_the_last_name_decides() {
    let mut server = Server::zone("example", "www CNAME nothing\nweb CNAME mail\nmail A 192.0.2.1");
    check(
        &mut server,
        "
        ? www.example A
          NXDOMAIN aa
          an www.example. 3600 CNAME nothing.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? web.example AAAA
          NOERROR aa
          an web.example. 3600 CNAME mail.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}
