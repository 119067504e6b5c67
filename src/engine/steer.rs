//! The steered part of an answer: class of the client, Selection, dice, Variant.
//!
//! Everything here was decided when the World was made; this only finds it: one map lookup, one
//! draw, and, for those who sent their client's network, the scope of what was found.

use crate::{
    clock::Dice,
    ids::MapId,
    place::fold_net,
    policy::{Basis, sticky::Key},
    snapshot::{Plan, Record, Sticky},
    steering::{Draw, Selection, Variant},
    telemetry::{Counted, Reason},
    wire::{Query, types::Rtype},
    world::World,
};
use std::net::IpAddr;

/// Who asks, as far as steering may know.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The resolver's address.
    pub from: IpAddr,
    /// The client network it speaks for, and how many bits of it are known: at least one.
    pub subnet: Option<(IpAddr, u8)>,
}

impl Client {
    /// The client behind `query`, which came from `from`. A source prefix of 0 is an opt-out:
    /// then the resolver itself is the client (RFC 7871 §7.1.2).
    #[inline]
    pub fn behind(query: &Query, from: IpAddr) -> Client {
        let ecs = query.edns.and_then(|edns| edns.ecs);
        let told = ecs.filter(|ecs| ecs.source_prefix() > 0);
        Client { from, subnet: told.map(|ecs| (ecs.address(), ecs.source_prefix())) }
    }

    /// The address that `plan` looks at, and how many bits of it are known.
    #[inline]
    pub fn seen_by(&self, plan: &Plan) -> (IpAddr, u8) {
        match self.subnet {
            Some(subnet) if plan.use_ecs => subnet,
            _ => (self.from, if self.from.is_ipv4() { 32 } else { 128 }),
        }
    }
}

/// What a steered name answers to one query.
#[derive(Clone, Copy, Debug)]
pub struct Steered<'w> {
    /// The answer, and for how long.
    pub variant: &'w Variant,
    /// For which part of the client's address; 0 when it makes no difference.
    pub scope: u8,
    /// What counts it.
    pub counted: Option<Counted>,
}

/// Whether `record` answers `qtype` by steering. Every type does where a CNAME may be the
/// answer; else only addresses and what pools have in their `extra`: other types are static, and
/// an address type that no endpoint has is NODATA for all.
#[inline]
pub fn steers(plan: &Plan, qtype: Rtype) -> bool {
    match qtype {
        _ if plan.has_cname => true,
        Rtype::A => plan.has_v4,
        Rtype::AAAA => plan.has_v6,
        Rtype::ANY => plan.has_v4 || plan.has_v6,
        _ => plan.extra.contains(&qtype),
    }
}

/// The answer of `record`, whose plan is `plan`, to a `qtype` query of `client`; `last_map` becomes the
/// map that it is looked up in, if it is.
#[inline(always)] // Its result would be written to memory and read back again.
pub fn steer<'w>(
    world: &'w World,
    (record, plan): (&Record, &Plan),
    qtype: Rtype,
    client: &Client,
    dice: &mut Dice,
    last_map: &mut Option<MapId>,
) -> Steered<'w> {
    let of_class = |class| world.steering.plan(record.plan).selection(class);
    let is_scoped = client.subnet.is_some() && plan.use_ecs;
    let (selection, by_place) = match plan.map {
        None => (of_class(Plan::ONLY_CLASS), 0),
        Some(map) => {
            #[expect(clippy::indexing_slicing, reason = "link gives out ids of maps there are")]
            let map = &world.snapshot.maps[map.index()];
            let (ip, len) = client.seen_by(plan);
            *last_map = plan.map;
            // Stays where it was found: the way back up is too long to be moved about.
            let hit = map.lookup_net(ip, len);
            let selection = of_class(hit.class);
            // The widest prefix all of whose mapped space has this Selection now.
            (selection, if is_scoped { map.scope(&hit, &selection.mask) } else { 0 })
        }
    };
    let draw = draw_for(plan, selection, qtype);
    let network = plan.sticky.map(|sticky| {
        let (ip, len) = client.seen_by(plan);
        network(ip, len, sticky)
    });
    let bits = || network.map_or(0, |network| network.bits);
    let variant = draw.draw(dice, || Key::new(bits(), record.cohort));
    #[expect(clippy::indexing_slicing, reason = "a Selection's draws lead to its own variants")]
    let variant = &selection.variants[variant];
    // No wider than what the draw looked at (DESIGN §5, ECS scope).
    let by_draw = network.filter(|_| is_scoped).map_or(0, |network| network.len);
    let scope = by_place.max(by_draw);
    let slot = record.counters.get(usize::from(variant.spot)).copied();
    let counted = slot.map(|slot| Counted { slot, reason: reason(selection.basis) });
    Steered { variant, scope, counted }
}

/// The grounds of an answer as they are counted.
#[inline]
fn reason(basis: Basis) -> Reason {
    if basis == Basis::Healthy { Reason::Healthy } else { reason_of_trouble(basis) }
}

#[cold]
const fn reason_of_trouble(basis: Basis) -> Reason {
    match basis {
        Basis::Healthy => Reason::Healthy,
        Basis::IgnoringMinHealthy => Reason::IgnoringMinHealthy,
        Basis::FailoverWaits => Reason::FailoverWaits,
        Basis::AllDown(_) => Reason::AllDown,
    }
}

/// How `selection`, one of `plan`, draws for `qtype`.
#[inline]
pub fn draw_for<'s>(plan: &Plan, selection: &'s Selection, qtype: Rtype) -> &'s Draw {
    match qtype {
        Rtype::AAAA => &selection.aaaa,
        Rtype::A | Rtype::ANY => &selection.a,
        _ => {
            let extra = plan.extra.iter().position(|rtype| *rtype == qtype);
            extra.and_then(|index| selection.extra.get(index)).unwrap_or(&selection.other)
        }
    }
}

/// What a sticky draw knows of a client.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The first bits of its address, IPv4 as `::ffff:a.b.c.d`.
    pub bits: u128,
    /// How many bits of the address as it came those are.
    pub len: u8,
}

/// The client network of a sticky draw: `ip` cut to the sticky prefix, and no longer than the
/// `len` bits that are known.
pub fn network(ip: IpAddr, len: u8, sticky: Sticky) -> Network {
    let folded = fold_net(ip, len);
    let (bits, cut) = match folded.ip {
        IpAddr::V4(v4) => {
            let cut = sticky.v4.min(folded.len);
            let mask = u32::MAX.checked_shl(32 - u32::from(cut)).unwrap_or(0);
            (0xffff_0000_0000 | u128::from(v4.to_bits() & mask), cut)
        }
        IpAddr::V6(v6) => {
            let cut = sticky.v6.min(folded.len);
            let mask = u128::MAX.checked_shl(128 - u32::from(cut)).unwrap_or(0);
            (v6.to_bits() & mask, cut)
        }
    };
    Network { bits, len: folded.shift + cut }
}
