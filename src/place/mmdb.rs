//! Reads a vendor's `.mmdb` into a [`LocationTable`]: the MaxMind City and Country schemas
//! (MaxMind, DB-IP) and the flat ones (IPinfo, ip-location-db).
//!
//! The file is read whole, never mapped: an updater may truncate it under us (SIGBUS). It is
//! decoded once, each distinct record once, and dropped; nothing here is used by a query. A
//! broken file is an error, never a panic: the tree is walked with a budget, since the links
//! of a damaged one may lead in circles.

use super::{
    distance,
    locate::{Accuracy, Continent, Country, Identity, Location, Subdivision},
    table::{self, LocationTable, NOWHERE, RunsBuilder, TableInfo},
};
use crate::units::Coordinates;
use maxminddb::{LookupResult, MaxMindDbError, Reader, WithinOptions};
use serde::{Deserialize, Deserializer, de};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    net::IpAddr,
    path::Path,
};

/// The largest file read: ten times the largest location database sold today.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Why a location database was refused.
#[derive(Debug, thiserror::Error)]
pub enum MmdbProblem {
    /// The file could not be read at all.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// Larger than any location database.
    #[error("is {bytes} bytes; at most {FILE_BYTES_MAX} are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Not an MMDB file, or one that was cut short.
    #[error("is not a whole MMDB file (was the download cut short?): {0}")]
    NotMmdb(String),
    /// The header is fine, the content is not.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// It knows no country, continent, or AS number of any address.
    #[error("holds no locations (its type is `{0}`); use a Country or City database")]
    NoLocations(String),
}

/// Reads the database at `path`.
///
/// # Errors
/// When the file cannot be read or is not a sound location database.
pub fn read(path: &Path) -> Result<LocationTable, MmdbProblem> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(MmdbProblem::TooLarge { bytes });
    }
    parse(std::fs::read(path)?)
}

/// Reads the database in `bytes`.
///
/// # Errors
/// When they are not a sound location database.
pub fn parse(bytes: Vec<u8>) -> Result<LocationTable, MmdbProblem> {
    let sha256 = super::sha256_hex(&bytes);
    let reader = Reader::from_source(bytes).map_err(|e| MmdbProblem::NotMmdb(e.to_string()))?;
    let kind = reader.metadata().database_type.clone();
    let mut walk = Walk::default();
    walk.run(&reader).map_err(|e| MmdbProblem::Damaged(e.to_string()))?;
    let places = Places::of(&walk.records);
    if places.locations.is_empty() {
        return Err(MmdbProblem::NoLocations(kind));
    }
    Ok(LocationTable {
        v4: walk.v4.finish().mapped(|record| places.of_record(record)),
        v6: walk.v6.finish().mapped(|record| places.of_record(record)),
        info: TableInfo {
            source: kind,
            date: day(reader.metadata().build_epoch),
            licence: String::new(),
            sha256,
            kind: table::kind_of(&places.locations),
        },
        locations: places.locations,
    })
}

/// The day of a Unix time, `YYYY-MM-DD`.
fn day(epoch: u64) -> String {
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| String::from("unknown"), |at| at.strftime("%Y-%m-%d").to_string())
}

/// One pass over the search tree: runs of record numbers, and every distinct record decoded.
struct Walk {
    v4: RunsBuilder<u32>,
    v6: RunsBuilder<u64>,
    by_offset: HashMap<usize, u32>,
    records: Vec<Record>,
}

impl Default for Walk {
    fn default() -> Self {
        Walk {
            v4: RunsBuilder::new(),
            v6: RunsBuilder::new(),
            by_offset: HashMap::new(),
            records: Vec::new(),
        }
    }
}

impl Walk {
    fn run(&mut self, reader: &Reader<Vec<u8>>) -> Result<(), MaxMindDbError> {
        // A tree of n nodes has n + 1 leaves; three times that leaves room for writers that
        // share branches, as the library's own verifier does. Leaves without data are asked
        // for too, so that every turn of a walk in circles is counted.
        let budget = (reader.metadata().node_count as usize).saturating_mul(3) + 1;
        let options = WithinOptions::default().include_networks_without_data();
        for (count, found) in reader.networks(options)?.enumerate() {
            if count > budget {
                return Err(MaxMindDbError::InvalidDatabase {
                    message: "its search tree leads in circles".into(),
                    offset: None,
                });
            }
            let found = found?;
            if let Some(offset) = found.offset() {
                let record = self.record(offset, &found)?;
                let net = found.network()?;
                self.add(net.ip(), net.prefix(), record);
            }
        }
        Ok(())
    }

    fn record(
        &mut self,
        offset: usize,
        found: &LookupResult<'_, Vec<u8>>,
    ) -> Result<u32, MaxMindDbError> {
        if let Some(&known) = self.by_offset.get(&offset) {
            return Ok(known);
        }
        let id = self.records.len() as u32;
        self.records.push(found.decode::<Raw<'_>>()?.unwrap_or_default().record());
        self.by_offset.insert(offset, id);
        Ok(id)
    }

    fn add(&mut self, first: IpAddr, len: u8, record: u32) {
        let ones = |bits: u32| u64::MAX.checked_shr(64 - bits + u32::from(len)).unwrap_or(0);
        match first {
            IpAddr::V4(ip) => {
                let first = u64::from(ip.to_bits());
                self.v4.add(first, first | ones(32), record);
            }
            IpAddr::V6(ip) => {
                let first = (ip.to_bits() >> 64) as u64;
                self.v6.add(first, first | ones(64), record);
            }
        }
    }
}

/// A record, cut down to what steering uses.
#[derive(Clone, Debug, Default)]
struct Record {
    country: Option<Country>,
    continent: Option<Continent>,
    subdivision: Option<Subdivision>,
    has_city: bool,
    at: Option<Coordinates>,
    asn: Option<u32>,
}

impl Record {
    /// Placed no finer than a country: any point it gives is the country's default point.
    fn is_country_level(&self) -> bool {
        self.subdivision.is_none() && !self.has_city
    }
    /// Whether it says anything at all.
    fn is_empty(&self) -> bool {
        self.country.is_none() && self.continent.is_none() && self.asn.is_none()
    }
    fn location(&self, default_points: &HashSet<(u32, u32)>) -> Location {
        let own =
            |at: &Coordinates| !self.is_country_level() && !default_points.contains(&bits(*at));
        let at = self.at.filter(own);
        let facts = self.country.and_then(distance::country);
        Location {
            country: self.country,
            continent: self.continent.or(facts.map(|facts| facts.continent)),
            subdivision: self.subdivision,
            at,
            accuracy: Accuracy::of(at, self.subdivision),
            asn: self.asn,
        }
    }
}

fn bits(at: Coordinates) -> (u32, u32) {
    (at.lat.to_bits(), at.lon.to_bits())
}

/// Distinct locations, and which record is which.
struct Places {
    locations: Vec<Location>,
    by_record: Vec<u32>,
}

impl Places {
    fn of(records: &[Record]) -> Self {
        // The trap (DESIGN §5, Latency): GeoLite2 gives 37.751, -97.822 to most of the United
        // States. Whatever point a country-level record has is a default, whoever shares it.
        let country_level = records.iter().filter(|r| r.is_country_level());
        let default_points = country_level.filter_map(|r| r.at.map(bits)).collect();
        let mut known = HashMap::new();
        let mut locations = Vec::new();
        let by_record = records.iter().map(|record| {
            if record.is_empty() {
                return NOWHERE;
            }
            let found = record.location(&default_points);
            *known.entry(Identity::of(&found)).or_insert_with(|| {
                locations.push(found);
                locations.len() as u32 - 1
            })
        });
        let by_record = by_record.collect();
        Places { locations, by_record }
    }
    fn of_record(&self, record: u32) -> u32 {
        self.by_record.get(record as usize).copied().unwrap_or(NOWHERE)
    }
}

/// A record as vendors write it; what is absent in one schema is present in another.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Raw<'a> {
    country: Loose<'a>,
    registered_country: Loose<'a>,
    continent: Loose<'a>,
    country_code: Loose<'a>,
    continent_code: Loose<'a>,
    subdivisions: Loose<'a>,
    city: Loose<'a>,
    location: Loose<'a>,
    #[serde(alias = "lat")]
    latitude: Loose<'a>,
    #[serde(alias = "lng")]
    longitude: Loose<'a>,
    autonomous_system_number: Loose<'a>,
    asn: Loose<'a>,
}

impl Raw<'_> {
    fn record(&self) -> Record {
        let lat = self.location.lat.or_else(|| self.latitude.number());
        let lon = self.location.lon.or_else(|| self.longitude.number());
        let countries = [&self.country_code, &self.country, &self.registered_country];
        let continents = [&self.continent_code, &self.continent];
        Record {
            country: countries.iter().find_map(|c| Country::parse(c.text?)).map(distance::current),
            continent: continents.iter().find_map(|c| Continent::parse(c.text?)),
            subdivision: self.subdivisions.text.and_then(Subdivision::parse),
            has_city: self.city.says_something,
            at: lat.zip(lon).and_then(|(lat, lon)| distance::checked_coordinates(lat, lon)),
            asn: self.autonomous_system_number.asn().or_else(|| self.asn.asn()),
        }
    }
}

/// Any value, seen with a vendor's eyes half shut: MaxMind nests codes and coordinates in
/// maps, others write them bare, and numbers as text.
#[derive(Clone, Copy, Default)]
struct Loose<'a> {
    /// Bare text, or the `iso_code` or `code` of a map, or of the first entry of a list.
    text: Option<&'a str>,
    number: Option<f64>,
    lat: Option<f64>,
    lon: Option<f64>,
    says_something: bool,
}

impl Loose<'_> {
    fn number(&self) -> Option<f64> {
        self.number.or_else(|| self.text?.parse().ok())
    }
    /// `15169` or `AS15169`.
    fn asn(&self) -> Option<u32> {
        let written = self.text.map(|t| t.strip_prefix("AS").unwrap_or(t));
        let given = self.number.filter(|n| (0.0..=f64::from(u32::MAX)).contains(n));
        written.and_then(|t| t.parse().ok()).or(given.map(|n| n as u32))
    }
    fn of_number(number: f64) -> Self {
        Loose { number: Some(number), says_something: true, ..Loose::default() }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> de::Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, a map or a list")
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Loose<'de>, E> {
        Ok(Loose { text: Some(text), says_something: !text.is_empty(), ..Loose::default() })
    }
    fn visit_f64<E>(self, number: f64) -> Result<Loose<'de>, E> {
        Ok(Loose::of_number(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Loose<'de>, E> {
        Ok(Loose::of_number(number as f64))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Loose<'de>, E> {
        Ok(Loose::of_number(number as f64))
    }
    fn visit_u128<E>(self, _: u128) -> Result<Loose<'de>, E> {
        Ok(Loose::default())
    }
    fn visit_bool<E>(self, _: bool) -> Result<Loose<'de>, E> {
        Ok(Loose::default())
    }
    fn visit_bytes<E>(self, _: &[u8]) -> Result<Loose<'de>, E> {
        Ok(Loose::default())
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Loose<'de>, A::Error> {
        let mut found = Loose::default();
        while let Some(key) = map.next_key::<&str>()? {
            found.says_something = true;
            match key {
                "iso_code" | "code" => found.text = map.next_value::<Loose<'_>>()?.text,
                "latitude" => found.lat = map.next_value::<Loose<'_>>()?.number(),
                "longitude" => found.lon = map.next_value::<Loose<'_>>()?.number(),
                _ => drop(map.next_value::<de::IgnoredAny>()?),
            }
        }
        Ok(found)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Loose<'de>, A::Error> {
        let first = list.next_element()?.unwrap_or_default();
        while list.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

#[cfg(test)]
mod tests;
