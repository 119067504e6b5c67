//! The operator's view of this room: what loads, what it becomes, and what is refused.

mod beside;
mod mistakes;
mod safety;
mod trees;
mod zones;

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
