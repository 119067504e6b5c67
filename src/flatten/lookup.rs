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
    policy::tree::{EndpointTarget, LEAVES_MAX},
    snapshot::SlotAddress,
    telemetry::Telemetry,
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
    cell::Cell,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// How long one question waits for its reply; it is put three times.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Replies that one lookup follows from zone to zone, and aliases within one reply.
const HOPS_MAX: usize = 16;
/// Names looked at for a loop: all that one tree may have, and as many on the way to them.
const LOOP_MAX: usize = 2 * LEAVES_MAX;

/// What came of a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Addresses; those of a family that could not be asked for are left open, for this reason.
    Found { looked: Looked, failed: Option<Arc<str>> },
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
    /// The one that answered last, which is asked first.
    pub answered: Cell<Option<SocketAddr>>,
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
        let failed = families.iter().find_map(|family| match family {
            Err(Outcome::Failed(why)) => Some(Arc::clone(why)),
            _ => None,
        });
        // A chain may come back from others' zones.
        let names = families.iter().flatten().flat_map(|family| &family.names);
        if names.filter_map(own).any(|on_the_way| self.leads_to(&on_the_way, name)) {
            return is_loop();
        }
        let ttl = families.iter().flatten().filter(|family| !family.addresses.is_empty());
        let Some(ttl) = ttl.map(|family| family.ttl).min() else {
            return Outcome::Failed(failed.unwrap_or_else(|| "it has no addresses".into()));
        };
        let [v4, v6] = families.map(|family| family.ok().map(|family| family.addresses));
        let v4 = v4.map(|all| all.into_iter().filter_map(as_v4).take(FOUND_MAX).collect());
        let v6 = v6.map(|all| all.into_iter().filter_map(as_v6).take(FOUND_MAX).collect());
        Outcome::Found { looked: Looked { v4, v6, ttl: Ttl::from_secs(ttl) }, failed }
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
        let len = desk.answer_ourselves(&self.world, &mut buf, query.len());
        if len == 0 && self.world.warming {
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
        let mut resolvers: Vec<SocketAddr> = match self.resolvers.is_empty() {
            true => dns::system_resolvers().map(|ip| SocketAddr::new(ip, dns::PORT)).collect(),
            false => self.resolvers.clone(),
        };
        put_first(&mut resolvers, self.answered.get());
        let mut seeds = Dice::seeded(self.seed);
        let mut why = format!("no nameserver in {}", dns::RESOLV_CONF);
        for resolver in resolvers {
            let mut client = Client::new(&*self.clock, resolver, TIMEOUT, seeds.roll());
            why = match client.ask(question, Transport::Udp) {
                Ok(reply) => match reply.message.metadata.response_code {
                    ResponseCode::NoError | ResponseCode::NXDomain => {
                        self.answered.set(Some(resolver));
                        return Ok(reply.message);
                    }
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
                is_sendable(ip).then_some((ip, record.ttl))
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

/// Puts the resolver that answered last first: one that is silent is not waited for each time.
fn put_first(resolvers: &mut [SocketAddr], answered: Option<SocketAddr>) {
    resolvers.sort_by_key(|resolver| Some(*resolver) != answered);
}

/// What `look_up` comes to; a fault of ours is a failure, and its name is due again.
pub(super) fn guarded(look_up: impl FnOnce() -> Outcome) -> Outcome {
    let outcome = catch_unwind(AssertUnwindSafe(look_up));
    outcome.unwrap_or_else(|_| Outcome::failed("a fault in tradewind itself"))
}

/// A name of the message library's as ours.
fn own(name: &AskedName) -> Option<Name> {
    Name::from_wire(&name.to_bytes().ok()?).ok()
}

/// Whether an address can be another's at all: the others would be whoever asks, or a whole link.
fn is_sendable(ip: IpAddr) -> bool {
    let is_link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(ip.is_unspecified() || ip.is_multicast() || is_link_local)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure() {
        let Outcome::Failed(why) = guarded(|| panic!("on purpose")) else { panic!("it went well") };
        assert!(why.contains("a fault in tradewind itself"), "{why}");
    }

    #[test]
    fn who_answered_last_is_asked_first() {
        let all: [SocketAddr; 3] = [1, 2, 3].map(|n| ([192, 0, 2, n], 53).into());
        let mut resolvers = all;
        put_first(&mut resolvers, Some(all[1]));
        assert_eq!(resolvers, [all[1], all[0], all[2]]);
        put_first(&mut resolvers, Some(([192, 0, 2, 9], 53).into()));
        assert_eq!(resolvers, [all[1], all[0], all[2]], "it is in the files no more");
    }

    #[test]
    fn nobody_is_sent_to_a_link_or_to_nowhere() {
        let is = |text: &str| is_sendable(text.parse().unwrap());
        for text in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "169.254.1.1", "fe80::1"] {
            assert!(!is(text), "{text}");
        }
        assert!(is("127.0.0.1") && is("192.0.2.1") && is("2001:db8::1"));
    }
}
