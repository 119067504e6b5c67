//! Pools and endpoints: from what is written to leaves of a tree, with a slot for everything
//! that has a verdict and a target for everything that is probed.

use super::{
    checks::{self, Answered, TargetSpec, Unprobable},
    extra,
    names::{self, Heir, Scope},
    server::Server,
};
use crate::{
    config::{
        Problem, Problems, Spanned,
        pool::{EndpointDef, PoolDef},
        settings::MinHealthy,
    },
    ids::{RegionId, SlotId},
    policy::tree::{self, Endpoint, EndpointTarget, POOL_MAX, Pool},
    snapshot::SlotAddress,
    units::Weight,
    wire::Name,
};
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    path::Path,
    sync::Arc,
};

/// Checks a pool as it is defined, once, whoever uses it.
pub(super) fn check(scope: &Scope<'_>, def: &PoolDef, problems: &mut Problems) {
    names::check_settings(scope, &def.file, &def.settings.endpoint, problems);
    let Some(endpoints) = &def.endpoints else {
        return;
    };
    let list = endpoints.get_ref();
    let mut error = |span, message: String, help: &str| {
        problems.push(Problem::error(&def.file, span, message).help(help));
    };
    if list.is_empty() {
        let message = format!("pool `{}` has no endpoint that can be used", def.name);
        error(endpoints.span(), message, "add { name = \"…\", ipv4 = \"…\" }");
    }
    if list.len() > POOL_MAX {
        let message = format!("pool `{}` has {} endpoints", def.name, list.len());
        let help = format!("{POOL_MAX} is the most: make several pools of it");
        error(endpoints.span(), message, &help);
    }
    let cnames = list.iter().filter(|endpoint| endpoint.cname.is_some()).count();
    if cnames > 0 && cnames < list.len() {
        let message = format!("pool `{}` holds addresses and CNAMEs", def.name);
        error(endpoints.span(), message, "make two pools of it: an answer is one or the other");
    }
    if let Some(answers) = &def.settings.answers
        && cnames > 0
        && *answers.get_ref() > 1
    {
        let message = "a name has one CNAME, so a pool of them has one answer".to_owned();
        error(answers.span(), message, "leave `answers` out");
    }
    if let Some(min_healthy) = &def.settings.min_healthy
        && let MinHealthy::Count(count) = min_healthy.get_ref()
        && *count as usize > list.len()
    {
        let message = format!("pool `{}` has only {} endpoints", def.name, list.len());
        error(min_healthy.span(), message, "it would never be available: lower `count`");
    }
    check_endpoints(scope, &def.file, list, problems);
    extra::check(def, problems);
}

fn check_endpoints(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    list: &[EndpointDef],
    problems: &mut Problems,
) {
    let mut names: HashMap<&str, &Spanned<String>> = HashMap::new();
    let mut addresses: HashMap<IpAddr, std::ops::Range<usize>> = HashMap::new();
    for endpoint in list {
        check_endpoint(scope, file, endpoint, problems);
        if let Some(name) = &endpoint.name {
            if let Some(first) = names.get(name.get_ref().as_str()) {
                let message = format!("endpoint `{name}` is defined twice");
                let problem = Problem::error(file, name.span(), message);
                problems.push(problem.related(file, first.span(), "first here"));
            }
            names.insert(name.get_ref(), name);
        }
        for (address, span) in addresses_of(endpoint) {
            match addresses.entry(address) {
                Entry::Vacant(free) => drop(free.insert(span)),
                Entry::Occupied(first) => {
                    let message = format!("{address} stands twice in this pool");
                    let problem = Problem::error(file, span, message);
                    problems.push(
                        problem
                            .related(file, first.get().clone(), "first here")
                            .help("give one endpoint more weight instead"),
                    );
                }
            }
        }
    }
}

fn addresses_of(endpoint: &EndpointDef) -> impl Iterator<Item = (IpAddr, std::ops::Range<usize>)> {
    let v4 = endpoint.ipv4.as_ref();
    let v6 = endpoint.ipv6.as_ref();
    let v4 = v4.map(|v4| (IpAddr::from(*v4.get_ref()), v4.span()));
    v4.into_iter().chain(v6.map(|v6| (IpAddr::from(*v6.get_ref()), v6.span())))
}

/// Checks one endpoint, of a pool or inline.
pub(super) fn check_endpoint(
    scope: &Scope<'_>,
    file: &Arc<Path>,
    endpoint: &EndpointDef,
    problems: &mut Problems,
) {
    names::check_settings(scope, file, &endpoint.settings, problems);
    for (address, span) in addresses_of(endpoint) {
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || broadcast {
            let message = format!("{address} is not the address of a host");
            problems.push(Problem::error(file, span, message));
        }
    }
    if let Some(cname) = &endpoint.cname
        && let Err(why) = Name::parse(cname.get_ref())
    {
        let message = format!("`{cname}` is not a domain name: {why}");
        problems.push(Problem::error(file, cname.span(), message));
    }
}

/// One thing with a verdict, as a draft knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SlotSpec {
    /// `zone/pool/endpoint`.
    pub name: Arc<str>,
    pub address: SlotAddress,
    pub target: Option<TargetSpec>,
    pub region: Option<RegionId>,
}

/// The slots of a draft, by ids of its own.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub list: Vec<SlotSpec>,
    known: HashMap<SlotSpec, SlotId>,
    /// Pools made before, by definition and what they inherited.
    made: HashMap<MadeOf, Pool>,
}

/// What a pool is made of, by identity: definitions live as long as the compile.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MadeOf {
    pool: usize,
    check: Option<usize>,
    probe: Option<usize>,
    region: Option<RegionId>,
    answers: Option<u16>,
    min_healthy: Option<tree::MinHealthy>,
}

impl MadeOf {
    fn new(def: &PoolDef, heir: &Heir<'_>) -> Self {
        MadeOf {
            pool: std::ptr::from_ref(def).addr(),
            check: heir.check.map(|check| std::ptr::from_ref(check).addr()),
            probe: heir.probe.map(|probe| std::ptr::from_ref(probe).addr()),
            region: heir.region,
            answers: heir.answers,
            min_healthy: heir.min_healthy,
        }
    }
}

/// Where pools are made: the names of one zone, and its slots.
pub(super) struct Maker<'s, 'a> {
    pub server: &'a Server,
    /// The zone's apex: the first part of its ids.
    pub zone: &'s str,
    /// Where what the pools have in `extra` is answered.
    pub owner: &'s Name,
    /// Whether CNAMEs are answered there as the addresses of their targets.
    pub flattens: bool,
    pub slots: &'s mut Slots,
    pub problems: &'s mut Problems,
}

impl<'a> Maker<'_, 'a> {
    /// The pool `def`, as it is below something that hands down `heir`.
    pub fn pool(&mut self, def: &'a PoolDef, heir: Heir<'a>) -> Pool {
        let made_of = MadeOf::new(def, &heir);
        let pool = match self.slots.made.get(&made_of) {
            Some(pool) => pool.clone(),
            None => {
                let pool = self.bare_pool(def, heir);
                self.slots.made.insert(made_of, pool.clone());
                pool
            }
        };
        // What depends on the record is no part of what is shared: names in its `extra`, and
        // whether it flattens.
        let extra = extra::read(def, self.owner, self.problems);
        Pool { extra, ..self.flattened(pool) }
    }

    /// `pool` as the record answers it.
    fn flattened(&self, mut pool: Pool) -> Pool {
        for endpoint in pool.endpoints.iter_mut().filter(|_| self.flattens) {
            if let EndpointTarget::Cname { slot, .. } = endpoint.target {
                endpoint.target = EndpointTarget::Flattened { slot };
            }
        }
        pool
    }

    fn bare_pool(&mut self, def: &'a PoolDef, heir: Heir<'a>) -> Pool {
        let heir = heir.pool(self.server, &def.settings);
        let is_shared = def.file == self.server.file.file;
        let id = match is_shared {
            true => def.name.get_ref().clone(),
            false => format!("{}/{}", self.zone, def.name),
        };
        let list = def.endpoints.as_ref().map_or(&[][..], |list| list.get_ref());
        let endpoints =
            list.iter().filter_map(|endpoint| self.endpoint(&def.file, &id, endpoint, heir));
        let endpoints: Box<[Endpoint]> = endpoints.collect();
        let answers = match list.iter().any(|endpoint| endpoint.cname.is_some()) {
            true => 1,
            false => heir.answers.unwrap_or(1),
        };
        self.check_weights(def, &endpoints, answers);
        Pool {
            id: id.into(),
            endpoints,
            answers,
            min_healthy: heir.min_healthy.unwrap_or_default(),
            extra: Arc::default(),
        }
    }

    /// A pool of one: an endpoint that stands inline as a member.
    pub fn inline(&mut self, file: &Arc<Path>, def: &'a EndpointDef, heir: Heir<'a>) -> Pool {
        let id = format!("{}/{}", self.zone, inline_name(def));
        let endpoint = self.endpoint(file, &id, def, heir);
        self.flattened(Pool {
            id: id.into(),
            endpoints: endpoint.into_iter().collect(),
            answers: 1,
            min_healthy: tree::MinHealthy::default(),
            extra: Arc::default(),
        })
    }

    fn endpoint(
        &mut self,
        file: &Arc<Path>,
        pool: &str,
        def: &'a EndpointDef,
        heir: Heir<'a>,
    ) -> Option<Endpoint> {
        let heir = heir.endpoint(self.server, &def.settings);
        let name: Arc<str> = inline_name(def).into();
        let slot_name: Arc<str> = format!("{pool}/{name}").into();
        let mut slot = |address: SlotAddress, answered: Answered<'_>| {
            let target = self.target(file, def, &heir, &slot_name, answered);
            self.slot(SlotSpec { name: slot_name.clone(), address, target, region: heir.region })
        };
        let target = match &def.cname {
            Some(cname) => {
                let target = Name::parse(cname.get_ref()).ok()?.to_string();
                EndpointTarget::Cname {
                    wire: wire_as_written(cname.get_ref())?,
                    slot: slot(SlotAddress::Name(target.as_str().into()), Answered::Name(&target)),
                }
            }
            None => {
                let mut address = |ip: IpAddr| slot(SlotAddress::Ip(ip), Answered::Ip(ip));
                let v4 = def.ipv4.as_ref().map(|v4| *v4.get_ref());
                let v6 = def.ipv6.as_ref().map(|v6| *v6.get_ref());
                EndpointTarget::Addresses {
                    v4: v4.map(|v4| (v4, address(v4.into()))),
                    v6: v6.map(|v6| (v6, address(v6.into()))),
                }
            }
        };
        Some(Endpoint {
            name,
            weight: def.weight.as_ref().map_or(Weight::ONE, |weight| *weight.get_ref()),
            region: heir.region,
            target,
        })
    }

    fn slot(&mut self, spec: SlotSpec) -> SlotId {
        let next = SlotId::at(self.slots.list.len());
        let id = *self.slots.known.entry(spec.clone()).or_insert(next);
        if id == next {
            self.slots.list.push(spec);
        }
        id
    }

    fn target(
        &mut self,
        file: &Arc<Path>,
        def: &EndpointDef,
        heir: &Heir<'_>,
        id: &Arc<str>,
        answered: Answered<'_>,
    ) -> Option<TargetSpec> {
        let check = heir.check?;
        let written = def.settings.probe.as_ref().map(Spanned::span);
        let span = written.unwrap_or_else(|| def.span.clone());
        let name = inline_name(def);
        match checks::target(self.server, check, id, answered, heir.probe) {
            Ok(target) => Some(target),
            Err(Unprobable::NoPort) => {
                let check = &check.check.name;
                let message = format!("neither check `{check}` nor `{name}` says which port");
                self.problems.push(Problem::error(file, span, message).help(
                    "add `port` to the check, or `probe = \"ADDRESS:PORT\"` to the endpoint",
                ));
                None
            }
            Err(Unprobable::Denied(ip)) => {
                let message = format!("{ip} is never probed: it is denied");
                self.problems.push(Problem::error(file, span, message).help(
                    "link-local, multicast and cloud metadata addresses always are, and what \
                     [health] deny names; probe another address, or write check = \"none\"",
                ));
                None
            }
        }
    }

    /// Endpoint weights divide single leaders; with followers they could not hold.
    fn check_weights(&mut self, def: &PoolDef, endpoints: &[Endpoint], answers: u16) {
        if weights_hold(endpoints.iter(), answers) {
            return;
        }
        let n = endpoints.len();
        let message = format!(
            "the weights in pool `{}` cannot hold with {answers} of {n} endpoints in an answer",
            def.name
        );
        let span = def.endpoints.as_ref().map_or(def.name.span(), weights_span);
        self.problems.push(
            Problem::error(&def.file, span, message)
                .help(format!("make them equal, or set `answers` to 1 or to {n} and more")),
        );
    }
}

/// Whether weights mean what they say when an answer carries `answers` of `endpoints`.
pub(super) fn weights_hold<'e>(
    endpoints: impl Iterator<Item = &'e Endpoint> + Clone,
    answers: u16,
) -> bool {
    let weights: HashSet<Weight> = endpoints.clone().map(|endpoint| endpoint.weight).collect();
    answers <= 1 || weights.len() <= 1 || usize::from(answers) >= endpoints.count()
}

/// Where the first weight of a list is written.
fn weights_span(list: &Spanned<Vec<EndpointDef>>) -> std::ops::Range<usize> {
    let weights = list.get_ref().iter().filter_map(|def| def.weight.as_ref());
    weights.map(Spanned::span).next().unwrap_or_else(|| list.span())
}

/// What an endpoint goes by: its name, else what it answers.
pub(super) fn inline_name(def: &EndpointDef) -> String {
    let v4 = || def.ipv4.as_ref().map(ToString::to_string);
    let v6 = || def.ipv6.as_ref().map(ToString::to_string);
    let cname = || def.cname.as_ref().map(ToString::to_string);
    let name = def.name.as_ref().map(ToString::to_string);
    name.or_else(v4).or_else(v6).or_else(cname).unwrap_or_default()
}

/// A domain name in wire form with its letters' case as written (RFC 4343 §4.1: case is kept
/// where it can be).
fn wire_as_written(text: &str) -> Option<Arc<[u8]>> {
    let name = Name::parse(text).ok()?;
    if text.contains('\\') || name.is_root() {
        return Some(name.as_wire().into());
    }
    let mut wire = Vec::with_capacity(text.len() + 2);
    for label in text.strip_suffix('.').unwrap_or(text).split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    Some(wire.into())
}
