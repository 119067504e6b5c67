//! How many clients each class of a map stands for, as far as that can be known: by routed IPv4
//! address space ([`crate::place::space()`]).
//!
//! Counted on demand, away from the loop that publishes, once for each map (25 ms with the embedded
//! table); kept for the next
//! question by whoever asks.

use crate::{
    ids::MapId,
    place::{ClientMap, Country, LazyTable, SpaceCell, space},
    snapshot::Snapshot,
};
use std::sync::Arc;

/// A map, or none.
type Map = Option<Arc<ClientMap>>;

/// The address space of every map of one Snapshot.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// The identity of the location data it was counted in.
    data: Box<str>,
    /// Maps by identity; the one without a map is that of plans that do not depend on the client.
    spaces: Vec<(Map, Arc<[SpaceCell]>)>,
}

impl Clients {
    /// Counts for the maps of `snapshot`; what `known` has need not be counted again.
    pub fn count(snapshot: &Snapshot, locations: &LazyTable, known: &Clients) -> Clients {
        let known = (*known.data == *locations.identity()).then_some(known);
        let maps = snapshot.maps.iter().map(|map| Some(Arc::clone(map))).chain([None]);
        let of = |map: Map| {
            let before = known.and_then(|known| known.find(map.as_ref()));
            let cells = before.unwrap_or_else(|| space(map.as_deref(), locations.table()).into());
            (map, cells)
        };
        Clients { data: locations.identity().into(), spaces: maps.map(of).collect() }
    }

    /// The address space of the map `id` of `snapshot`; nothing if that map was not counted.
    pub fn of(&self, snapshot: &Snapshot, id: Option<MapId>) -> Option<Arc<[SpaceCell]>> {
        self.find(id.map(|id| &snapshot.maps[id.index()]))
    }

    fn find(&self, map: Option<&Arc<ClientMap>>) -> Option<Arc<[SpaceCell]>> {
        let is = |known: &Map| match (known, map) {
            (Some(known), Some(map)) => Arc::ptr_eq(known, map),
            (None, None) => true,
            _ => false,
        };
        let found = self.spaces.iter().find(|(known, _)| is(known));
        found.map(|(_, cells)| Arc::clone(cells))
    }
}

/// The part of all clients that each cell stands for: its class, its country, a share of one.
pub fn weights(
    cells: &[SpaceCell],
) -> impl Iterator<Item = (crate::ids::Class, Option<Country>, f64)> {
    let all: u64 = cells.iter().map(|cell| cell.addresses).sum();
    cells.iter().map(move |cell| (cell.class, cell.country, cell.addresses as f64 / all as f64))
}
