//! `[[safety]]` and `capacity`: patterns become records, words become verbs.

use super::{server::Server, zones::Served};
use crate::{
    config::{Problem, Problems, pool::PoolDef, safety::SafetyDef},
    ids::RecordId,
    snapshot::{
        Record,
        safety::{Capacity, SafetyRule, Verb},
    },
};
use std::{collections::HashMap, ops::Range};

/// Checks the rules by themselves.
pub(super) fn check(server: &Server, problems: &mut Problems) {
    let file = &server.file.file;
    let mut names: HashMap<&str, Range<usize>> = HashMap::new();
    for def in &server.file.safety {
        let name = def.name.get_ref().as_str();
        if let Some(first) = names.get(name) {
            let message = format!("safety rule `{name}` is defined twice");
            let problem = Problem::error(file, def.name.span(), message);
            problems.push(problem.related(file, first.clone(), "first here"));
        }
        names.insert(name, def.name.span());
        for word in def.two_persons.iter().flat_map(|verbs| verbs.get_ref()) {
            if verb(word.get_ref()).is_none() {
                let words = Verb::ALL.into_iter().map(Verb::word);
                let found = word.get_ref();
                problems.push(Problem::unknown(file, word.span(), "verb", found, words));
            }
        }
    }
}

/// Warns of rules that guard nothing, once all zones are drafted.
pub(super) fn lint(server: &Server, served: &[Served], problems: &mut Problems) {
    let file = &server.file.file;
    let drafts = || served.iter().filter_map(|served| served.draft.as_ref());
    for def in &server.file.safety {
        let mut ids = drafts().flat_map(|draft| &draft.records).map(|record| &*record.id);
        if !ids.any(|id| concerns(def, id)) {
            let message = format!("safety rule `{}` guards no record", def.name);
            let problem = Problem::warning(file, def.name.span(), message);
            problems.push(problem.help("`records` are written zone/record; `*` does not cross /"));
        }
        if def.respect_capacity && capacities(server, served).is_empty() {
            let message = format!("no pool has a `capacity` that `{}` could respect", def.name);
            let problem = Problem::warning(file, def.name.span(), message);
            problems.push(problem.help("write `capacity = 0.4` to pools that cannot take all"));
        }
    }
}

/// The rules over the `records` of a Snapshot.
pub(super) fn rules(server: &Server, records: &[Record]) -> Box<[SafetyRule]> {
    let rule = |def: &SafetyDef| {
        let ids = records.iter().enumerate().filter(|(_, record)| concerns(def, &record.id));
        let verbs = def.two_persons.iter().flat_map(|verbs| verbs.get_ref());
        SafetyRule {
            name: def.name.get_ref().as_str().into(),
            records: ids.map(|(index, _)| RecordId::at(index)).collect(),
            min_active_regions: def.min_active_regions.as_ref().map(|min| *min.get_ref()),
            respect_capacity: def.respect_capacity,
            two_persons: verbs.filter_map(|word| verb(word.get_ref())).collect(),
            wait: def.wait.as_ref().map(|wait| *wait.get_ref()),
        }
    };
    server.file.safety.iter().map(rule).collect()
}

/// The capacities of all pools that have one.
pub(super) fn capacities(server: &Server, served: &[Served]) -> Box<[Capacity]> {
    let shared = of_pools("", &server.file.pools);
    let drafts = served.iter().filter_map(|served| served.draft.as_ref());
    shared.chain(drafts.flat_map(|draft| draft.capacities.iter().cloned())).collect()
}

/// The capacities of `pools`, whose ids begin with `prefix`.
pub(super) fn of_pools(prefix: &str, pools: &[PoolDef]) -> impl Iterator<Item = Capacity> {
    pools.iter().filter_map(move |pool| {
        let share = pool.capacity.as_ref()?.get_ref();
        // Read as above 0 and at most 1.
        let millionths = ((share * 1e6).round() as u32).max(1);
        Some(Capacity { pool: format!("{prefix}{}", pool.name).into(), millionths })
    })
}

fn concerns(def: &SafetyDef, record: &str) -> bool {
    let Some(patterns) = &def.records else { return true };
    patterns.iter().any(|pattern| pattern.get_ref().matches(record))
}

fn verb(word: &str) -> Option<Verb> {
    Verb::ALL.into_iter().find(|verb| verb.word() == word)
}
