//! Who is who, and how much a stranger is told: the rules of [`crate::guard`] applied to one
//! query and its reply.

use super::{Desk, RCODE_IN_BYTE_3, Sender};
use crate::{
    guard::{
        cookie::{Checked, Standing},
        limit::Kind,
    },
    ids::ZoneId,
    telemetry::{CookieResult, Counted, DropReason, Tally, Via},
    wire::{Options, QName, Reply, UDP_MIN, hash},
    world::World,
};
use std::net::IpAddr;

/// AA as it stands in the third byte of a message.
const AA_IN_BYTE_2: u8 = 0x04;

/// What a reply is about, as far as it matters once the reply is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Subject {
    /// The zone that holds the name asked for, if one of ours does.
    pub zone: Option<ZoneId>,
    /// Whether any name made up would have been answered alike.
    pub conjured: bool,
    /// What counts the answer.
    pub counted: Option<Counted>,
}

impl Subject {
    /// The number that stands for it among replies of one kind to one network. Long answers go
    /// by their name, because a zone may be known for them; all else, and what anybody can make
    /// up more names for, by the zone.
    #[inline]
    fn number(&self, kind: Kind, name: &QName) -> u64 {
        match self.zone {
            Some(_) if kind == Kind::Large && !self.conjured => hash(name.wire()),
            Some(zone) => 1 + zone.index() as u64,
            None => 0,
        }
    }
}

impl Desk {
    /// Looks at the query's options: puts what the reply's OPT record will hold into `options`,
    /// and says what the sender's cookie is worth, if it sent one. A client's network told by somebody who is not
    /// believed is forgotten, as if ECS were unknown here (RFC 7871 §11.3).
    #[inline]
    pub(super) fn greet<'w>(
        &mut self,
        world: &'w World,
        Sender { from, via, .. }: Sender,
        options: &mut Options<'w>,
    ) -> Option<Standing> {
        let edns = self.query.edns.as_mut()?;
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
        let checked = self.check_cookie(world, from)?;
        options.cookie = Some(checked.reply);
        self.counters.count(Tally::Cookie(match checked.standing {
            Standing::New => CookieResult::New,
            Standing::Valid { .. } => CookieResult::Valid,
            Standing::Invalid => CookieResult::Invalid,
        }));
        Some(checked.standing)
    }

    /// What the sender's cookie is worth, if it sent one.
    #[inline]
    fn check_cookie(&self, world: &World, from: IpAddr) -> Option<Checked> {
        let cookie = self.query.edns.as_ref()?.cookie.as_ref()?;
        let rules = world.snapshot.guard.cookies.as_ref()?;
        let secrets = rules.secrets.as_ref().unwrap_or(self.own_secrets.secrets());
        Some(secrets.check(cookie, from, self.time.wall))
    }

    /// Whether a malformed packet is to get an error: over UDP its sender may be forged, and
    /// may be a server that takes our error for a query (reliability S-3). A good cookie in front
    /// of what is broken proves that it is neither.
    #[cold]
    pub(super) fn owes_error(&self, world: &World, Sender { from, via, .. }: Sender) -> bool {
        let rules = &world.snapshot.guard.limits;
        let now = self.time.now.into();
        let is_known = |checked: Checked| matches!(checked.standing, Standing::Valid { .. });
        via == Via::Tcp
            || self.check_cookie(world, from).is_some_and(is_known)
            || self.guard.admits_malformed(rules, from, now)
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
        subject: &Subject,
    ) -> bool {
        let [_, _, flags, rcode, ..] = reply else { return true };
        let (rcode, authoritative) = (rcode & RCODE_IN_BYTE_3, flags & AA_IN_BYTE_2 != 0);
        let Some(kind) = Kind::of(rcode, authoritative, reply.len(), query_len) else {
            return true;
        };
        let about = subject.number(kind, &self.query.name);
        self.guard.admits(&world.snapshot.guard.limits, kind, about, from, self.time.now.into())
    }

    /// What a sender gets whose network was told enough: mostly silence, now and then an empty
    /// reply with TC, by which whoever did ask comes back over TCP. By chance and not in turn, so
    /// that nobody who floods as well can make sure that the turn is never another's. It is no
    /// longer than it must be: who asked for our name gets it over TCP. Returns its length.
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
        let options = Options { nsid: None, ..*options };
        let mut reply = Reply::begin(buf, &self.query, UDP_MIN, &options);
        reply.truncate();
        reply.finish()
    }
}
