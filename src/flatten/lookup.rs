//! One lookup: the addresses of a name, of both families, from our own zones or a resolver.
//!
//! What is ours is answered by the very desk that answers packets, as to a client nobody can
//! place; a chain that leaves our zones goes on at a resolver. Blocks: each runs on a thread of
//! its own.

use crate::{
    clock::{Clock, Dice},
    control::found::{FOUND_MAX, Looked},
    dns::{self, AskError, Client, Question, Transport},
    engine::Desk,
    policy::tree::EndpointTarget,
    snapshot::SlotAddress,
    telemetry::{Telemetry, Via},
    units::Ttl,
    wire::{Name, QName, TCP_MAX, types::Rtype},
    world::World,
    zone::Lookup as Found,
};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name as AskedName, RData, RecordType},
    serialize::binary::{BinDecodable, BinEncodable},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// How long one question waits for its reply; it is put three times.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Replies that one lookup follows from zone to zone, and aliases within one reply.
const HOPS_MAX: usize = 16;
/// Names looked at for a loop: whoever nests more of ours than this has one.
const LOOP_MAX: usize = 256;
/// A client that no map knows and no rule names, unless it is the catch-all.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What came of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Addresses; those of a family that could not be asked for are left open.
    Found(Looked),
    /// None, for this reason.
    Failed(Arc<str>),
    /// It is ours to say, and not yet time: first results of health checks are awaited.
    NotYet,
}

impl Outcome {
    fn failed(why: impl ToString) -> Outcome {
        Outcome::Failed(why.to_string().into())
    }
}

/// What a lookup needs.
pub(super) struct Lookup {
    pub clock: Arc<dyn Clock>,
    pub world: Arc<World>,
    /// The system's, if there are none.
    pub resolvers: Vec<SocketAddr>,
    pub seed: u64,
}

/// What one family came to.
#[derive(Default, PartialEq)]
struct Family {
    addresses: BTreeSet<IpAddr>,
    ttl: u32,
    /// The names on the way, the one asked for first.
    names: Vec<AskedName>,
}

impl Lookup {
    /// The addresses of `name`.
    pub fn addresses(&self, name: &Name) -> Outcome {
        let Ok(asked) = AskedName::from_bytes(name.as_wire()) else {
            return Outcome::failed("no question can be made of it");
        };
        let is_loop = || Outcome::failed("it leads back to a name that is flattened from it");
        if self.leads_to(name, name) {
            return is_loop();
        }
        let families = [RecordType::A, RecordType::AAAA].map(|rtype| self.family(&asked, rtype));
        if families.contains(&Err(Outcome::NotYet)) {
            return Outcome::NotYet;
        }
        // A chain may come back from others' zones.
        let names = families.iter().flatten().flat_map(|family| &family.names);
        if names.filter_map(own).any(|on_the_way| self.leads_to(&on_the_way, name)) {
            return is_loop();
        }
        let ttl = families.iter().flatten().filter(|family| !family.addresses.is_empty());
        let Some(ttl) = ttl.map(|family| family.ttl).min() else {
            let failed = families.into_iter().find_map(Result::err);
            return failed.unwrap_or_else(|| Outcome::failed("it has no addresses"));
        };
        let [v4, v6] = families.map(|family| family.ok().map(|family| family.addresses));
        let v4 = v4.map(|all| all.into_iter().filter_map(as_v4).take(FOUND_MAX).collect());
        let v6 = v6.map(|all| all.into_iter().filter_map(as_v6).take(FOUND_MAX).collect());
        Outcome::Found(Looked { v4, v6, ttl: Ttl::from_secs(ttl) })
    }

    /// The addresses of one family, from zone to zone.
    fn family(&self, name: &AskedName, rtype: RecordType) -> Result<Family, Outcome> {
        let mut family = Family { ttl: u32::MAX, ..Family::default() };
        let mut at = name.clone();
        for _ in 0..HOPS_MAX {
            let question = Question { recurse: true, ..Question::new(at.clone(), rtype) };
            let reply = match self.ask_ourselves(&question)? {
                Some(reply) => reply,
                None => self.ask_resolvers(&question)?,
            };
            let end = family.follow(&reply, &at);
            if !family.addresses.is_empty() || end == at {
                return Ok(family);
            }
            at = end;
        }
        Err(Outcome::failed("its chain of aliases does not end"))
    }

    /// What our own zones say; `None` if that is for others to say.
    fn ask_ourselves(&self, question: &Question) -> Result<Option<Message>, Outcome> {
        let Some(name) = own(&question.name) else { return Ok(None) };
        let mut qname = QName::default();
        qname.set(&name);
        let rtype = Rtype(question.rtype.into());
        if self.world.snapshot.apexes.closest(&qname, rtype).is_none() {
            return Ok(None);
        }
        let query = question.to_vec(0).map_err(Outcome::failed)?;
        let mut buf = vec![0; TCP_MAX];
        buf[..query.len()].copy_from_slice(&query);
        // Nobody's counters: this is no query that anybody sent.
        let mut desk = Desk::new(self.seed, Telemetry::default().thread());
        let len = desk.answer(&self.world, &mut buf, query.len(), NOBODY, Via::Tcp);
        if len == 0 {
            return Err(Outcome::NotYet);
        }
        let reply = Message::from_vec(&buf[..len]).map_err(Outcome::failed)?;
        match reply.metadata.response_code {
            ResponseCode::NoError if !reply.metadata.authoritative => Ok(None), // Delegated.
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(Some(reply)),
            code => Err(Outcome::failed(format_args!("we answer {code} ourselves"))),
        }
    }

    /// What the first resolver says that says anything.
    fn ask_resolvers(&self, question: &Question) -> Result<Message, Outcome> {
        let resolvers = match self.resolvers.is_empty() {
            true => dns::system_resolvers().map(|ip| SocketAddr::new(ip, dns::PORT)).collect(),
            false => self.resolvers.clone(),
        };
        let mut seeds = Dice::seeded(self.seed);
        let mut why = format!("no nameserver in {}", dns::RESOLV_CONF);
        for resolver in resolvers {
            let mut client = Client::new(&*self.clock, resolver, TIMEOUT, seeds.roll());
            why = match client.ask(question, Transport::Udp) {
                Ok(reply) => match reply.message.metadata.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => return Ok(reply.message),
                    code => format!("{resolver} answers {code}"),
                },
                Err(AskError::Unspeakable(why)) => why.to_string(),
                Err(error) => format!("{resolver}: {error}"),
            };
        }
        Err(Outcome::failed(why))
    }

    /// Whether `name`, if it is ours, is answered from what is found for `target`.
    fn leads_to(&self, name: &Name, target: &Name) -> bool {
        let snapshot = &self.world.snapshot;
        let (mut open, mut seen) = (vec![name.clone()], BTreeSet::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if seen.len() > LOOP_MAX {
                return true;
            }
            let mut qname = QName::default();
            qname.set(&name);
            let Some(id) = snapshot.apexes.closest(&qname, Rtype::A) else { continue };
            let entry = snapshot.zone(id);
            let Some(zone) = &entry.zone else { continue };
            let Found::Node { node, .. } = zone.lookup(&qname) else { continue };
            if let Some(steered) = node.steered() {
                let record = &snapshot.records[(entry.records.start + steered.index) as usize];
                for endpoint in snapshot.plan(record.plan).tree.pools().flat_map(|p| &p.endpoints) {
                    let (slot, is_flattened) = match endpoint.target {
                        EndpointTarget::Addresses { .. } => continue,
                        EndpointTarget::Cname { slot, .. } => (slot, false),
                        EndpointTarget::Flattened { slot } => (slot, true),
                    };
                    let SlotAddress::Name(text) = &snapshot.slots[slot.index()].address else {
                        continue;
                    };
                    let Ok(next) = Name::parse(text) else { continue };
                    if is_flattened && next == *target {
                        return true;
                    }
                    open.push(next);
                }
            }
            if let Some(cname) = node.rrset(Rtype::CNAME) {
                let targets = cname.rdatas.iter(Some(zone.apex()));
                open.extend(targets.filter_map(|rdata| Name::from_wire(&rdata).ok()));
            }
        }
        false
    }
}

impl Family {
    /// Follows the aliases of `reply` from `name` to the last one and takes its addresses.
    fn follow(&mut self, reply: &Message, name: &AskedName) -> AskedName {
        let mut at = name.clone();
        for _ in 0..HOPS_MAX {
            self.names.push(at.clone());
            let owned = || reply.answers.iter().filter(|record| record.name == at);
            let addresses = owned().filter_map(|record| {
                let ip = match &record.data {
                    RData::A(a) => IpAddr::V4(a.0),
                    RData::AAAA(aaaa) => IpAddr::V6(aaaa.0),
                    _ => return None,
                };
                Some((ip, record.ttl))
            });
            for (ip, ttl) in addresses {
                self.addresses.insert(ip);
                self.ttl = self.ttl.min(ttl);
            }
            let alias = owned().find_map(|record| match &record.data {
                RData::CNAME(target) => Some((target.0.clone(), record.ttl)),
                _ => None,
            });
            let Some((target, ttl)) = alias else { break };
            self.ttl = self.ttl.min(ttl);
            at = target;
        }
        at
    }
}

/// A name of the message library's as ours.
fn own(name: &AskedName) -> Option<Name> {
    Name::from_wire(&name.to_bytes().ok()?).ok()
}

fn as_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

fn as_v6(ip: IpAddr) -> Option<std::net::Ipv6Addr> {
    match ip {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    }
}
