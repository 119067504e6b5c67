//! ★ `answer(world, query, client, dice)` → bytes in place.
//!
//! This file is the door: what is no query, what is never looked up, whose zone it is.
//! [`answering`] is RFC 1034 §4.3.2 in that zone; [`steer`] finds steered answers, [`referral`]
//! says whose a delegated name is, [`negative`] what is not there, [`signed`] adds signatures and
//! proofs. No I/O, no clock, no
//! allocation, no lock; whatever a packet holds, it becomes a reply, one rcode or silence. Must
//! not know sockets, files or who changed what.

mod answering;
mod negative;
mod referral;
mod signed;
pub mod steer;

use crate::{
    clock::Dice,
    telemetry::{DropReason, Tally, ThreadCounters, Via},
    wire::{
        QName, Query, Reply, TCP_MAX, UDP_MIN,
        types::{Ede, Rclass, Rcode, Rtype},
    },
    world::World,
};
use answering::{Answering, Chain, Unanswered};
use std::{net::IpAddr, sync::Arc};
use steer::Client;

/// Length of a message's header (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// TC as it stands in the third byte of a message.
const TC_IN_BYTE_2: u8 = 0x02;
/// The lower four bits of the rcode, in the fourth.
const RCODE_IN_BYTE_3: u8 = 0x0f;

/// What a thread needs to answer: scratch space, dice and its counters. One a thread.
#[derive(Debug)]
pub struct Desk {
    query: Query,
    /// The name being answered and the one it leads to, once a chain has left the question's.
    names: [QName; 2],
    dice: Dice,
    counters: Arc<ThreadCounters>,
}

impl Desk {
    /// A desk whose dice were seeded with `seed`.
    pub fn new(seed: u64, counters: Arc<ThreadCounters>) -> Desk {
        let (query, names) = (Query::default(), [QName::default(), QName::default()]);
        Desk { query, names, dice: Dice::seeded(seed), counters }
    }

    /// Answers the packet in `buf[..len]`, which came from `from`, in place; returns the reply's
    /// length, 0 for silence.
    ///
    /// # Panics
    /// When `buf` is shorter than `len`, or than 512 bytes, the least that DNS allows a reply.
    /// To be of use it is 1,232 bytes long for UDP and 65,535 for TCP.
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
                None if len < HEADER => return self.silence(DropReason::Short),
                None => return self.silence(DropReason::Response),
            },
        };
        if len > 0 {
            self.counters.count(Tally::Response(via, rcode));
            if buf[2] & TC_IN_BYTE_2 != 0 {
                self.counters.count(Tally::Truncated);
            }
        }
        len
    }

    /// Answers the query that was read from `buf`.
    fn reply(&mut self, world: &World, buf: &mut [u8], from: IpAddr, via: Via) -> usize {
        let query = &self.query;
        if query.edns.is_some_and(|edns| edns.ecs.is_some()) {
            self.counters.count(Tally::Ecs);
        }
        if let Some((rcode, why)) = never_looked_up(query) {
            return refuse(buf, query, rcode, why);
        }
        let Some(id) = world.snapshot.apexes.closest(&query.name, query.qtype) else {
            return refuse(buf, query, Rcode::REFUSED, Ede::NOT_AUTHORITATIVE);
        };
        let entry = world.snapshot.zone(id);
        let Some(zone) = &entry.zone else {
            return refuse(buf, query, Rcode::SERVFAIL, Ede::NOT_READY);
        };
        let limit = match via {
            Via::Udp => query.udp_limit(),
            Via::Tcp => TCP_MAX,
        };
        let mut reply = Reply::begin(buf, query, limit);
        let mut answering = Answering {
            world,
            id,
            zone,
            records: entry.records.start,
            query,
            client: Client::behind(query, from),
            dice: &mut self.dice,
            reply: &mut reply,
            chain: Chain::default(),
            expanded: false,
            pending: Default::default(),
            leading: None,
            scope: 0,
            counter: None,
        };
        let wrote = answering.run(&mut self.names);
        let (scope, counter) = (answering.scope, answering.counter);
        drop(answering);
        match wrote {
            Ok(()) => {}
            Err(Unanswered::Full) => reply.truncate(),
            Err(Unanswered::NotYet) => return self.silence(DropReason::Other),
        }
        if let Some(slot) = counter {
            self.counters.answer(slot);
        }
        reply.set_scope(scope);
        reply.finish()
    }

    fn silence(&self, why: DropReason) -> usize {
        self.counters.count(Tally::Dropped(why));
        0
    }
}

/// Classes and types that are never looked up, and what is said instead.
fn never_looked_up(query: &Query) -> Option<(Rcode, Ede)> {
    if query.qclass != Rclass::IN {
        // We hold class IN only, and ANY as a class is no way around it (RFC 1035 §3.2.4).
        return Some((Rcode::REFUSED, Ede::NOT_AUTHORITATIVE));
    }
    match query.qtype {
        Rtype::ANY => None,
        // Transfers come with a later version.
        Rtype::AXFR | Rtype::IXFR => Some((Rcode::REFUSED, Ede::NOT_SUPPORTED)),
        Rtype::MAILA | Rtype::MAILB => Some((Rcode::NOTIMP, Ede::NOT_SUPPORTED)),
        // Meta types stand for no data (RFC 6895 §3.1), OPT and NXNAME among them.
        Rtype::OPT | Rtype(128..=255) => Some((Rcode::FORMERR, Ede::INVALID_QUERY_TYPE)),
        _ => None,
    }
}

/// Writes a whole reply that holds no records.
fn refuse(buf: &mut [u8], query: &Query, rcode: Rcode, why: Ede) -> usize {
    let mut reply = Reply::begin(buf, query, UDP_MIN);
    reply.set_rcode(rcode);
    reply.set_extended_error(why);
    reply.finish()
}

#[cfg(test)]
mod tests;
