//! What policies become: inheritance, failovers, latency, geography, and trees of them.

use super::*;

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
