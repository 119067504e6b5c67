//! RFC 8482: ANY gets little.

use crate::desk::{Server, check};

#[test]
fn any_gets_one_rrset() {
    let mut server = Server::zone(
        "example",
        "
        www A 192.0.2.1
        www AAAA 2001:db8::1
        www TXT text
        alias CNAME www
        *.w MX 10 www
        sub NS ns.example.org.
        a.ent A 192.0.2.2
        ",
    );
    check(
        &mut server,
        "
        ? www.example ANY
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ? www.example ANY tcp
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ? alias.example ANY
          NOERROR aa
          an alias.example. 3600 CNAME www.example.
        ? x.w.example ANY
          NOERROR aa
          an x.w.example. 3600 MX 10 www.example.
        ? sub.example ANY
          NOERROR
          au sub.example. 3600 NS ns.example.org.
        ? ent.example ANY
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? nx.example ANY
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? example ANY
          NOERROR aa
          an example. 3600 NS ns1.example.
        ",
    );
}

#[test]
fn signatures_and_denials_are_no_data_in_an_unsigned_zone() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    check(
        &mut server,
        "
        ? www.example RRSIG
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? www.example NSEC do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232 do
        ? example DNSKEY do
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232 do
        ",
    );
}
