//! Client maps of latency over cloud regions, as a plain latency record compiles to: for tests
//! and benches that need a map of real size.

use std::{collections::HashMap, convert::Infallible};
use tradewind::{
    ids::Class,
    place::{ClassMask, ClientMap, Location, LocationTable, distance},
};

/// The three regions DESIGN §6 counts first.
pub const THREE: [&str; 3] = ["us-east-1", "eu-west-1", "ap-northeast-1"];
/// Those and nine more.
pub const TWELVE: [&str; 12] = [
    "us-east-1",
    "eu-west-1",
    "ap-northeast-1",
    "us-west-2",
    "us-west-1",
    "ca-central-1",
    "sa-east-1",
    "eu-central-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "af-south-1",
];

/// A map, and what its classes mean.
pub struct Regions {
    /// Prefix → class.
    pub map: ClientMap,
    /// For each class the regions, nearest first.
    orders: Vec<Vec<usize>>,
}

impl Regions {
    /// Compiles the map over AWS regions `names`; class 0 is the default.
    pub fn over(table: &LocationTable, names: &[&str]) -> Self {
        let at =
            |name: &&str| distance::cloud_region(&format!("aws:{name}")).expect("in the catalogue");
        let at: Vec<_> = names.iter().map(at).collect();
        let mut orders = vec![(0..at.len()).collect::<Vec<_>>()];
        let mut ids = HashMap::from([(orders[0].clone(), Class(0))]);
        let mut class_of = |location: Option<&Location>, _: &[u32]| {
            let Some(here) = location.and_then(distance::position) else {
                return Ok(Class(0));
            };
            let mut order: Vec<usize> = (0..at.len()).collect();
            order.sort_by_key(|region| distance::score(here, at[*region]));
            let fresh = Class::at(orders.len());
            let class = *ids.entry(order.clone()).or_insert(fresh);
            if class == fresh {
                orders.push(order);
            }
            Ok::<_, Infallible>(class)
        };
        let Ok(map) = ClientMap::build(Some(table), &[], &mut class_of, Class(0));
        Regions { map, orders }
    }
    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.orders.len()
    }
    /// The classes that get the answer of `class` while every region is up.
    pub fn same_answer(&self, class: Class) -> ClassMask {
        let first = self.orders[class.index()][0];
        let same = (0..self.orders.len()).filter(|other| self.orders[*other][0] == first);
        same.map(Class::at).collect()
    }
}
