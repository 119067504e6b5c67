//! The country table that comes with the program, so that the first start steers by geography
//! with no download. `embedded/manifest.toml` says what it was made from, `embedded/README.md`
//! credits every source.

use super::{
    codec,
    table::{Database, LocationTable},
};
use std::sync::{Arc, OnceLock};

const PACKED: &[u8] = include_bytes!("embedded/country.table");

/// The database, unpacked at the first call and kept.
pub fn database() -> Arc<Database> {
    static DATABASE: OnceLock<Arc<Database>> = OnceLock::new();
    Arc::clone(DATABASE.get_or_init(|| Arc::new(unpack())))
}

/// What is known of addresses where it is the only database.
pub fn table() -> Arc<LocationTable> {
    let mut table = LocationTable::default();
    table.fill(database);
    Arc::new(table)
}

/// A copy of its own, unpacked anew: what the first call of [`database`] costs.
pub fn unpack() -> Database {
    codec::unpack(PACKED).expect("a test unpacks the bytes compiled in")
}

/// Where the table came from, as text (TOML).
pub const MANIFEST: &str = include_str!("embedded/manifest.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::sha256_hex;

    #[test]
    fn the_embedded_table_is_the_one_its_manifest_speaks_of() {
        let manifest: toml::Table = MANIFEST.parse().unwrap();
        assert_eq!(manifest["table"]["sha256"].as_str(), Some(&*sha256_hex(PACKED)));
        let (v4, v6) = database().run_counts();
        let runs = |family: &str| manifest["table"][family].as_integer().unwrap() as usize;
        assert_eq!((v4, v6), (runs("runs_ipv4"), runs("runs_ipv6")));
        assert_eq!(manifest["date"].as_str(), Some(&*database().info.date));
        assert!(PACKED.len() <= 1_000_000);
    }

    #[test]
    fn well_known_addresses_are_where_they_are_known_to_be() {
        for (ip, country, continent) in [
            ("193.0.6.139", "NL", "EU"),
            ("202.12.29.175", "AU", "OC"),
            ("133.11.0.1", "JP", "AS"),
            ("18.7.22.69", "US", "NA"),
            ("2001:67c:2e8:22::c100:68b", "NL", "EU"),
            ("2001:dc0:2001:11::194", "AU", "OC"),
        ] {
            let table = table();
            let (_, at) = table.lookup(ip.parse().unwrap()).unwrap();
            let found = (at.country.unwrap(), at.continent.unwrap());
            assert_eq!((found.0.as_str(), found.1.code()), (country, continent), "{ip}");
        }
        assert_eq!(table().lookup("10.0.0.1".parse().unwrap()), None);
    }

    #[test]
    fn every_country_in_the_table_has_a_continent() {
        let database = database();
        let lost: Vec<_> = database.locations().iter().filter(|l| l.continent.is_none()).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}
