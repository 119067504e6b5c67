//! What is said of drills that do not fit what they are about: the place, and the remedy.

use super::super::tests::compiled_alone;
use super::*;

const SERVER: &str =
    "[regions.us]\ncloud = \"aws:us-east-1\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n";
const ZONE: &str = r#"
zone = "g.example"
ns = ["ns.g.example"]
check = "none"
static = "ns IN A 192.0.2.53"
[pools.iad]
region = "us"
endpoints = [{ name = "i", ipv4 = "192.0.2.1" }]
[pools.dub]
region = "eu"
endpoints = [{ name = "d", ipv4 = "192.0.2.2" }]
[records.app]
policy = "failover"
members = ["iad", "dub"]
[records."*.shops"]
policy = "failover"
members = ["iad", "dub"]
"#;

/// A drill with nothing wrong, whose lines the table below counts.
const GOOD: &str = r#"[drill]
name = "loss"
mode = "live"
max_duration = "1m"
before = "2s"
[[steady]]
name = "app"
query = { name = "app.g.example", rate = "100/s" }
[[step]]
id = "cut"
action = "probe.fault"
target = "region:us"
params = { kind = "refuse" }
for = "10s"
[[step]]
id = "break"
action = "config.bad"
target = "zone:g.example"
for = "5s"
after = ["cut"]
[[rollback]]
action = "failback"
target = "record:g.example/app"
[expect]
first_change = "5s"
"#;

/// What is said of these drills, each line with its remedy, and the names of those that can be run.
fn check(drills: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let mut files = vec![("tradewind.toml", SERVER), ("zones/g.example.toml", ZONE)];
    files.extend(drills);
    let sources = Sources::in_memory(files);
    let compiled = compiled_alone(&sources);
    assert_eq!(compiled.snapshot.records.len(), 2, "the zone is served all the same");
    let line = |problem: &Problem| {
        let help: String = problem.help.iter().map(|help| format!(" = {help}")).collect();
        format!("{}{help}", problem.line(&sources))
    };
    let names = compiled.drills.iter().map(|def| def.name.get_ref().clone());
    (compiled.problems.iter().map(line).collect(), names.collect())
}

#[test]
fn a_drill_is_held_against_what_it_is_about_and_is_told_where_and_how_to_mend_it() {
    assert_eq!(check(&[("drills/a.toml", GOOD)]), (vec![], vec!["loss".to_owned()]));
    let wild = GOOD.replace("\"app.g.example\"", "\"x.shops.g.example\"");
    assert_eq!(check(&[("drills/a.toml", &wild)]).0, Vec::<String>::new(), "a wildcard is steered");
    let cases = [
        (
            "\"app.g.example\"",
            "\"ap.g.example\"",
            "8:18: no such steered name `ap.g.example`; did you mean `app.g.example`?",
        ),
        (
            "\"app.g.example\"",
            "\"ns.g.example\"",
            "8:18: no such steered name `ns.g.example`; did you mean `app.g.example`?",
        ),
        (
            "rate = \"100/s\" }",
            "rate = \"100/s\" }\nexpect = { region = \"uss\" }",
            "9:21: no such region `uss`; did you mean `us`?",
        ),
        (
            "[[step]]\nid = \"cut\"",
            "[[steady]]\nname = \"two\"\nquery = { name = \"app.g.example\", rate = \"901/s\" }\n[[step]]\nid = \"cut\"",
            "11:42: all queries together come to 1001 a second = 1000 are the most: lower `rate`",
        ),
        (
            "id = \"break\"",
            "id = \"cut\"",
            "16:6: step `cut` is defined twice = give one another name",
        ),
        ("region:us\"", "region:uk\"", "12:10: no such region `uk` = there is `eu`, `us`"),
        (
            "region:us\"",
            "us\"",
            "12:10: `us` does not say what it is = write region:NAME, pool:ZONE/POOL, \
             endpoint:ZONE/POOL/ENDPOINT, check:NAME",
        ),
        (
            "region:us\"",
            "pool:g.example/iat\"",
            "12:10: no such pool `g.example/iat`; did you mean `g.example/iad`?",
        ),
        (
            "region:us\"",
            "endpoint:g.example/iad/j\"",
            "12:10: no such endpoint `g.example/iad/j`; did you mean `g.example/iad/i`?",
        ),
        (
            "{ kind = \"refuse\" }",
            "{ kind = \"slow\", delay = \"2m\" }",
            "11:10: no probe waits longer than a minute = lower `delay`",
        ),
        (
            "zone:g.example",
            "zone:h.example",
            "18:10: no such zone `h.example`; did you mean `g.example`?",
        ),
        (
            "zone:g.example",
            "region:us",
            "18:10: `region:us` is not a zone = write \"zone:gtm.example.com\"",
        ),
        (
            "\"probe.fault\"\ntarget = \"region:us\"\nparams = { kind = \"refuse\" }",
            "\"region.drain\"\ntarget = \"pool:g.example/iad\"",
            "12:10: `pool:g.example/iad` is not a region = write \"region:eu-west-1\"",
        ),
        (
            "after = [\"cut\"]",
            "after = [\"cat\"]",
            "20:10: no such step `cat`; did you mean `cut`?",
        ),
        (
            "after = [\"cut\"]",
            "after = [\"break\"]",
            "16:6: step `break` waits for itself = break the circle of `after`",
        ),
        (
            "\"1m\"",
            "\"10s\"",
            "4:16: its steps are over after 17s only = raise `max_duration`, or shorten `for` and `delay`",
        ),
        (
            "g.example/app\"\n[expect]",
            "g.example/apps\"\n[expect]",
            "23:10: no such record `g.example/apps`; did you mean `g.example/app`?",
        ),
        (
            "\"live\"",
            "\"canary\"",
            "3:8: no record is named as a canary = add `canaries = [\"zone/record\"]`: only these feel it",
        ),
        (
            "\"live\"",
            "\"canary\"\ncanaries = [\"g.example/www\"]",
            "4:13: `g.example/www` matches no record = write `zone/record`, as `tradewind status` does",
        ),
        (
            "[[steady]]\nname = \"app\"\nquery = { name = \"app.g.example\", rate = \"100/s\" }\n",
            "",
            "22:16: `first_change` is measured by answers, and none is asked for = add [[steady]] \
             with `name` and `query = { name = \"api.example.com\" }`",
        ),
        (
            "before = \"2s\"",
            "schedule = [\"tue 10:00\"]",
            "5:13: a drill that runs by itself cannot wait to be acknowledged = add `needs_ack = \
             false`: nobody types its name at night",
        ),
        (
            "after = [\"cut\"]",
            "after = [\"cut\"]\n[[step]]\nid = \"old\"\naction = \"geo.stale\"\nfor = \"1s\"\ndelay = \"14s\"",
            "22:6: steps `break` and `old` load files at one time = let one wait for the other: \
             `after = [\"break\"]`",
        ),
    ];
    let mut missed = String::new();
    for (from, to, wanted) in cases {
        assert!(GOOD.contains(from), "{from}");
        let (said, names) = check(&[("drills/a.toml", &GOOD.replacen(from, to, 1))]);
        if !said.contains(&format!("drills/a.toml:{wanted}")) || !names.is_empty() {
            missed += &format!("{wanted}\n  {said:#?}\n");
        }
    }
    assert_eq!(missed, "");
}

#[test]
fn one_name_is_one_drill_and_the_first_stands() {
    let (said, names) = check(&[("drills/a.toml", GOOD), ("drills/b.toml", GOOD)]);
    assert_eq!(said, ["drills/b.toml:2:8: drill `loss` is defined twice"]);
    assert_eq!(names, ["loss"]);
}

#[test]
fn steps_that_load_files_one_after_the_other_are_well() {
    let more =
        "[[step]]\nid = \"old\"\naction = \"geo.stale\"\nfor = \"1s\"\nafter = [\"break\"]\n";
    let text = GOOD.replace("[[rollback]]", &format!("{more}[[rollback]]"));
    assert_eq!(check(&[("drills/a.toml", &text)]).0, Vec::<String>::new());
}
