//! Rollouts held against what they are about: the record, its member, and each other.
//!
//! A rollout with an error is left out and holds nothing else back: answers do not depend on it,
//! and one that runs goes on by what it began with. One that the zone's file has overtaken, as it
//! has once what was rolled out is written there, is left out with a warning.

use crate::{
    config::{
        Problem, Problems, Sources, Spanned,
        rollouts::{RolloutDef, read},
    },
    policy::tree::{Kind, Tree, Weighted, WeightedMember},
    snapshot::Snapshot,
    units::{Share, Ttl},
};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// The rollouts of `sources` that can be run on `snapshot`, by name.
pub(super) fn compile(
    sources: &Sources,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Vec<Arc<RolloutDef>> {
    let mut found = Problems::default();
    let mut defs: BTreeMap<String, Arc<RolloutDef>> = BTreeMap::new();
    let mut left_out: HashSet<String> = HashSet::new();
    let all = sources.operations.in_folder("rollouts", "toml");
    for (path, _) in all {
        let Some(text) = sources.operations.text(path) else { continue };
        let mut own = Problems::default();
        let def = read(path, text, &mut own);
        let can_begin = def.as_ref().is_some_and(|def| subject(def, snapshot, &mut own));
        let is_out = own.has_errors() || !can_begin;
        found.append(own);
        let Some(def) = def else { continue };
        let name = def.name.get_ref().clone();
        match defs.get(&name) {
            Some(first) => {
                let message = format!("rollout `{name}` is defined twice");
                let problem = Problem::error(path, def.name.span(), message);
                found.push(problem.related(&first.file, first.name.span(), "first here"));
            }
            None if is_out => drop(left_out.insert(name)),
            None => drop(defs.insert(name, Arc::new(def))),
        }
    }
    let follow = |def: &Arc<RolloutDef>, found: &mut Problems| {
        let mut own = Problems::default();
        successors(def, &defs, &left_out, &mut own);
        let is_sound = !own.has_errors();
        found.append(own);
        is_sound.then(|| Arc::clone(def))
    };
    let sound = defs.values().filter_map(|def| follow(def, &mut found)).collect();
    problems.append(found);
    sound
}

/// Whether there is such a record, and such a member that can be given a share of it now.
fn subject(def: &RolloutDef, snapshot: &Snapshot, problems: &mut Problems) -> bool {
    let mut wrong = |at: &Spanned<String>, message: String, help: &str| {
        problems.push(Problem::error(&def.file, at.span(), message).help(help));
        false
    };
    let record = snapshot.records.iter().find(|record| *record.id == **def.record.get_ref());
    let Some(record) = record else {
        let names = snapshot.records.iter().map(|record| &*record.id);
        let (at, name) = (def.record.span(), def.record.get_ref());
        problems.push(Problem::unknown(&def.file, at, "record", name, names));
        return false;
    };
    let tree = &snapshot.plan(record.plan).tree;
    let Kind::Weighted(weighted) = &tree.node(tree.root).kind else {
        let message = format!("`{}` is no weighted record", def.record);
        let help = "only the members of a `weighted` record can be given a share of its clients";
        return wrong(&def.record, message, help);
    };
    let name = |member: &WeightedMember| &*tree.node(member.node).name;
    let is_member = |wanted: &str| weighted.members.iter().any(|one| name(one) == wanted);
    if !is_member(def.member.get_ref()) {
        let names = weighted.members.iter().map(name);
        let (at, member) = (def.member.span(), def.member.get_ref());
        problems.push(Problem::unknown(&def.file, at, "member", member, names));
        return false;
    }
    let mut others = weighted.members.iter().filter(|one| name(one) != def.member.get_ref());
    if let Some(exact) = others.clone().find(|one| !one.absorb) {
        let message = format!("`{}` has an exact share too: `{}`", name(exact), def.record);
        let help = "what a step leaves is shared by members that absorb: of them all only the one \
                    that is rolled out may say `absorb = false`";
        return wrong(&def.member, message, help);
    }
    if !others.any(|one| !one.weight.is_reserve()) {
        let message = format!(
            "`{}` cannot be rolled out now: `{}` has no other member with a weight",
            def.member, def.record
        );
        let help = "a step takes its clients from the other members: give one of them a weight in \
                    the zone's file, or remove this file if the rollout is over";
        problems.push(Problem::warning(&def.file, def.member.span(), message).help(help));
        return false;
    }
    fits(def, weighted, tree, snapshot.plan(record.plan).ttl.max, problems)
}

/// Whether no step takes back what the files give, and each can be through in time.
fn fits(
    def: &RolloutDef,
    weighted: &Weighted,
    tree: &Tree,
    ttl: Ttl,
    problems: &mut Problems,
) -> bool {
    let mut fits = true;
    let sum: u64 = weighted.members.iter().map(|one| u64::from(one.weight.get())).sum();
    let is_own = |one: &&WeightedMember| *tree.node(one.node).name == **def.member.get_ref();
    let own = weighted.members.iter().find(is_own).map_or(0, |one| one.weight.get());
    let filed = Share::from_fraction(f64::from(own) / sum.max(1) as f64);
    // One without steps is told of by itself.
    let first = def.steps.first().map(|step| &step.weight);
    if let Some(first) = first.filter(|first| *first.get_ref() < filed) {
        let message = format!(
            "`{}` cannot be rolled out now: it has {filed} by the files already",
            def.member
        );
        let help = "a first step below that sends clients away whom a later one fetches back: \
                    begin with a step above it, or with a weight of 0 in the zone's file; or \
                    remove this file if the rollout is over";
        problems.push(Problem::warning(&def.file, first.span(), message).help(help));
        fits = false;
    }
    let turned = Duration::from_secs(u64::from(ttl.as_secs()) * 2);
    if let Some(deadline) = def.progress_deadline.as_ref().filter(|d| *d.get_ref() <= turned) {
        let message = "no step can be through by then: twice the record's TTL takes as long";
        let help = "nothing is judged before caches have turned over: a longer deadline, or a \
                    shorter TTL";
        problems.push(Problem::error(&def.file, deadline.span(), message.to_owned()).help(help));
        fits = false;
    }
    fits
}

/// Whether what follows is there and does not lead back.
fn successors(
    def: &RolloutDef,
    defs: &BTreeMap<String, Arc<RolloutDef>>,
    left_out: &HashSet<String>,
    problems: &mut Problems,
) {
    for next in &def.then {
        let name = next.get_ref().as_str();
        if !defs.contains_key(name) && !left_out.contains(name) {
            let names = defs.keys().map(String::as_str);
            problems.push(Problem::unknown(&def.file, next.span(), "rollout", name, names));
        }
        let (mut open, mut seen) = (vec![name], HashSet::new());
        while let Some(one) = open.pop().filter(|one| seen.insert(*one)) {
            if one == def.name.get_ref() {
                let message = format!("`{one}` would follow itself");
                problems.push(Problem::error(&def.file, next.span(), message));
                break;
            }
            let after = defs.get(one).into_iter().flat_map(|def| &def.then);
            open.extend(after.map(|next| next.get_ref().as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CounterName, Input, Memory};
    use super::*;
    use crate::{
        config::{Progress, Severity},
        ids::CounterSlot,
        place::LazyTable,
    };
    use std::collections::HashMap;

    const ZONE: &str = r#"
zone = "g.example"
ns = ["ns.g.example"]
check = "none"
[pools.stable]
endpoints = [{ name = "s", ipv4 = "192.0.2.1" }]
[pools.canary]
endpoints = [{ name = "c", ipv4 = "192.0.2.2" }]
[records.www]
policy = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 10, absorb = false }]
[records.app]
policy = "failover"
members = ["stable", "canary"]
"#;

    /// What is said of these rollouts, and the names of those that can be run.
    fn check(rollouts: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        check_in(ZONE, rollouts)
    }

    fn check_in(zone: &str, rollouts: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let static_ns =
            zone.replace("[pools.stable]", "static = \"ns IN A 192.0.2.53\"\n[pools.stable]");
        let mut files = vec![("tradewind.toml", ""), ("zones/g.example.toml", &*static_ns)];
        files.extend(rollouts);
        let sources = Sources::in_memory(files);
        let input = Input {
            sources: &sources,
            last_good: &BTreeMap::new(),
            locations: Some(&LazyTable::embedded()),
            serials: &HashMap::new(),
            secret: &|_| Err("there are no secrets here".into()),
            progress: &Progress::default(),
            counter: &mut |_: CounterName<'_>| CounterSlot(0),
        };
        let compiled = super::super::compile(input, &mut Memory::default()).unwrap();
        assert_eq!(compiled.snapshot.records.len(), 2, "the zone is served all the same");
        let line = |problem: &Problem| match problem.severity {
            Severity::Error => problem.line(&sources),
            Severity::Warning => format!("warning: {}", problem.line(&sources)),
        };
        let said = compiled.problems.iter().map(line).collect();
        let names = compiled.rollouts.iter().map(|def| def.name.get_ref().clone());
        (said, names.collect())
    }

    #[test]
    fn what_is_over_and_written_into_the_zone_is_warned_of_and_breaks_nothing() {
        let zone = ZONE.replace("weight = 90", "weight = 0").replace("weight = 10", "weight = 1");
        let good = "record = \"g.example/www\"\nmember = \"canary\"\nsteps = [10, 50, 100]\n";
        let (said, names) = check_in(&zone, &[("rollouts/a.toml", good)]);
        let wanted = "warning: rollouts/a.toml:2:10: `canary` cannot be rolled out now: \
                      `g.example/www` has no other member with a weight";
        assert_eq!(said, [wanted]);
        assert!(names.is_empty(), "{names:?}");
    }

    #[test]
    fn a_rollout_is_held_against_its_record_and_all_that_is_wrong_is_told() {
        let good = "record = \"g.example/www\"\nmember = \"canary\"\nsteps = [10, 50, 100]\n";
        let (said, names) = check(&[("rollouts/a.toml", good)]);
        assert_eq!((said, names), (vec![], vec!["a".to_owned()]));
        for (from, to, wanted) in [
            ("/www", "/wwww", "no such record `g.example/wwww`; did you mean `g.example/www`?"),
            ("/www", "/app", "`g.example/app` is no weighted record"),
            ("\"g.example/www", "\"www.g.example", "`www.g.example` is not a record"),
            ("canary", "canari", "no such member `canari`; did you mean `canary`?"),
            ("canary", "stable", "`canary` has an exact share too"),
            ("[10, 50, 100]", "[20, 11]", "11 % does not come after 20 %"),
            ("[10, 50, 100]", "[0, 101]", "0 is not a step"),
            ("[10, 50, 100]", "[]", "a rollout has 1 to 20 steps"),
            ("steps", "step", "unknown key `step`; did you mean `steps`?"),
            ("[10, 50, 100]", "[10]\nthen = [\"b\"]", "no such rollout `b`"),
            ("[10, 50, 100]", "[10]\nthen = [\"a\"]", "`a` would follow itself"),
            ("[10, 50, 100]", "[10]\nprogress_deadline = \"5m\"", "no step can be through by then"),
            (
                "[10, 50, 100]",
                "[10]\nbake = \"1s\"\nprogress_deadline = \"10s\"",
                "no step can be through by then: twice the record's TTL takes as long",
            ),
            (
                "[10, 50, 100]",
                "[9, 50]",
                "`canary` cannot be rolled out now: it has 10 % by the files already",
            ),
            (
                "[10, 50, 100]",
                "[10]\nanalysis = [{ name = \"e\", health = \"errors\", success = \"< 1\", count = 3, failure_limit = 3 }]",
                "`failure_limit` is not below `count`",
            ),
            (
                "[10, 50, 100]",
                "[10]\nanalysis = [{ name = \"e\", health = \"errors\", success = \"< 1\", count = 3, inconclusive_limit = 3 }]",
                "`inconclusive_limit` is not below `count`",
            ),
            ("[10, 50, 100]", "[10]\non_fail = \"undo\"", "no such `on_fail` `undo`"),
            (
                "[10, 50, 100]",
                "[10]\nanalysis = [{ name = \"e\", success = \"< 1\" }]",
                "an analysis has exactly one of `prometheus`, `http` and `health`",
            ),
            (
                "[10, 50, 100]",
                "[10]\nanalysis = [{ name = \"e\", health = \"errors\", success = \"small\" }]",
                "`small` does not compare",
            ),
            (
                "[10, 50, 100]",
                "[10]\nanalysis = [{ name = \"e\", http = { url = \"x\", json = \"a\" }, success = \"< 1\" }]",
                "`x` is not a URL",
            ),
        ] {
            let (said, names) = check(&[("rollouts/a.toml", &good.replace(from, to))]);
            assert!(said.iter().any(|line| line.contains(wanted)), "{to}: {said:?}");
            assert!(names.is_empty(), "{to}: {names:?}");
        }
        let twice = format!("name = \"a\"\n{good}");
        let (said, _) = check(&[("rollouts/a.toml", good), ("rollouts/b.toml", &twice)]);
        assert!(said[0].contains("rollout `a` is defined twice"), "{said:?}");
    }
}
