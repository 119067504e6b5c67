//! How far clients have it to a region: the round trip expected, by the model that latency
//! policies go by.

use super::clients::Crowd;
use crate::{place::latency::expected, snapshot::Snapshot};
use std::collections::HashMap;

/// The round trips from every home of a crowd to every region of a Snapshot.
pub(super) struct Distances<'w> {
    regions: HashMap<&'w str, usize>,
    /// Home by home, in milliseconds; not a number where nobody knows.
    ms: Vec<f32>,
}

impl<'w> Distances<'w> {
    pub fn of(crowd: &Crowd, snapshot: &'w Snapshot) -> Distances<'w> {
        let names = snapshot.regions.iter().enumerate();
        let regions = names.map(|(index, region)| (&*region.name, index)).collect();
        let mut ms = Vec::with_capacity(crowd.homes.len() * snapshot.regions.len());
        for home in &crowd.homes {
            let client = (home.location.as_ref(), &*home.nets);
            ms.extend(snapshot.regions.iter().map(|region| {
                let tables = snapshot.measured.iter().map(|table| &**table);
                let found = expected(tables, client, (&region.name, region.at));
                found.map_or(f32::NAN, |found| found.as_ms() as f32)
            }));
        }
        Distances { regions, ms }
    }

    /// The number of a region, if it is one.
    pub fn region(&self, name: &str) -> Option<usize> {
        self.regions.get(name).copied()
    }

    /// How many regions there are.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// From `home` to the region of this number.
    pub fn ms(&self, home: u32, region: usize) -> Option<f64> {
        let ms = f64::from(self.ms[home as usize * self.regions.len() + region]);
        ms.is_finite().then_some(ms)
    }
}
