//! The steered part of an answer: class of the client, Selection, dice, Variant.
//!
//! Everything here was decided when the World was made; this only finds it: one map lookup, one
//! draw, and, for those who sent their client's network, the scope of what was found.

use crate::{
    clock::Dice,
    ids::CounterSlot,
    place::{Hit, fold_net},
    policy::{Basis, sticky::Key},
    snapshot::{Plan, Record, Sticky},
    steering::{Draw, Selection, Variant},
    units::Ttl,
    wire::{Query, types::Rtype},
    world::World,
};
use std::net::IpAddr;

/// Who asks, as far as steering may know.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// The resolver's address.
    from: IpAddr,
    /// The client network it speaks for, and how many bits of it are known.
    subnet: Option<(IpAddr, u8)>,
}

impl Client {
    /// The client behind `query`, which came from `from`. A source prefix of 0 is an opt-out:
    /// then the resolver itself is the client (RFC 7871 §7.1.2).
    #[inline]
    pub fn new(from: IpAddr, query: &Query) -> Client {
        let ecs = query.edns.and_then(|edns| edns.ecs);
        let told = ecs.filter(|ecs| ecs.source_prefix() > 0);
        Client { from, subnet: told.map(|ecs| (ecs.address(), ecs.source_prefix())) }
    }

    /// The address that `plan` looks at, and how many bits of it are known.
    #[inline]
    fn seen_by(&self, plan: &Plan) -> (IpAddr, u8) {
        match self.subnet {
            Some(subnet) if plan.use_ecs => subnet,
            _ => (self.from, if self.from.is_ipv4() { 32 } else { 128 }),
        }
    }
}

/// What a steered name answers to one query.
#[derive(Clone, Copy, Debug)]
pub struct Steered<'w> {
    /// The answer.
    pub variant: &'w Variant,
    /// For how long.
    pub ttl: Ttl,
    /// For which part of the client's address; 0 when it makes no difference.
    pub scope: u8,
    /// Who counts it.
    pub counter: Option<CounterSlot>,
    /// On what grounds.
    pub basis: Basis,
}

/// Whether `record` answers `qtype` by steering. Every type does where a CNAME may be the
/// answer; other types are static, and an address type that no endpoint has is NODATA for all.
#[inline]
pub fn steers(plan: &Plan, qtype: Rtype) -> bool {
    match qtype {
        _ if plan.has_cname => true,
        Rtype::A => plan.has_v4,
        Rtype::AAAA => plan.has_v6,
        Rtype::ANY => true,
        _ => false,
    }
}

/// The answer of `record` to a `qtype` query of `client`.
#[inline]
pub fn steer<'w>(
    world: &'w World,
    record: &Record,
    qtype: Rtype,
    client: &Client,
    dice: &mut Dice,
) -> Steered<'w> {
    let plan = world.snapshot.plan(record.plan);
    let (ip, len) = client.seen_by(plan);
    let placed = plan.map.map(|map| {
        let map = &world.snapshot.maps[map.index()];
        (map, map.lookup_net(ip, len))
    });
    let class = placed.as_ref().map_or(Plan::ONLY_CLASS, |(_, hit)| hit.class);
    let selection = world.steering.plan(record.plan).selection(class);
    let draw = match qtype {
        Rtype::AAAA => &selection.aaaa,
        // ANY gets one RRset, no more (RFC 8482 §4.1): the addresses most people want.
        Rtype::A => &selection.a,
        Rtype::ANY if plan.has_v4 || plan.has_cname => &selection.a,
        Rtype::ANY => &selection.aaaa,
        _ => &selection.other,
    };
    let variant = draw.draw(dice, || match plan.sticky {
        Some(sticky) => key(ip, len, sticky, record.cohort).0,
        None => Key::new(0, record.cohort),
    });
    let variant = &selection.variants[variant];
    let scope = match client.subnet {
        Some(_) if plan.use_ecs => {
            let by_place = placed.map_or(0, |(map, hit)| map_scope(map, &hit, selection));
            let by_client = plan.sticky.map_or(0, |sticky| key(ip, len, sticky, 0).1);
            by_place.max(by_client)
        }
        _ => 0,
    };
    let counter = record.counters.get(usize::from(variant.region)).copied();
    Steered { variant, ttl: selection.ttl, scope, counter, basis: selection.basis }
}

/// The widest prefix all of whose mapped space has this Selection now (DESIGN §5, ECS scope).
fn map_scope(map: &crate::place::ClientMap, hit: &Hit, selection: &Selection) -> u8 {
    map.scope(hit, &selection.mask)
}

/// A client's sticky key, and how many bits of its address as it came went into it.
fn key(ip: IpAddr, len: u8, sticky: Sticky, cohort: u64) -> (Key, u8) {
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
    (Key::new(bits, cohort), folded.shift + cut)
}

/// Whether a draw depends on the client's own key, for `explain`.
pub fn is_sticky(draw: &Draw) -> bool {
    matches!(draw, Draw::Sticky(_))
}
