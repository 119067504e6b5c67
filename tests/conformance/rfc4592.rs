//! RFC 4592: wildcards. The first zone is the RFC's own (§2.2.1).

use crate::desk::{Server, check};

const ZONE: &str = "
    * TXT \"this is a wildcard\"
    * MX 10 host1
    sub.* TXT \"this is not a wildcard\"
    host1 A 192.0.2.1
    _ssh._tcp.host1 SRV 0 0 22 host1
    _ssh._tcp.host2 SRV 0 0 22 host1
    subdel NS ns.example.com.
    subdel NS ns.example.net.
";

#[test]
fn the_rfcs_own_zone_answers_as_the_rfc_says() {
    check(
        &mut Server::zone("example", ZONE),
        "
        ? host3.example MX
          NOERROR aa
          an host3.example. 3600 MX 10 host1.example.
          ad host1.example. 3600 A 192.0.2.1
        ? host3.example A
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? foo.bar.example TXT
          NOERROR aa
          an foo.bar.example. 3600 TXT this is a wildcard
        ? host1.example MX
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? sub.*.example MX
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? _telnet._tcp.host1.example SRV
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? host.subdel.example A
          NOERROR
          au subdel.example. 3600 NS ns.example.com.
          au subdel.example. 3600 NS ns.example.net.
        ? ghost.*.example MX
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn an_existing_name_even_an_empty_one_blocks_the_wildcard() {
    let mut server = Server::zone(
        "example",
        "
        *.w A 192.0.2.1
        a.b.w TXT x
        ",
    );
    check(
        &mut server,
        "
        ? x.w.example A
          NOERROR aa
          an x.w.example. 3600 A 192.0.2.1
        ? b.w.example A
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? x.b.w.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? x.y.z.w.example A
          NOERROR aa
          an x.y.z.w.example. 3600 A 192.0.2.1
        ? w.example A
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn a_wildcard_can_be_asked_by_its_own_name() {
    let mut server = Server::zone("example", "*.w A 192.0.2.1");
    check(
        &mut server,
        "
        ? *.w.example A
          NOERROR aa
          an *.w.example. 3600 A 192.0.2.1
        ? *.w.example TXT
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? x.*.w.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn a_wildcard_cname_is_followed() {
    let mut server = Server::zone("example", "*.w CNAME www\nwww A 192.0.2.1\n*.v CNAME v.w");
    check(
        &mut server,
        "
        ? x.w.example A
          NOERROR aa
          an x.w.example. 3600 CNAME www.example.
          an www.example. 3600 A 192.0.2.1
        ? x.w.example CNAME
          NOERROR aa
          an x.w.example. 3600 CNAME www.example.
        ? x.v.example A
          NOERROR aa
          an x.v.example. 3600 CNAME v.w.example.
          an v.w.example. 3600 CNAME www.example.
          an www.example. 3600 A 192.0.2.1
        ",
    );
}

#[test]
fn what_is_below_a_delegation_makes_no_wildcard() {
    let mut server =
        Server::zone("example", "sub NS ns.example.org.\n*.sub A 192.0.2.1\n* A 192.0.2.2");
    check(
        &mut server,
        "
        ? x.sub.example A
          NOERROR
          au sub.example. 3600 NS ns.example.org.
        ? x.example A
          NOERROR aa
          an x.example. 3600 A 192.0.2.2
        ",
    );
}

#[test]
fn a_star_elsewhere_is_a_label_like_any_other() {
    let mut server = Server::zone(
        "example",
        "
        a.*.b A 192.0.2.1
        ** A 192.0.2.2
        mail MX 10 *.b
        star CNAME x.*.b
        ",
    );
    check(
        &mut server,
        "
        ? a.x.b.example A
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? a.*.b.example A
          NOERROR aa
          an a.*.b.example. 3600 A 192.0.2.1
        ? x.example A
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? mail.example MX
          NOERROR aa
          an mail.example. 3600 MX 10 *.b.example.
        ? star.example A
          NXDOMAIN aa
          an star.example. 3600 CNAME x.*.b.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn services_and_name_servers_of_a_wildcard_are_data_to_be_synthesised() {
    let mut server = Server::zone(
        "example",
        "
        *.w SRV 1 2 3 host
        *.n NS host
        host A 192.0.2.1
        ",
    );
    check(
        &mut server,
        "
        ? _s._tcp.w.example SRV
          NOERROR aa
          an _s._tcp.w.example. 3600 SRV 1 2 3 host.example.
          ad host.example. 3600 A 192.0.2.1
        ? x.n.example NS
          NOERROR aa
          an x.n.example. 3600 NS host.example.
          ad host.example. 3600 A 192.0.2.1
        ? *.n.example NS
          NOERROR aa
          an *.n.example. 3600 NS host.example.
          ad host.example. 3600 A 192.0.2.1
        ? x.n.example A
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}
