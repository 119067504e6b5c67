//! Who is who, and how much a stranger is told: the rules of [`crate::guard`] applied to one
//! query and its reply.

use super::{Desk, RCODE_IN_BYTE_3, Sender};
use crate::{
    guard::{cookie::Standing, limit::Kind},
    telemetry::{CookieResult, DropReason, Tally, Via},
    wire::{Options, Reply, UDP_MIN},
    world::World,
};
use std::net::IpAddr;

/// AA as it stands in the third byte of a message.
const AA_IN_BYTE_2: u8 = 0x04;

impl Desk {
    /// Looks at the query's options: what the reply's OPT record will hold, and what the
    /// sender's cookie is worth, if it sent one. A client's network told by somebody who is not
    /// believed is forgotten, as if ECS were unknown here (RFC 7871 §11.3).
    #[inline]
    pub(super) fn greet<'w>(
        &mut self,
        world: &'w World,
        Sender { from, via, .. }: Sender,
    ) -> (Options<'w>, Option<Standing>) {
        let mut options = Options::NONE;
        let Some(edns) = &mut self.query.edns else { return (options, None) };
        let rules = &world.snapshot.guard;
        if edns.ecs.is_some() {
            self.counters.count(Tally::Ecs);
            edns.ecs = edns.ecs.filter(|_| rules.trusts_ecs(from));
        }
        if via == Via::Tcp && edns.keepalive.is_some() {
            options.keepalive = Some(self.idle);
        }
        if edns.nsid {
            options.nsid = world.snapshot.identity.nsid.as_ref();
        }
        let (Some(cookie), Some(rules)) = (&edns.cookie, &rules.cookies) else {
            return (options, None);
        };
        let checked = self.guard.secrets(rules).check(cookie, from, self.time.wall);
        options.cookie = Some(checked.reply);
        self.counters.count(Tally::Cookie(match checked.standing {
            Standing::New => CookieResult::New,
            Standing::Valid { .. } => CookieResult::Valid,
            Standing::Invalid => CookieResult::Invalid,
        }));
        (options, Some(checked.standing))
    }

    /// Whether a malformed packet is to get an error: over UDP its sender may be forged, and
    /// may be a server that takes our error for a query (reliability S-3).
    #[cold]
    pub(super) fn owes_error(&self, world: &World, sender: Sender) -> bool {
        let rules = &world.snapshot.guard.limits;
        let now = self.time.now.into();
        sender.via == Via::Tcp || self.guard.admits_malformed(rules, sender.from, now)
    }

    /// Whether `reply` may go to `from`, who may be forged. Most replies are of no kind that
    /// counts, and cost no look at the table.
    #[inline]
    pub(super) fn may_tell(
        &self,
        world: &World,
        reply: &[u8],
        query_len: usize,
        from: IpAddr,
    ) -> bool {
        let [_, _, flags, rcode, ..] = reply else { return true };
        let (rcode, authoritative) = (rcode & RCODE_IN_BYTE_3, flags & AA_IN_BYTE_2 != 0);
        let Some(kind) = Kind::of(rcode, authoritative, reply.len(), query_len) else {
            return true;
        };
        self.guard.admits(&world.snapshot.guard.limits, kind, from, self.time.now.into())
    }

    /// What a sender gets whose network was told enough: mostly silence, now and then an empty
    /// reply with TC, by which whoever did ask comes back over TCP. By chance and not in turn, so
    /// that nobody who floods as well can make sure that the turn is never another's. Returns
    /// its length.
    #[cold]
    pub(super) fn tell_less(
        &mut self,
        world: &World,
        buf: &mut [u8],
        options: &Options<'_>,
    ) -> usize {
        let slip = u64::from(world.snapshot.guard.limits.slip);
        if self.dice.roll().checked_rem(slip) != Some(0) {
            return self.silence(DropReason::RateLimited);
        }
        self.counters.count(Tally::Slipped);
        let mut reply = Reply::begin(buf, &self.query, UDP_MIN, options);
        reply.truncate();
        reply.finish()
    }
}
