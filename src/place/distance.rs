//! How far a client is from a region, and the facts that say where both are.
//!
//! Coordinates come from the finest source known: the database's own, the subdivision's, the
//! country's (DESIGN §5, Latency). The catalogues are embedded; `embedded/README.md` credits
//! their sources. Knows no client map and no measured table.

use super::locate::{Continent, Country, Location, Subdivision};
use crate::units::{Coordinates, TenthMs};
use std::{collections::HashMap, sync::OnceLock};

/// Round trip of the access network and equipment, whatever the distance: the intercept of
/// the line DESIGN §5 gives.
const BASE_MS: f64 = 26.6;
/// Round trip added by 100 km of great circle: the slope of that line.
const MS_PER_100_KM: f64 = 1.517;
/// Mean radius of the earth (IUGG).
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// Great-circle distance in kilometres (haversine).
pub fn great_circle_km(from: Coordinates, to: Coordinates) -> f64 {
    let radians =
        |at: Coordinates| (f64::from(at.lat).to_radians(), f64::from(at.lon).to_radians());
    let ((lat_a, lon_a), (lat_b, lon_b)) = (radians(from), radians(to));
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let h = half(lat_b - lat_a) + lat_a.cos() * lat_b.cos() * half(lon_b - lon_a);
    2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
}

/// The latency expected over that distance.
pub fn score(from: Coordinates, to: Coordinates) -> TenthMs {
    TenthMs::from_ms(BASE_MS + MS_PER_100_KM * great_circle_km(from, to) / 100.0)
}

/// Where a client of `location` is taken to be.
pub fn position(location: &Location) -> Option<Coordinates> {
    let facts = facts();
    location.at.or_else(|| {
        let country = location.country?;
        let part = location.subdivision;
        let part = part.and_then(|part| facts.subdivisions.get(&(country, part)));
        part.copied().or_else(|| Some(facts.countries.get(&country)?.at))
    })
}

/// What is known of a country.
#[derive(Clone, Debug, PartialEq)]
pub struct CountryFacts {
    /// Its English name.
    pub name: &'static str,
    /// The continent it is counted to.
    pub continent: Continent,
    /// Its population-weighted centre; the plain centre where nobody lives.
    pub at: Coordinates,
}

/// The facts of `country`, if it is one.
pub fn country(country: Country) -> Option<&'static CountryFacts> {
    facts().countries.get(&country)
}

/// The country that `country` is today. Registries still have addresses under AN (Netherlands
/// Antilles, dissolved in 2010), most of them in Curaçao.
pub(super) fn current(country: Country) -> Country {
    match country.as_str() {
        "AN" => Country::parse("CW").expect("two letters"),
        _ => country,
    }
}

/// The centre of a subdivision, for the countries whose subdivisions we know (US, CA, AU).
pub fn subdivision(country: Country, part: Subdivision) -> Option<Coordinates> {
    facts().subdivisions.get(&(country, part)).copied()
}

/// A cloud region nobody has heard of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not in the catalogue of cloud regions")]
pub struct UnknownCloudRegion {
    /// As written.
    pub given: String,
    /// The nearest name there is, if one is near.
    pub suggestion: Option<&'static str>,
}

/// Where the cloud region `provider:region` is (`aws:us-east-1`).
///
/// # Errors
/// When the catalogue does not know it; the error suggests the nearest name.
pub fn cloud_region(name: &str) -> Result<Coordinates, UnknownCloudRegion> {
    let clouds = &facts().clouds;
    let known = clouds.binary_search_by(|(known, _)| known.as_str().cmp(name));
    known.map(|i| clouds[i].1).map_err(|_| UnknownCloudRegion {
        given: name.to_owned(),
        suggestion: nearest(name, clouds.iter().map(|(known, _)| known.as_str())),
    })
}

/// The candidate that takes the fewest edits, if they are at most a third of the word.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer than any name by far: nothing is near, and the work stays small.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let rated = candidates.map(|candidate| (edits(&word, candidate), candidate));
    let (edits, best) = rated.min()?;
    (edits <= word.len().div_ceil(3)).then_some(best)
}

/// Levenshtein distance, by rows.
fn edits(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

struct Facts {
    countries: HashMap<Country, CountryFacts>,
    subdivisions: HashMap<(Country, Subdivision), Coordinates>,
    clouds: Vec<(String, Coordinates)>,
}

fn facts() -> &'static Facts {
    static FACTS: OnceLock<Facts> = OnceLock::new();
    FACTS.get_or_init(|| Facts {
        countries: parse_countries(include_str!("embedded/countries.csv")),
        subdivisions: parse_subdivisions(include_str!("embedded/subdivisions.csv")),
        clouds: parse_clouds(include_str!("embedded/cloud-regions.csv")),
    })
}

// The catalogues hold no quoted fields; rows that do not parse are left out, and a test holds
// that there are none.

fn parse_countries(csv: &'static str) -> HashMap<Country, CountryFacts> {
    let row = |line: &'static str| {
        let fields: Vec<&str> = line.split(',').collect();
        let [iso, continent, name, lat, lon, _weighted] = fields[..] else {
            return None;
        };
        let (continent, at) = (Continent::parse(continent)?, coordinates(lat, lon)?);
        Some((Country::parse(iso)?, CountryFacts { name, continent, at }))
    };
    csv.lines().skip(1).filter_map(row).collect()
}

fn parse_subdivisions(csv: &str) -> HashMap<(Country, Subdivision), Coordinates> {
    let row = |line: &str| {
        let mut fields = line.split(',');
        let country = Country::parse(fields.next()?)?;
        let part = Subdivision::parse(fields.next()?)?;
        Some(((country, part), coordinates(fields.next()?, fields.next()?)?))
    };
    csv.lines().skip(1).filter_map(row).collect()
}

fn parse_clouds(csv: &str) -> Vec<(String, Coordinates)> {
    let row = |line: &str| {
        let mut fields = line.split(',');
        let name = format!("{}:{}", fields.next()?, fields.next()?);
        Some((name, coordinates(fields.next()?, fields.next()?)?))
    };
    let mut clouds: Vec<_> = csv.lines().skip(1).filter_map(row).collect();
    clouds.sort_by(|a, b| a.0.cmp(&b.0));
    clouds
}

fn coordinates(lat: &str, lon: &str) -> Option<Coordinates> {
    checked_coordinates(lat.parse().ok()?, lon.parse().ok()?)
}

/// Coordinates that are a point on earth.
pub(super) fn checked_coordinates(lat: f64, lon: f64) -> Option<Coordinates> {
    let on_earth = (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
    on_earth.then_some(Coordinates { lat: lat as f32, lon: lon as f32 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_catalogues_is_read() {
        let rows = |csv: &str| csv.lines().count() - 1;
        let facts = facts();
        assert_eq!(facts.countries.len(), rows(include_str!("embedded/countries.csv")));
        assert_eq!(facts.subdivisions.len(), rows(include_str!("embedded/subdivisions.csv")));
        assert_eq!(facts.clouds.len(), rows(include_str!("embedded/cloud-regions.csv")));
    }

    #[test]
    fn distance_is_that_of_the_globe() {
        let (iad, dub) =
            (cloud_region("aws:us-east-1").unwrap(), cloud_region("aws:eu-west-1").unwrap());
        let km = great_circle_km(iad, dub);
        assert!((5400.0..5500.0).contains(&km), "{km}");
        assert_eq!(score(iad, iad), TenthMs(266));
        assert_eq!(score(iad, dub), TenthMs::from_ms(26.6 + 1.517 * km / 100.0));
        let pole = |lat| Coordinates { lat, lon: 0.0 };
        let half = great_circle_km(pole(90.0), pole(-90.0));
        assert!((half - std::f64::consts::PI * EARTH_RADIUS_KM).abs() < 1e-6);
    }

    #[test]
    fn the_finest_position_known_is_taken() {
        let (us, ca) = Subdivision::parse_full("US-CA").unwrap();
        let mut client = Location::of_country(us, None);
        assert_eq!(position(&client), Some(country(us).unwrap().at));
        client.subdivision = Some(ca);
        assert_eq!(position(&client), subdivision(us, ca));
        let here = Coordinates { lat: 1.0, lon: 2.0 };
        client.at = Some(here);
        assert_eq!(position(&client), Some(here));
        // A subdivision we have no centre for leaves its country's.
        client.at = None;
        client.subdivision = Subdivision::parse("ZZZ");
        assert_eq!(position(&client), Some(country(us).unwrap().at));
    }

    #[test]
    fn a_misspelt_cloud_region_gets_a_suggestion() {
        let unknown = cloud_region("aws:eu-wset-1").unwrap_err();
        assert_eq!(unknown.suggestion, Some("aws:eu-west-1"));
        assert_eq!(cloud_region("AWS:EU-WEST-1").unwrap_err().suggestion, Some("aws:eu-west-1"));
        assert_eq!(cloud_region("xyzzy").unwrap_err().suggestion, None);
    }
}
