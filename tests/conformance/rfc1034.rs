//! RFC 1034 §3.6.2 and §4.3.2: zones, names, CNAMEs and referrals.

use crate::desk::{Server, check};

#[test]
fn an_existing_name_is_answered_with_authority() {
    let mut server = Server::zone(
        "example",
        "
        www A 192.0.2.1
        www A 192.0.2.2
        www AAAA 2001:db8::1
        ",
    );
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          an www.example. 3600 A 192.0.2.2
        ? www.example AAAA rd
          NOERROR aa
          an www.example. 3600 AAAA 2001:db8::1
        ? example NS
          NOERROR aa
          an example. 3600 NS ns1.example.
          ad ns1.example. 3600 A 192.0.2.53
        ? example SOA
          NOERROR aa
          an example. 3600 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn the_most_specific_of_several_zones_answers() {
    let mut server = Server::zones(&[
        ("example", "www A 192.0.2.1\nsub NS ns1.sub\nns1.sub A 192.0.2.54\na.b A 192.0.2.2"),
        ("sub.example", "www A 192.0.2.3"),
        ("x.b.example", "@ A 192.0.2.4"),
    ]);
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
        ? www.sub.example A
          NOERROR aa
          an www.sub.example. 3600 A 192.0.2.3
        ? nx.sub.example A
          NXDOMAIN aa
          au sub.example. 300 SOA ns1.sub.example. host.sub.example. 1 7200 900 1209600 300
        ? x.b.example A
          NOERROR aa
          an x.b.example. 3600 A 192.0.2.4
        ? a.x.b.example A
          NXDOMAIN aa
          au x.b.example. 300 SOA ns1.x.b.example. host.x.b.example. 1 7200 900 1209600 300
        ? a.b.example A
          NOERROR aa
          an a.b.example. 3600 A 192.0.2.2
        ",
    );
}

#[test]
fn what_is_not_ours_is_refused_without_a_hint() {
    let mut server = Server::zone("example", "www A 192.0.2.1");
    check(
        &mut server,
        "
        ? www.example.org A
          REFUSED
        ? . NS
          REFUSED
        ? com A edns=1232
          REFUSED
          opt 1232 ede=20
        ? badexample A
          REFUSED
        ",
    );
}

#[test]
fn a_cname_is_followed_within_the_zone() {
    let mut server = Server::zone(
        "example",
        "
        www CNAME web
        web 60 CNAME a.b
        a.b A 192.0.2.1
        apex CNAME @
        out CNAME www.example.org.
        dead CNAME nothing
        empty CNAME b
        ",
    );
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 3600 CNAME web.example.
          an web.example. 60 CNAME a.b.example.
          an a.b.example. 3600 A 192.0.2.1
        ? www.example TXT
          NOERROR aa
          an www.example. 3600 CNAME web.example.
          an web.example. 60 CNAME a.b.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? www.example CNAME
          NOERROR aa
          an www.example. 3600 CNAME web.example.
        ? apex.example NS
          NOERROR aa
          an apex.example. 3600 CNAME example.
          an example. 3600 NS ns1.example.
          ad ns1.example. 3600 A 192.0.2.53
        ? out.example A
          NOERROR aa
          an out.example. 3600 CNAME www.example.org.
        ? dead.example A
          NXDOMAIN aa
          an dead.example. 3600 CNAME nothing.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ? empty.example A
          NOERROR aa
          an empty.example. 3600 CNAME b.example.
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn a_cname_into_another_of_our_zones_is_left_to_the_resolver() {
    let mut server = Server::zones(&[
        (
            "example",
            "www CNAME www.sub\nelse CNAME www.example.org.\nsub NS ns1.sub\nns1.sub A 192.0.2.54",
        ),
        ("sub.example", "www A 192.0.2.3"),
        ("example.org", "www A 192.0.2.4"),
    ]);
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 3600 CNAME www.sub.example.
        ? else.example A
          NOERROR aa
          an else.example. 3600 CNAME www.example.org.
        ",
    );
}

#[test]
fn a_cname_loop_ends_where_it_closes() {
    let mut server = Server::zone(
        "example",
        "
        self CNAME self
        a CNAME b
        b CNAME c
        c CNAME a
        into CNAME b
        *.wild CNAME loop.wild
        ",
    );
    check(
        &mut server,
        "
        ? self.example A
          NOERROR aa
          an self.example. 3600 CNAME self.example.
        ? a.example A
          NOERROR aa
          an a.example. 3600 CNAME b.example.
          an b.example. 3600 CNAME c.example.
          an c.example. 3600 CNAME a.example.
        ? into.example AAAA
          NOERROR aa
          an into.example. 3600 CNAME b.example.
          an b.example. 3600 CNAME c.example.
          an c.example. 3600 CNAME a.example.
          an a.example. 3600 CNAME b.example.
        ? x.wild.example A
          NOERROR aa
          an x.wild.example. 3600 CNAME loop.wild.example.
          an loop.wild.example. 3600 CNAME loop.wild.example.
        ? a.example CNAME
          NOERROR aa
          an a.example. 3600 CNAME b.example.
        ",
    );
}

#[test]
fn a_long_chain_is_cut_and_left_to_the_resolver() {
    let mut server = Server::zone("example", "$GENERATE 1-40 c$ CNAME c${1,0,d}\nc41 A 192.0.2.1");
    let reply = server.shown("c1.example A tcp");
    let cnames = reply.iter().filter(|line| line.contains(" CNAME ")).count();
    assert_eq!((reply[0].as_str(), reply.len(), cnames), ("NOERROR aa", 18, 17));
    let reply = server.shown("c26.example A tcp");
    assert_eq!(reply.last().unwrap(), "an c41.example. 3600 A 192.0.2.1");
}

#[test]
fn a_delegated_name_is_referred_without_authority() {
    let mut server = Server::zone(
        "example",
        "
        sub NS ns1.sub
        sub NS ns.example.org.
        ns1.sub A 192.0.2.54
        ns1.sub AAAA 2001:db8::54
        deep.er.cut NS ns.example.org.
        ",
    );
    check(
        &mut server,
        "
        ? sub.example A
          NOERROR
          au sub.example. 3600 NS ns1.sub.example.
          au sub.example. 3600 NS ns.example.org.
          ad ns1.sub.example. 3600 A 192.0.2.54
          ad ns1.sub.example. 3600 AAAA 2001:db8::54
        ? sub.example NS
          NOERROR
          au sub.example. 3600 NS ns1.sub.example.
          au sub.example. 3600 NS ns.example.org.
          ad ns1.sub.example. 3600 A 192.0.2.54
          ad ns1.sub.example. 3600 AAAA 2001:db8::54
        ? sub.example SOA
          NOERROR
          au sub.example. 3600 NS ns1.sub.example.
          au sub.example. 3600 NS ns.example.org.
          ad ns1.sub.example. 3600 A 192.0.2.54
          ad ns1.sub.example. 3600 AAAA 2001:db8::54
        ? www.sub.example A
          NOERROR
          au sub.example. 3600 NS ns1.sub.example.
          au sub.example. 3600 NS ns.example.org.
          ad ns1.sub.example. 3600 A 192.0.2.54
          ad ns1.sub.example. 3600 AAAA 2001:db8::54
        ? ns1.sub.example A
          NOERROR
          au sub.example. 3600 NS ns1.sub.example.
          au sub.example. 3600 NS ns.example.org.
          ad ns1.sub.example. 3600 A 192.0.2.54
          ad ns1.sub.example. 3600 AAAA 2001:db8::54
        ? a.deep.er.cut.example TXT
          NOERROR
          au deep.er.cut.example. 3600 NS ns.example.org.
        ? er.cut.example TXT
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
        ",
    );
}

#[test]
fn only_the_topmost_cut_counts() {
    let mut server = Server::zone(
        "example",
        "
        sub NS ns.example.org.
        below.sub NS ns.example.net.
        ",
    );
    check(
        &mut server,
        "
        ? www.below.sub.example A
          NOERROR
          au sub.example. 3600 NS ns.example.org.
        ",
    );
}

#[test]
fn what_is_hidden_below_a_cut_is_never_data() {
    let mut server = Server::zone(
        "example",
        "
        sub NS ns.example.org.
        sub DS 1 13 1 abababababababababababababababababababab
        www.sub A 192.0.2.1
        alias.sub CNAME www
        www CNAME www.sub
        @ MX 10 www.sub
        ",
    );
    check(
        &mut server,
        "
        ? www.sub.example A
          NOERROR
          au sub.example. 3600 NS ns.example.org.
        ? alias.sub.example A
          NOERROR
          au sub.example. 3600 NS ns.example.org.
        ? www.example A
          NOERROR aa
          an www.example. 3600 CNAME www.sub.example.
          au sub.example. 3600 NS ns.example.org.
        ? example MX
          NOERROR aa
          an example. 3600 MX 10 www.sub.example.
        ",
    );
}

#[test]
fn a_cname_into_a_delegation_ends_in_a_referral() {
    let mut server = Server::zone(
        "example",
        "
        www CNAME www.sub
        sub NS ns1.sub
        ns1.sub A 192.0.2.54
        ",
    );
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 3600 CNAME www.sub.example.
          au sub.example. 3600 NS ns1.sub.example.
          ad ns1.sub.example. 3600 A 192.0.2.54
        ",
    );
}

#[test]
fn the_root_can_be_a_zone_too() {
    let zone = "zone = '.'\nns = ['ns1']\nsoa = { rname = 'host', serial = 1 }\nstatic = '''\n\
        ns1 A 192.0.2.53\ncom NS a.gtld.\na.gtld A 192.0.2.54\nwww A 192.0.2.1\n'''";
    let mut server = Server::of(&[("zones/root.toml".to_owned(), zone.to_owned())]);
    check(
        &mut server,
        "
        ? www. A
          NOERROR aa
          an www. 3600 A 192.0.2.1
        ? example.com. A
          NOERROR
          au com. 3600 NS a.gtld.
          ad a.gtld. 3600 A 192.0.2.54
        ? nx. A
          NXDOMAIN aa
          au . 60 SOA ns1. host. 1 3600 900 1209600 60
        ? . SOA
          NOERROR aa
          an . 3600 SOA ns1. host. 1 3600 900 1209600 60
        ",
    );
}
