//! RFC 7871: the client's network, echoed with the scope for which the answer holds.

use crate::desk::{Ask, Server, ask::opt, check, show};
use tradewind::telemetry::Via;

fn server() -> Server {
    Server::zone("example", "www A 192.0.2.1\nsub NS ns.example.org.\nalias CNAME www")
}

#[test]
fn a_static_answer_holds_for_everybody() {
    check(
        &mut server(),
        "
        ? www.example A ecs=198.51.100.0/24
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=198.51.100.0/24/0
        ? www.example A ecs=198.51.96.0/20
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=198.51.96.0/20/0
        ? www.example A ecs=2001:db8:1:200::/56
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=2001:db8:1:200::/56/0
        ? www.example AAAA ecs=198.51.100.0/24
          NOERROR aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232 ecs=198.51.100.0/24/0
        ? alias.example A ecs=198.51.100.0/24
          NOERROR aa
          an alias.example. 3600 CNAME www.example.
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=198.51.100.0/24/0
        ? nx.example A ecs=198.51.100.0/24
          NXDOMAIN aa
          au example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 300
          opt 1232 ecs=198.51.100.0/24/0
        ? x.sub.example A ecs=198.51.100.0/24
          NOERROR
          au sub.example. 3600 NS ns.example.org.
          opt 1232 ecs=198.51.100.0/24/0
        ? example.org A ecs=198.51.100.0/24
          REFUSED
          opt 1232 ecs=198.51.100.0/24/0 ede=20
        ? www.example A ecs=0.0.0.0/0
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=0.0.0.0/0/0
        ? www.example A ecs=::/0
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=::/0/0
        ",
    );
}

#[test]
fn a_malformed_network_is_a_format_error_without_ecs() {
    let cases: [(&str, &[u8]); 10] = [
        ("nothing", &[]),
        ("no prefixes", &[0, 1]),
        ("IPv4 longer than 32", &[0, 1, 33, 0, 192, 0, 2, 1, 0]),
        ("IPv6 longer than 128", &[[0, 2, 129, 0].as_slice(), &[0x20; 17]].concat()),
        ("too few bytes", &[0, 1, 24, 0, 192, 0]),
        ("too many bytes", &[0, 1, 24, 0, 192, 0, 2, 0]),
        ("bits behind the prefix", &[0, 1, 20, 0, 192, 0, 0xff]),
        ("a scope", &[0, 1, 24, 24, 192, 0, 2]),
        ("an unknown family", &[0, 3, 8, 0, 192]),
        ("family 0 with an address", &[0, 0, 8, 0, 192]),
    ];
    for (what, data) in cases {
        let option = [&[0, 8, 0, data.len() as u8], data].concat();
        let mut packet = Ask::new("www.example A").packet();
        packet[11] = 1;
        packet.extend(opt(1232, 0, &option));
        let reply = server().answer(&packet, Ask::new("a A").from, Via::Udp).to_vec();
        assert_eq!(show(&reply), ["FORMERR", "opt 1232"], "{what}");
    }
}

const POOLS: &str = r#"
[pools.eu]
endpoints = [{ name = "eu-1", ipv4 = "198.51.100.1" }]
[pools.us]
endpoints = [{ name = "us-1", ipv4 = "203.0.113.1", ipv6 = "2001:db8:3::1" }]
[pools.alias]
endpoints = [{ name = "alias-1", cname = "geo.example" }, { name = "alias-2", cname = "geo.example" }]
[records.geo]
policy = "geo"
rules = [
  { match = ["subnet:10.0.0.0/8", "subnet:2001:db8:8000::/33"], use = ["eu"] },
  { match = ["subnet:10.1.2.0/24"], use = ["us"] },
  { match = ["subnet:172.16.0.0/12"], use = [] },
  { match = ["*"], use = ["us"] },
]
"#;

fn steered(toml: &str) -> Server {
    Server::steered(
        "static A 192.0.2.1\nwww CNAME geo\ntwice CNAME sticky",
        &format!("{POOLS}{toml}"),
    )
}

#[test]
fn the_scope_is_the_widest_network_with_the_same_answer() {
    check(
        &mut steered(""),
        "
        ? geo.example A ecs=10.9.8.0/24
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=10.9.8.0/24/13
        ? geo.example A ecs=10.1.2.0/24
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=10.1.2.0/24/24
        ? geo.example A ecs=10.1.3.0/24
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=10.1.3.0/24/24
        ? geo.example A ecs=192.0.2.0/24
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=192.0.2.0/24/2
        ? geo.example A ecs=2001:db8:8000::/48
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=2001:db8:8000::/48/33
        ? geo.example A ecs=2001:db8:7fff::/48
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=2001:db8:7fff::/48/33
        ",
    );
}

#[test]
fn the_scope_may_be_longer_than_the_source() {
    check(
        &mut steered(""),
        "
        ? geo.example A ecs=10.0.0.0/8
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=10.0.0.0/8/16
        ? geo.example A ecs=0.0.0.0/1
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=0.0.0.0/1/5
        ",
    );
}

#[test]
fn the_network_in_the_query_counts_and_else_the_resolvers_address() {
    check(
        &mut steered(""),
        "
        ? geo.example A from=10.9.8.7
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
        ? geo.example A from=10.9.8.7 edns=1232
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
          opt 1232
        ? geo.example A from=10.9.8.7 ecs=192.0.2.0/24
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=192.0.2.0/24/2
        ? geo.example A from=2001:db8:8000::1
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
        ? geo.example A from=::ffff:10.9.8.7
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
        ",
    );
}

#[test]
fn a_source_of_zero_opts_out() {
    check(
        &mut steered(""),
        "
        ? geo.example A from=10.9.8.7 ecs=0.0.0.0/0
          NOERROR aa
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=0.0.0.0/0/0
        ? geo.example A from=192.0.2.7 ecs=::/0
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=::/0/0
        ",
    );
}

#[test]
fn health_may_widen_the_scope_but_never_to_everybody() {
    let mut server = steered("");
    server.fell(&["example/eu/eu-1"]);
    check(
        &mut server,
        "
        ? geo.example A ecs=10.9.8.0/24
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=10.9.8.0/24/1
        ? geo.example A ecs=192.0.2.0/24
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=192.0.2.0/24/2
        ? geo.example A ecs=2001:db8:8000::/48
          NOERROR aa
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=2001:db8:8000::/48/21
        ",
    );
}

#[test]
fn no_data_that_depends_on_the_client_keeps_the_scope() {
    check(
        &mut steered(""),
        "
        ? geo.example A ecs=172.16.9.0/24
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=172.16.9.0/24/12
        ? geo.example AAAA ecs=10.9.8.0/24
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=10.9.8.0/24/13
        ",
    );
}

#[test]
fn what_a_steered_name_never_has_is_missing_for_everybody() {
    let mut server = steered(
        "[records.v4]\npolicy = 'geo'\nrules = [\n\
        { match = ['subnet:10.0.0.0/8'], use = [] }, { match = ['*'], use = ['eu'] }]",
    );
    check(
        &mut server,
        "
        ? geo.example TXT ecs=10.9.8.0/24
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=10.9.8.0/24/0
        ? x.geo.example A ecs=10.9.8.0/24
          NXDOMAIN aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=10.9.8.0/24/0
        ? v4.example AAAA ecs=10.9.8.0/24
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=10.9.8.0/24/0
        ? v4.example A ecs=10.9.8.0/24
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=10.9.8.0/24/8
        ",
    );
}

#[test]
fn a_tree_that_does_not_depend_on_the_client_holds_for_everybody() {
    let mut server = steered("[records.fixed]\npolicy = 'failover'\nmembers = ['eu', 'us']");
    check(
        &mut server,
        "
        ? fixed.example A ecs=10.9.8.0/24
          NOERROR aa
          an fixed.example. 30 A 198.51.100.1
          opt 1232 ecs=10.9.8.0/24/0
        ",
    );
}

#[test]
fn a_record_may_ignore_the_network() {
    let rules =
        "[{ match = ['subnet:10.0.0.0/8'], use = ['eu'] }, { match = ['*'], use = ['us'] }]";
    let mut server =
        steered(&format!("[records.deaf]\npolicy = 'geo'\necs = 'ignore'\nrules = {rules}"));
    check(
        &mut server,
        "
        ? deaf.example A from=10.9.8.7 ecs=192.0.2.0/24
          NOERROR aa
          an deaf.example. 30 A 198.51.100.1
          opt 1232 ecs=192.0.2.0/24/0
        ? deaf.example A from=192.0.2.7 ecs=10.9.8.0/24
          NOERROR aa
          an deaf.example. 30 A 203.0.113.1
          opt 1232 ecs=10.9.8.0/24/0
        ",
    );
}

#[test]
fn a_chain_has_the_longest_scope_of_its_links() {
    let mut server = steered(
        "
        [records.far]
        policy = 'geo'
        rules = [
          { match = ['subnet:10.9.8.128/25'], use = ['us-alias'] },
          { match = ['subnet:10.0.0.0/8'], use = ['alias'] },
          { match = ['*'], use = ['alias'] },
        ]
        [pools.us-alias]
        endpoints = [{ name = 'there', cname = 'static.example' }]
        [records.sticky]
        policy = 'weighted'
        members = ['alias']
        sticky = 'client'
        ",
    );
    check(
        &mut server,
        "
        ? www.example A ecs=10.9.8.0/24
          NOERROR aa
          an www.example. 3600 CNAME geo.example.
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=10.9.8.0/24/13
        ? far.example A ecs=10.9.8.0/25
          NOERROR aa
          an far.example. 30 CNAME geo.example.
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=10.9.8.0/25/25
        ? far.example A ecs=10.9.8.128/25
          NOERROR aa
          an far.example. 30 CNAME static.example.
          an static.example. 3600 A 192.0.2.1
          opt 1232 ecs=10.9.8.128/25/25
        ? far.example A ecs=192.0.2.0/24
          NOERROR aa
          an far.example. 30 CNAME geo.example.
          an geo.example. 30 A 203.0.113.1
          opt 1232 ecs=192.0.2.0/24/2
        ? far.example TXT ecs=192.0.2.0/24
          NOERROR aa
          an far.example. 30 CNAME geo.example.
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=192.0.2.0/24/1
        ? twice.example A ecs=10.9.8.0/24
          NOERROR aa
          an twice.example. 3600 CNAME sticky.example.
          an sticky.example. 30 CNAME geo.example.
          an geo.example. 30 A 198.51.100.1
          opt 1232 ecs=10.9.8.0/24/24
        ",
    );
}

#[test]
fn the_scope_of_a_sticky_answer_is_no_wider_than_its_key() {
    let sticky = "policy = 'weighted'\nmembers = ['eu', 'us']\nsticky = 'client'";
    let mut server = steered(&format!(
        "[records.sticky]\n{sticky}\n[records.wide]\n{sticky}\nsticky_prefix = {{ v4 = 16, v6 = 32 }}"
    ));
    for (name, ecs, scope) in [
        ("sticky", "10.9.8.0/24", 24),
        ("sticky", "10.9.8.7/32", 24),
        ("sticky", "10.9.0.0/20", 20),
        ("sticky", "2001:db8:8000:100::/56", 48),
        ("sticky", "2001:db8::/32", 32),
        ("wide", "10.9.8.0/24", 16),
        ("wide", "2001:db8:8000:100::/56", 32),
        ("wide", "10.0.0.0/8", 8),
    ] {
        let reply = server.shown(&format!("{name}.example A ecs={ecs}"));
        let expected = format!("opt 1232 ecs={ecs}/{scope}");
        assert_eq!(reply.last(), Some(&expected), "{name}");
    }
}

#[test]
fn ipv4_inside_ipv6_is_the_same_client_and_the_scope_speaks_of_what_came() {
    let mut server = steered(
        "[records.sticky]\npolicy = 'weighted'\n\
        members = ['eu', 'us']\nsticky = 'client'",
    );
    let v4 = server.shown("sticky.example A ecs=10.9.8.0/24")[1].clone();
    for (ecs, geo, sticky) in [
        // Mapped, NAT64, 6to4, Teredo (inverted: 10.9.8.0 is f5f6:f7ff).
        ("::ffff:10.9.8.0/120", 96 + 13, 96 + 24),
        ("64:ff9b::10.9.8.0/120", 96 + 13, 96 + 24),
        ("2002:a09:800::/40", 16 + 13, 16 + 24),
        ("2001:0:1:2:3:4:f5f6:f700/120", 96 + 13, 96 + 24),
    ] {
        let reply = server.shown(&format!("geo.example A ecs={ecs}"));
        assert_eq!(reply[1], "an geo.example. 30 A 198.51.100.1", "{ecs}");
        let (address, source) = ecs.split_once('/').unwrap();
        let address: std::net::IpAddr = address.parse().unwrap();
        assert_eq!(reply[2], format!("opt 1232 ecs={address}/{source}/{geo}"));
        let reply = server.shown(&format!("sticky.example A ecs={ecs}"));
        assert_eq!(reply[1], v4, "{ecs}");
        assert_eq!(reply[2], format!("opt 1232 ecs={address}/{source}/{sticky}"));
    }
}

#[test]
fn what_goes_along_with_addresses_has_their_scope_even_where_there_is_nothing() {
    let mut server = steered(
        "[pools.told]\nendpoints = [{ name = 't', ipv4 = '192.0.2.7' }]\n\
         extra = '@ TXT \"told\"'\n\
         [records.e]\npolicy = 'geo'\nrules = [\n\
         { match = ['subnet:10.0.0.0/8'], use = ['told'] }, { match = ['*'], use = ['eu'] }]",
    );
    check(
        &mut server,
        "
        ? e.example TXT ecs=10.9.8.0/24
          NOERROR aa
          an e.example. 30 TXT told
          opt 1232 ecs=10.9.8.0/24/8
        ? e.example TXT ecs=11.9.8.0/24
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=11.9.8.0/24/8
        ? e.example MX ecs=10.9.8.0/24
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
          opt 1232 ecs=10.9.8.0/24/0
        ",
    );
}

#[test]
fn section_11_3_only_those_who_are_trusted_speak_for_others() {
    let told = "[server]\necs = { trusted = ['192.0.2.0/24'] }";
    check(
        &mut Server::guarded(told, "www A 192.0.2.1"),
        "
        ? www.example A ecs=198.51.100.0/24 from=192.0.2.7
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232 ecs=198.51.100.0/24/0
        ? www.example A ecs=198.51.100.0/24 from=203.0.113.7
          NOERROR aa
          an www.example. 3600 A 192.0.2.1
          opt 1232
        ",
    );
}
