//! What loads but will hardly do what was meant: the warnings DESIGN §5 names.

use super::{
    policies,
    records::{Family, PlanDraft, RecordDraft, Steered},
    safety,
    server::Server,
    trees::{endpoints, reachable},
    unmatched,
    zones::Served,
};
use crate::{
    config::{
        Problem, Problems,
        policy::PolicyBody,
        pool::{EndpointDef, PoolDef},
        zone::{RecordDef, ZoneFile},
    },
    ids::Class,
    place::LazyTable,
    policy::{
        Directives, Found, Wanted,
        leaf::Answer,
        select,
        tree::{AllDown, Dependent, EndpointTarget, Kind, MinHealthy, Node},
    },
    units::Ttl,
    verdict::Standings,
};
use std::{
    collections::{BTreeSet, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Beyond this, a failure that touches the record costs noticeably more than any other
/// (DESIGN §1: `check` warns at 4,096).
const CLASSES_WARN: usize = 4_096;

/// What linting a zone finds besides problems.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// Shared pools, policies and checks the zone uses.
    pub used: BTreeSet<String>,
    /// `zone/record: matcher` for matchers that no loaded database can match.
    pub unmatched: Vec<String>,
}

/// Looks over one zone.
pub(super) fn zone(
    server: &Server,
    locations: Option<&LazyTable>,
    file: &ZoneFile,
    steered: &Steered,
    problems: &mut Problems,
) -> Remarks {
    let mut lint = Lint { server, file, problems, remarks: Remarks::default() };
    // What a broken record would have used, nobody knows.
    if !lint.problems.has_errors() {
        lint.unused();
    }
    lint.useless_keys();
    lint.unmatched(locations);
    let mut seen = HashSet::new();
    for record in &steered.records {
        // Records with one plan share its warnings.
        if seen.insert(record.plan) {
            let plan = &steered.plans[record.plan];
            lint.families(record, plan);
            lint.never_available(record, plan);
            lint.classes(record, plan);
        }
    }
    lint.remarks
}

/// Looks over what zones share, once all zones are drafted.
pub(super) fn shared(server: &Server, served: &[Served], problems: &mut Problems) {
    let file = &server.file.file;
    if served.is_empty() {
        let message = "there is no zone in zones/: every query is refused";
        problems.push(Problem::warning(file, 0..0, message));
    }
    safety::lint(server, served, problems);
    let drafts = served.iter().filter_map(|served| served.draft.as_ref());
    let used: BTreeSet<&str> =
        drafts.flat_map(|draft| draft.remarks.used.iter().map(String::as_str)).collect();
    // A zone that did not compile might have used anything.
    if served.iter().any(|served| served.draft.is_none()) {
        return;
    }
    let pools = server.file.pools.iter().map(|pool| ("pool", &pool.name));
    let policies = server.file.policies.iter().map(|policy| ("policy", &policy.name));
    for (what, name) in pools.chain(policies) {
        if !used.contains(name.get_ref().as_str()) {
            let message = format!("{what} `{name}` is used by no record");
            problems.push(Problem::warning(file, name.span(), message));
        }
    }
    gates(server, served, problems);
}

/// Checks with a target of their own that no `require` waits for: nothing probes it.
fn gates(server: &Server, served: &[Served], problems: &mut Problems) {
    let failovers =
        served.iter().filter_map(|served| served.draft.as_ref()).flat_map(|d| &d.failovers);
    let required = failovers.flat_map(|failover| failover.gates.iter().flatten());
    let required: BTreeSet<&str> = required.map(|gate| &*gate.check.name).collect();
    for (name, spec) in &server.checks {
        let has_target = spec.gate.as_ref().is_some_and(|gate| !gate.is_pushed());
        if has_target && !required.contains(name.as_str()) {
            let message = format!("the `target` of check `{name}` is never probed");
            let problem = Problem::warning(&spec.file, spec.span.clone(), message);
            let help = format!(
                "`require = [\"check:{name}\"]` at a failover or a member of one asks for it"
            );
            problems.push(problem.help(help));
        }
    }
}

struct Lint<'s, 'p> {
    server: &'s Server,
    file: &'s ZoneFile,
    problems: &'p mut Problems,
    remarks: Remarks,
}

impl<'s> Lint<'s, '_> {
    fn warn(&mut self, span: std::ops::Range<usize>, message: String, help: &str) {
        let problem = Problem::warning(&self.file.file, span, message);
        self.problems.push(match help {
            "" => problem,
            help => problem.help(help),
        });
    }

    /// Pools and policies that no record leads to; on the way, the shared ones that some do.
    fn unused(&mut self) {
        let mut used: BTreeSet<String> = BTreeSet::new();
        let mut open: Vec<&PolicyBody> = Vec::new();
        for record in &self.file.records {
            open.extend(&record.body);
        }
        let settings = self.file.records.iter().map(|record| &record.settings);
        let settings = settings.chain([&self.file.settings, &self.server.file.defaults]);
        for all_down in settings.filter_map(|settings| settings.all_down.as_ref()) {
            if let crate::config::settings::AllDown::Pool(name) = all_down.get_ref() {
                used.insert(name.clone());
            }
        }
        let known = || self.file.policies.iter().chain(&self.server.file.policies);
        while let Some(body) = open.pop() {
            for name in policies::references(body) {
                if used.insert(name.get_ref().clone()) {
                    let policy = known().find(|policy| policy.name == *name);
                    open.extend(policy.and_then(|policy| policy.body.as_ref()));
                }
            }
        }
        let pools = self.file.pools.iter().map(|pool| ("pool", &pool.name));
        let policies = self.file.policies.iter().map(|policy| ("policy", &policy.name));
        for (what, name) in pools.chain(policies) {
            if !used.contains(name.get_ref()) {
                let message = format!("{what} `{name}` is used by no record");
                self.warn(name.span(), message, "");
            }
        }
        self.remarks.used = used;
    }

    /// Keys that mean nothing where they stand.
    fn useless_keys(&mut self) {
        for record in &self.file.records {
            let sticky = record.settings.sticky.as_ref();
            let sticky = sticky.or(self.file.settings.sticky.as_ref());
            let sticky = sticky.or(self.server.file.defaults.sticky.as_ref());
            let is_sticky =
                sticky.is_some_and(|s| *s.get_ref() == crate::config::settings::Sticky::Client);
            if let Some(cohort) = record.cohort.as_ref().filter(|_| !is_sticky) {
                let message = "`cohort` means nothing without `sticky = \"client\"`".to_owned();
                self.warn(cohort.span(), message, "");
            }
        }
        for pool in &self.file.pools {
            for endpoint in pool.endpoints.iter().flat_map(|list| list.get_ref()) {
                self.probe_without_check(pool, endpoint);
            }
        }
    }

    fn probe_without_check(&mut self, pool: &PoolDef, endpoint: &EndpointDef) {
        let levels = [endpoint.settings.check.as_ref(), pool.settings.endpoint.check.as_ref()];
        let records = self.file.records.iter();
        let above = records
            .map(|record| &record.settings)
            .chain([&self.file.settings, &self.server.file.defaults]);
        let checked_above = above
            .filter_map(|settings| settings.pool.endpoint.check.as_ref())
            .any(|check| check.get_ref() != "none");
        let own = levels.into_iter().flatten().next();
        let is_checked = own.map_or(checked_above, |check| check.get_ref() != "none");
        if let Some(probe) = endpoint.settings.probe.as_ref().filter(|_| !is_checked) {
            let message = "nothing is probed here: there is no check".to_owned();
            self.warn(probe.span(), message, "add `check = \"…\"`, or leave `probe` out");
        }
    }

    /// Matchers that no loaded database can match.
    fn unmatched(&mut self, locations: Option<&LazyTable>) {
        let file = self.file;
        let records = file.records.iter().filter_map(|record: &RecordDef| {
            Some((record.name.get_ref().as_str(), record.body.as_ref()?))
        });
        let policies = file
            .policies
            .iter()
            .filter_map(|policy| Some((policy.name.get_ref().as_str(), policy.body.as_ref()?)));
        let zone = file.zone.as_ref().map_or("", |zone| zone.get_ref().as_str());
        for (name, body) in records.chain(policies) {
            let found = unmatched::rules(&file.file, body, locations, self.problems);
            self.remarks
                .unmatched
                .extend(found.iter().map(|text| format!("{zone}/{name}: {text}")));
        }
    }

    /// Pools that lack a family which others of the same record have.
    fn families(&mut self, record: &RecordDraft, plan: &PlanDraft) {
        let nodes: Vec<&Node> = reachable(&plan.tree).collect();
        let depends = plan.tree.classes.depends_on_client();
        let mut nodata_depends = false;
        for (family, word, wanted) in
            [(Family::V6, "IPv6", Wanted::Aaaa), (Family::V4, "IPv4", Wanted::A)]
        {
            let mut all = nodes.iter().flat_map(|node| endpoints(node));
            let lacks = |node: &Node| family.lacks_in(&node.kind);
            if !all.any(|endpoint| family.is_in(&endpoint.target)) {
                continue;
            }
            if let Some(message) = lacking(plan, &nodes, word, wanted, &lacks) {
                nodata_depends |= depends;
                let help = format!("give every pool of a record {word} addresses, or none");
                self.warn(record.span.clone(), message, &help);
            }
        }
        // Beside a CNAME there is nothing, and that has been told.
        let extra = if plan.has_cname { Box::default() } else { plan.tree.extra_types() };
        for &rtype in &extra {
            let word = rtype.to_string();
            let lacks = |node: &Node| match &node.kind {
                Kind::Pool(pool) => pool.extra(rtype).is_none(),
                _ => false,
            };
            if let Some(message) = lacking(plan, &nodes, &word, Wanted::Extra(rtype), &lacks) {
                nodata_depends |= depends;
                let help = format!("put {word} records into the `extra` of every pool, or of none");
                self.warn(record.span.clone(), message, &help);
            }
        }
        let empty = nodes.iter().any(|node| node.kind == Kind::Empty);
        let says_nodata = plan.tree.all_down == AllDown::Nodata;
        if depends && (nodata_depends || empty || says_nodata) {
            let ttl = self.file.soa.negative_ttl.as_ref();
            let ttl = ttl.map_or("60s".to_owned(), |ttl| ttl.get_ref().to_string());
            let message = format!(
                "some clients get NODATA and others do not: resolvers may show it to both for {ttl}"
            );
            self.warn(
                record.span.clone(),
                message,
                "many resolvers keep negative answers for everybody (RFC 7871 §7.4); \
                 soa.negative_ttl says for how long",
            );
        }
    }

    /// Pools that inherit a `min_healthy` they cannot reach.
    fn never_available(&mut self, record: &RecordDraft, plan: &PlanDraft) {
        for node in reachable(&plan.tree) {
            if let Kind::Pool(pool) = &node.kind
                && let MinHealthy::Count(count) = pool.min_healthy
                && usize::from(count) > pool.endpoints.len()
            {
                let (name, has) = (&node.name, pool.endpoints.len());
                let message =
                    format!("`{name}` is never available: min_healthy wants {count} of its {has}");
                let help = "write `min_healthy` at the pool, or use a share";
                self.warn(record.span.clone(), message, help);
            }
        }
    }

    /// Records that tell very many clients apart.
    fn classes(&mut self, record: &RecordDraft, plan: &PlanDraft) {
        let classes = plan.tree.classes.classes();
        if classes <= CLASSES_WARN {
            return;
        }
        let dependents = plan.tree.classes.dependents.iter().enumerate();
        let factors: Vec<String> = dependents
            .map(|(number, lists)| {
                let name = dependent_name(plan, number as u16);
                match lists {
                    Dependent::Geo(lists) => format!("{name}: {} chains of rules", lists.len()),
                    Dependent::Latency(lists) => format!("{name}: {} orders", lists.len()),
                }
            })
            .collect();
        let message = format!("clients fall into {classes} classes here");
        let problem = Problem::warning(&self.file.file, record.span.clone(), message);
        self.problems.push(
            problem
                .note(format!("they multiply: {}", factors.join("; ")))
                .help("use fewer geo and latency policies in one tree, or a larger `tie`"),
        );
    }
}

/// What the client-dependent node number `number` is called.
fn dependent_name(plan: &PlanDraft, number: u16) -> String {
    let node = plan.tree.nodes.iter().find(|node| match &node.kind {
        Kind::Geo(geo) => geo.dependent == number,
        Kind::Latency(latency) => latency.dependent == number,
        _ => false,
    });
    match node.map(|node| &*node.name) {
        None | Some("") => "the record itself".into(),
        Some(name) => format!("`{name}`"),
    }
}

/// What is wrong when those of `nodes` that `lack` it do not give what is `wanted`, called
/// `word`; nothing if none lacks it.
fn lacking(
    plan: &PlanDraft,
    nodes: &[&Node],
    word: &str,
    wanted: Wanted,
    lack: &dyn Fn(&Node) -> bool,
) -> Option<String> {
    let names: Vec<&str> = nodes.iter().filter(|node| lack(node)).map(|node| &*node.name).collect();
    let rtype = match wanted {
        Wanted::A => "A",
        Wanted::Aaaa => "AAAA",
        Wanted::Extra(_) | Wanted::Other => word,
    };
    let share = match plan.tree.classes.depends_on_client() {
        true => format!("some {rtype} get NODATA"),
        false => match nodata_share(plan, wanted) {
            share if share < 0.0005 => format!("{rtype} get NODATA when it is answered alone"),
            share => format!("{} of {rtype} get NODATA", percent(share)),
        },
    };
    let verb = if names.len() == 1 { "has" } else { "have" };
    (!names.is_empty()).then(|| format!("`{}` {verb} no {word}: {share}", names.join("`, `")))
}

/// The share of queries for what is `wanted` that find nothing when all is up.
fn nodata_share(plan: &PlanDraft, wanted: Wanted) -> f64 {
    let standings = Standings::default();
    // As if every name had addresses: what they are is not for files to say.
    let endpoints = plan.tree.pools().flat_map(|pool| &pool.endpoints);
    let flattened = endpoints.filter_map(|endpoint| match endpoint.target {
        EndpointTarget::Flattened { slot } => Some((slot, Arc::new(anything()))),
        _ => None,
    });
    let mut found: Vec<_> = flattened.collect();
    found.sort_unstable_by_key(|(slot, _)| *slot);
    let directives = Directives { found: &found, ..Directives::default() };
    let decision = select(&plan.tree, Class(0), &standings, &directives, ());
    let mut share = 0.0;
    decision.choice.leaves(&mut |part, leaf| {
        let answers = leaf.map(|leaf| leaf.answers_to(wanted)).unwrap_or_default();
        let whole: u64 = answers.iter().map(|answer| answer.weight).sum();
        let is_empty = |answer: &&Answer<'_, '_>| match wanted {
            Wanted::Extra(rtype) => answer.extra(rtype).is_none(),
            _ => false,
        };
        let empty: u64 = answers.iter().filter(is_empty).map(|answer| answer.weight).sum();
        share += if answers.is_empty() { part } else { part * empty as f64 / whole as f64 };
    });
    share
}

/// One address of each family.
fn anything() -> Found {
    Found {
        v4: Some([Ipv4Addr::UNSPECIFIED].into()),
        v6: Some([Ipv6Addr::UNSPECIFIED].into()),
        ttl: Ttl::default(),
    }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.fract().abs() < 0.05 || percent.fract() > 0.95 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}
