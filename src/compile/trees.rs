//! The tree of a record: its policies as nodes, its pools as leaves.
//!
//! Definitions have been checked by [`super::policies`]; here is found what only a whole tree
//! shows: depth, leaves, regions that latency needs, weights that several answers break.

use super::{
    checks::{self, TargetSpec},
    maps::{DependentKey, LatencyMember},
    names::{self, Heir, Member, Named, Scope},
    policies::{absorbs, folded, target_name},
    pools::{self, Maker},
};
use crate::{
    config::{
        Problem, Problems, Spanned,
        policy::{
            Failback as WrittenFailback, Failover as WrittenMode, FailoverDef, LatencyDef,
            MemberDef, PolicyBody, PolicyKind, RuleDef,
        },
        settings::MinHealthy,
    },
    ids::{FailoverId, RegionId},
    policy::tree::{
        self, DEPTH_MAX, Endpoint, Failover, Geo, GeoRule, Kind, LEAVES_MAX, Latency, Multivalue,
        Node, NodeIx, Tree, Weighted, WeightedMember,
    },
    snapshot::{Failback, Mode, Ramp, Rules},
    units::{Share, TenthMs, Weight},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// Answers of a multivalue policy that says nothing (DESIGN §5, How many addresses).
const MULTIVALUE_ANSWERS: u16 = 8;

/// A failover definition as a draft knows it.
#[derive(Clone, Debug)]
pub(super) struct FailoverSpec {
    /// `zone/record` or `zone/policy`.
    pub name: Arc<str>,
    pub members: Box<[Arc<str>]>,
    /// For each member what must be up before clients are moved to it.
    pub gates: Box<[Box<[TargetSpec]>]>,
    pub rules: Rules,
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
    /// How fast clients follow it, should it be a failover.
    pub ramp: Option<Ramp>,
}

/// Makes the tree of one record. Definitions have been checked: names exist, loops do not.
pub(super) struct TreeBuilder<'s, 'a> {
    pub scope: &'s Scope<'a>,
    pub maker: Maker<'s, 'a>,
    pub failovers: &'s mut Failovers,
    /// What the record hands down.
    pub heir: Heir<'a>,
    /// What the zone, else the server, says of ramps.
    pub ramp: Option<Ramp>,
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
            PolicyKind::Geo(rules) => self.geo(rules.as_ref()?.get_ref(), depth)?,
            PolicyKind::Weighted => Kind::Weighted(Weighted {
                members: self.weighted_members(body, depth)?,
                min_healthy,
            }),
            PolicyKind::Failover(def) => {
                let members = self.members(body, depth)?;
                let id = self.failover(body, def, &members);
                let trickle = def.trickle.as_ref().map(|trickle| *trickle.get_ref());
                let trickle = trickle.map_or(Share::NONE, Share::from_fraction);
                Kind::Failover(Failover { id, members, trickle })
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
                    ramp: match &def.ramp {
                        Some(own) => own.get_ref().map(names::ramp_of),
                        None if is_shared => server_ramp(self.scope),
                        None => self.ramp,
                    },
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

    fn failover(
        &mut self,
        body: &Body<'a>,
        def: &'a FailoverDef,
        members: &[NodeIx],
    ) -> FailoverId {
        let name: Arc<str> = body.id.as_str().into();
        if let Some(known) = self.failovers.known.get(&name) {
            return *known;
        }
        let id = FailoverId::at(self.failovers.list.len());
        let spec = FailoverSpec {
            name: name.clone(),
            members: members.iter().map(|&ix| self.node(ix).name.clone()).collect(),
            gates: self.gates(body, def),
            rules: rules(def, body.ramp),
        };
        self.failovers.known.insert(name, id);
        self.failovers.list.push(spec);
        id
    }

    /// What each member of a failover requires. Whether it exists has been checked.
    fn gates(&self, body: &Body<'a>, def: &'a FailoverDef) -> Box<[Box<[TargetSpec]>]> {
        let members = body.body.members.iter().flat_map(|members| members.get_ref());
        let gates = members.map(|member| {
            let own = member.require.iter().flat_map(|require| require.get_ref());
            let found = def.require.iter().chain(own).filter_map(|name| {
                checks::required(self.scope.server, body.file, name, &mut Problems::default())
            });
            found.collect()
        });
        gates.collect()
    }

    fn geo(&mut self, rules: &'a [RuleDef], depth: usize) -> Option<Kind> {
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
            let bias = TenthMs::from_ms(bias.map_or(0.0, |(_, ms)| *ms.get_ref()));
            let supposed = self.maker.server.biased.get(&name).map_or(0, |more| more.0);
            scored.push(LatencyMember {
                name,
                regions: regions.into_iter().collect(),
                bias: TenthMs(bias.0.saturating_add(supposed)),
            });
        }
        let tie = def.tie.as_ref().map_or(Duration::ZERO, |tie| *tie.get_ref());
        let tie = TenthMs::from_ms(tie.as_secs_f64() * 1_000.0);
        let dependent = self.depend(DependentKey::Latency { members: scored, tie });
        Some(Kind::Latency(Latency { dependent, members }))
    }

    /// The regions of all endpoints at or below `ix`; false if one has none.
    fn regions_below(&self, ix: NodeIx, regions: &mut BTreeSet<RegionId>) -> bool {
        let pools = below(&self.nodes, ix);
        let mut complete = true;
        for endpoint in pools.into_iter().flat_map(|ix| endpoints(self.node(ix))) {
            match endpoint.region {
                Some(region) => drop(regions.insert(region)),
                None => complete = false,
            }
        }
        complete
    }

    fn check_multivalue(&mut self, body: &Body<'a>, members: &[NodeIx], answers: u16) {
        let mut pools: Vec<NodeIx> = Vec::new();
        for member in members {
            pools.extend(below(&self.nodes, *member));
        }
        pools.sort_unstable();
        pools.dedup();
        let endpoints = pools.iter().flat_map(|&ix| endpoints(self.node(ix)));
        let is_cname = |e: &Endpoint| matches!(e.target, tree::EndpointTarget::Cname { .. });
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

    /// Whether the tree from `root` is within bounds; else what is wrong with it. A policy that
    /// is referred to twice is one node, so both are counted along paths.
    pub fn bounds(&self, root: NodeIx) -> Result<(), String> {
        let mut measured = vec![None; self.nodes.len()];
        let (depth, leaves) = self.measure(root, &mut measured);
        if depth > DEPTH_MAX {
            return Err(format!("nests policies {depth} deep; {DEPTH_MAX} is the most"));
        }
        if leaves > LEAVES_MAX {
            return Err(format!("has {leaves} leaves; {LEAVES_MAX} is the most"));
        }
        Ok(())
    }

    /// Policies on the longest path from `ix`, and leaves along all of them.
    fn measure(&self, ix: NodeIx, measured: &mut [Option<(usize, usize)>]) -> (usize, usize) {
        if let Some(known) = measured[usize::from(ix.0)] {
            return known;
        }
        let kind = &self.node(ix).kind;
        let found = match kind {
            Kind::Pool(_) | Kind::Empty => (0, 1),
            _ => children(kind).fold((1, 0), |(depth, leaves), child| {
                let (below, more): (usize, usize) = self.measure(child, measured);
                (depth.max(below + 1), usize::saturating_add(leaves, more))
            }),
        };
        measured[usize::from(ix.0)] = Some(found);
        found
    }
}

/// What `[defaults]` say of ramps: a policy that all zones share cannot ask any of them.
fn server_ramp(scope: &Scope<'_>) -> Option<Ramp> {
    let written = scope.server.file.defaults.ramp.as_ref()?;
    written.get_ref().map(names::ramp_of)
}

/// The rules of a failover, defaults filled in (DESIGN §5, Failover).
fn rules(def: &FailoverDef, ramp: Option<Ramp>) -> Rules {
    let delay = |written: &Option<Spanned<Duration>>| written.as_ref().map(|d| *d.get_ref());
    Rules {
        failover: match def.failover.as_ref().map(Spanned::get_ref) {
            None | Some(WrittenMode::Auto) => Mode::Auto,
            Some(WrittenMode::Manual) => Mode::Manual,
        },
        failover_delay: delay(&def.failover_delay).unwrap_or_default(),
        failback: match def.failback.as_ref().map(Spanned::get_ref) {
            Some(WrittenFailback::Auto) => Failback::Auto,
            Some(WrittenFailback::Manual) => Failback::Manual,
            None | Some(WrittenFailback::After) => {
                Failback::After(delay(&def.failback_delay).unwrap_or(Rules::FAILBACK_DELAY))
            }
        },
        ramp,
    }
}

/// The nodes at and below `ix`, each once.
fn below(nodes: &[Node], ix: NodeIx) -> Vec<NodeIx> {
    let mut seen = vec![false; nodes.len()];
    let (mut open, mut found) = (vec![ix], Vec::new());
    while let Some(ix) = open.pop() {
        if !std::mem::replace(&mut seen[usize::from(ix.0)], true) {
            found.push(ix);
            open.extend(children(&nodes[usize::from(ix.0)].kind));
        }
    }
    found
}

/// The nodes of `tree` that can be reached from its root, each once: all but the pool of
/// `all_down`.
pub(super) fn reachable(tree: &Tree) -> impl Iterator<Item = &Node> {
    below(&tree.nodes, tree.root).into_iter().map(|ix| tree.node(ix))
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

/// The endpoints of a node; none unless it is a pool.
pub(super) fn endpoints(node: &Node) -> &[Endpoint] {
    match &node.kind {
        Kind::Pool(pool) => &pool.endpoints,
        _ => &[],
    }
}
