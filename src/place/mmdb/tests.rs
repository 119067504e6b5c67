//! Databases of every schema, and broken ones.

use super::*;
use crate::place::{
    Clash, LocationTable,
    mmdb_writer::{Database, country_code},
};
use serde_json::{Value, json};
use std::sync::Arc;

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

/// What a server has whose folder holds these files.
fn folder(files: Vec<Vec<u8>>) -> LocationTable {
    let mut table = LocationTable::default();
    for bytes in files {
        table.add(Arc::new(parse(&bytes).unwrap())).unwrap();
    }
    table
}

fn one(bytes: Vec<u8>) -> LocationTable {
    folder(vec![bytes])
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
    let table = one(db.bytes());
    assert_eq!(describe(&table, "192.0.2.1"), "192.0.2.0/24 US-CA (34.05, -118.24) City");
    assert_eq!(describe(&table, "2001:db8::1"), "2001:db8::/32 US-NY (40.71, -74.01) City");
    assert_eq!(describe(&table, "192.0.3.1"), "unknown");
    let kind = table.kind();
    assert!(kind.has_places && kind.has_subdivisions && !kind.has_asn);
    assert_eq!(table.databases()[0].info.to_string(), "Test, 2026-05-28");
}

#[test]
fn a_countrys_default_point_is_no_position() {
    let state = json!({
        "country": { "iso_code": "US" },
        // DB-IP names a state and gives no code for it.
        "subdivisions": [{ "names": { "en": "Ohio" } }],
        "location": { "latitude": 40.2, "longitude": -82.9 },
    });
    let db = Database::v4()
        .with("192.0.2.0/25", country_with_point(37.751, -97.822))
        // A record with a subdivision, but still the point of those without.
        .with("192.0.2.128/25", city("US", "CA", "", 37.751, -97.822))
        .with("198.51.100.0/25", city("US", "CA", "Fresno", 36.75, -119.77))
        .with("198.51.100.128/25", state);
    let table = one(db.bytes());
    assert_eq!(describe(&table, "192.0.2.1"), "192.0.2.0/25 US Country");
    assert_eq!(describe(&table, "192.0.2.200"), "192.0.2.128/25 US-CA Subdivision");
    assert_eq!(describe(&table, "198.51.100.1"), "198.51.100.0/25 US-CA (36.75, -119.77) City");
    assert_eq!(describe(&table, "198.51.100.200"), "198.51.100.128/25 US (40.20, -82.90) City");
}

#[test]
fn every_vendors_schema_is_understood() {
    let cases = [
        // MaxMind: Country, where nobody lives but somebody is registered, ASN, ISP, Enterprise.
        (json!({ "continent": { "code": "EU" }, "country": { "iso_code": "DE" } }), "DE Country"),
        (json!({ "registered_country": { "iso_code": "FR" } }), "FR Country"),
        (json!({ "continent": { "code": "EU" } }), "EU Country"),
        (
            json!({ "autonomous_system_number": 64500, "autonomous_system_organization": "X" }),
            "nowhere known AS64500 Country",
        ),
        (
            json!({ "autonomous_system_number": 64500, "isp": "X", "organization": "Y" }),
            "nowhere known AS64500 Country",
        ),
        (
            json!({
                "country": { "iso_code": "DE", "confidence": 99 },
                "traits": { "autonomous_system_number": 64500, "domain": "example.com" },
            }),
            "DE AS64500 Country",
        ),
        // DB-IP City Lite: MaxMind's words, parts of countries by name only.
        (
            json!({
                "city": { "names": { "en": "Mountain View" } },
                "continent": { "code": "NA", "names": { "en": "North America" } },
                "country": { "iso_code": "US", "is_in_european_union": 0 },
                "location": { "latitude": 37.42, "longitude": -122.08 },
                "subdivisions": [{ "names": { "en": "California" } }],
            }),
            "US (37.42, -122.08) City",
        ),
        // IPinfo: country_asn, Lite, location, and Core with its groups.
        (
            json!({ "asn": "AS64500", "as_name": "X", "continent": "NA", "country": "US" }),
            "US AS64500 Country",
        ),
        (
            json!({
                "asn": "AS64500", "country": "United States", "country_code": "US",
                "continent": "North America", "continent_code": "NA",
            }),
            "US AS64500 Country",
        ),
        (
            json!({
                "city": "London", "region": "England", "country": "GB",
                "lat": "51.5", "lng": "-0.12", "timezone": "Europe/London",
            }),
            "GB (51.50, -0.12) City",
        ),
        (
            json!({
                "geo": {
                    "city": "Fresno", "region": "California", "region_code": "CA",
                    "country": "United States", "country_code": "US", "continent_code": "NA",
                    "latitude": 36.75, "longitude": -119.77,
                },
                "as": { "asn": "AS64500", "name": "X", "type": "isp" },
            }),
            "US-CA (36.75, -119.77) AS64500 City",
        ),
        // ip-location-db: country, asn, city.
        (country_code("DE"), "DE Country"),
        (json!({ "autonomous_system_number": 64500 }), "nowhere known AS64500 Country"),
        (
            json!({
                "city": "London", "country_code": "GB", "latitude": 51.5, "longitude": -0.12,
                "state1": "England", "state2": "", "postcode": "", "timezone": "Europe/London",
            }),
            "GB (51.50, -0.12) City",
        ),
    ];
    for (record, want) in cases {
        let table = one(Database::v4().with("192.0.2.0/24", record.clone()).bytes());
        assert_eq!(describe(&table, "192.0.2.9"), format!("192.0.2.0/24 {want}"), "{record}");
    }
}

#[test]
fn each_of_many_records_is_its_own() {
    // More than are read in one go, and than are read side by side.
    let count = PART as u32 + 700;
    let mut db = Database::v4();
    for i in 0..count {
        let part = format!("P{}", i % 7);
        let record = match i % 3 {
            0 => city("US", &part, "Town", f64::from(i) / 256.0, -1.0),
            1 => json!({ "country": { "iso_code": "DE" }, "asn": i }),
            _ => json!({ "country_code": "FR", "region_code": part, "lat": "1", "lng": "-1" }),
        };
        db = db.with(&format!("10.{}.{}.0/24", i >> 8, i & 255), record);
    }
    let table = one(db.bytes());
    for i in (0..count).step_by(37).chain(PART as u32 - 3..PART as u32 + 3) {
        let want = match i % 3 {
            0 => format!("US-P{} ({:.2}, -1.00) City", i % 7, f64::from(i) / 256.0),
            1 => format!("DE AS{i} Country"),
            _ => format!("FR-P{} (1.00, -1.00) City", i % 7),
        };
        let (_, at) = table.lookup([10, (i >> 8) as u8, i as u8, 9].into()).unwrap();
        assert_eq!(format!("{at} {:?}", at.accuracy), want, "{i}");
    }
}

#[test]
fn half_a_position_is_none() {
    for location in [
        json!({ "latitude": 36.75 }),
        json!({ "longitude": -119.77 }),
        json!({ "latitude": "north", "longitude": -119.77 }),
        json!({ "latitude": 36.75, "longitude": 200.0 }),
    ] {
        let record = json!({
            "country": { "iso_code": "US" }, "subdivisions": [{ "iso_code": "CA" }],
            "location": location,
        });
        let table = one(Database::v4().with("192.0.2.0/24", record).bytes());
        assert_eq!(describe(&table, "192.0.2.9"), "192.0.2.0/24 US-CA Subdivision", "{location}");
    }
}

#[test]
fn as_zero_is_nobodys() {
    let record = json!({ "country_code": "DE", "asn": "AS0" });
    let table = one(Database::v4().with("192.0.2.0/24", record).bytes());
    assert_eq!(describe(&table, "192.0.2.9"), "192.0.2.0/24 DE Country");
}

#[test]
fn an_ipv4_tree_says_nothing_of_ipv6() {
    let v4 = Database::v4().with("192.0.2.0/24", country_code("DE")).bytes();
    let v6 = Database::v6().with("2001:db8::/32", country_code("FR")).bytes();
    assert_eq!(parse(&v4).unwrap().families(), "IPv4 only");
    assert_eq!(parse(&v6).unwrap().families(), "IPv6 only");
    // So one file for each family is no clash, whichever comes first.
    for files in [vec![v4.clone(), v6.clone()], vec![v6, v4]] {
        let table = folder(files);
        assert_eq!(describe(&table, "192.0.2.1"), "192.0.2.0/24 DE Country");
        assert_eq!(describe(&table, "2001:db8::1"), "2001:db8::/32 FR Country");
    }
}

#[test]
fn places_and_as_numbers_come_from_two_databases() {
    let city = Database::v6()
        .with("192.0.2.0/24", city("US", "CA", "Los Angeles", 34.05, -118.24))
        .with("2001:db8::/32", country_code("DE"))
        .bytes();
    let asn = Database::v6()
        .with("192.0.2.0/25", json!({ "autonomous_system_number": 64500 }))
        .with("198.51.100.0/24", json!({ "autonomous_system_number": 64501 }))
        .bytes();
    let table = folder(vec![asn, city]);
    let want = "192.0.2.0/25 US-CA (34.05, -118.24) AS64500 City";
    assert_eq!(describe(&table, "192.0.2.1"), want);
    let want = "192.0.2.128/25 US-CA (34.05, -118.24) City";
    assert_eq!(describe(&table, "192.0.2.129"), want);
    let want = "198.51.100.0/24 nowhere known AS64501 Country";
    assert_eq!(describe(&table, "198.51.100.1"), want);
    assert_eq!(describe(&table, "2001:db8::1"), "2001:db8::/32 DE Country");
    assert_eq!(describe(&table, "203.0.113.1"), "unknown");
    let kind = table.kind();
    assert!(kind.has_places && kind.has_subdivisions && kind.has_asn);
    assert_eq!(table.sources_of([192, 0, 2, 1].into()), "Test, 2026-05-28; Test, 2026-05-28");
    let without = table.without_asn();
    assert_eq!(describe(&without, "192.0.2.1"), "192.0.2.0/24 US-CA (34.05, -118.24) City");
}

#[test]
fn what_is_joined_for_a_map_is_what_lookup_says() {
    let mut places = Database::v6();
    let mut networks = Database::v6();
    // Borders of one inside, at and beside those of the other, and at both ends of the space.
    for (net, country) in
        [("0.0.0.0/8", "US"), ("10.0.0.0/16", "DE"), ("10.1.0.0/16", "FR"), ("255.0.0.0/8", "JP")]
    {
        places = places.with(net, country_code(country));
    }
    for (net, asn) in
        [("10.0.128.0/17", 1), ("10.1.0.0/16", 1), ("10.2.0.0/16", 2), ("255.255.0.0/16", 3)]
    {
        networks = networks.with(net, json!({ "autonomous_system_number": asn }));
    }
    let table = folder(vec![places.bytes(), networks.bytes()]);
    let spaces = table.spaces().unwrap();
    let runs: Vec<(u64, u32)> = spaces.v4.iter_keys().collect();
    for (index, (start, place)) in runs.iter().enumerate() {
        let last = runs.get(index + 1).map_or(u64::from(u32::MAX), |next| next.0 - 1);
        for key in [*start, last] {
            let ip = std::net::Ipv4Addr::from_bits(key as u32).into();
            let want = table.lookup(ip).map(|(_, location)| location);
            assert_eq!(spaces.location(*place).copied(), want, "{ip}");
        }
    }
    assert_eq!(runs.len(), 9, "{runs:?}");
}

#[test]
fn two_databases_that_say_the_same_clash() {
    let parsed = |record: Value| {
        Arc::new(parse(&Database::v4().with("192.0.2.0/24", record).bytes()).unwrap())
    };
    let mut table = LocationTable::default();
    table.add(parsed(country_code("DE"))).unwrap();
    let clash = |with, fact| Err(Clash { with, fact, family: "IPv4" });
    assert_eq!(table.add(parsed(country_code("FR"))), clash(0, "places"));
    assert_eq!(table.add(parsed(json!({ "country": "FR", "asn": "AS1" }))), clash(0, "places"));
    table.add(parsed(json!({ "asn": "AS1" }))).unwrap();
    assert_eq!(table.add(parsed(json!({ "asn": "AS2" }))), clash(1, "AS numbers"));
    assert_eq!(describe(&table, "192.0.2.1"), "192.0.2.0/24 DE AS1 Country");
}

#[test]
fn the_embedded_table_fills_what_nobody_says() {
    let asn = Database::v4().with("193.0.6.0/24", json!({ "autonomous_system_number": 3333 }));
    let mut table = one(asn.bytes());
    table.fill(crate::place::embedded::database);
    assert!(describe(&table, "193.0.6.139").ends_with("NL AS3333 Country"));
    let mut table = one(Database::v4().with("193.0.6.0/24", country_code("DE")).bytes());
    table.fill(crate::place::embedded::database);
    assert_eq!(describe(&table, "193.0.6.139"), "193.0.6.0/24 DE Country");
    assert_eq!(describe(&table, "193.0.7.1"), "unknown", "the file is all there is for IPv4");
    assert!(describe(&table, "2001:67c:2e8:22::1").ends_with("NL Country"));
    assert_eq!(table.databases().len(), 2);
    let both = Database::v6()
        .with("192.0.2.0/24", country_code("DE"))
        .with("2001:db8::/32", country_code("DE"));
    one(both.bytes()).fill(|| unreachable!("it is not even unpacked"));
}

#[test]
fn continents_missing_in_the_file_come_from_the_country() {
    let table = parse(&Database::v4().with("192.0.2.0/24", country_code("DE")).bytes()).unwrap();
    let continent = table.locations()[0].continent.map(|continent| continent.code());
    assert_eq!(continent, Some("EU"));
}

#[test]
fn neighbours_with_equal_locations_are_one_run() {
    let mut db = Database::v4();
    for net in ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23"] {
        db = db.with(net, country_code("DE"));
    }
    let database = parse(&db.bytes()).unwrap();
    assert_eq!(database.run_counts(), (3, 1));
    assert_eq!(describe(&one(db.bytes()), "10.0.3.3"), "10.0.0.0/22 DE Country");
}

#[test]
fn a_file_that_is_no_location_database_says_so() {
    let problem = |bytes: Vec<u8>| parse(&bytes).unwrap_err().to_string();
    assert!(problem(Vec::new()).contains("not a whole MMDB file"));
    assert!(problem(b"<html>404</html>".to_vec()).contains("not a whole MMDB file"));
    let other = json!({ "domain": "example.com", "is_anonymous": 1 });
    let other = problem(Database::v4().with("192.0.2.0/24", other).bytes());
    let want = "holds no locations: its type is `Test`, its records have domain, is_anonymous; \
                use a City, Country or ASN database";
    assert_eq!(other, want);
    let empty = problem(Database::v4().bytes());
    assert!(empty.contains("its records have no fields"), "{empty}");
}

#[test]
fn a_file_of_another_version_or_beyond_all_size_is_refused() {
    let newer = Database::v6().with("2001:db8::/32", country_code("DE")).version(3);
    let problem = parse(&newer.bytes()).unwrap_err().to_string();
    assert!(problem.contains("it is not version 2 of the format"), "{problem}");
    // Sparse: it takes no room, and would be 2 GiB of zeros to whoever read it.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(FILE_BYTES_MAX + 1).unwrap();
    let problem = read(file.path()).unwrap_err().to_string();
    assert_eq!(problem, "is 2147483649 bytes; at most 2147483648 are read");
}

#[test]
fn truncated_and_flipped_files_never_panic_or_hang() {
    let db = Database::v6()
        .with("192.0.2.0/24", city("US", "CA", "Los Angeles", 34.05, -118.24))
        .with("2001:db8::/32", country_with_point(37.751, -97.822));
    let good = db.bytes();
    for cut in 0..good.len() {
        // A cut inside the metadata may leave all that is needed.
        let _ = parse(&good[..cut]);
    }
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let _ = parse(&bad);
    }
}

#[test]
fn a_tree_that_leads_in_circles_is_refused() {
    let mut bytes = Database::v6().with("2001:db8::/32", country_code("DE")).bytes();
    // Both branches of the last node lead back to the first one.
    let last_node = 31 * 6;
    bytes[last_node..last_node + 6].fill(0);
    assert!(parse(&bytes).unwrap_err().to_string().contains("damaged"));
}
