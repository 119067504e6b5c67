//! What packets that came in together will look at, asked for before the first of them is answered.
//!
//! A name among a million, or the network that a resolver speaks for among all, is found in a few
//! steps, each of which waits for memory about as long as an answer takes to compute. Taken for many
//! packets at once, the first step of each and then the second, they wait together. (Where resolvers
//! themselves are is mostly in the cache: they are few.)
//!
//! It is guesswork, by the zone and the map of the last answer and a glance at each packet, and
//! decides nothing: a wrong guess costs the instructions that it took, and a step that was not foreseen
//! its wait. Where the last zone is small and no map was asked, nothing is done. Must not touch what
//! answers are made with.

use super::Desk;
use crate::{
    ids::{MapId, ZoneId},
    place::ClientMap,
    wire::{QName, glance},
    world::World,
    zone::{Begun, Zone},
};
use arrayvec::ArrayVec;
use std::net::IpAddr;

/// Packets that are looked at before the first of them is answered: so few that what was asked for
/// is still in the innermost cache when it is their turn.
pub const AHEAD: usize = 16;

/// What was foreseen of some packets.
#[derive(Debug, Default)]
pub(super) struct Foreseen {
    name: QName,
    lookups: ArrayVec<Begun, AHEAD>,
    subnets: ArrayVec<IpAddr, AHEAD>,
}

impl Desk {
    /// Says that `packet` will be answered soon: one of [`AHEAD`] at the most, for of more than that
    /// only the first step is taken.
    pub fn foresee(&mut self, world: &World, packet: &[u8]) {
        let Foreseen { name, lookups, subnets } = &mut self.foreseen;
        if let Some(zone) = large_zone(world, self.last_zone)
            && let Some(question) = packet.get(super::HEADER..)
            && name.read(question).is_ok()
        {
            // Where there is no room for it, its next steps are not foreseen.
            let _ = lookups.try_push(zone.begin(name));
        }
        if let Some(map) = map(world, self.last_map)
            && let Some(subnet) = glance::subnet(packet)
        {
            map.begin(subnet);
            let _ = subnets.try_push(subnet);
        }
    }

    /// All that came in together are foreseen; their answers are to follow.
    pub fn prepare(&mut self, world: &World) {
        let Foreseen { lookups, subnets, .. } = &mut self.foreseen;
        let zone = large_zone(world, self.last_zone);
        let step = |lookups: &mut [Begun]| {
            if let Some(zone) = zone {
                lookups.iter_mut().for_each(|begun| zone.go_on(begun));
            }
        };
        step(lookups);
        if let Some(map) = map(world, self.last_map) {
            subnets.iter().for_each(|subnet| map.go_on(*subnet));
        }
        step(lookups);
        lookups.clear();
        subnets.clear();
    }
}

/// The zone with this id, if there is one and it is large.
#[inline]
fn large_zone(world: &World, id: ZoneId) -> Option<&Zone> {
    let entry = world.snapshot.zones.get(id.index())?;
    entry.zone.as_deref().filter(|zone| zone.is_large())
}

#[inline]
fn map(world: &World, id: Option<MapId>) -> Option<&ClientMap> {
    world.snapshot.maps.get(id?.index()).map(|map| &**map)
}
