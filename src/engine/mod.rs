//! ★ `answer(world, query, client, dice)` → bytes in place.
//!
//! Reads like RFC 1034 §4.3.2: parse, find the zone, find the name, write what it owns or why
//! there is nothing. No I/O, no clock, no allocation, no lock; whatever a packet holds, it
//! becomes a reply, one rcode or silence. [`steer`] finds steered answers, [`negative`] writes
//! what is not there. Must not know sockets, files or who changed what.

mod negative;
mod rrsets;
pub mod steer;

use crate::{
    clock::Dice,
    ids::CounterSlot,
    telemetry::{DropReason, Tally, ThreadCounters, Via},
    units::Ttl,
    wire::{
        Full, Owner, QName, Query, Reply, Section, TCP_MAX,
        types::{Ede, Rclass, Rcode, Rtype},
    },
    world::World,
    zone::{Lookup, Node, Zone},
};
use std::{net::IpAddr, sync::Arc};
use steer::{Client, Steered, steer, steers};

/// Links of one CNAME or DNAME chain that are followed; what is behind is for the resolver to
/// ask. gdnsd and NSD stop at similar lengths.
const CHAIN_MAX: usize = 16;

/// What a thread needs to answer: scratch space, dice and its counters. One a thread.
#[derive(Debug)]
pub struct Desk {
    query: Query,
    /// The name being answered, once a chain has left the question's.
    name: QName,
    dice: Dice,
    counters: Arc<ThreadCounters>,
}

impl Desk {
    /// A desk whose dice were seeded with `seed`.
    pub fn new(seed: u64, counters: Arc<ThreadCounters>) -> Desk {
        let (query, name) = (Query::default(), QName::default());
        Desk { query, name, dice: Dice::seeded(seed), counters }
    }

    /// Answers the packet in `buf[..len]` in place; returns the reply's length, 0 for silence.
    /// `buf` is at least 512 bytes long, 1,232 for UDP to be of use.
    pub fn answer(
        &mut self,
        world: &World,
        buf: &mut [u8],
        len: usize,
        from: IpAddr,
        via: Via,
    ) -> usize {
        let (len, rcode) = match self.query.parse(&buf[..len]) {
            Ok(()) => {
                let len = self.reply(world, buf, from, via);
                (len, u16::from(buf[3] & RCODE_IN_BYTE_3))
            }
            Err(reject) => match reject.rcode() {
                Some(rcode) => (Reply::error(buf, &self.query, rcode), rcode.0),
                None => {
                    let short = len < HEADER;
                    let why = if short { DropReason::Short } else { DropReason::Response };
                    self.counters.count(Tally::Dropped(why));
                    return 0;
                }
            },
        };
        if len == 0 {
            self.counters.count(Tally::Dropped(DropReason::Other));
            return 0;
        }
        self.counters.count(Tally::Response(via, rcode));
        if buf[2] & TC_IN_BYTE_2 != 0 {
            self.counters.count(Tally::Truncated);
        }
        len
    }

    fn reply(&mut self, world: &World, buf: &mut [u8], from: IpAddr, via: Via) -> usize {
        let query = &self.query;
        if query.edns.is_some_and(|edns| edns.ecs.is_some()) {
            self.counters.count(Tally::Ecs);
        }
        if let Some(rcode) = not_looked_up(query) {
            return Reply::error(buf, query, rcode);
        }
        let snapshot = &*world.snapshot;
        let Some(id) = snapshot.apexes.closest(&query.name, query.qtype) else {
            return refuse(buf, query, Rcode::REFUSED, Ede::NOT_AUTHORITATIVE);
        };
        let entry = snapshot.zone(id);
        let Some(zone) = &entry.zone else {
            return refuse(buf, query, Rcode::SERVFAIL, Ede::NOT_READY);
        };
        let limit = match via {
            Via::Udp => query.udp_limit(),
            Via::Tcp => TCP_MAX,
        };
        let mut answering = Answering {
            world,
            zone,
            first_record: entry.records.start,
            query,
            client: Client::new(from, query),
            dice: &mut self.dice,
            reply: Reply::begin(buf, query, limit),
            scope: 0,
            counted: None,
        };
        let wrote = answering.run(&mut self.name);
        let (scope, counted) = (answering.scope, answering.counted);
        let mut reply = answering.reply;
        match wrote {
            Ok(()) => reply.set_scope(scope),
            Err(Unanswered::Full) => {
                reply.truncate();
                reply.set_scope(scope);
            }
            Err(Unanswered::NotYet) => return 0,
        }
        if let Some(slot) = counted {
            self.counters.answer(slot);
        }
        reply.finish()
    }
}

/// Length of a message's header (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// TC as it stands in the third byte of a message.
const TC_IN_BYTE_2: u8 = 0x02;
/// The lower four bits of the rcode, in the fourth.
const RCODE_IN_BYTE_3: u8 = 0x0f;

/// Why a query got no whole answer.
#[derive(Clone, Copy, Debug)]
enum Unanswered {
    /// What it needs does not fit: truncate.
    Full,
    /// The name is steered, and the first results of health checks are still awaited. Silence
    /// makes the resolver ask again; an error would be remembered.
    NotYet,
}

impl From<Full> for Unanswered {
    fn from(_: Full) -> Self {
        Unanswered::Full
    }
}

/// Classes and types that are never looked up.
fn not_looked_up(query: &Query) -> Option<Rcode> {
    match (query.qclass, query.qtype) {
        // We hold class IN only; ANY as a class is not a way around it (RFC 1035 §3.2.4).
        (class, _) if class != Rclass::IN => Some(Rcode::REFUSED),
        // Transfers come with a later version.
        (_, Rtype::AXFR | Rtype::IXFR) => Some(Rcode::REFUSED),
        // OPT is no question (RFC 6891 §6.1.1).
        (_, Rtype::OPT) => Some(Rcode::FORMERR),
        _ => None,
    }
}

fn refuse(buf: &mut [u8], query: &Query, rcode: Rcode, why: Ede) -> usize {
    let mut reply = Reply::begin(buf, query, crate::wire::UDP_MIN);
    reply.set_rcode(rcode);
    reply.set_extended_error(why);
    reply.finish()
}

/// One query on its way through one zone.
struct Answering<'q, 'b> {
    world: &'q World,
    zone: &'q Zone,
    first_record: u32,
    query: &'q Query,
    client: Client,
    dice: &'q mut Dice,
    reply: Reply<'b>,
    /// The longest scope of what was steered on the way.
    scope: u8,
    counted: Option<CounterSlot>,
}

/// What follows a name.
enum Next {
    /// Nothing: the reply is complete.
    Done,
    /// The name in the scratch space: a CNAME or DNAME led there.
    Follow,
}

impl<'q> Answering<'q, '_> {
    /// Writes the answer; `scratch` holds the names a chain leads to.
    fn run(&mut self, scratch: &mut QName) -> Result<(), Unanswered> {
        self.reply.enter_zone(self.zone.apex().as_wire());
        let query = self.query;
        let mut next = self.name(&query.name, scratch)?;
        for _ in 0..CHAIN_MAX {
            if matches!(next, Next::Done) || !self.is_ours(scratch) {
                break;
            }
            self.reply.follow(scratch)?;
            self.reply.enter_zone(self.zone.apex().as_wire());
            let name = scratch.clone();
            next = self.name(&name, scratch)?;
        }
        Ok(())
    }

    /// Whether `name` is at or below this zone's apex and no closer zone has it.
    fn is_ours(&self, name: &QName) -> bool {
        let apexes = &self.world.snapshot.apexes;
        let closest = apexes.closest(name, self.query.qtype);
        closest.is_some_and(|id| self.world.snapshot.zone(id).apex == *self.zone.apex())
    }

    /// Answers for `name`.
    fn name(&mut self, name: &QName, scratch: &mut QName) -> Result<Next, Unanswered> {
        match self.zone.lookup(name) {
            // The parent's side of a cut holds the DS (RFC 4035 §3.1.4.1).
            Lookup::Delegation { cut, at_cut: true } if self.query.qtype == Rtype::DS => {
                self.reply.set_authoritative();
                self.owned(cut, scratch)
            }
            Lookup::Delegation { cut, .. } => self.referral(name, cut),
            found => {
                self.reply.set_authoritative();
                match found {
                    Lookup::Node { node, .. } => self.node(node, scratch),
                    Lookup::Dname { node, labels } => self.dname(name, node, labels, scratch),
                    Lookup::NxDomain | Lookup::Delegation { .. } => self.nxdomain(),
                }
            }
        }
    }

    /// What the name is given: by steering, where it is steered, else from the zone.
    fn node(&mut self, node: Node<'q>, scratch: &mut QName) -> Result<Next, Unanswered> {
        let qtype = self.query.qtype;
        if let Some(steered) = node.steered() {
            let record = &self.world.snapshot.records[(self.first_record + steered.index) as usize];
            if steers(self.world.snapshot.plan(record.plan), qtype) {
                if self.world.warming {
                    return Err(Unanswered::NotYet);
                }
                let answer = steer(self.world, record, qtype, &self.client, self.dice);
                return self.steered(answer, scratch);
            }
        }
        self.owned(node, scratch)
    }

    /// What the name owns: an RRset, a CNAME, or nothing of that type.
    fn owned(&mut self, node: Node<'q>, scratch: &mut QName) -> Result<Next, Unanswered> {
        let qtype = self.query.qtype;
        if qtype == Rtype::ANY {
            // One RRset, no more (RFC 8482 §4.1).
            if let Some(rrset) = node.rrsets().first() {
                self.reply.records(Section::Answer, Owner::Current, rrset.ttl, &rrset.rdatas)?;
                return Ok(Next::Done);
            }
        }
        if let Some(rrset) = node.rrset(qtype) {
            self.reply.records(Section::Answer, Owner::Current, rrset.ttl, &rrset.rdatas)?;
            self.additional(rrset)?;
            return Ok(Next::Done);
        }
        match node.rrset(Rtype::CNAME) {
            Some(rrset) => {
                self.reply.records(Section::Answer, Owner::Current, rrset.ttl, &rrset.rdatas)?;
                Ok(match rrset.rdatas.read_target(self.zone.apex().as_wire(), scratch) {
                    Ok(()) => Next::Follow,
                    Err(_) => Next::Done,
                })
            }
            None => self.nodata(None),
        }
    }

    fn steered(&mut self, answer: Steered<'q>, scratch: &mut QName) -> Result<Next, Unanswered> {
        self.scope = self.scope.max(answer.scope);
        self.counted = self.counted.or(answer.counter);
        let Some(rdatas) = &answer.variant.rdatas else { return self.nodata(Some(answer.ttl)) };
        self.reply.records(Section::Answer, Owner::Current, answer.ttl, rdatas)?;
        let leads_on = rdatas.rtype() == Rtype::CNAME
            && !matches!(self.query.qtype, Rtype::CNAME | Rtype::ANY);
        Ok(match leads_on && rdatas.read_target(&[0], scratch).is_ok() {
            true => Next::Follow,
            false => Next::Done,
        })
    }

    /// DNAME and the CNAME made from it (RFC 6672 §3.1).
    fn dname(
        &mut self,
        name: &QName,
        node: Node<'q>,
        labels: usize,
        scratch: &mut QName,
    ) -> Result<Next, Unanswered> {
        let Some(rrset) = node.rrset(Rtype::DNAME) else { return self.nodata(None) };
        let owner = Owner::Ancestor(name.suffix(labels));
        self.reply.records(Section::Answer, owner, rrset.ttl, &rrset.rdatas)?;
        let mut target = QName::default();
        if rrset.rdatas.read_target(self.zone.apex().as_wire(), &mut target).is_err() {
            return Ok(Next::Done);
        }
        scratch.clone_from(name);
        if scratch.replace_suffix(labels, target.wire()).is_err() {
            // The name would be too long (RFC 6672 §2.2).
            self.reply.set_rcode(Rcode::YXDOMAIN);
            return Ok(Next::Done);
        }
        self.reply.synthesize_cname(rrset.ttl, scratch)?;
        Ok(match self.query.qtype {
            Rtype::CNAME | Rtype::ANY => Next::Done,
            _ => Next::Follow,
        })
    }
}

/// How long "there is nothing" may be kept: the SOA's word, or less where steering says so.
fn negative_ttl(zone: &Zone, steered: Option<Ttl>) -> Ttl {
    let said = zone.negative_ttl();
    steered.map_or(said, |ttl| ttl.min(said))
}
