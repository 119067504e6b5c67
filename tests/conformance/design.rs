//! What we owe beyond the RFCs: steered names (DESIGN §5) among plain ones.

use crate::desk::{Server, check};
use std::collections::{BTreeMap, BTreeSet};

const POOLS: &str = r#"
[pools.eu]
region = "eu-west-1"
endpoints = [{ name = "eu-1", ipv4 = "198.51.100.1", ipv6 = "2001:db8:2::1" }]
[pools.us]
region = "us-east-1"
endpoints = [{ name = "us-1", ipv4 = "203.0.113.1", ipv6 = "2001:db8:3::1" }]
[pools.six]
endpoints = [{ name = "six-1", ipv6 = "2001:db8:6::1" }]
[pools.many]
endpoints = [
  { name = "m-1", ipv4 = "192.0.2.1" }, { name = "m-2", ipv4 = "192.0.2.2" },
  { name = "m-3", ipv4 = "192.0.2.3" }, { name = "m-4", ipv4 = "192.0.2.4" },
]
[pools.out]
endpoints = [{ name = "out-1", cname = "www.example.org" }]
[pools.in]
endpoints = [{ name = "in-1", cname = "pair.example" }]
"#;

fn server(fixed: &str, toml: &str) -> Server {
    let pair = "[records.pair]\npolicy = 'failover'\nmembers = ['eu', 'us']\nttl = '20s'";
    Server::steered(fixed, &format!("{POOLS}\n{pair}\n{toml}"))
}

/// How often each first record was among `count` answers to `query`.
fn tally(server: &mut Server, query: &str, count: u32) -> BTreeMap<String, u32> {
    let mut tally = BTreeMap::new();
    for _ in 0..count {
        *tally.entry(server.shown(query).swap_remove(1)).or_default() += 1;
    }
    tally
}

#[test]
fn addresses_are_steered_and_other_types_are_static() {
    let mut server = server("pair MX 10 mail\nmail A 192.0.2.25", "");
    check(
        &mut server,
        "
        ? pair.example A
          NOERROR aa
          an pair.example. 20 A 198.51.100.1
        ? PAIR.example AAAA
          NOERROR aa
          an PAIR.example. 20 AAAA 2001:db8:2::1
        ? pair.example MX
          NOERROR aa
          an pair.example. 3600 MX 10 mail.example.
          ad mail.example. 3600 A 192.0.2.25
        ? pair.example TXT
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? x.pair.example A
          NXDOMAIN aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? pair.example CNAME
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ",
    );
}

#[test]
fn the_apex_can_be_steered_beside_its_own_records() {
    let mut server = server(
        "@ MX 10 mail\nmail A 192.0.2.25",
        "[records.'@']\npolicy = 'failover'\nmembers = ['us', 'eu']",
    );
    check(
        &mut server,
        "
        ? example A
          NOERROR aa
          an example. 30 A 203.0.113.1
        ? example NS
          NOERROR aa
          an example. 3600 NS ns1.example.
          ad ns1.example. 3600 A 192.0.2.53
        ? example MX
          NOERROR aa
          an example. 3600 MX 10 mail.example.
          ad mail.example. 3600 A 192.0.2.25
        ? example TXT
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ",
    );
}

#[test]
fn a_steered_wildcard_answers_under_the_name_asked() {
    let mut server = server(
        "real.cdn TXT here\nbelow.ent.cdn A 192.0.2.9",
        "[records.'*.cdn']\npolicy = 'failover'\nmembers = ['us', 'eu']",
    );
    check(
        &mut server,
        "
        ? a.cdn.example A
          NOERROR aa
          an a.cdn.example. 30 A 203.0.113.1
        ? A.b.CDN.example AAAA
          NOERROR aa
          an A.b.CDN.example. 30 AAAA 2001:db8:3::1
        ? a.cdn.example TXT
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? real.cdn.example A
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? ent.cdn.example A
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? x.ent.cdn.example A
          NXDOMAIN aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? cdn.example A
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? *.cdn.example A
          NOERROR aa
          an *.cdn.example. 30 A 203.0.113.1
        ",
    );
}

#[test]
fn a_cname_member_answers_every_type_and_is_chased_in_the_zone() {
    let mut server = server(
        "",
        "
        [records.far]
        policy = 'failover'
        members = ['out', 'in']
        [records.near]
        policy = 'failover'
        members = ['in', 'out']
        [records.mixed]
        policy = 'failover'
        members = ['eu', 'in']
        ",
    );
    check(
        &mut server,
        "
        ? far.example A
          NOERROR aa
          an far.example. 30 CNAME www.example.org.
        ? far.example TXT
          NOERROR aa
          an far.example. 30 CNAME www.example.org.
        ? far.example CNAME
          NOERROR aa
          an far.example. 30 CNAME www.example.org.
        ? far.example ANY
          NOERROR aa
          an far.example. 30 CNAME www.example.org.
        ? near.example A
          NOERROR aa
          an near.example. 30 CNAME pair.example.
          an pair.example. 20 A 198.51.100.1
        ? near.example AAAA
          NOERROR aa
          an near.example. 30 CNAME pair.example.
          an pair.example. 20 AAAA 2001:db8:2::1
        ? near.example MX
          NOERROR aa
          an near.example. 30 CNAME pair.example.
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? mixed.example A
          NOERROR aa
          an mixed.example. 30 A 198.51.100.1
        ? mixed.example TXT
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? mixed.example CNAME
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ",
    );
    server.fell(&["example/eu/eu-1"]);
    check(
        &mut server,
        "
        ? mixed.example A
          NOERROR aa
          an mixed.example. 30 CNAME pair.example.
          an pair.example. 20 A 203.0.113.1
        ? mixed.example TXT
          NOERROR aa
          an mixed.example. 30 CNAME pair.example.
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ",
    );
}

#[test]
fn any_gets_one_rrset_of_a_steered_name_too() {
    let mut server = server(
        "mail MX 10 pair",
        "
        [records.mail]
        policy = 'failover'
        members = ['us', 'eu']
        [records.six]
        policy = 'failover'
        members = ['six']
        [records.later]
        policy = 'failover'
        members = ['six', 'eu']
        ",
    );
    check(
        &mut server,
        "
        ? pair.example ANY
          NOERROR aa
          an pair.example. 20 A 198.51.100.1
        ? mail.example ANY
          NOERROR aa
          an mail.example. 3600 MX 10 pair.example.
        ? six.example ANY
          NOERROR aa
          an six.example. 30 AAAA 2001:db8:6::1
        ? later.example ANY
          NOERROR aa
          an later.example. 30 AAAA 2001:db8:6::1
        ? pair.example ANY tcp
          NOERROR aa
          an pair.example. 20 A 198.51.100.1
        ",
    );
}

#[test]
fn a_pool_without_the_family_is_no_data_and_falls_to_nobody() {
    let mut server = server("", "[records.later]\npolicy = 'failover'\nmembers = ['six', 'eu']");
    check(
        &mut server,
        "
        ? later.example A
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? later.example AAAA
          NOERROR aa
          an later.example. 30 AAAA 2001:db8:6::1
        ",
    );
}

#[test]
fn what_points_to_a_steered_name_brings_no_addresses() {
    let mut server = server("@ MX 10 pair\n_s._tcp SRV 1 2 3 pair", "");
    check(
        &mut server,
        "
        ? example MX
          NOERROR aa
          an example. 3600 MX 10 pair.example.
        ? _s._tcp.example SRV
          NOERROR aa
          an _s._tcp.example. 3600 SRV 1 2 3 pair.example.
        ",
    );
}

#[test]
fn what_is_down_is_not_answered_until_nothing_is_left() {
    let mut server = server("", "");
    for (down, expected) in [
        (&["example/eu/eu-1"][..], "an pair.example. 20 A 203.0.113.1"),
        (&["example/us/us-1"], "an pair.example. 20 A 198.51.100.1"),
        (&["example/eu/eu-1", "example/us/us-1"], "an pair.example. 20 A 198.51.100.1"),
    ] {
        server.fell(down);
        assert_eq!(server.shown("pair.example A"), ["NOERROR aa", expected], "{down:?}");
    }
}

#[test]
fn nobody_waits_for_health_but_who_asks_for_a_steered_name() {
    let mut server = server("alias CNAME pair\npair TXT hello", "");
    server.warming(true);
    check(
        &mut server,
        "
        ? pair.example A
        ? alias.example AAAA
        ? pair.example TXT
          NOERROR aa
          an pair.example. 3600 TXT hello
        ? ns1.example A
          NOERROR aa
          an ns1.example. 3600 A 192.0.2.53
        ",
    );
}

#[test]
fn ninety_ten_holds_over_a_hundred_thousand_queries() {
    let members = "[{ pool = 'eu', weight = 90 }, { pool = 'us', weight = 10 }]";
    let mut server =
        server("", &format!("[records.split]\npolicy = 'weighted'\nmembers = {members}"));
    let n = 100_000;
    for (query, canary) in [
        ("split.example A", "an split.example. 30 A 203.0.113.1"),
        ("split.example AAAA", "an split.example. 30 AAAA 2001:db8:3::1"),
    ] {
        let tally = tally(&mut server, query, n);
        let off = f64::from(tally[canary]) - f64::from(n) * 0.1;
        assert!(off.abs() < 4.5 * (f64::from(n) * 0.09).sqrt(), "{tally:?}");
        assert_eq!(tally.len(), 2);
    }
}

#[test]
fn a_sticky_client_gets_one_answer_whatever_the_type_the_server_and_the_time() {
    let members = "[{ pool = 'eu', weight = 50 }, { pool = 'us', weight = 50 }]";
    let toml = format!("[records.s]\npolicy = 'weighted'\nmembers = {members}\nsticky = 'client'");
    let (mut one, mut other) = (server("", &toml), server("", &toml));
    let mut seen = BTreeSet::new();
    for client in 0..200 {
        let a = one.shown(&format!("s.example A ecs=10.{client}.7.0/24"));
        let aaaa = one.shown(&format!("s.example AAAA ecs=10.{client}.7.0/24"));
        let again = other.shown(&format!("s.example A from=10.{client}.7.{client}"));
        assert_eq!(a[1], again[1]);
        assert_eq!(a[1].contains("198.51.100.1"), aaaa[1].contains("2001:db8:2::1"));
        seen.insert(a[1].clone());
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn multivalue_answers_several_and_every_one_leads_its_share() {
    let mut server =
        server("", "[records.all]\npolicy = 'multivalue'\nmembers = ['many']\nanswers = 3");
    let reply = server.shown("all.example A");
    assert_eq!(reply.len(), 4, "{reply:?}");
    assert_eq!(reply.iter().collect::<BTreeSet<_>>().len(), 4, "each once");
    assert_eq!(tally(&mut server, "all.example A", 400).len(), 4);
    server.fell(&["example/many/m-1", "example/many/m-2"]);
    let reply = server.shown("all.example A");
    let mut up = reply[1..].to_vec();
    up.sort();
    assert_eq!(up, ["an all.example. 30 A 192.0.2.3", "an all.example. 30 A 192.0.2.4"]);
}

/// Two pools with something beside their addresses.
const EXTRA: &str = r#"
[pools.old]
region = "us-east-1"
endpoints = [{ name = "old-1", ipv4 = "192.0.2.10", ipv6 = "2001:db8:a::1" }]
extra = """
@ TXT   "old"
@ MX    10 mail
@ HTTPS 1 . alpn=h2
"""
[pools.new]
region = "eu-west-1"
endpoints = [{ name = "new-1", ipv4 = "192.0.2.20", ipv6 = "2001:db8:b::1" }]
extra = """
@ TXT "new" "and more"
@ TXT "another"
@ MX  20 mail.example.org.
"""
"#;

#[test]
fn what_a_pool_has_beside_its_addresses_goes_with_them() {
    let mut server = server(
        "",
        &format!(
            "{EXTRA}
            [records.www]
            policy = 'failover'
            members = ['old', 'new', 'eu']
            [records.'*.w']
            policy = 'failover'
            members = ['old', 'new']
            ttl = '7s'",
        ),
    );
    check(
        &mut server,
        "
        ? www.example A
          NOERROR aa
          an www.example. 30 A 192.0.2.10
        ? www.example TXT
          NOERROR aa
          an www.example. 30 TXT old
        ? www.example MX
          NOERROR aa
          an www.example. 30 MX 10 mail.www.example.
        ? www.example HTTPS
          NOERROR aa
          an www.example. 30 HTTPS 1 . alpn=h2,
        ? www.example SRV
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ? www.example ANY
          NOERROR aa
          an www.example. 30 A 192.0.2.10
        ? x.W.example TXT
          NOERROR aa
          an x.W.example. 7 TXT old
        ? x.www.example TXT
          NXDOMAIN aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ",
    );
    server.fell(&["example/old/old-1"]);
    check(
        &mut server,
        "
        ? www.example TXT
          NOERROR aa
          an www.example. 30 TXT newand more
          an www.example. 30 TXT another
        ? www.example MX
          NOERROR aa
          an www.example. 30 MX 20 mail.example.org.
        ? www.example HTTPS
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ",
    );
    server.fell(&["example/old/old-1", "example/new/new-1"]);
    check(
        &mut server,
        "
        ? www.example TXT
          NOERROR aa
          au example. 5 SOA ns1.example. host.example. 1 3600 900 1209600 5
        ",
    );
}

#[test]
fn a_split_holds_for_what_pools_have_beside_their_addresses() {
    let members = "[{ pool = 'old', weight = 90 }, { pool = 'new', weight = 10 }]";
    let split = format!("policy = 'weighted'\nmembers = {members}");
    let mut server = server(
        "",
        &format!(
            "{EXTRA}\n[records.split]\n{split}\n[records.kept]\n{split}\nsticky = 'client'\n\
             [records.both]\npolicy = 'multivalue'\nmembers = ['old', 'new']\nsticky = 'client'"
        ),
    );
    let n = 100_000;
    let tally = tally(&mut server, "split.example MX", n);
    let canary = tally["an split.example. 30 MX 20 mail.example.org."];
    let off = f64::from(canary) - f64::from(n) * 0.1;
    assert!(off.abs() < 4.5 * (f64::from(n) * 0.09).sqrt(), "{tally:?}");
    assert_eq!(tally.len(), 2);
    // A client's records of all types come from one pool: under multivalue the leader's.
    for name in ["kept", "both"] {
        let mut seen = BTreeSet::new();
        for client in 0..200 {
            let mut ask = |rtype| {
                let reply = server.shown(&format!("{name}.example {rtype} ecs=10.{client}.7.0/24"));
                let scoped = format!("opt 1232 ecs=10.{client}.7.0/24/24");
                assert_eq!(reply.last(), Some(&scoped));
                reply[1].clone()
            };
            let is_new = ask("A").ends_with("192.0.2.20");
            assert_eq!(ask("AAAA").ends_with("2001:db8:b::1"), is_new);
            assert_eq!(ask("MX").contains("MX 20"), is_new);
            assert_eq!(ask("HTTPS").starts_with("au "), is_new, "the new pool has none");
            seen.insert(is_new);
        }
        assert_eq!(seen.len(), 2, "{name}");
    }
}

#[test]
fn more_beside_the_addresses_than_fits_truncates() {
    let text = "x".repeat(250);
    let extra = format!("@ TXT \"{text}\" \"{text}\"\n@ TXT \"{text}\"");
    let mut server = server(
        "",
        &format!(
            "[pools.big]\nendpoints = [{{ name = 'b', ipv4 = '192.0.2.1' }}]\n\
             extra = '''\n{extra}\n'''\n[records.big]\npolicy = 'failover'\nmembers = ['big']"
        ),
    );
    check(&mut server, "? big.example TXT\nNOERROR aa tc");
    assert_eq!(server.shown("big.example TXT tcp").len(), 3);
    assert_eq!(server.shown("big.example TXT edns=1232").len(), 4);
}

#[test]
fn all_names_under_a_sticky_wildcard_put_a_client_on_the_same_side() {
    let members = "[{ pool = 'eu', weight = 50 }, { pool = 'us', weight = 50 }]";
    let split = format!("policy = 'weighted'\nmembers = {members}\nsticky = 'client'");
    let mut server = server("", &format!("[records.'*.w']\n{split}\n[records.other]\n{split}"));
    let (mut seen, mut apart) = (BTreeSet::new(), 0);
    for client in 0..200 {
        let mut ask = |name: &str| {
            let reply = server.shown(&format!("{name}.example A ecs=10.{client}.7.0/24"));
            reply[1].rsplit_once(' ').unwrap().1.to_owned()
        };
        let side = ask("a.w");
        assert_eq!(ask("b.w"), side);
        assert_eq!(ask("x.y.W"), side);
        apart += u32::from(ask("other") != side);
        seen.insert(side);
    }
    assert_eq!(seen.len(), 2);
    assert!((50..150).contains(&apart), "another record draws for itself: {apart}");
}
