//! Databases of every schema, and broken ones.

use super::*;
use crate::place::mmdb_writer::{Database, country_code};
use serde_json::{Value, json};

fn city(country: &str, part: &str, name: &str, lat: f64, lon: f64) -> Value {
    json!({
        "continent": { "code": "NA", "names": { "en": "North America" } },
        "country": { "iso_code": country, "geoname_id": 6_252_001 },
        "subdivisions": [{ "iso_code": part }, { "iso_code": "XX" }],
        "city": { "names": { "en": name } },
        "location": { "latitude": lat, "longitude": lon, "accuracy_radius": 20 },
    })
}

fn country_with_point(lat: f64, lon: f64) -> Value {
    json!({ "country": { "iso_code": "US" }, "location": { "latitude": lat, "longitude": lon } })
}

fn describe(table: &LocationTable, ip: &str) -> String {
    let found = table.lookup(ip.parse().unwrap());
    found.map_or_else(|| "unknown".into(), |(net, at)| format!("{net} {at} {:?}", at.accuracy))
}

#[test]
fn a_city_database_gives_subdivision_and_coordinates() {
    let db = Database::v6()
        .with("192.0.2.0/24", city("US", "CA", "Los Angeles", 34.05, -118.24))
        .with("2001:db8::/32", city("US", "NY", "New York", 40.71, -74.01));
    let table = parse(db.bytes()).unwrap();
    assert_eq!(describe(&table, "192.0.2.1"), "192.0.2.0/24 US-CA (34.05, -118.24) City");
    assert_eq!(describe(&table, "2001:db8::1"), "2001:db8::/32 US-NY (40.71, -74.01) City");
    assert_eq!(describe(&table, "192.0.3.1"), "unknown");
    let kind = table.kind();
    assert!(kind.has_subdivisions && kind.has_coordinates && !kind.has_asn);
    assert_eq!((table.info.source.as_str(), table.info.date.as_str()), ("Test", "2026-05-28"));
}

#[test]
fn a_countrys_default_point_is_no_position() {
    let db = Database::v4()
        .with("192.0.2.0/25", country_with_point(37.751, -97.822))
        // A record with a subdivision, but still the point of those without.
        .with("192.0.2.128/25", city("US", "CA", "", 37.751, -97.822))
        .with("198.51.100.0/24", city("US", "CA", "Fresno", 36.75, -119.77));
    let table = parse(db.bytes()).unwrap();
    assert_eq!(describe(&table, "192.0.2.1"), "192.0.2.0/25 US Country");
    assert_eq!(describe(&table, "192.0.2.200"), "192.0.2.128/25 US-CA Subdivision");
    assert_eq!(describe(&table, "198.51.100.1"), "198.51.100.0/24 US-CA (36.75, -119.77) City");
}

#[test]
fn flat_schemas_and_substitutes_are_understood() {
    let cases = [
        (country_code("DE"), "DE Country"),
        (json!({ "registered_country": { "iso_code": "FR" } }), "FR Country"),
        (
            json!({ "country": "United States", "country_code": "US", "asn": "AS64500" }),
            "US AS64500 Country",
        ),
        (json!({ "country": "JP", "continent": "AS" }), "JP Country"),
        (
            json!({ "country_code": "GB", "city": "London", "latitude": 51.5, "longitude": -0.12 }),
            "GB (51.50, -0.12) City",
        ),
        (
            json!({ "country": "GB", "city": "London", "lat": "51.5", "lng": "-0.12" }),
            "GB (51.50, -0.12) City",
        ),
        (json!({ "autonomous_system_number": 64500 }), "nowhere known AS64500 Country"),
        (json!({ "continent": { "code": "EU" } }), "EU Country"),
    ];
    for (record, want) in cases {
        let table = parse(Database::v4().with("192.0.2.0/24", record).bytes()).unwrap();
        assert_eq!(describe(&table, "192.0.2.9"), format!("192.0.2.0/24 {want}"));
    }
}

#[test]
fn continents_missing_in_the_file_come_from_the_country() {
    let table = parse(Database::v4().with("192.0.2.0/24", country_code("DE")).bytes()).unwrap();
    assert_eq!(table.locations()[0].continent, Some(Continent::Europe));
}

#[test]
fn neighbours_with_equal_locations_are_one_run() {
    let mut db = Database::v4();
    for net in ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23"] {
        db = db.with(net, country_code("DE"));
    }
    let table = parse(db.bytes()).unwrap();
    assert_eq!(describe(&table, "10.0.3.3"), "10.0.0.0/22 DE Country");
    assert_eq!(table.run_counts(), (3, 1));
}

#[test]
fn a_file_that_is_no_location_database_says_so() {
    let problem = |bytes: Vec<u8>| parse(bytes).unwrap_err().to_string();
    assert!(problem(Vec::new()).contains("not a whole MMDB file"));
    assert!(problem(b"<html>404</html>".to_vec()).contains("not a whole MMDB file"));
    let other = Database::v4().with("192.0.2.0/24", json!({ "domain": "example.com" }));
    assert!(problem(other.bytes()).contains("holds no locations (its type is `Test`)"));
}

#[test]
fn truncated_and_flipped_files_never_panic_or_hang() {
    let db = Database::v6()
        .with("192.0.2.0/24", city("US", "CA", "Los Angeles", 34.05, -118.24))
        .with("2001:db8::/32", country_with_point(37.751, -97.822));
    let good = db.bytes();
    for cut in 0..good.len() {
        // A cut inside the metadata may leave all that is needed.
        let _ = parse(good[..cut].to_vec());
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let _ = parse(bad);
    }
}

#[test]
fn a_tree_that_leads_in_circles_is_refused() {
    let mut bytes = Database::v6().with("2001:db8::/32", country_code("DE")).bytes();
    // Both branches of the last node lead back to the first one.
    let last_node = 31 * 6;
    bytes[last_node..last_node + 6].fill(0);
    assert!(parse(bytes).unwrap_err().to_string().contains("damaged"));
}
