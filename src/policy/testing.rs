//! Trees and standings from a few lines of text, for the tests of this room and of those above.
//!
//! ```text
//! pool stable = s1*3 s2/4 s3*0 min=0.5 answers=8     a weight; IPv4 or IPv6 only; a reserve
//! pool partner = p1>shop.example.net f1@             a CNAME; one that is answered flattened
//! weighted www = stable*90 canary*10/exact           absorb = false
//! failover app = iad dub trickle=0.02
//! latency api = iad dub*2 tie=10
//! geo shop = DE:fra,dub EU!:eu-split BLOCKED: *:iad  a fence; use = []
//! multivalue all = fra dub answers=8
//! client de api=iad:90,dub:20 shop=DE,EU             scores; matching rules
//! all_down first
//! down s1 s2/4 · degraded s1 · drained s1 · unknown s1 · failing s1 · fell s1@5
//! active app=1 · stays app=1 · leaving app=1>0:0.35 · barred app=2     the last: 35 % moved to 0
//! rising s1:0.2 · draining s1:0.7                                      ramps of slots
//! found f1 f2/4                          of both families; of IPv4, while IPv6 is not known
//! ```
//! Lines may stand in any order, pools before who uses them; the last policy (or pool) is the root.

use super::tree::{
    AllDown, ClassTable, Dependent, Endpoint, EndpointTarget, Failover, Geo, GeoRule, Kind,
    Latency, MinHealthy, Multivalue, Node, NodeIx, Pool, Rank, Tree, Weighted, WeightedMember,
};
use super::{
    Candidate, Course, Decision, Directives, Found, RampKind, SlotRamp, Wanted, select,
    sticky::{Drawn, name_hash},
};
use crate::{
    ids::{Class, FailoverId, RegionId, SlotId},
    units::{Share, Weight},
    verdict::{Sight, Standing, Standings},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// What a text describes.
#[derive(Default)]
pub(crate) struct Given {
    nodes: Vec<Node>,
    all_down: Option<String>,
    /// For each client-dependent node its name, tie and members or rules.
    dependents: Vec<Asked>,
    clients: Vec<(String, BTreeMap<String, String>)>,
    /// Slots by endpoint: `s1/4`, `s1/6`, or `s1` for a CNAME.
    pub slots: Vec<String>,
    failovers: Vec<String>,
    pub standings: Standings,
    pub fell: Vec<u64>,
    pub courses: Vec<Course>,
    pub ramps: Vec<SlotRamp>,
    pub found: Vec<(SlotId, Arc<Found>)>,
}

struct Asked {
    node: String,
    members: Vec<String>,
    /// `None` for geo.
    tie: Option<i32>,
}

impl Given {
    /// Reads `text`; what cannot be read is a broken test.
    pub fn new(text: &str) -> Given {
        let mut given = Given::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            given.line(line);
        }
        given
    }

    /// Applies one more line.
    pub fn line(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, body) = rest.split_once(" = ").unwrap_or((rest, ""));
        let words: Vec<&str> = body.split_whitespace().collect();
        match verb {
            "pool" => self.pool(name, &words),
            "weighted" | "failover" | "latency" | "multivalue" => self.policy(verb, name, &words),
            "geo" => self.geo(name, &words),
            "client" => {
                let (name, facts) = rest.split_once(' ').unwrap_or((rest, ""));
                let facts = facts.split_whitespace().filter_map(|fact| fact.split_once('='));
                let facts = facts.map(|(node, fact)| (node.to_owned(), fact.to_owned()));
                self.clients.push((name.into(), facts.collect()));
            }
            "all_down" => self.all_down = Some(rest.into()),
            "active" | "stays" | "leaving" | "barred" => {
                rest.split_whitespace().for_each(|word| self.course(verb, word));
            }
            "found" => rest.split_whitespace().for_each(|word| self.find_addresses(word)),
            "rising" | "draining" => {
                for (who, share) in rest.split_whitespace().map(|w| w.split_once(':').unwrap()) {
                    self.each_slot(who, |given, slot| given.ramp(verb, slot, self::share(share)));
                }
            }
            "fell" => {
                for (who, change) in rest.split_whitespace().map(|w| w.split_once('@').unwrap()) {
                    self.each_slot(who, |given, slot| given.fell[slot] = change.parse().unwrap());
                }
            }
            _ => rest.split_whitespace().for_each(|who| self.stand(verb, who)),
        }
    }

    fn course(&mut self, verb: &str, word: &str) {
        let (failover, what) = word.split_once('=').unwrap();
        let id = self.failovers.iter().position(|f| f == failover).unwrap();
        let course = &mut self.courses[id];
        match verb {
            "active" => *course = Course::settled(what.parse().unwrap()),
            "stays" => {
                *course = Course { stays: true, ..Course::settled(what.parse().unwrap()) };
            }
            "leaving" => {
                let (from, rest) = what.split_once('>').unwrap();
                let (to, moved) = rest.split_once(':').unwrap();
                let leaving = Some((from.parse().unwrap(), self::share(moved)));
                *course = Course { active: to.parse().unwrap(), leaving, ..*course };
            }
            _ => course.barred = what.split(',').map(|m| m.parse::<usize>().unwrap()).collect(),
        }
    }

    fn ramp(&mut self, verb: &str, slot: usize, share: Share) {
        let slot = SlotId::at(slot);
        let kind = if verb == "rising" { RampKind::Rising } else { RampKind::Leaving };
        if kind == RampKind::Leaving {
            self.standings.0[slot.index()] = Sight { standing: Standing::Drained, failing: false };
        }
        self.ramps.retain(|ramp| ramp.slot != slot);
        self.ramps.push(SlotRamp { slot, share, kind });
        self.ramps.sort_by_key(|ramp| ramp.slot);
    }

    fn find_addresses(&mut self, word: &str) {
        let (who, families) = word.split_once('/').unwrap_or((word, "46"));
        let number = name_hash(Drawn::Endpoint, 0, &[who]) as u32 >> 8;
        let v4 = families.contains('4').then(|| Ipv4Addr::from_bits(0x0a00_0000 + number));
        let v6 = families.contains('6').then_some(number.into());
        let v6 = v6.map(|number: u128| Ipv6Addr::from_bits(0xfd00 << 112 | number));
        let found = Found {
            v4: v4.map(|ip| [ip].into()),
            v6: v6.map(|ip| [ip].into()),
            ttl: Default::default(),
        };
        let slot = SlotId::at(self.slots.iter().position(|slot| slot == who).unwrap());
        self.found.retain(|(known, _)| *known != slot);
        self.found.push((slot, Arc::new(found)));
        self.found.sort_unstable_by_key(|(slot, _)| *slot);
    }

    fn stand(&mut self, verb: &str, who: &str) {
        let sight = match verb {
            "up" => Sight { standing: Standing::Up, failing: false },
            "down" => Sight { standing: Standing::Down, failing: true },
            "drained" => Sight { standing: Standing::Drained, failing: false },
            "degraded" => Sight { standing: Standing::Degraded, failing: false },
            "unknown" => Sight::default(),
            "failing" => Sight { standing: Standing::Up, failing: true },
            _ => panic!("no such line: {verb} {who}"),
        };
        self.each_slot(who, |given, slot| given.standings.0[slot] = sight);
    }

    /// `s1` is every slot of the endpoint, `s1/4` one of them, `*` all there are.
    fn each_slot(&mut self, who: &str, mut apply: impl FnMut(&mut Given, usize)) {
        let is = |slot: &String| who == "*" || slot == who || slot.split('/').next() == Some(who);
        let slots: Vec<usize> = (0..self.slots.len()).filter(|&i| is(&self.slots[i])).collect();
        assert!(!slots.is_empty(), "nobody is called {who}");
        slots.into_iter().for_each(|slot| apply(self, slot));
    }

    fn pool(&mut self, name: &str, words: &[&str]) {
        let mut pool = Pool {
            id: format!("z/{name}").into(),
            endpoints: Box::default(),
            answers: 1,
            min_healthy: MinHealthy::default(),
            extra: Arc::default(),
        };
        let mut endpoints = Vec::new();
        let mut region = None;
        for word in words {
            match word.split_once('=') {
                Some(("answers", n)) => pool.answers = n.parse().unwrap(),
                Some(("min", min)) => pool.min_healthy = min_healthy(min),
                Some(("region", id)) => region = Some(RegionId(id.parse().unwrap())),
                _ => endpoints.push(self.endpoint(word)),
            }
        }
        endpoints.iter_mut().for_each(|endpoint: &mut Endpoint| endpoint.region = region);
        pool.endpoints = endpoints.into();
        self.node(name, Kind::Pool(pool));
    }

    fn endpoint(&mut self, word: &str) -> Endpoint {
        let (word, weight) = weight(word);
        if let Some(name) = word.strip_suffix('@') {
            let target = EndpointTarget::Flattened { slot: self.slot(name.into()) };
            return Endpoint { name: name.into(), weight, region: None, target };
        }
        let (name, target) = match (word.split_once('>'), word.split_once('/')) {
            (Some((name, target)), _) => {
                let slot = self.slot(name.into());
                (name, EndpointTarget::Cname { wire: wire(target), slot })
            }
            (_, family) => {
                let (name, family) = family.unwrap_or((word, "46"));
                let mut slot =
                    |f: &str| family.contains(f).then(|| self.slot(format!("{name}/{f}")));
                let (v4, v6) = (slot("4"), slot("6"));
                // The same wherever it stands in a text.
                let number = name_hash(Drawn::Endpoint, 0, &[name]) as u32 >> 8;
                let v4 = v4.map(|slot| (Ipv4Addr::from_bits(0x0a00_0000 + number), slot));
                let v6 =
                    v6.map(|slot| (Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(number)), slot));
                (name, EndpointTarget::Addresses { v4, v6 })
            }
        };
        Endpoint { name: name.into(), weight, region: None, target }
    }

    fn slot(&mut self, name: String) -> SlotId {
        self.slots.push(name);
        self.standings.0.push(Sight { standing: Standing::Up, failing: false });
        self.fell.push(0);
        SlotId::at(self.slots.len() - 1)
    }

    fn policy(&mut self, verb: &str, name: &str, words: &[&str]) {
        let (options, members): (Vec<&str>, Vec<&str>) =
            words.iter().copied().partition(|word| word.contains('='));
        let option = |key| options.iter().find_map(|o| o.strip_prefix(key)?.strip_prefix('='));
        let members: Vec<WeightedMember> = members.iter().map(|word| self.member(word)).collect();
        let plain = members.iter().map(|m| m.node).collect();
        let min_healthy = option("min").map(min_healthy).unwrap_or_default();
        let kind = match verb {
            "weighted" => Kind::Weighted(Weighted { members: members.into(), min_healthy }),
            "latency" => {
                let names = members.iter().map(|m| self.name(m.node)).collect();
                let tie = option("tie").map_or(0, |tie| tie.parse().unwrap());
                let asked = Asked { node: name.into(), members: names, tie: Some(tie) };
                self.dependents.push(asked);
                let dependent = self.dependents.len() as u16 - 1;
                Kind::Latency(Latency { dependent, members: members.into() })
            }
            "failover" => {
                self.failovers.push(name.into());
                self.courses.push(Course::default());
                let id = FailoverId::at(self.failovers.len() - 1);
                let trickle = option("trickle").map_or(Share::NONE, share);
                Kind::Failover(Failover { id, members: plain, trickle })
            }
            _ => Kind::Multivalue(Multivalue {
                members: plain,
                answers: option("answers").map_or(8, |n| n.parse().unwrap()),
                min_healthy,
            }),
        };
        self.node(name, kind);
    }

    fn member(&self, word: &str) -> WeightedMember {
        let (word, absorb) = match word.strip_suffix("/exact") {
            Some(word) => (word, false),
            None => (word, true),
        };
        let (name, weight) = weight(word);
        WeightedMember { node: self.find(name), weight, absorb }
    }

    fn geo(&mut self, name: &str, words: &[&str]) {
        let rule = |word: &&str| {
            let (label, uses) = word.split_once(':').unwrap();
            let mut members: Vec<NodeIx> =
                uses.split(',').filter(|u| !u.is_empty()).map(|u| self.find(u)).collect();
            if members.is_empty() {
                members.push(NodeIx(u16::MAX));
            }
            let (label, fence) = match label.strip_suffix('!') {
                Some(label) => (label, true),
                None => (label, false),
            };
            GeoRule { label: label.into(), members: members.into(), fence }
        };
        let mut rules: Vec<GeoRule> = words.iter().map(rule).collect();
        if rules.iter().any(|rule| rule.members[0].0 == u16::MAX) {
            let empty = self.node("nothing", Kind::Empty);
            for rule in rules.iter_mut().filter(|rule| rule.members[0].0 == u16::MAX) {
                rule.members = [empty].into();
            }
        }
        let members = rules.iter().map(|rule| rule.label.to_string()).collect();
        self.dependents.push(Asked { node: name.into(), members, tie: None });
        let dependent = self.dependents.len() as u16 - 1;
        self.node(name, Kind::Geo(Geo { dependent, rules: rules.into() }));
    }

    fn node(&mut self, name: &str, kind: Kind) -> NodeIx {
        self.nodes.push(Node { name: name.into(), kind });
        NodeIx(self.nodes.len() as u16 - 1)
    }
    fn find(&self, name: &str) -> NodeIx {
        let at = self.nodes.iter().position(|node| &*node.name == name);
        NodeIx(at.unwrap_or_else(|| panic!("no node is called {name}")) as u16)
    }
    fn name(&self, ix: NodeIx) -> String {
        self.nodes[usize::from(ix.0)].name.to_string()
    }

    /// The tree; its classes are the clients in the order written.
    pub fn tree(&self) -> Tree {
        self.tree_at(NodeIx(self.nodes.len() as u16 - 1))
    }

    /// The tree below the policy or pool called `name`.
    pub fn tree_of(&self, name: &str) -> Tree {
        self.tree_at(self.find(name))
    }

    fn tree_at(&self, root: NodeIx) -> Tree {
        let all_down = match self.all_down.as_deref() {
            None | Some("last-good") => AllDown::LastGood,
            Some("all") => AllDown::All,
            Some("first") => AllDown::First,
            Some("nodata") => AllDown::Nodata,
            Some(pool) => AllDown::Pool(self.find(pool.strip_prefix("pool:").unwrap())),
        };
        let classes = Arc::new(self.classes());
        Tree { nodes: self.nodes.clone().into(), root, all_down, classes }
    }

    fn classes(&self) -> ClassTable {
        let dependents = self.dependents.iter().map(|asked| {
            let lists = self.clients.iter().map(|(_, facts)| facts.get(&asked.node));
            let lists = lists.map(|said| {
                let said = said.map(String::as_str).unwrap_or_default();
                said.split(',').filter(|word| !word.is_empty()).collect::<Vec<&str>>()
            });
            match asked.tie {
                None => Dependent::Geo(lists.map(|said| self.chain(asked, &said)).collect()),
                Some(_) => Dependent::Latency(lists.map(|said| order(asked, &said)).collect()),
            }
        });
        let rows = (0..self.clients.len() as u16)
            .flat_map(|client| std::iter::repeat_n(client, self.dependents.len()));
        ClassTable { dependents: dependents.collect(), lists: rows.collect() }
    }

    /// The rules a client matches, as compile cuts them: catch-all last, nothing after a fence.
    fn chain(&self, asked: &Asked, said: &[&str]) -> Box<[u8]> {
        let Kind::Geo(geo) = &self.nodes[usize::from(self.find(&asked.node).0)].kind else {
            panic!("{} is no geo policy", asked.node)
        };
        let mut chain = Vec::new();
        for label in said.iter().copied().chain(["*"]) {
            let rule = geo.rules.iter().position(|rule| &*rule.label == label).unwrap();
            chain.push(rule as u8);
            if geo.rules[rule].fence {
                break;
            }
        }
        chain.into()
    }

    /// The class of the client called `name`.
    pub fn class(&self, name: &str) -> Class {
        let at = self.clients.iter().position(|(known, _)| known == name);
        Class::at(at.unwrap_or_else(|| panic!("no client is called {name}")))
    }

    /// What stands in a World beside verdicts.
    pub fn directives(&self) -> Directives<'_> {
        let Given { courses, fell, ramps, found, .. } = self;
        Directives { courses, fell, ramps, found }
    }

    /// What `client` gets, in words: the grounds, then each answer with its share.
    pub fn shares(&self, client: &str, wanted: Wanted) -> String {
        let tree = self.tree();
        let class = if client.is_empty() { Class(0) } else { self.class(client) };
        let decision = select(&tree, class, &self.standings, &self.directives(), ());
        let shares = exact_shares(&decision, wanted);
        let words = shares.iter().map(|(answer, share)| format!("{answer} {}", percent(*share)));
        format!("{}: {}", decision.basis.word(), words.collect::<Vec<_>>().join(" "))
    }
}

fn weight(word: &str) -> (&str, Weight) {
    match word.split_once('*') {
        Some((name, weight)) => (name, Weight::new(weight.parse().unwrap()).unwrap()),
        None => (word, Weight::ONE),
    }
}

fn share(text: &str) -> Share {
    Share::from_fraction(text.parse().unwrap())
}

fn min_healthy(text: &str) -> MinHealthy {
    match text.contains('.') {
        true => MinHealthy::Share((text.parse::<f64>().unwrap() * 1e6) as u32),
        false => MinHealthy::Count(text.parse().unwrap()),
    }
}

fn wire(name: &str) -> Arc<[u8]> {
    let labels =
        name.split('.').flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes()));
    labels.chain([0]).collect()
}

fn order(asked: &Asked, said: &[&str]) -> Box<[Rank]> {
    let mut scores: Vec<(i32, &str)> = said
        .iter()
        .map(|word| word.split_once(':').unwrap())
        .map(|(name, score)| (score.parse().unwrap(), name))
        .collect();
    scores.sort_unstable();
    let rank = |(at, (score, name)): (usize, &(i32, &str))| Rank {
        member: asked.members.iter().position(|m| m == name).unwrap() as u8,
        followers: scores[at + 1..]
            .iter()
            .filter(|(other, _)| *other <= score + asked.tie.unwrap())
            .count() as u8,
    };
    scores.iter().enumerate().map(rank).collect()
}

/// The nodes of `tree` that can be reached, each once.
pub(crate) fn reachable(tree: &Tree) -> Vec<NodeIx> {
    let mut found = vec![tree.root];
    if let AllDown::Pool(pool) = tree.all_down {
        found.push(pool);
    }
    let mut at = 0;
    while at < found.len() {
        for below in children(&tree.node(found[at]).kind) {
            if !found.contains(&below) {
                found.push(below);
            }
        }
        at += 1;
    }
    found
}

pub(crate) fn children(kind: &Kind) -> Vec<NodeIx> {
    match kind {
        Kind::Pool(_) | Kind::Empty => Vec::new(),
        Kind::Weighted(weighted) => weighted.members.iter().map(|m| m.node).collect(),
        Kind::Latency(latency) => latency.members.iter().map(|m| m.node).collect(),
        Kind::Failover(failover) => failover.members.to_vec(),
        Kind::Multivalue(multivalue) => multivalue.members.to_vec(),
        Kind::Geo(geo) => geo.rules.iter().flat_map(|rule| rule.members.to_vec()).collect(),
    }
}

/// Every answer to `wanted` with its probability: `leader+follower`, or `nodata`.
pub(crate) fn exact_shares(decision: &Decision<'_>, wanted: Wanted) -> BTreeMap<String, f64> {
    let mut shares = BTreeMap::new();
    decision.choice.leaves(&mut |share, leaf| {
        let answers = leaf.map(|leaf| leaf.answers_to(wanted)).unwrap_or_default();
        if answers.is_empty() {
            *shares.entry("nodata".to_owned()).or_default() += share;
        }
        let whole: u64 = answers.iter().map(|answer| answer.weight).sum();
        for answer in answers {
            *shares.entry(names(&answer.endpoints)).or_default() +=
                share * answer.weight as f64 / whole as f64;
        }
    });
    shares
}

fn names(endpoints: &[&Candidate<'_>]) -> String {
    let names: Vec<&str> = endpoints.iter().map(|c| &*c.endpoint.name).collect();
    names.join("+")
}

/// A share as a person writes it: at most three decimals.
fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
