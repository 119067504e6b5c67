//! What queries will look at, asked for before it is their turn.
//!
//! A name among a million, or a client among all networks, is found in a few steps, and each waits
//! for memory about as long as an answer takes to compute. Taken for many queries at once, one
//! step of each after the other, the waits are one. It is guesswork, by the zone and the map of the
//! last answer, and decides nothing: a wrong guess costs the few instructions that it took.

use super::{Desk, inbox::SEATS};
use crate::{world::World, zone::Begun};

impl Desk {
    /// Asks for what the queries in the first `seats` seats are likely to look at in `world`.
    pub fn look_ahead(&self, world: &World, seats: usize) {
        let entry = world.snapshot.zones.get(self.last_zone.index());
        let zone = entry.and_then(|entry| entry.zone.as_ref()).filter(|zone| zone.is_large());
        let map = self.last_map.and_then(|map| world.snapshot.maps.get(map.index()));
        let subnets = || {
            let told = self.inbox.first(seats).filter_map(|query| query.edns?.ecs);
            told.map(|ecs| ecs.address())
        };
        let mut begun = [Begun::All; SEATS];
        if let Some(zone) = zone {
            for (begun, query) in begun.iter_mut().zip(self.inbox.first(seats)) {
                *begun = zone.begin(&query.name);
            }
        }
        if let Some(map) = map {
            subnets().for_each(|ip| map.begin(ip));
        }
        if let Some(zone) = zone {
            begun.iter_mut().for_each(|begun| *begun = zone.go_on(*begun));
        }
        if let Some(map) = map {
            subnets().for_each(|ip| map.go_on(ip));
        }
        if let Some(zone) = zone {
            begun.iter_mut().for_each(|begun| *begun = zone.go_on(*begun));
        }
    }
}
