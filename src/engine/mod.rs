//! ★ `answer(world, query, client, dice)` → bytes in place.
//!
//! This file is the door: what is no query, what is never looked up, whose zone it is.
//! [`guarding`] is who gets in and how much a stranger is told, [`chaos`] what we tell of
//! ourselves; [`answering`] is RFC 1034 §4.3.2 in a zone; [`steer`] finds steered answers,
//! [`referral`] says whose a delegated name is, [`negative`] what is not there, [`signed`] adds
//! signatures and proofs; [`sampled`] tells control of one answer in so many. [`ahead`] asks for
//! the memory that packets will look at before it is their turn. No I/O, no clock, no allocation, no
//! lock; whatever a packet holds, it becomes a reply, one rcode or silence. Must not know sockets,
//! files or who changed what.

// Whatever a packet holds, nothing here panics: what could is not written, or says at its place
// which fact keeps it from it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ahead;
mod answering;
mod chaos;
mod guarding;
mod negative;
mod referral;
mod sampled;
mod signed;
pub mod steer;

use crate::{
    clock::{Dice, Reading},
    guard::{
        Guard,
        access::Access,
        cookie::{OwnSecrets, Standing},
    },
    ids::{MapId, ZoneId},
    telemetry::{Counted, DropReason, Tally, ThreadCounters, Via},
    wire::{
        IdleTime, Keepalive, Options, QName, Query, Reject, Reply, TCP_MAX, UDP_MIN,
        types::{Ede, Rclass, Rcode, Rtype},
    },
    world::World,
};
pub use ahead::AHEAD;
use ahead::Foreseen;
use answering::{Answering, Chain, Unanswered};
use guarding::Subject;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};
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
    guard: Arc<Guard>,
    /// What cookies are made with where the operator gave no secret.
    own_secrets: OwnSecrets,
    time: Reading,
    /// The zone of the last answer, which is likely to be that of the next.
    last_zone: ZoneId,
    /// The map that the last client was looked up in.
    last_map: Option<MapId>,
    foreseen: Foreseen,
    /// What clients of streams are told who ask how long they may be idle.
    idle: IdleTime,
    /// What counted the last answer that something counted.
    counted: Option<Counted>,
}

/// Where a packet came from, and how.
#[derive(Clone, Copy)]
struct Sender {
    from: IpAddr,
    via: Via,
    access: Access,
}

impl Desk {
    /// A desk by itself, whose dice and secrets were seeded with `seed`.
    pub fn new(seed: u64, counters: Arc<ThreadCounters>) -> Desk {
        let half = u128::from(seed).to_le_bytes();
        Desk::beside(Arc::new(Guard::new([half; 2])), seed, counters)
    }

    /// A desk beside others of one server, which share `guard`.
    pub fn beside(guard: Arc<Guard>, seed: u64, counters: Arc<ThreadCounters>) -> Desk {
        let (query, names) = (Query::default(), [QName::default(), QName::default()]);
        let (dice, time, idle) = (Dice::seeded(seed), Reading::default(), IdleTime::default());
        let own_secrets = guard.own_secrets(time.now);
        Desk {
            query,
            names,
            dice,
            counters,
            guard,
            own_secrets,
            time,
            last_zone: ZoneId(0),
            last_map: None,
            foreseen: Foreseen::default(),
            idle,
            counted: None,
        }
    }

    /// From here on clients of streams who ask are told to be idle no longer than `limit`.
    pub fn tell_idle(&mut self, limit: Duration) {
        self.idle = IdleTime::within(limit);
    }

    /// Says what time it is; once for many packets.
    pub fn set_time(&mut self, time: Reading) {
        self.time = time;
        if !self.own_secrets.last(time.now) {
            self.own_secrets = self.guard.own_secrets(time.now);
        }
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
        let sender = Sender { from, via, access: world.snapshot.guard.access(from) };
        self.answer_to(world, buf, len, sender)
    }

    /// The same for a question of our own: as to a client nobody can place, whatever the files say
    /// of who may ask. Returns 0 as well while first results are awaited.
    pub fn answer_ourselves(&mut self, world: &World, buf: &mut [u8], len: usize) -> usize {
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.answer_to(world, buf, len, Sender { from, via: Via::Tcp, access: Access::Allow })
    }

    #[inline(always)] // So that who sends stays in registers; `answer_ourselves` is seldom called.
    fn answer_to(&mut self, world: &World, buf: &mut [u8], len: usize, sender: Sender) -> usize {
        let via = sender.via;
        if sender.access == Access::Drop {
            return self.silence(DropReason::Access);
        }
        #[expect(clippy::indexing_slicing, reason = "`len` bytes of it are the packet")]
        let packet = &buf[..len];
        let (len, rcode) = match self.read(packet, via) {
            Ok(()) => self.reply(world, buf, len, sender),
            Err(reject) => match reject.rcode() {
                Some(rcode) if self.owes_error(world, sender) => {
                    let denied = sender.access == Access::Deny;
                    let rcode = if denied { Rcode::REFUSED } else { rcode };
                    (Reply::error(buf, &self.query, rcode), rcode.0)
                }
                Some(_) => return self.silence(DropReason::ErrorLimited),
                None if len < HEADER => return self.silence(DropReason::Short),
                None => return self.silence(DropReason::Response),
            },
        };
        if len > 0 {
            self.counters.count(Tally::Response(via, rcode));
            if buf.get(2).is_some_and(|flags| flags & TC_IN_BYTE_2 != 0) {
                self.counters.count(Tally::Truncated);
            }
        }
        len
    }

    /// Reads the packet; a time in the keepalive option of a query is malformed, but over UDP the
    /// option is ignored whatever it holds (RFC 7828 §3.2.1, §3.3.1).
    fn read(&mut self, packet: &[u8], via: Via) -> Result<(), Reject> {
        self.query.parse(packet)?;
        match self.query.edns.as_ref().and_then(|edns| edns.keepalive) {
            Some(Keepalive::Malformed) if via == Via::Tcp => Err(Reject::FormErr),
            _ => Ok(()),
        }
    }

    /// Answers the query that was read from `buf[..query_len]`, as far as its sender may be told;
    /// returns the reply's length and rcode.
    fn reply(
        &mut self,
        world: &World,
        buf: &mut [u8],
        query_len: usize,
        sender: Sender,
    ) -> (usize, u16) {
        let mut options = Options::NONE;
        let cookie = self.greet(world, sender, &mut options);
        let mut subject = Subject::default();
        let (len, rcode) = match self.turned_away(world, sender, cookie) {
            Some((rcode, why)) => (refuse(buf, &self.query, &options, rcode, why), rcode.0),
            None => {
                let len = self.look_up(world, buf, &options, sender, &mut subject);
                (len, buf.get(3).map_or(0, |flags| u16::from(flags & RCODE_IN_BYTE_3)))
            }
        };
        let is_known = sender.via == Via::Tcp || matches!(cookie, Some(Standing::Valid { .. }));
        #[expect(clippy::indexing_slicing, reason = "`len` bytes of it are the reply")]
        let written = &buf[..len];
        if is_known || self.may_tell(world, written, query_len, sender.from, &subject) {
            if let Some(counted) = subject.counted {
                self.counters.answer(counted);
                self.counted = subject.counted;
            }
            return (len, rcode);
        }
        (self.tell_less(world, buf, &options), Rcode::NOERROR.0)
    }

    /// Why the query is never looked up, and what is said instead, if it is not.
    #[inline]
    fn turned_away(
        &self,
        world: &World,
        sender: Sender,
        cookie: Option<Standing>,
    ) -> Option<(Rcode, Option<Ede>)> {
        if sender.access == Access::Deny {
            return Some((Rcode::REFUSED, Some(Ede::PROHIBITED)));
        }
        if !self.query.has_question() {
            // It is here because of its cookie, which is all it gets: one of ours, or to know
            // whether the one it has is still good (RFC 7873 §5.4).
            let rcode = match cookie {
                None => Rcode::FORMERR,
                Some(Standing::Invalid) => Rcode::BADCOOKIE,
                Some(Standing::New | Standing::Valid { .. }) => Rcode::NOERROR,
            };
            return Some((rcode, None));
        }
        if let Some(standing) = cookie
            && lacks_cookie(world, sender.via, standing)
        {
            return Some((Rcode::BADCOOKIE, None));
        }
        never_looked_up(&self.query).map(|(rcode, why)| (rcode, Some(why)))
    }

    /// Finds the answer and writes it; returns its length. What it is about becomes `subject`.
    fn look_up(
        &mut self,
        world: &World,
        buf: &mut [u8],
        options: &Options<'_>,
        sender: Sender,
        subject: &mut Subject,
    ) -> usize {
        let query = &self.query;
        if query.qclass != Rclass::IN {
            return chaos::tell(&world.snapshot.identity, buf, query, options);
        }
        let refuse = |buf, rcode, why| refuse(buf, query, options, rcode, Some(why));
        let (zones, last) = (&world.snapshot.apexes, self.last_zone);
        let Some(id) = zones.closest_after(last, &query.name, query.qtype) else {
            return refuse(buf, Rcode::REFUSED, Ede::NOT_AUTHORITATIVE);
        };
        self.last_zone = id;
        subject.zone = Some(id);
        let entry = world.snapshot.zone(id);
        let Some(zone) = &entry.zone else {
            return refuse(buf, Rcode::SERVFAIL, Ede::NOT_READY);
        };
        let limit = match sender.via {
            Via::Udp => query.udp_limit(),
            Via::Tcp => TCP_MAX,
        };
        let mut reply = Reply::begin(buf, query, limit, options);
        let mut answering = Answering {
            world,
            id,
            zone,
            records: entry.records.start,
            query,
            client: Client::behind(query, sender.from),
            dice: &mut self.dice,
            last_map: &mut self.last_map,
            reply: &mut reply,
            chain: Chain::default(),
            expanded: false,
            conjured: false,
            pending: Default::default(),
            leading: None,
            scope: 0,
            counted: None,
        };
        let wrote = answering.run(&mut self.names);
        let (scope, counted) = (answering.scope, answering.counted);
        subject.conjured = answering.conjured;
        drop(answering);
        match wrote {
            Ok(()) => {}
            Err(Unanswered::Full) => reply.truncate(),
            Err(Unanswered::Unknown) => return refuse(buf, Rcode::SERVFAIL, Ede::NOT_READY),
            Err(Unanswered::NotYet) => return self.silence(DropReason::Other),
        }
        subject.counted = counted;
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
    // Nearly all queries are for data.
    if query.qclass == Rclass::IN && !matches!(query.qtype, Rtype::OPT | Rtype(128..=255)) {
        return None;
    }
    match query.qclass {
        Rclass::IN | Rclass::CH => {}
        // We hold no other, and ANY as a class is no way around it (RFC 1035 §3.2.4).
        _ => return Some((Rcode::REFUSED, Ede::NOT_AUTHORITATIVE)),
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

/// Whether a client that sends cookies must come back with a good one before it is answered: over
/// TCP its address is proven already (RFC 7873 §5.2.3).
fn lacks_cookie(world: &World, via: Via, cookie: Standing) -> bool {
    let is_valid = matches!(cookie, Standing::Valid { .. });
    let rules = world.snapshot.guard.cookies.as_ref();
    !is_valid && via == Via::Udp && rules.is_some_and(|rules| rules.require)
}

/// Writes a whole reply that holds no records.
fn refuse(
    buf: &mut [u8],
    query: &Query,
    options: &Options<'_>,
    rcode: Rcode,
    why: Option<Ede>,
) -> usize {
    let mut reply = Reply::begin(buf, query, UDP_MIN, options);
    reply.set_rcode(rcode);
    if let Some(why) = why {
        reply.set_extended_error(why);
    }
    reply.finish()
}

#[cfg(test)]
mod tests;
