//! The operator's view of this room: what loads, what it becomes, and what is refused.
//!
//! Long, because it is a list of files and what is said of them.

use super::{Compiled, CounterName, Input, Memory, compile};
use crate::{
    config::{Problems, Progress, Sources, ZoneSources},
    ids::{Class, CounterSlot},
    place::LazyTable,
    policy::{Directives, select, tree::Kind},
    snapshot::{Failback, Mode, Ramp, Rules, safety::Verb},
    units::Share,
    verdict::Standings,
    wire::Name,
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

const SERVER: &str = r#"
[regions.us-east-1]
cloud = "aws:us-east-1"
[regions.eu-west-1]
cloud = "aws:eu-west-1"
[regions.ap-northeast-1]
cloud = "aws:ap-northeast-1"
[regions.frankfurt]
at = [50.11, 8.68]
"#;
const CHECKS: &str = r#"
[web]
type = "https"
host = "www.example.com"
[quick]
type = "tcp"
"#;
const GATES: &str = r#"
[db-eu]
type = "tcp"
target = "10.0.0.5:5432"
[db-us]
type = "tcp"
target = "10.0.1.5"
port = 5432
"#;
const PLAIN: &str = "$TTL 1h\n@ IN SOA ns host 1 2 3 4 5\n@ IN NS ns\nns IN A 192.0.2.1\n";
const HEAD: &str = r#"
zone = "a.example"
ns = ["ns.a.example"]
static = "ns IN A 192.0.2.53"
[pools.one]
region = "us-east-1"
endpoints = [{ name = "one-1", ipv4 = "192.0.2.1", ipv6 = "2001:db8::1" }]
[pools.two]
region = "eu-west-1"
endpoints = [{ name = "two-1", ipv4 = "192.0.2.2", ipv6 = "2001:db8::2" }]
"#;

fn compiled(
    sources: &Sources,
    last_good: &BTreeMap<Arc<Path>, ZoneSources>,
    memory: &mut Memory,
) -> Result<Compiled, Problems> {
    compiled_after(&HashMap::new(), sources, last_good, memory)
}

/// The same where zones were served with these serials.
fn compiled_after(
    serials: &HashMap<Name, u32>,
    sources: &Sources,
    last_good: &BTreeMap<Arc<Path>, ZoneSources>,
    memory: &mut Memory,
) -> Result<Compiled, Problems> {
    let locations = LazyTable::embedded();
    let mut given: HashMap<String, u32> = HashMap::new();
    let mut counter = |name: CounterName<'_>| {
        let next = given.len() as u32;
        let name = format!("{}|{}|{}", name.zone, name.record, name.region);
        CounterSlot(*given.entry(name).or_insert(next))
    };
    let input = Input {
        sources,
        last_good,
        locations: Some(&locations),
        serials,
        secret: &|_| Err("there are no secrets here".into()),
        progress: &Progress::default(),
        counter: &mut counter,
    };
    compile(input, memory)
}

fn sources(zone: &str) -> Sources {
    Sources::in_memory([
        ("tradewind.toml", SERVER),
        ("healthchecks/web.toml", CHECKS),
        ("zones/a.example.toml", zone),
    ])
}

/// Compiles a zone that must have no errors; warnings may be.
fn good(zone: &str) -> Compiled {
    let sources = sources(&format!("{HEAD}{zone}"));
    match compiled(&sources, &BTreeMap::new(), &mut Memory::default()) {
        Ok(compiled) if compiled.held.is_empty() => compiled,
        Ok(compiled) => panic!("{}", compiled.problems.render(&sources, false)),
        Err(problems) => panic!("{}", problems.render(&sources, false)),
    }
}

/// All problems of a set, as `file:line:column: message` with their help.
fn lines(sources: &Sources) -> String {
    let problems = match compiled(sources, &BTreeMap::new(), &mut Memory::default()) {
        Ok(compiled) => compiled.problems,
        Err(problems) => problems,
    };
    let line = |problem: &crate::config::Problem| {
        let mark = if problem.is_error() { "" } else { "warning " };
        let line = problem.line(sources);
        let line = line.strip_prefix("zones/a.example.toml:").unwrap_or(&line);
        let help = problem.help.iter().map(|help| format!("    = {help}\n"));
        format!("{mark}{line}\n{}", help.collect::<String>())
    };
    problems.iter().map(line).collect()
}

/// The same of a zone that begins with [`HEAD`]; its lines count from there.
fn told(zone: &str) -> String {
    let text = format!("{HEAD}{zone}");
    let skip = HEAD.lines().count();
    let lines = lines(&sources(&text));
    let shifted = lines.lines().map(|line| {
        let (mark, rest) = match line.strip_prefix("warning ") {
            Some(rest) => ("warning ", rest),
            None => ("", line),
        };
        match rest.split_once(':') {
            Some((number, rest)) if number.parse::<usize>().is_ok_and(|n| n > skip) => {
                format!("{mark}{}:{rest}\n", number.parse::<usize>().unwrap() - skip)
            }
            _ => format!("{line}\n"),
        }
    });
    shifted.collect()
}

fn record<'c>(compiled: &'c Compiled, id: &str) -> &'c crate::snapshot::Record {
    let mut records = compiled.snapshot.records.iter();
    records.find(|record| &*record.id == id).unwrap()
}

/// The endpoints a client of `record` gets, with their shares in percent.
fn answers(compiled: &Compiled, id: &str, client: &str) -> Vec<String> {
    let plan = compiled.snapshot.plan(record(compiled, id).plan);
    let class = match plan.map {
        Some(map) => compiled.snapshot.maps[map.index()].lookup(client.parse().unwrap()).class,
        None => Class(0),
    };
    let directives = Directives::default();
    let decision = select(&plan.tree, class, &Standings::default(), &directives, ());
    let mut answers = Vec::new();
    decision.choice.leaves(&mut |share, leaf| {
        let names = leaf.into_iter().flat_map(|leaf| &leaf.candidates);
        let names: Vec<&str> = names.map(|candidate| &*candidate.endpoint.name).collect();
        answers.push(format!("{} {:.0}", names.join("+"), share * 100.0));
    });
    answers
}

#[test]
fn the_shipped_files_compile_without_a_word() {
    let sources = Sources::in_memory([
        ("tradewind.toml", include_str!("../../tradewind.toml")),
        ("healthchecks/web.toml", include_str!("../../healthchecks/web.toml")),
        ("zones/gtm.example.com.toml", include_str!("../../zones/gtm.example.com.toml")),
        ("zones/static.example.com.zone", include_str!("../../zones/static.example.com.zone")),
    ]);
    assert_eq!(lines(&sources), "");
    let compiled = compiled(&sources, &BTreeMap::new(), &mut Memory::default()).unwrap();
    assert_eq!(compiled.snapshot.zones.len(), 2);
    assert_eq!(
        compiled.report.to_string(),
        "\
2 zones, 6 steered records
check web: 3 targets, every 2 s; one that refuses is down after at most 3 s, one that hangs after 5 s
  failures are looked at again at once, so a blip of two to three seconds can move a region;
  `fast_recheck = \"off\"` is the calm setting
map of gtm.example.com/api: 15 classes of clients, 3908 KiB
map of gtm.example.com/shop: 5 classes of clients, 3163 KiB
sticky gtm.example.com/beta: a client is a /24 or /48; up to 12.9 M entries in a resolver's cache
"
    );
}

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
fn the_files_of_the_design_compile() {
    let server = format!("{SERVER}[defaults]\nttl = \"30s\"\n[rrl]\nper_second = 0\n");
    let sources = Sources::in_memory([
        ("tradewind.toml", server.as_str()),
        ("healthchecks/web.toml", CHECKS),
        ("zones/gtm.example.com.toml", include_str!("../config/tests/design_zone.toml")),
        ("zones/gtm.example.com.inc", "inc IN TXT \"included\"\n"),
    ]);
    assert_eq!(
        lines(&sources),
        "\
warning zones/gtm.example.com.toml:62:39: `asn:64500` can match nobody: no loaded database has AS numbers
    = put one that does into geoip/
warning zones/gtm.example.com.toml:63:14: `subdivision:US-CA` can match nobody: no loaded database has subdivisions
    = put one that does into geoip/
"
    );
    let compiled = compiled(&sources, &BTreeMap::new(), &mut Memory::default()).unwrap();
    let shares = |record, client| answers(&compiled, record, client);
    assert_eq!(shares("gtm.example.com/www", "192.0.2.1"), ["canary-1 10", "stable-1+stable-2 90"]);
    assert_eq!(shares("gtm.example.com/app", "192.0.2.1"), ["dub-1 2", "iad-1 98"]);
    // 193.0.0.0/21 is RIPE's, in the Netherlands; 133.11.0.0/16 the University of Tokyo's.
    assert_eq!(shares("gtm.example.com/api", "133.11.0.1"), ["nrt-1 100"]);
    assert_eq!(shares("gtm.example.com/shop", "133.11.0.1"), ["nrt-1 100"]);
    assert_eq!(shares("gtm.example.com/shop", "193.0.0.1"), ["fra-1 70", "dub-1 30"]);
    assert_eq!(shares("gtm.example.com/shop", "203.0.113.9"), ["partner 100"]);
    assert_eq!(shares("gtm.example.com/@", "203.0.113.9"), ["fra-1+dub-1 100"]);
}

#[test]
fn mistakes_in_definitions_are_told_all_at_once() {
    let text = include_str!("tests/mistakes.toml");
    assert_eq!(told(text), include_str!("tests/mistakes.txt"));
}

#[test]
fn mistakes_in_trees_are_told_all_at_once() {
    let text = include_str!("tests/tree_mistakes.toml");
    assert_eq!(told(text), include_str!("tests/tree_mistakes.txt"));
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
fn what_cannot_go_along_with_addresses_is_refused_line_by_line() {
    let zone = r#"
[pools.p]
endpoints = [{ name = "p", ipv4 = "192.0.2.3" }]
extra = """
@ 60 TXT "fine but for its TTL"
_443._tcp SRV 1 1 443 @
@ A 192.0.2.4
@ CNAME two.a.example.
@ NS two.a.example.
@ DNSKEY 256 3 13 AA==
@ CH TXT "chaos"
@ MX ten mail
$INCLUDE more.inc
"""
[pools.empty]
endpoints = [{ name = "p", ipv4 = "192.0.2.4" }]
extra = "; nothing"
[pools.much]
endpoints = [{ name = "p", ipv4 = "192.0.2.5" }]
extra = '''
$GENERATE 1-50 @ TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456 $"
$GENERATE 1-9 @ TYPE6530$ \# 1 00
'''
"#;
    assert_eq!(
        told(zone),
        "\
warning 5:1: a TTL means nothing in `extra`: the record's own `ttl` holds
6:1: `extra` stands at the name of the record that answers the pool
    = write `@`; for another name (`_443._tcp.www`) make a record of it with the same members: records with one `cohort` and `sticky = \"client\"` choose alike
7:1: A cannot stand in `extra`
    = addresses are endpoints: they have a verdict and a weight
8:1: CNAME cannot stand in `extra`
    = a name with addresses is no alias (RFC 1034 §3.6.2)
9:1: NS cannot stand in `extra`
    = who serves a name is the same for all: write it in `static`
10:1: DNSKEY cannot stand in `extra`
    = what signs a zone is not chosen by client
11:1: CH cannot stand in `extra`
    = write IN, or nothing
12:6: `ten` is not a number up to 65535
    = write it as in `MX 10 mail.example.com.`
13:10: cannot read `zones/more.inc`: `extra` stands by itself
17:9: the `extra` of pool `empty` holds no record
    = write one, as in `@ TXT \"canary\"`, or leave it out
20:9: the `extra` of pool `much` has 10 types
    = 8 is the most: make records of their own of some
20:9: the `extra` of pool `much` is 5050 bytes of data
    = 4096 is the most: it would not fit into an answer, and every region has a copy
"
    );
}

#[test]
fn what_goes_along_with_addresses_stands_beside_no_cname_and_nothing_static() {
    let zone = r#"
[pools.p]
endpoints = [{ name = "p", ipv4 = "192.0.2.3", ipv6 = "2001:db8::3" }]
extra = "@ MX 10 mail"
[pools.out]
endpoints = [{ name = "o", cname = "www.example.org" }]
[records.far]
policy = "failover"
members = ["p", "out"]
"#;
    assert_eq!(
        told(zone),
        "\
7:10: `far` answers a CNAME and also has `extra` records
    = a CNAME must be alone at its name (RFC 1034 §3.6.2): use pools of addresses, or leave `extra` out
"
    );
    let zone = r#"
[pools.p]
endpoints = [{ name = "p", ipv4 = "192.0.2.3", ipv6 = "2001:db8::3" }]
extra = "@ MX 10 mail"
[records.ns]
policy = "weighted"
members = [{ pool = "p", weight = 3 }, { pool = "one", weight = 1 }]
"#;
    let head = HEAD.replace("A 192.0.2.53", "MX 10 mail").replace("[\"ns.", "[\"ns.b.");
    let said = lines(&sources(&format!("{head}{zone}")));
    for told in [
        "`ns.a.example` has a static MX and also one from a pool's `extra`\n    = remove the static",
        "`one` has no MX: 25 % of MX get NODATA\n    = put MX records into the `extra` of every pool",
    ] {
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn names_are_flattened_at_the_apex_and_where_a_record_says_so() {
    let compiled = good(
        r#"
[pools.out]
endpoints = [{ name = "o", cname = "www.example.org" }]
[records."@"]
policy = "failover"
members = ["out"]
[records.flat]
policy = "weighted"
members = ["one", { cname = "Other.example.org." }]
flatten = true
[records.alias]
policy = "failover"
members = ["out"]
"#,
    );
    let snapshot = &compiled.snapshot;
    let names: Vec<_> = snapshot.aliases.iter().map(|alias| alias.name.to_string()).collect();
    assert_eq!(names, ["other.example.org", "www.example.org"]);
    let has_cname = |id| snapshot.plan(record(&compiled, id).plan).has_cname;
    assert!(!has_cname("a.example/@") && !has_cname("a.example/flat"));
    assert!(has_cname("a.example/alias"));
    let report = compiled.report.to_string();
    let line =
        "flattened www.example.org, in a.example/@: its addresses are looked up by this server";
    assert!(report.contains(line) && report.contains("without the clients' networks"), "{report}");
}

#[test]
fn what_cannot_be_flattened_is_told() {
    let many: Vec<_> =
        (0..65).map(|n| format!("{{ name = \"n{n}\", cname = \"n{n}.example.org\" }}")).collect();
    let zone = format!(
        "[pools.many]\nendpoints = [{}]\n[records.flat]\npolicy = \"failover\"\n\
         members = [\"many\"]\nflatten = true\n\
         [records.self]\npolicy = \"failover\"\nmembers = [{{ cname = \"self.a.example\" }}]\n\
         flatten = true\n\
         [records.none]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\nflatten = true\n",
        many.join(", ")
    );
    assert_eq!(
        told(&zone),
        "\
3:10: `flat` flattens 65 names
    = 64 is the most: each is looked up all the time
7:10: `self.a.example` points to the record itself
    = a CNAME must lead somewhere else
warning 14:11: `flatten` means nothing here: no member is a CNAME
"
    );
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
fn equal_things_are_one_and_settings_are_inherited() {
    let compiled = good(
        r#"
[records.a]
policy = "latency"
members = ["one", "two"]
check = "web"
[records.b]
policy = "latency"
members = ["one", "two"]
check = "web"
[records.c]
policy = "latency"
members = ["two", "one"]
check = "quick"
probe = "192.0.2.77:99"
ttl = { max = "20s", min = "5s" }
sticky = "client"
[records.d]
policy = "failover"
members = ["one", { ipv4 = "192.0.2.8" }, "two"]
failback = "auto"
[records.e]
policy = "weighted"
members = [{ policy = "f", weight = 3 }, "two"]
[policies.f]
policy = "failover"
members = ["one", "two"]
failback_delay = "10s"
"#,
    );
    let snapshot = &compiled.snapshot;
    let plan_of = |id| record(&compiled, id).plan;
    assert_eq!(plan_of("a.example/a"), plan_of("a.example/b"));
    assert_ne!(plan_of("a.example/a"), plan_of("a.example/c"));
    assert_eq!(snapshot.plans.len(), 4);
    // Four addresses checked by `web`, one target for both families of both under `probe`.
    let keys: Vec<&str> =
        compiled.plan.targets.iter().map(|t| t.key.split(' ').next().unwrap()).collect();
    assert_eq!(
        keys,
        [
            "192.0.2.1:443",
            "[2001:db8::1]:443",
            "192.0.2.2:443",
            "[2001:db8::2]:443",
            "192.0.2.77:99"
        ]
    );
    assert_eq!(compiled.plan.targets[4].slots.len(), 4);
    let c = snapshot.plan(plan_of("a.example/c"));
    assert_eq!((c.ttl.max.as_secs(), c.ttl.min.as_secs()), (20, 5));
    assert_eq!(c.sticky.map(|sticky| (sticky.v4, sticky.v6)), Some((24, 48)));
    let failovers: Vec<(&str, Failback)> =
        snapshot.failovers.iter().map(|f| (&*f.name, f.rules.failback)).collect();
    let ten = Duration::from_secs(10);
    assert_eq!(failovers, [("a.example/d", Failback::Auto), ("a.example/f", Failback::After(ten))]);
    for failover in &snapshot.failovers {
        assert!(matches!(failover.tree.node(failover.node).kind, Kind::Failover(_)));
        let names = failover.member_nodes().iter().map(|ix| &failover.tree.node(*ix).name);
        assert!(names.eq(&failover.members));
    }
    for (slot, plans) in snapshot.plans_of_slot.iter().enumerate() {
        assert!(!plans.is_empty(), "{}", snapshot.slots[slot].name);
    }
}

#[test]
fn the_rules_of_failovers_are_compiled_and_ramps_inherited() {
    let server = format!("{SERVER}[defaults]\nramp = {{ over = \"1m\", start = 0.2 }}\n");
    let zone = r#"
[records.app]
policy = "failover"
members = ["one", { pool = "two", require = ["check:db-eu"] }]
require = ["check:db-us"]
failover = "manual"
failback = "manual"
trickle = 0.02
ramp = { over = "10m" }
[records.calm]
policy = "failover"
members = ["one", { policy = "slow" }]
failover_delay = "30s"
ramp = "off"
[policies.slow]
policy = "failover"
members = ["two"]
"#;
    let sources = Sources::in_memory([
        ("tradewind.toml", server.as_str()),
        ("healthchecks/gates.toml", GATES),
        ("zones/a.example.toml", &format!("{HEAD}{zone}")),
    ]);
    assert_eq!(lines(&sources), "");
    let compiled = compiled(&sources, &BTreeMap::new(), &mut Memory::default()).unwrap();
    let snapshot = &compiled.snapshot;
    let of = |name: &str| snapshot.failovers.iter().find(|f| &*f.name == name).unwrap();
    let [app, calm, slow] = ["app", "calm", "slow"].map(|name| of(&format!("a.example/{name}")));
    let ramp =
        |secs, start| Ramp { over: Duration::from_secs(secs), start: Share::from_fraction(start) };
    let manual = Rules {
        failover: Mode::Manual,
        failover_delay: Duration::ZERO,
        failback: Failback::Manual,
        ramp: Some(ramp(600, 0.05)),
    };
    assert_eq!(app.rules, manual);
    let delayed = Rules { failover_delay: Duration::from_secs(30), ..Rules::default() };
    assert_eq!(calm.rules, delayed);
    assert_eq!(slow.rules, Rules { ramp: Some(ramp(60, 0.2)), ..Rules::default() });
    assert_eq!(snapshot.plan(record(&compiled, "a.example/app").plan).ramp, manual.ramp);
    assert_eq!(snapshot.plan(record(&compiled, "a.example/calm").plan).ramp, None);
    assert_eq!(answers(&compiled, "a.example/app", "192.0.2.1"), ["two-1 2", "one-1 98"]);
    // Gates are targets like any other, which judge nobody.
    let label = |key: &Arc<str>| {
        let target = compiled.plan.targets.iter().find(|target| target.key == *key).unwrap();
        assert!(target.slots.is_empty());
        target.label.to_string()
    };
    let gates = app.gates.iter().map(|gates| gates.iter().map(label).collect::<Vec<_>>());
    let gates: Vec<_> = gates.collect();
    assert_eq!(gates, [vec!["check:db-us"], vec!["check:db-us", "check:db-eu"]]);
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
fn a_zone_that_does_not_compile_keeps_its_last_good_version() {
    let record = "[records.www]\npolicy = \"failover\"\nmembers = [\"one\"]\n";
    let before = sources(&format!("{HEAD}{record}"));
    let mut memory = Memory::default();
    let first = compiled(&before, &BTreeMap::new(), &mut memory).unwrap();
    let mut after = sources(&format!("{HEAD}{record}tll = \"5s\"\n"));
    let other = Sources::in_memory([("zones/b.example.zone", PLAIN)]);
    after.zones.extend(other.zones);
    let second = compiled(&after, &first.accepted, &mut memory).unwrap();
    assert_eq!(second.held, [Arc::from(Path::new("zones/a.example.toml"))]);
    assert!(second.problems.has_errors());
    assert_eq!(second.snapshot.zones.len(), 2);
    assert_eq!(second.snapshot.records.len(), 1);
    assert_eq!(
        second.accepted[Path::new("zones/a.example.toml")],
        before.zones[Path::new("zones/a.example.toml")]
    );
    // Without a last good version its apex stays, with nothing to say.
    let third = compiled(&after, &BTreeMap::new(), &mut Memory::default()).unwrap();
    assert!(third.snapshot.zones[0].zone.is_none());
    assert_eq!(third.snapshot.zones[0].apex.to_string(), "a.example");
    assert_eq!(third.accepted.len(), 1);
}

#[test]
fn an_unchanged_zone_and_its_maps_are_not_made_again() {
    let zone = format!("{HEAD}[records.www]\npolicy = \"latency\"\nmembers = [\"one\", \"two\"]\n");
    let sources = sources(&zone);
    let mut memory = Memory::default();
    let first = compiled(&sources, &BTreeMap::new(), &mut memory).unwrap();
    let second = compiled(&sources, &first.accepted, &mut memory).unwrap();
    assert!(Arc::ptr_eq(&first.snapshot.maps[0], &second.snapshot.maps[0]));
    let zone_of = |compiled: &Compiled| compiled.snapshot.zones[0].zone.clone().unwrap();
    assert!(Arc::ptr_eq(&zone_of(&first), &zone_of(&second)));
}

#[test]
fn two_files_of_one_zone_are_refused() {
    let mut sources = sources(&format!(
        "{HEAD}[records.www]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\n"
    ));
    let other = Sources::in_memory([("zones/a.example.zone", PLAIN)]);
    sources.zones.extend(other.zones);
    assert_eq!(
        lines(&sources),
        "zones/a.example.zone: this zone is defined in zones/a.example.toml too\n    \
         = a zone has one file: move one of them out of zones/\n"
    );
}

#[test]
fn measured_latencies_and_biases_come_before_distance() {
    let zone = format!(
        "{HEAD}{}",
        r#"
[records.plain]
policy = "latency"
members = ["one", "two"]
[records.biased]
policy = "latency"
members = ["one", "two"]
bias = { one = "-200ms" }
[records.tied]
policy = "latency"
members = [{ pool = "one", weight = 3 }, "two"]
tie = "300ms"
"#
    );
    let mut sources = sources(&zone);
    let table = "client,region,rtt_ms\n\
                 193.0.0.0/24,us-east-1,5\n193.0.0.0/24,eu-west-1,50\ncountry:JP,eu-west-1,1\n";
    let other = Sources::in_memory([("geoip/measured.csv", table)]);
    sources.server.0.extend(other.server.0);
    let compiled = compiled(&sources, &BTreeMap::new(), &mut Memory::default()).unwrap();
    let shares = |record, client| answers(&compiled, record, client);
    // The Netherlands, near Ireland but for the network that was measured.
    assert_eq!(shares("a.example/plain", "193.0.1.1"), ["two-1 100"]);
    assert_eq!(shares("a.example/plain", "193.0.0.1"), ["one-1 100"]);
    assert_eq!(shares("a.example/plain", "133.11.0.1"), ["two-1 100"]);
    assert_eq!(shares("a.example/biased", "193.0.1.1"), ["one-1 100"]);
    assert_eq!(shares("a.example/tied", "193.0.1.1"), ["two-1 25", "one-1 75"]);
    // Nobody knows where 127.0.0.1 is: equal scores, shared by weight.
    assert_eq!(shares("a.example/plain", "127.0.0.1"), ["one-1 50", "two-1 50"]);
}

#[test]
fn a_fence_ends_the_chain_and_an_empty_rule_is_an_answer() {
    let compiled = good(
        r#"
[records.fenced]
policy = "geo"
rules = [
  { match = ["subnet:193.0.0.0/24"], use = [] },
  { match = ["country:NL"], use = "one" },
  { match = ["continent:EU"], use = "two", fence = true },
  { match = ["*"], use = ["one", "two"] },
]
"#,
    );
    let plan = compiled.snapshot.plan(record(&compiled, "a.example/fenced").plan);
    let map = &compiled.snapshot.maps[plan.map.unwrap().index()];
    let chain = |client: &str| {
        let class = map.lookup(client.parse().unwrap()).class;
        plan.tree.classes.chain(class, 0).to_vec()
    };
    assert_eq!(chain("193.0.0.1"), [0, 1, 2]);
    assert_eq!(chain("193.0.1.1"), [1, 2]);
    assert_eq!(chain("133.11.0.1"), [3]);
    assert_eq!(chain("127.0.0.1"), [3]);
    assert_eq!(answers(&compiled, "a.example/fenced", "193.0.0.1"), [" 100"]);
}

#[test]
fn a_policy_referred_to_at_two_depths_counts_at_the_deeper_one() {
    let mut zone =
        String::from("[records.www]\npolicy = \"failover\"\nmembers = [\"p6\", \"p0\"]\n");
    for n in 0..7 {
        let next = if n < 6 { format!("p{}", n + 1) } else { "q".into() };
        zone.push_str(&format!(
            "[policies.p{n}]\npolicy = \"failover\"\nmembers = [\"{next}\", \"two\"]\n"
        ));
    }
    zone.push_str("[policies.q]\npolicy = \"failover\"\nmembers = [\"one\"]\n");
    assert_eq!(
        told(&zone),
        "1:10: the tree of `www` nests policies 9 deep; 8 is the most\n    \
         = each path to a pool counts: refer to fewer policies, or nest less\n"
    );
}

#[test]
fn a_long_chain_of_policies_is_walked_without_recursion() {
    let mut zone =
        String::from("[records.www]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\n");
    for n in 0..20_000 {
        let next = (n + 1) % 20_000;
        zone.push_str(&format!(
            "[policies.p{n}]\npolicy = \"failover\"\nmembers = [\"p{next}\"]\n"
        ));
    }
    assert!(told(&zone).contains("policies in a loop: `p0` → `p1` → "));
}

#[test]
fn wildcards_and_the_apex_are_steered_under_their_own_names() {
    let table = "policy = \"failover\"\nmembers = [\"one\", \"two\"]\n";
    let names = ["@", "*.cdn", "deep.a.example."];
    let compiled = good(&names.map(|name| format!("[records.\"{name}\"]\n{table}")).concat());
    let owners: Vec<String> =
        compiled.snapshot.records.iter().map(|record| record.owner.to_string()).collect();
    assert_eq!(owners, ["a.example", "*.cdn.a.example", "deep.a.example"]);
}

/// A server with `rules` over a zone with one record.
fn guarded(rules: &str, pool: &str) -> Sources {
    let zone =
        format!("{HEAD}{pool}[records.www]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\n");
    Sources::in_memory([
        ("tradewind.toml", &*format!("{SERVER}{rules}")),
        ("healthchecks/web.toml", CHECKS),
        ("zones/a.example.toml", &*zone),
    ])
}

#[test]
fn safety_rules_know_their_records_and_pools_their_capacities() {
    let rules = r#"
[[safety]]
name = "two"
records = ["*.example/w*"]
min_active_regions = 2
[[safety]]
name = "eyes"
two_persons = ["drain", "pin"]
respect_capacity = true
wait = "5m"
"#;
    let sources = guarded(rules, "capacity = 0.4\n");
    assert_eq!(lines(&sources), "");
    let compiled = compiled(&sources, &BTreeMap::new(), &mut Memory::default()).unwrap();
    let [two, eyes] = &*compiled.snapshot.safety else { panic!() };
    assert_eq!((two.records.len(), two.min_active_regions), (1, Some(2)));
    assert_eq!((eyes.records.len(), &*eyes.two_persons), (1, &[Verb::Drain, Verb::Pin][..]));
    assert_eq!((eyes.respect_capacity, eyes.wait), (true, Some(Duration::from_secs(300))));
    let [capacity] = &*compiled.snapshot.capacities else { panic!() };
    assert_eq!((&*capacity.pool, capacity.millionths), ("a.example/two", 400_000));
}

#[test]
fn a_safety_rule_that_cannot_guard_is_told_so() {
    let rules = r#"[[safety]]
name = "a"
records = ["b.example/*"]
min_active_regions = 2
[[safety]]
name = "a"
two_persons = ["drian"]
[[safety]]
name = "c"
[[safety]]
records = ["www"]
wait = 5
respect_capacity = true
"#;
    assert_eq!(
        lines(&guarded(rules, "")),
        r#"warning tradewind.toml:11:8: safety rule `a` guards no record
    = `records` are written zone/record; `*` does not cross /
tradewind.toml:15:8: safety rule `a` is defined twice
tradewind.toml:16:16: no such verb `drian`; did you mean `drain`?
tradewind.toml:17:1: this safety rule forbids nothing
    = add `min_active_regions = 2`, `respect_capacity = true`, `two_persons = ["drain"]` or `wait = "5m"`
tradewind.toml:19:1: a safety rule has no `name`
    = add `name = "two-regions"`
tradewind.toml:20:12: `www` is not a record
    = write `zone/record`, as in "gtm.example.com/*"
tradewind.toml:21:8: a duration needs a unit: write "5s"
"#
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(24))]
    #[test]
    fn no_slip_in_a_zone_makes_compiling_panic(cut in 0_usize..4_000, put in "[a-z\"{},=.0-9 \n-]{0,6}") {
        const ZONE: &str = include_str!("../config/tests/design_zone.toml");
        let start = (cut % ZONE.len()..).find(|&at| ZONE.is_char_boundary(at)).unwrap();
        let end = (start + put.len()..).find(|&at| at >= ZONE.len() || ZONE.is_char_boundary(at));
        let rest = end.and_then(|end| ZONE.get(end..)).unwrap_or("");
        lines(&sources(&[&ZONE[..start], &put, rest].concat()));
    }
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

#[test]
fn rfc1982_serials_go_forward_round_and_round() {
    let served = |sources: &Sources, last: u32| {
        let serials = HashMap::from([(Name::parse("a.example").unwrap(), last)]);
        let memory = &mut Memory::default();
        compiled_after(&serials, sources, &BTreeMap::new(), memory).unwrap()
    };
    let serial = |compiled: &Compiled| compiled.snapshot.zones[0].zone.as_ref().unwrap().serial();
    let own = sources(&format!("soa = {{ serial = 5 }}\n{HEAD}"));
    for (last, now) in [(4, 5), (5, 5), (7, 7), (u32::MAX, 5), (3_000_000_000, 5)] {
        assert_eq!(serial(&served(&own, last)), now, "after {last}");
    }
    let plain = Sources::in_memory([("tradewind.toml", SERVER), ("zones/a.example.zone", PLAIN)]);
    let warns = |last| served(&plain, last).problems.into_iter().map(|p| p.message).next();
    assert_eq!((warns(1), warns(u32::MAX)), (None, None));
    let expected = "its serial, 1, lies behind 2, which was served last";
    assert_eq!(warns(2).as_deref(), Some(expected));
}
