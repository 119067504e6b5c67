//! What is refused, all at once, and what is only warned of: definitions, trees, and what zones share.

use super::*;

#[test]
fn guards_that_cannot_stand_are_refused() {
    let server = "[server]\ncookies = { secret_file = \"secrets/none\" }\n\
                  [access]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/8\", \"10.0.0.0/16\"]\n";
    assert_eq!(
        lines(&Sources::in_memory([("tradewind.toml", server)])),
        "\
warning tradewind.toml:1:1: there is no zone in zones/: every query is refused
tradewind.toml:2:27: secrets/none: there are no secrets here
    = a secret of cookies is 32 hexadecimal digits on a line, such as `(umask 077; openssl rand -hex 16 > secrets/cookies)` makes; the first signs, all of them verify
tradewind.toml:5:9: 10.0.0.0/8 is listed twice under [access]
"
    );
}

#[test]
fn mistakes_in_definitions_are_told_all_at_once() {
    let text = include_str!("mistakes.toml");
    assert_eq!(told(text), include_str!("mistakes.txt"));
}

#[test]
fn mistakes_in_trees_are_told_all_at_once() {
    let text = include_str!("tree_mistakes.toml");
    assert_eq!(told(text), include_str!("tree_mistakes.txt"));
}

#[test]
fn mistakes_in_what_zones_share_hold_everything_back() {
    let sources = Sources::in_memory([
        (
            "tradewind.toml",
            "[regions.x]\ncloud = \"aws:us-east-11\"\n[defaults]\ncheck = \"wbe\"\n\
             [pools.p]\nregion = \"y\"\nendpoints = [{ name = \"a\", ipv4 = \"192.0.2.1\" }]\n",
        ),
        (
            "healthchecks/a.toml",
            "[web]\ntype = \"http\"\ninterval = \"1s\"\ntimeout = \"2s\"\n[w]\ntype = \"tcp\"\ninterval = \"2h\"\n",
        ),
        ("healthchecks/b.toml", "[web]\ntype = \"https\"\ntimeout = \"1ms\"\n"),
        ("geoip/l.csv", "client,region,rtt_ms\ncountry:DE,z,10\nbad,x,1\n"),
        ("zones/a.example.toml", "zone = \"a.example\"\ntll = \"5s\"\n"),
    ]);
    assert_eq!(lines(&sources), "\
geoip/l.csv:3:1: `bad` is no client; write 203.0.113.0/24, asn:64500/US, subdivision:US-CA or country:DE
healthchecks/a.toml:4:11: the timeout of 2s is not below the interval of 1s
    = a probe must be over before the next one starts
healthchecks/a.toml:7:12: an interval of 7200s is out of range
    = write 100ms to 1h; 10s is the default
healthchecks/b.toml:1:2: check `web` is defined twice
tradewind.toml:2:9: no such cloud region `aws:us-east-11`; did you mean `aws:us-east-1`?
    = the catalogue has `provider:region` of the large clouds; `at = [latitude, longitude]` does for any other
tradewind.toml:4:9: no such check `wbe`; did you mean `web`?
tradewind.toml:6:10: no such region `y`
    = there is `x`
1:8: the zone `a.example` has no NS records
    = name its servers: `ns = [\"…\"]` in a .toml zone, NS records of its own name in text
2:1: unknown key `tll`; did you mean `ttl`?
");
    let compiled = compiled(&sources, &BTreeMap::new(), &mut Memory::default());
    assert!(compiled.is_err());
}

#[test]
fn static_text_and_names_are_checked_together() {
    let zone = "[records.www]\npolicy = \"failover\"\nmembers = [\"one\"]\n";
    let text = r#"
zone = "a.example"
ns = ["www.a.example"]
soa = { rname = "host@example.com" }
include = ["nowhere.inc"]
static = """
www 300 IN A 192.0.2.53
m   300 IN MX 10 www
x.b.example. 300 IN A 192.0.2.1
bad 300 IN A 192.0.2.300
"""
[pools.one]
endpoints = [{ name = "one-1", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }]
"#;
    assert_eq!(
        lines(&sources(&format!("{text}{zone}"))),
        "\
3:7: name server `www.a.example` is a steered name
    = a name server needs fixed addresses; use another name
4:17: `rname` is a mailbox as a name
    = write \"host.example.com\"
5:12: there is no file `nowhere.inc`
    = paths are relative to the folder of tradewind.toml, or else to zones/
7:1: `www.a.example` is steered and also has a static A
    = remove the static record, or put the address into a pool
warning 8:1: MX target `www.a.example` is a steered name
    = mail then moves with health and place; use a name with fixed addresses
9:1: `x.b.example` is not in the zone `a.example`
    = a name with a dot at its end is absolute; without, it stands below the origin
10:14: `192.0.2.300` is not an IPv4 address
    = write it as in `A 192.0.2.1`
"
    );
}

#[test]
fn what_would_hardly_do_what_was_meant_is_warned_about() {
    let zone = r#"
[pools.v4]
region = "us-east-1"
endpoints = [{ name = "v4", ipv4 = "192.0.2.3", probe = "192.0.2.3:80" }]
[pools.idle]
endpoints = [{ name = "i", ipv4 = "192.0.2.4" }]
[records.split]
policy = "weighted"
members = [{ pool = "one", weight = 90 }, { pool = "v4", weight = 10 }]
cohort = "shop"
[records.geo]
policy = "geo"
rules = [
  { match = ["asn:64500", "subdivision:US-CA"], use = [] },
  { match = ["*"], use = ["one", "v4"] },
]
"#;
    assert_eq!(told(zone), "\
warning 8:8: pool `two` is used by no record
warning 4:57: nothing is probed here: there is no check
    = add `check = \"…\"`, or leave `probe` out
warning 5:8: pool `idle` is used by no record
warning 7:10: `v4` has no IPv6: 10 % of AAAA get NODATA
    = give every pool of a record IPv6 addresses, or none
warning 10:10: `cohort` means nothing without `sticky = \"client\"`
warning 11:10: `v4` has no IPv6: some AAAA get NODATA
    = give every pool of a record IPv6 addresses, or none
warning 11:10: some clients get NODATA and others do not: resolvers may show it to both for 60s
    = many resolvers keep negative answers for everybody (RFC 7871 §7.4); soa.negative_ttl says for how long
warning 14:14: `asn:64500` can match nobody: no loaded database has AS numbers
    = put one that does into geoip/
warning 14:27: `subdivision:US-CA` can match nobody: no loaded database has subdivisions
    = put one that does into geoip/
");
}

#[test]
fn a_record_with_the_zones_name_in_it_twice_is_warned_about() {
    let zone = "[records.\"www.a.example\"]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\n";
    assert_eq!(
        told(zone),
        "\
warning 1:10: this is `www.a.example.a.example`: the zone's name is in it twice
    = names stand below the zone: write `www`, or end it with a dot
"
    );
    assert_eq!(told(&zone.replace("example\"]", "example.\"]")), "");
}

#[test]
fn a_target_that_no_failover_requires_is_warned_about_and_not_probed() {
    let zone = "[records.app]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\n\
                require = [\"check:db-us\"]\n";
    let sources = Sources::in_memory([
        ("tradewind.toml", SERVER),
        ("healthchecks/gates.toml", GATES),
        ("zones/a.example.toml", &format!("{HEAD}{zone}")),
    ]);
    assert_eq!(
        lines(&sources),
        "warning healthchecks/gates.toml:2:2: the `target` of check `db-eu` is never probed\n    \
         = `require = [\"check:db-eu\"]` at a failover or a member of one asks for it\n"
    );
    let compiled = compiled(&sources, &BTreeMap::new(), &mut Memory::default()).unwrap();
    let labels: Vec<&str> = compiled.plan.targets.iter().map(|target| &*target.label).collect();
    assert_eq!(labels, ["check:db-us"]);
}

#[test]
fn shared_rules_and_measurements_that_nobody_can_match_are_warned_about() {
    let server = format!(
        "{SERVER}[policies.near]\npolicy = \"geo\"\nrules = [\n  \
         {{ match = [\"asn:64500\"], use = \"one\" }},\n  {{ match = [\"*\"], use = \"two\" }},\n]\n"
    );
    let measured = "client,region,rtt_ms\ncountry:DE,us-east-1,90\nasn:64500/US,us-east-1,12\n\
                    asn:64501/US,us-east-1,13\nsubdivision:US-CA,us-east-1,14\n";
    let lines = |record: &str| {
        let zone = format!("{HEAD}{record}");
        lines(&Sources::in_memory([
            ("tradewind.toml", server.as_str()),
            ("geoip/measured.csv", measured),
            ("zones/a.example.toml", zone.as_str()),
        ]))
    };
    let told = lines("[records.x]\npolicy = \"failover\"\nmembers = [\"near\", \"one\"]\n");
    for want in [
        "`asn:64500` can match nobody: no loaded database has AS numbers",
        "geoip/measured.csv:3:1: `asn:64500/US` can match nobody, nor can 1 more rows: no loaded \
         database has AS numbers",
        "geoip/measured.csv:5:1: `subdivision:US-CA` can match nobody: no loaded database has \
         subdivisions",
    ] {
        assert!(told.contains(want), "{want}\nis not in\n{told}");
    }
    // Where no record looks at the client, none of it matters.
    let told = lines("[records.x]\nuse = \"one\"\n");
    assert!(!told.contains("can match nobody"), "{told}");
}

#[test]
fn a_record_that_tells_very_many_clients_apart_is_warned_about() {
    // Two policies with `sides` rules each; every pair of rules has a network of its own.
    let zone = |sides: usize| {
        let policy = |name: &str, is_first: bool| {
            let rule = |rule: usize| {
                let nets = (0..sides).map(|other| {
                    let (a, b) = if is_first { (rule, other) } else { (other, rule) };
                    format!("\"subnet:10.{a}.{b}.0/24\"")
                });
                let nets: Vec<String> = nets.collect();
                format!("{{ match = [{}], use = \"one\" }},\n", nets.join(", "))
            };
            let rules: String = (0..sides).map(rule).collect();
            format!(
                "[policies.{name}]\npolicy = \"geo\"\nrules = [\n{rules}\
                 {{ match = [\"*\"], use = \"two\" }},\n]\n"
            )
        };
        let (a, b) = (policy("a", true), policy("b", false));
        format!("{a}{b}[records.x]\npolicy = \"weighted\"\nmembers = [\"a\", \"b\"]\n")
    };
    let told_of = |sides: usize| told(&zone(sides));
    assert!(!told_of(63).contains("classes"));
    let told = told_of(64);
    let want = "clients fall into 4097 classes here";
    assert!(told.contains(want), "{told}");
}
