//! Asks the parent and every listed server, all at once, over UDP and TCP.

use super::{
    DelegationFacts,
    judge::{self, Finding, ParentSays, Said, ServerSays, ServerSeen},
};
use crate::{
    clock::Clock,
    dns::{
        AskError, Client, PORT, Question, RESOLV_CONF, Transport, random_seed, system_resolvers,
    },
};
use hickory_proto::{
    op::Message,
    rr::{Name, RData, Record, RecordType},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    thread,
    time::Duration,
};

const BOTH: [Transport; 2] = [Transport::Udp, Transport::Tcp];

/// One verification.
#[derive(Clone, Copy)]
pub(super) struct Verifier<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) facts: &'a DelegationFacts,
    /// A server of the parent zone, where the operator names one.
    pub(super) parent: Option<SocketAddr>,
    /// The listed servers' port.
    pub(super) port: u16,
    pub(super) timeout: Duration,
}

impl Verifier<'_> {
    /// Everything that is wrong, the parent's faults first.
    pub(super) fn findings(self) -> Vec<Finding> {
        let (targets, mut unknown) = self.targets();
        thread::scope(|scope| {
            let parent = scope.spawn(move || self.judge_parent());
            let servers: Vec<_> = targets
                .iter()
                .map(|(name, address)| scope.spawn(move || self.see_server(name, *address)))
                .collect();
            let seen: Vec<_> = servers.into_iter().map(join).collect();
            let mut findings = join(parent);
            findings.append(&mut unknown);
            findings.extend(judge::servers(self.facts, &seen));
            findings
        })
    }

    /// Every address of every listed server; those of servers outside the zone are looked up
    /// where the files do not have them.
    fn targets(&self) -> (Vec<(Name, SocketAddr)>, Vec<Finding>) {
        let (mut targets, mut unknown) = (Vec::new(), Vec::new());
        for (name, addresses) in &self.facts.ns {
            let mut found: Vec<_> = addresses.iter().map(|ip| (*ip, self.port).into()).collect();
            if found.is_empty() && !self.facts.needs_glue(name) {
                found = look_up(name, self.port).unwrap_or_default();
            }
            if found.is_empty() {
                unknown.push(Finding {
                    about: name.to_ascii(),
                    problem: "has no address".to_owned(),
                    hint: Some("give it A or AAAA records in the zone it belongs to"),
                });
            }
            targets.extend(found.into_iter().map(|address| (name.clone(), address)));
        }
        (targets, unknown)
    }

    fn judge_parent(self) -> Vec<Finding> {
        let address = match self.parent.map_or_else(|| self.find_parent(), Ok) {
            Ok(address) => address,
            Err(problem) => {
                return vec![Finding {
                    about: "parent".to_owned(),
                    problem,
                    hint: Some("--parent ADDR says whom to ask"),
                }];
            }
        };
        let mut client = self.client(address);
        let said = BOTH.map(|transport| {
            let says = self.ask_parent(&mut client, transport);
            (transport, says.map_err(|e| e.to_string()))
        });
        judge::parent(self.facts, address, &said)
    }

    fn ask_parent(
        self,
        client: &mut Client<'_>,
        transport: Transport,
    ) -> Result<ParentSays, AskError> {
        let zone = &self.facts.zone;
        let reply = client.ask(&Question::new(zone.clone(), RecordType::NS), transport)?;
        let mut says = parent_says(&reply.message);
        if reply.message.metadata.authoritative {
            // Not a referral: it serves our zone, so it must be asked whether another as well.
            let above = Question::new(zone.base_name(), RecordType::SOA);
            let above = client.ask(&above, transport)?.message;
            says.is_above = above.metadata.authoritative;
        }
        Ok(says)
    }

    fn see_server(self, name: &Name, address: SocketAddr) -> ServerSeen {
        let mut client = self.client(address);
        let said: Said<ServerSays> = BOTH.map(|transport| {
            let says = self.ask_server(&mut client, transport);
            (transport, says.map_err(|e| e.to_string()))
        });
        let name = name.clone();
        ServerSeen { name, address, said }
    }

    fn ask_server(
        self,
        client: &mut Client<'_>,
        transport: Transport,
    ) -> Result<ServerSays, AskError> {
        let mut ask = |rtype| {
            let question = Question::new(self.facts.zone.clone(), rtype);
            client.ask(&question, transport)
        };
        let (soa, ns) = (ask(RecordType::SOA)?.message, ask(RecordType::NS)?.message);
        let serial = owned_by(&self.facts.zone, &soa.answers).find_map(|data| match data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        });
        Ok(ServerSays {
            rcode: soa.metadata.response_code,
            authoritative: soa.metadata.authoritative,
            serial,
            ns: ns_names(owned_by(&self.facts.zone, &ns.answers)),
        })
    }

    fn client(&self, server: SocketAddr) -> Client<'_> {
        Client::new(self.clock, server, self.timeout, random_seed())
    }

    /// A server of the zone above ours, through the system's resolver.
    fn find_parent(&self) -> Result<SocketAddr, String> {
        let resolver = system_resolvers()
            .next()
            .ok_or_else(|| format!("cannot be looked up: no nameserver in {RESOLV_CONF}"))?;
        let mut client = self.client((resolver, PORT).into());
        let mut ask = |name: &Name, rtype| {
            let mut question = Question::new(name.clone(), rtype);
            question.recurse = true;
            client
                .ask(&question, Transport::Udp)
                .map(|reply| reply.message)
                .map_err(|e| format!("cannot be looked up: resolver {resolver}: {e}"))
        };
        let above = self.facts.zone.base_name();
        let zone = enclosing_zone(&ask(&above, RecordType::SOA)?)
            .ok_or_else(|| format!("cannot be looked up: no zone holds {}", above.to_ascii()))?;
        let servers = ask(&zone, RecordType::NS)?;
        let servers = ns_names(owned_by(&zone, &servers.answers));
        servers.iter().find_map(|server| look_up(server, PORT)?.into_iter().next()).ok_or_else(
            || format!("cannot be looked up: no server of {} has an address", zone.to_ascii()),
        )
    }
}

/// A thread's result; one that panicked takes us with it.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The addresses the system knows for `name`.
fn look_up(name: &Name, port: u16) -> Option<Vec<SocketAddr>> {
    let found = (name.to_ascii(), port).to_socket_addrs().ok()?;
    Some(found.collect())
}

/// The owner of the SOA record in an answer or a negative answer (RFC 2308 §2).
fn enclosing_zone(reply: &Message) -> Option<Name> {
    let records = reply.answers.iter().chain(&reply.authorities);
    let mut zones = records.filter(|record| record.record_type() == RecordType::SOA);
    Some(zones.next()?.name.clone())
}

fn owned_by<'a>(owner: &Name, records: &'a [Record]) -> impl Iterator<Item = &'a RData> {
    let owned = records.iter().filter(move |record| record.name == *owner);
    owned.map(|record| &record.data)
}

fn ns_names<'a>(data: impl Iterator<Item = &'a RData>) -> BTreeSet<Name> {
    data.filter_map(|data| match data {
        RData::NS(name) => Some(name.0.clone()),
        _ => None,
    })
    .collect()
}

/// A referral, or the answer of a server that serves both zones.
fn parent_says(message: &Message) -> ParentSays {
    let section = match message.answers.is_empty() {
        true => &message.authorities,
        false => &message.answers,
    };
    let cut = section.iter().find(|record| record.record_type() == RecordType::NS);
    let cut = cut.map(|record| record.name.clone());
    let mut glue: BTreeMap<_, BTreeSet<IpAddr>> = BTreeMap::new();
    for record in &message.additionals {
        if let Some(address) = record.data.ip_addr() {
            glue.entry(record.name.clone()).or_default().insert(address);
        }
    }
    ParentSays {
        rcode: message.metadata.response_code,
        is_above: true,
        ns: cut.iter().flat_map(|cut| ns_names(owned_by(cut, section))).collect(),
        cut,
        glue,
    }
}
