//! Policies: what is wrong with them as defined, and the trees of records made from them.

use super::{
    maps::{DependentKey, LatencyMember},
    names::{self, Heir, Member, Named, Scope},
    pools::{self, Maker},
};
use crate::{
    config::{
        Problem, Problems, Spanned,
        policy::{
            Failback as WrittenFailback, LatencyDef, Matcher, MemberDef, MemberTarget, PolicyBody,
            PolicyDef, PolicyKind, RuleDef,
        },
        settings::MinHealthy,
    },
    ids::{FailoverId, RegionId},
    place::{Country, Subdivision, distance, fold::fold_rule},
    policy::tree::{
        self, DEPTH_MAX, Failover, Geo, GeoRule, Kind, LEAVES_MAX, Latency, MEMBERS_MAX,
        Multivalue, Node, NodeIx, Weighted, WeightedMember,
    },
    snapshot::Failback,
    units::{TenthMs, Weight},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// A chain of rules counts them in a byte.
const RULES_MAX: usize = 256;
/// Answers of a multivalue policy that says nothing (DESIGN §5, How many addresses).
const MULTIVALUE_ANSWERS: u16 = 8;
/// Time of unbroken health before going back (DESIGN §5, Failover).
const FAILBACK_DELAY: Duration = Duration::from_secs(300);

/// Checks a named policy as it is defined, once, whoever uses it.
pub(super) fn check_definition(scope: &Scope<'_>, def: &PolicyDef, problems: &mut Problems) {
    if let Some(body) = &def.body {
        check_body(scope, &def.file, body, problems);
    }
}

/// Checks what a policy does, of a record or of its own.
pub(super) fn check_body(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    body: &PolicyBody,
    problems: &mut Problems,
) {
    if let Some(members) = &body.members {
        check_members(scope, file, members, problems);
    }
    match &body.kind {
        PolicyKind::Weighted => check_absorbing(file, body, problems),
        PolicyKind::Geo(rules) => {
            if let Some(rules) = rules {
                check_rules(scope, file, rules, problems);
            }
        }
        PolicyKind::Latency(latency) => check_bias(file, body, latency, problems),
        PolicyKind::Failover(failover) => {
            let auto = failover.failback.as_ref().map(Spanned::get_ref);
            if let Some(delay) = &failover.failback_delay
                && auto == Some(&WrittenFailback::Auto)
            {
                let message = "`failback_delay` means nothing with `failback = \"auto\"`";
                let problem = Problem::error(file, delay.span(), message);
                problems.push(problem.help("write `failback = \"after\"`, or leave it out"));
            }
        }
        PolicyKind::Multivalue => {}
    }
}

fn check_members(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    members: &Spanned<Vec<MemberDef>>,
    problems: &mut Problems,
) {
    let list = members.get_ref();
    if list.is_empty() {
        let problem = Problem::error(file, members.span(), "there is no member that can be used");
        problems.push(problem.help("name at least one pool or policy"));
    }
    if list.len() > MEMBERS_MAX {
        let message = format!("there are {} members; {MEMBERS_MAX} is the most", list.len());
        let help = "put some of them into a policy of their own";
        problems.push(Problem::error(file, members.span(), message).help(help));
    }
    let mut first: HashMap<String, Range<usize>> = HashMap::new();
    for member in list {
        if let Some(Member::Inline(endpoint)) = scope.member(file, &member.target, problems) {
            pools::check_endpoint(scope, file, endpoint, problems);
        }
        let name = target_name(&member.target);
        if let Some(first) = first.get(&name) {
            let message = format!("`{name}` is a member twice");
            let problem = Problem::error(file, member.span.clone(), message);
            let problem = problem.related(file, first.clone(), "first here");
            problems.push(problem.help("name it once; a larger share is a larger weight"));
        }
        first.insert(name, member.span.clone());
    }
}

/// What a member is called.
fn target_name(target: &MemberTarget) -> String {
    match target {
        MemberTarget::Either(name) | MemberTarget::Pool(name) | MemberTarget::Policy(name) => {
            name.get_ref().clone()
        }
        MemberTarget::Inline(endpoint) => pools::inline_name(endpoint),
    }
}

fn absorbs(member: &MemberDef) -> bool {
    member.absorb.as_ref().is_none_or(|absorb| *absorb.get_ref())
}

fn check_absorbing(file: &Arc<Path>, body: &PolicyBody, problems: &mut Problems) {
    let Some(members) = body.members.as_ref().filter(|m| !m.get_ref().is_empty()) else {
        return;
    };
    if !members.get_ref().iter().any(absorbs) {
        let message = "no member of this policy absorbs";
        problems.push(Problem::error(file, members.span(), message).help(
            "somebody must take the clients of a member that is down: leave `absorb = false` out \
             of at least one",
        ));
    }
    for member in members.get_ref() {
        if let (Some(weight), Some(_)) = (&member.weight, &member.absorb)
            && weight.get_ref().is_reserve()
            && !absorbs(member)
        {
            let message = "this member is never answered: weight 0 and `absorb = false`";
            problems.push(
                Problem::error(file, member.span.clone(), message)
                    .help("weight 0 alone makes it a reserve; to take it out, remove it"),
            );
        }
    }
}

fn check_bias(file: &Arc<Path>, body: &PolicyBody, latency: &LatencyDef, problems: &mut Problems) {
    let members = body.members.iter().flat_map(|members| members.get_ref());
    let names: Vec<String> = members.map(|member| target_name(&member.target)).collect();
    for (name, _) in &latency.bias {
        if !names.contains(name.get_ref()) {
            let candidates = names.iter().map(String::as_str);
            let word = name.get_ref();
            problems.push(Problem::unknown(file, name.span(), "member", word, candidates));
        }
    }
}

fn check_rules(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    rules: &Spanned<Vec<RuleDef>>,
    problems: &mut Problems,
) {
    let list = rules.get_ref();
    if list.len() > RULES_MAX {
        let message = format!("there are {} rules; {RULES_MAX} is the most", list.len());
        let help = "a rule may have many matchers";
        problems.push(Problem::error(file, rules.span(), message).help(help));
    }
    let mut first: HashMap<Matcher, Range<usize>> = HashMap::new();
    for rule in list {
        for matcher in &rule.matchers {
            check_matcher(file, matcher, problems);
            let meant = folded(matcher.get_ref());
            if let Some(first) = first.get(&meant) {
                let message = format!("`{}` is matched twice", matcher.get_ref());
                let problem = Problem::error(file, matcher.span(), message);
                let problem = problem.related(file, first.clone(), "first here");
                problems.push(problem.help("the most specific matcher wins, whatever the order"));
            }
            first.insert(meant, matcher.span());
        }
        let uses = rule.uses.iter().flatten();
        let mut known = BTreeSet::new();
        for name in uses {
            scope.resolve(file, name, "pool or policy", problems);
            if !known.insert(name.get_ref()) {
                let message = format!("`{name}` is used twice in one rule");
                problems.push(Problem::error(file, name.span(), message));
            }
        }
        if known.len() > MEMBERS_MAX {
            let message = format!("a rule uses {MEMBERS_MAX} names at most");
            problems.push(Problem::error(file, rule.span.clone(), message));
        }
    }
    if !first.contains_key(&Matcher::Any) {
        let problem = Problem::error(file, rules.span(), "there is no catch-all rule");
        problems.push(problem.help(
            "add { match = [\"*\"], use = [\"…\"] } for everybody whom no other rule matches \
             (`use = []` answers them nothing)",
        ));
    }
}

/// The matcher as maps see it: IPv4 hidden in IPv6 is IPv4.
pub(super) fn folded(matcher: &Matcher) -> Matcher {
    match matcher {
        Matcher::Subnet(network) => Matcher::Subnet(fold_rule(*network)),
        other => other.clone(),
    }
}

fn check_matcher(file: &Arc<Path>, matcher: &Spanned<Matcher>, problems: &mut Problems) {
    let country = match matcher.get_ref() {
        Matcher::Country(code) => Country::parse(code),
        Matcher::Subdivision(code) => Subdivision::parse_full(code).map(|(country, _)| country),
        _ => return,
    };
    if country.and_then(distance::country).is_none() {
        let message = format!("`{}` names a country that does not exist", matcher.get_ref());
        let help = "countries are two letters of ISO 3166-1, such as GB (not UK)";
        problems.push(Problem::error(file, matcher.span(), message).help(help));
    }
}

/// The names a policy refers to, with their places.
pub(super) fn references(body: &PolicyBody) -> Vec<&Spanned<String>> {
    let members = body.members.iter().flat_map(|members| members.get_ref());
    let members = members.filter_map(|member| match &member.target {
        MemberTarget::Either(name) | MemberTarget::Pool(name) | MemberTarget::Policy(name) => {
            Some(name)
        }
        MemberTarget::Inline(_) => None,
    });
    let rules = match &body.kind {
        PolicyKind::Geo(Some(rules)) => rules.get_ref().as_slice(),
        _ => &[],
    };
    let uses = rules.iter().flat_map(|rule| rule.uses.iter().flatten());
    members.chain(uses).collect()
}

/// Finds policies that contain themselves; each loop is reported once.
pub(super) fn check_loops(scope: &Scope<'_>, policies: &[PolicyDef], problems: &mut Problems) {
    let mut search = Loops { scope, path: Vec::new(), done: BTreeSet::new(), problems };
    for policy in policies {
        search.visit(policy);
    }
}

struct Loops<'s, 'a, 'p> {
    scope: &'s Scope<'a>,
    /// The policies that led here.
    path: Vec<&'s str>,
    done: BTreeSet<&'s str>,
    problems: &'p mut Problems,
}

impl<'s> Loops<'s, '_, '_> {
    fn visit(&mut self, policy: &'s PolicyDef) {
        let name = policy.name.get_ref().as_str();
        if self.done.contains(name) {
            return;
        }
        self.path.push(name);
        for reference in policy.body.iter().flat_map(references) {
            if let Some(from) = self.path.iter().position(|p| p == reference.get_ref()) {
                let mut around = self.path[from..].to_vec();
                around.push(reference.get_ref());
                let message = format!("policies in a loop: `{}`", around.join("` → `"));
                let problem = Problem::error(&policy.file, reference.span(), message);
                self.problems.push(problem.help("a policy cannot contain itself"));
            } else if let Some(Named::Policy(next)) = self.scope.find(reference.get_ref()) {
                self.visit(next);
            }
        }
        self.path.pop();
        self.done.insert(name);
    }
}

/// A failover definition as a draft knows it.
#[derive(Clone, Debug)]
pub(super) struct FailoverSpec {
    /// `zone/record` or `zone/policy`.
    pub name: Arc<str>,
    pub members: Box<[Arc<str>]>,
    pub failback: Failback,
}

/// The failovers of a draft, by ids of its own.
#[derive(Debug, Default)]
pub(super) struct Failovers {
    pub list: Vec<FailoverSpec>,
    known: BTreeMap<Arc<str>, FailoverId>,
}

/// What a policy is, wherever it is written: at a record or by itself.
pub(super) struct Body<'a> {
    pub file: &'a Arc<Path>,
    /// Empty for a record's own.
    pub name: &'a str,
    /// The name of its state machine, should it have one.
    pub id: String,
    pub body: &'a PolicyBody,
    pub min_healthy: Option<MinHealthy>,
    pub answers: Option<u16>,
}

/// Makes the tree of one record. Definitions have been checked: names exist, loops do not.
pub(super) struct TreeBuilder<'s, 'a> {
    pub scope: &'s Scope<'a>,
    pub maker: Maker<'s, 'a>,
    pub failovers: &'s mut Failovers,
    /// What the record hands down.
    pub heir: Heir<'a>,
    /// Names of failovers that a policy cannot have because a record has them.
    pub records: &'s BTreeSet<&'a str>,
    pub nodes: Vec<Node>,
    pub dependents: Vec<DependentKey>,
    pub known: HashMap<&'a str, NodeIx>,
}

impl<'a> TreeBuilder<'_, 'a> {
    /// The node of `body`, `depth` policies below the root.
    pub fn body(&mut self, body: &Body<'a>, depth: usize) -> Option<NodeIx> {
        if depth >= DEPTH_MAX {
            let message = format!("policies are nested deeper than {DEPTH_MAX}");
            self.error(body.file, body.body.span.clone(), message);
            return None;
        }
        let min_healthy = body.min_healthy.map(names::min_healthy_of);
        let min_healthy = min_healthy.unwrap_or_default();
        let kind = match &body.body.kind {
            PolicyKind::Geo(rules) => self.geo(body, rules.as_ref()?.get_ref(), depth)?,
            PolicyKind::Weighted => Kind::Weighted(Weighted {
                members: self.weighted_members(body, depth)?,
                min_healthy,
            }),
            PolicyKind::Failover(def) => {
                let members = self.members(body, depth)?;
                let delay = def.failback_delay.as_ref();
                let failback = match def.failback.as_ref().map(Spanned::get_ref) {
                    Some(WrittenFailback::Auto) => Failback::Auto,
                    _ => Failback::After(delay.map_or(FAILBACK_DELAY, |d| *d.get_ref())),
                };
                let id = self.failover(body.id.as_str().into(), &members, failback);
                Kind::Failover(Failover { id, members })
            }
            PolicyKind::Latency(def) => self.latency(body, def, depth)?,
            PolicyKind::Multivalue => {
                let members = self.members(body, depth)?;
                let answers = body.answers.unwrap_or(MULTIVALUE_ANSWERS);
                self.check_multivalue(body, &members, answers);
                Kind::Multivalue(Multivalue { members, answers, min_healthy })
            }
        };
        Some(self.push(body.name, kind))
    }

    /// The node of a pool or policy by name: made once, however often it is referred to.
    pub fn named(&mut self, named: Named<'a>, depth: usize) -> Option<NodeIx> {
        let name = named.name().get_ref().as_str();
        if let Some(known) = self.known.get(name) {
            return Some(*known);
        }
        let node = match named {
            Named::Pool(def) => {
                let pool = self.maker.pool(def, self.heir);
                self.push(name, Kind::Pool(pool))
            }
            Named::Policy(def) => {
                let is_shared = def.file == self.scope.server.file.file;
                let id = match (is_shared, self.records.contains(name)) {
                    (true, _) => name.to_owned(),
                    (false, false) => format!("{}/{name}", self.maker.zone),
                    (false, true) => format!("{}/policy:{name}", self.maker.zone),
                };
                let body = Body {
                    file: &def.file,
                    name,
                    id,
                    body: def.body.as_ref()?,
                    min_healthy: def.min_healthy.as_ref().map(|written| *written.get_ref()),
                    answers: def.answers.as_ref().map(|written| *written.get_ref() as u16),
                };
                self.body(&body, depth)?
            }
        };
        self.known.insert(name, node);
        Some(node)
    }

    fn member(&mut self, file: &Arc<Path>, def: &'a MemberDef, depth: usize) -> Option<NodeIx> {
        // Whether it exists has been checked, and its problem told.
        match self.scope.member(file, &def.target, &mut Problems::default())? {
            Member::Named(named) => self.named(named, depth + 1),
            Member::Inline(endpoint) => {
                let pool = self.maker.inline(file, endpoint, self.heir);
                Some(self.push(&pools::inline_name(endpoint), Kind::Pool(pool)))
            }
        }
    }

    fn members(&mut self, body: &Body<'a>, depth: usize) -> Option<Box<[NodeIx]>> {
        let defs = body.body.members.as_ref()?.get_ref();
        defs.iter().map(|def| self.member(body.file, def, depth)).collect()
    }

    fn weighted_members(&mut self, body: &Body<'a>, depth: usize) -> Option<Box<[WeightedMember]>> {
        let nodes = self.members(body, depth)?;
        let defs = body.body.members.as_ref()?.get_ref();
        let weighted = nodes.iter().zip(defs).map(|(&node, def)| WeightedMember {
            node,
            weight: def.weight.as_ref().map_or(Weight::ONE, |weight| *weight.get_ref()),
            absorb: absorbs(def),
        });
        Some(weighted.collect())
    }

    fn failover(&mut self, name: Arc<str>, members: &[NodeIx], failback: Failback) -> FailoverId {
        if let Some(known) = self.failovers.known.get(&name) {
            return *known;
        }
        let id = FailoverId::at(self.failovers.list.len());
        let members = members.iter().map(|&ix| self.node(ix).name.clone()).collect();
        self.failovers.known.insert(name.clone(), id);
        self.failovers.list.push(FailoverSpec { name, members, failback });
        id
    }

    fn geo(&mut self, body: &Body<'a>, rules: &'a [RuleDef], depth: usize) -> Option<Kind> {
        let mut made = Vec::with_capacity(rules.len());
        let mut keys = Vec::with_capacity(rules.len());
        for rule in rules {
            let mut members = Vec::new();
            for name in rule.uses.as_ref()? {
                members.push(self.named(self.scope.find(name.get_ref())?, depth + 1)?);
            }
            if members.is_empty() {
                members.push(self.push("", Kind::Empty));
            }
            let matchers = rule.matchers.iter().map(|matcher| matcher.get_ref());
            let labels: Vec<String> = matchers.clone().map(ToString::to_string).collect();
            made.push(GeoRule {
                label: labels.join(", ").into(),
                members: members.into(),
                fence: rule.fence,
            });
            keys.push((matchers.map(folded).collect(), rule.fence));
        }
        let _ = body;
        let dependent = self.depend(DependentKey::Geo(keys));
        Some(Kind::Geo(Geo { dependent, rules: made.into() }))
    }

    fn latency(&mut self, body: &Body<'a>, def: &LatencyDef, depth: usize) -> Option<Kind> {
        let members = self.weighted_members(body, depth)?;
        let defs = body.body.members.as_ref()?.get_ref();
        let mut scored = Vec::with_capacity(members.len());
        for (member, written) in members.iter().zip(defs) {
            let mut regions = BTreeSet::new();
            if !self.regions_below(member.node, &mut regions) {
                let name = target_name(&written.target);
                let message = format!("`{name}` has an endpoint without region");
                let problem = Problem::error(body.file, written.span.clone(), message);
                self.maker.problems.push(problem.help(
                    "latency is measured to regions: add `region = \"…\"` to the pool, the record \
                     or the zone",
                ));
            }
            let name = target_name(&written.target);
            let bias = def.bias.iter().find(|(member, _)| *member.get_ref() == name);
            scored.push(LatencyMember {
                name,
                regions: regions.into_iter().collect(),
                bias: TenthMs::from_ms(bias.map_or(0.0, |(_, ms)| *ms.get_ref())),
            });
        }
        let tie = def.tie.as_ref().map_or(Duration::ZERO, |tie| *tie.get_ref());
        let tie = TenthMs::from_ms(tie.as_secs_f64() * 1_000.0);
        let dependent = self.depend(DependentKey::Latency { members: scored, tie });
        Some(Kind::Latency(Latency { dependent, members }))
    }

    /// The regions of all endpoints at or below `ix`; false if one has none.
    fn regions_below(&self, ix: NodeIx, regions: &mut BTreeSet<RegionId>) -> bool {
        let mut complete = true;
        if let Kind::Pool(pool) = &self.node(ix).kind {
            for endpoint in &pool.endpoints {
                match endpoint.region {
                    Some(region) => drop(regions.insert(region)),
                    None => complete = false,
                }
            }
        }
        for below in children(&self.node(ix).kind) {
            complete &= self.regions_below(below, regions);
        }
        complete
    }

    fn check_multivalue(&mut self, body: &Body<'a>, members: &[NodeIx], answers: u16) {
        let mut pools = Vec::new();
        members.iter().for_each(|&member| self.pools_below(member, &mut pools));
        let endpoints = pools.iter().flat_map(|&ix| match &self.node(ix).kind {
            Kind::Pool(pool) => &pool.endpoints[..],
            _ => &[],
        });
        let is_cname = |e: &tree::Endpoint| matches!(e.target, tree::EndpointTarget::Cname { .. });
        let span = body.body.members.as_ref().map_or(body.body.span.clone(), Spanned::span);
        if endpoints.clone().any(is_cname) {
            let message = "a CNAME cannot be one of several answers".to_owned();
            return self.error(body.file, span, message);
        }
        if !pools::weights_hold(endpoints.clone(), answers) {
            let n = endpoints.count();
            let message =
                format!("the endpoints' weights cannot hold with {answers} of {n} in an answer");
            let problem = Problem::error(body.file, span, message);
            let help = format!("make them equal, or set `answers` to 1 or to {n} and more");
            self.maker.problems.push(problem.help(help));
        }
    }

    fn pools_below(&self, ix: NodeIx, pools: &mut Vec<NodeIx>) {
        if matches!(self.node(ix).kind, Kind::Pool(_)) && !pools.contains(&ix) {
            pools.push(ix);
        }
        for below in children(&self.node(ix).kind) {
            self.pools_below(below, pools);
        }
    }

    fn depend(&mut self, key: DependentKey) -> u16 {
        self.dependents.push(key);
        (self.dependents.len() - 1) as u16
    }

    fn push(&mut self, name: &str, kind: Kind) -> NodeIx {
        // Depth × leaves bound the nodes of a tree far below what the index holds; a tree that
        // breaks them is refused before anyone looks at its indices.
        let ix = NodeIx(self.nodes.len().min(usize::from(u16::MAX)) as u16);
        self.nodes.push(Node { name: name.into(), kind });
        ix
    }

    fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[usize::from(ix.0)]
    }

    fn error(&mut self, file: &Arc<Path>, span: Range<usize>, message: String) {
        self.maker.problems.push(Problem::error(file, span, message));
    }

    /// Leaves at and below `ix`, counted along every path, if they are within bounds.
    pub fn leaves(&self, ix: NodeIx) -> Option<usize> {
        let mut counted: Vec<Option<usize>> = vec![None; self.nodes.len()];
        let leaves = self.count_leaves(ix, &mut counted);
        (leaves <= LEAVES_MAX).then_some(leaves)
    }

    fn count_leaves(&self, ix: NodeIx, counted: &mut [Option<usize>]) -> usize {
        if let Some(known) = counted[usize::from(ix.0)] {
            return known;
        }
        let kind = &self.node(ix).kind;
        let below = children(kind).map(|child| self.count_leaves(child, counted));
        let leaves = match kind {
            Kind::Pool(_) | Kind::Empty => 1,
            _ => below.fold(0, usize::saturating_add),
        };
        counted[usize::from(ix.0)] = Some(leaves);
        leaves
    }
}

/// The nodes directly below a node.
pub(super) fn children(kind: &Kind) -> impl Iterator<Item = NodeIx> + '_ {
    let none: (&[NodeIx], &[WeightedMember], &[GeoRule]) = (&[], &[], &[]);
    let (plain, weighted, rules) = match kind {
        Kind::Pool(_) | Kind::Empty => none,
        Kind::Failover(failover) => (&*failover.members, none.1, none.2),
        Kind::Multivalue(multivalue) => (&*multivalue.members, none.1, none.2),
        Kind::Weighted(weighted) => (none.0, &*weighted.members, none.2),
        Kind::Latency(latency) => (none.0, &*latency.members, none.2),
        Kind::Geo(geo) => (none.0, none.1, &*geo.rules),
    };
    let weighted = weighted.iter().map(|member| member.node);
    let rules = rules.iter().flat_map(|rule| rule.members.iter().copied());
    plain.iter().copied().chain(weighted).chain(rules)
}
