//! Safety rules: what they guard, and those that cannot guard anything.

use super::*;

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
