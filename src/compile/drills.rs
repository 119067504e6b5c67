//! Drills held against what they are about: regions, zones, records, and their own steps.
//!
//! A drill with an error is left out and holds nothing else back: no answer depends on it, and one
//! that runs goes on by what it began with.

use crate::{
    config::{
        Problem, Problems, Sources, Spanned,
        drill::{ActionDef, DrillDef, FaultDef, Measure, Mode, RATE_MAX, SteadyDef, StepDef, read},
    },
    policy::tree::Kind,
    snapshot::{Slot, Snapshot},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// The drills of `sources` that can be run on `snapshot`, by name.
pub(super) fn compile(
    sources: &Sources,
    snapshot: &Snapshot,
    problems: &mut Problems,
) -> Vec<Arc<DrillDef>> {
    let mut defs: BTreeMap<String, Arc<DrillDef>> = BTreeMap::new();
    for (path, _) in sources.operations.in_folder("drills", "toml") {
        let Some(text) = sources.operations.text(path) else { continue };
        let mut own = Problems::default();
        if let Some(def) = read(path, text, &mut own) {
            Held { def: &def, snapshot, problems: &mut own }.check();
            let name = def.name.get_ref().clone();
            match defs.get(&name) {
                Some(first) => {
                    let message = format!("drill `{name}` is defined twice");
                    let problem = Problem::error(path, def.name.span(), message);
                    own.push(problem.related(&first.file, first.name.span(), "first here"));
                }
                None if own.has_errors() => {}
                None => drop(defs.insert(name, Arc::new(def))),
            }
        }
        problems.append(own);
    }
    defs.into_values().collect()
}

/// A drill held against a Snapshot.
struct Held<'a> {
    def: &'a DrillDef,
    snapshot: &'a Snapshot,
    problems: &'a mut Problems,
}

impl Held<'_> {
    fn check(&mut self) {
        let def = self.def;
        let rate: u32 = def.steady.iter().map(|steady| *steady.rate.get_ref()).sum();
        if rate > RATE_MAX
            && let Some(last) = def.steady.last()
        {
            let message = format!("all queries together come to {rate} a second");
            self.wrong(&last.rate, message, &format!("{RATE_MAX} are the most: lower `rate`"));
        }
        self.unique(def.steady.iter().map(|steady| &steady.name), "steady state");
        self.unique(def.steps.iter().map(|step| &step.id), "step");
        self.files();
        def.steady.iter().for_each(|steady| self.steady(steady));
        def.steps.iter().for_each(|step| self.step(step));
        self.times();
        for rollback in &def.rollbacks {
            self.target(&rollback.target);
        }
        if *def.mode.get_ref() == Mode::Canary && def.canaries.is_empty() {
            let help = "add `canaries = [\"zone/record\"]`: only these feel it";
            self.wrong(&def.mode, "no record is named as a canary".into(), help);
        }
        for pattern in &def.canaries {
            let mut ids = self.snapshot.records.iter().map(|record| &record.id);
            if !ids.any(|id| pattern.get_ref().matches(id)) {
                let message = format!("`{pattern}` matches no record");
                self.wrong(pattern, message, "write `zone/record`, as `tradewind status` does");
            }
        }
        let by_answers = |measure: &Measure| !matches!(measure, Measure::Detect | Measure::Swap);
        if *def.mode.get_ref() != Mode::Simulate
            && def.steady.is_empty()
            && let Some((measure, budget)) = def.expect.iter().find(|(of, _)| by_answers(of))
        {
            let message =
                format!("`{}` is measured by answers, and none is asked for", measure.word());
            let help = "add [[steady]] with `name` and `query = { name = \"api.example.com\" }`";
            self.wrong(budget, message, help);
        }
        if let Some(first) = def.schedule.first()
            && def.needs_ack
        {
            let help = "add `needs_ack = false`: nobody types its name at night";
            self.wrong(
                first,
                "a drill that runs by itself cannot wait to be acknowledged".into(),
                help,
            );
        }
    }

    fn wrong<T>(&mut self, at: &Spanned<T>, message: String, help: &str) {
        self.problems.push(Problem::error(&self.def.file, at.span(), message).help(help));
    }

    fn unknown<'c>(
        &mut self,
        at: &Spanned<String>,
        (what, word): (&str, &str),
        known: impl IntoIterator<Item = &'c str> + Clone,
    ) {
        self.problems.push(Problem::unknown(&self.def.file, at.span(), what, word, known));
    }

    fn unique<'s>(&mut self, names: impl Iterator<Item = &'s Spanned<String>>, what: &str) {
        let mut seen = HashSet::new();
        for name in names {
            if !seen.insert(name.get_ref().clone()) {
                let message = format!("{what} `{name}` is defined twice");
                self.wrong(name, message, "give one another name");
            }
        }
    }

    /// What is asked must be steered: a static name never changes, whatever fails.
    fn steady(&mut self, steady: &SteadyDef) {
        let wanted = steady.qname.get_ref().trim_end_matches('.').to_ascii_lowercase();
        let owners: BTreeSet<String> = self
            .snapshot
            .records
            .iter()
            .map(|record| record.owner.to_string().to_ascii_lowercase())
            .collect();
        let is_wild = |owner: &String| {
            let under = owner.strip_prefix('*').filter(|under| under.starts_with('.'));
            under.is_some_and(|under| wanted.ends_with(under))
        };
        if !owners.contains(&wanted) && !owners.iter().any(is_wild) {
            let names = owners.iter().map(String::as_str);
            self.unknown(&steady.qname, ("steered name", &wanted), names);
        }
        if let Some(region) = &steady.region {
            self.region(region, region.get_ref());
        }
    }

    fn region(&mut self, at: &Spanned<String>, name: &str) {
        let names = self.snapshot.regions.iter().map(|region| &*region.name);
        if !name.contains('*') && !names.clone().any(|known| known == name) {
            self.unknown(at, ("region", name), names);
        }
    }

    fn step(&mut self, step: &StepDef) {
        let Some(target) = &step.target else { return };
        match (step.action.get_ref(), target.get_ref().split_once(':')) {
            (ActionDef::BadConfig, Some(("zone", zone))) => {
                let apexes: Vec<String> =
                    self.snapshot.zones.iter().map(|entry| entry.apex.to_string()).collect();
                if !apexes.iter().any(|apex| apex == zone) {
                    self.unknown(target, ("zone", zone), apexes.iter().map(String::as_str));
                }
            }
            (ActionDef::BadConfig, _) => {
                let message = format!("`{target}` is not a zone");
                self.wrong(target, message, "write \"zone:gtm.example.com\"");
            }
            (ActionDef::Drain { .. }, Some((kind, _))) if kind != "region" => {
                let message = format!("`{target}` is not a region");
                self.wrong(target, message, "write \"region:eu-west-1\"");
            }
            _ => self.target(target),
        }
        if let ActionDef::Fault(FaultDef::Slow(delay)) = step.action.get_ref()
            && *delay > Duration::from_secs(60)
        {
            self.wrong(&step.action, "no probe waits longer than a minute".into(), "lower `delay`");
        }
    }

    /// Whether a target, as the command line writes it, names something.
    fn target(&mut self, target: &Spanned<String>) {
        const KINDS: [&str; 6] = ["region", "pool", "endpoint", "check", "record", "policy"];
        let text = target.get_ref();
        let Some((kind, name)) = text.split_once(':').filter(|(kind, _)| KINDS.contains(kind))
        else {
            let message = format!("`{text}` does not say what it is");
            let help = "write region:NAME, pool:ZONE/POOL, endpoint:ZONE/POOL/ENDPOINT, check:NAME";
            return self.wrong(target, message, help);
        };
        if name.contains(['*', '?', '[', '{']) {
            return;
        }
        let slots = self.snapshot.slots.iter();
        let pool = |slot: &'_ Slot| slot.name.rsplit_once('/').map(|(pool, _)| pool.to_owned());
        let names: BTreeSet<String> = match kind {
            "region" => return self.region(target, name),
            "pool" => slots.filter_map(pool).collect(),
            "endpoint" => slots.map(|slot| slot.name.to_string()).collect(),
            "check" => {
                let gates = self.snapshot.failovers.iter().flat_map(|f| f.gates.iter().flatten());
                let checks = slots.filter_map(|slot| Some(slot.check.as_ref()?.to_string()));
                if gates.count() > 0 {
                    // What only a gate uses is known by its key; a name is looked up at the start.
                    return;
                }
                checks.collect()
            }
            "record" => self.snapshot.records.iter().map(|record| record.id.to_string()).collect(),
            _ => self.policies(),
        };
        let is_meant = |known: &String| known == name || known.ends_with(&format!("/{name}"));
        if !names.iter().any(is_meant) {
            self.unknown(target, (kind, name), names.iter().map(String::as_str));
        }
    }

    fn policies(&self) -> BTreeSet<String> {
        let nodes = self.snapshot.plans.iter().flat_map(|plan| plan.tree.nodes.iter());
        let named = nodes.filter(|node| !matches!(node.kind, Kind::Pool(_) | Kind::Empty));
        named.map(|node| node.name.to_string()).filter(|name| !name.is_empty()).collect()
    }

    /// Steps that load files take turns: what one loads is gone once the next one is loaded, and
    /// the end of either is the end of both.
    fn files(&mut self) {
        let ends = ends(self.def);
        let lasts =
            |step: &StepDef| step.lasts.as_ref().map_or(Duration::ZERO, |for_| *for_.get_ref());
        let loads = |step: &&StepDef| {
            matches!(
                step.action.get_ref(),
                ActionDef::BadConfig | ActionDef::StaleGeo | ActionDef::BadGeo
            )
        };
        let mut seen: Vec<(&StepDef, Duration, Duration)> = Vec::new();
        for step in self.def.steps.iter().filter(loads) {
            // One in a circle is told by `times`.
            let Some(end) = ends.get(step.id.get_ref().as_str()).copied() else { continue };
            let begin = end.saturating_sub(lasts(step));
            let clash = seen.iter().find(|(_, from, until)| begin < *until && *from < end);
            if let Some((other, ..)) = clash {
                let message =
                    format!("steps `{}` and `{}` load files at one time", other.id, step.id);
                let help = format!("let one wait for the other: `after = [\"{}\"]`", other.id);
                self.wrong(&step.id, message, &help);
            }
            seen.push((step, begin, end));
        }
    }

    /// Whether each step can begin, and all are over in time.
    fn times(&mut self) {
        let ends = ends(self.def);
        for step in &self.def.steps {
            for id in &step.after {
                if !self.def.steps.iter().any(|other| other.id.get_ref() == id.get_ref()) {
                    let ids: Vec<String> =
                        self.def.steps.iter().map(|other| other.id.get_ref().clone()).collect();
                    self.unknown(id, ("step", id.get_ref()), ids.iter().map(String::as_str));
                }
            }
            let known = |id: &Spanned<String>| {
                self.def.steps.iter().any(|other| other.id.get_ref() == id.get_ref())
            };
            if !ends.contains_key(step.id.get_ref().as_str()) && step.after.iter().all(known) {
                let message = format!("step `{}` waits for itself", step.id);
                self.wrong(&step.id, message, "break the circle of `after`");
            }
        }
        let last = ends.values().max().copied().unwrap_or_default();
        let most = *self.def.max_duration.get_ref();
        if self.def.before + last > most {
            let message = format!("its steps are over after {:?} only", self.def.before + last);
            let help = "raise `max_duration`, or shorten `for` and `delay`";
            self.wrong(&self.def.max_duration, message, help);
        }
    }
}

/// When each step is over, counted from the first one; those in a circle have no such time.
fn ends(def: &DrillDef) -> HashMap<&str, Duration> {
    let mut ends: HashMap<&str, Duration> = HashMap::new();
    for _ in &def.steps {
        for step in &def.steps {
            let after = step.after.iter().map(|id| ends.get(id.get_ref().as_str()).copied());
            let Some(after) = after.collect::<Option<Vec<Duration>>>() else { continue };
            let begins = after.into_iter().max().unwrap_or_default() + step.delay;
            let lasts = step.lasts.as_ref().map_or(Duration::ZERO, |lasts| *lasts.get_ref());
            ends.insert(step.id.get_ref(), begins + lasts);
        }
    }
    ends
}

#[cfg(test)]
mod tests;
