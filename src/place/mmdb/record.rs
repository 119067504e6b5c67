//! What vendors write of an address, cut down to what steering uses.
//!
//! One table of field names serves them all, since no two give one name two meanings: MaxMind
//! and DB-IP nest codes and coordinates in maps; IPinfo writes them bare, numbers as text and AS
//! numbers as `AS15169`, in its larger databases under `geo` and `as`; ip-location-db writes
//! them bare. Knows no addresses.

use super::format::{Entries, Look, Value, Values};
use crate::{
    place::{
        distance,
        locate::{Accuracy, Continent, Country, Location, Subdivision},
    },
    units::Coordinates,
};
use foldhash::fast::FixedState;
use std::{collections::HashSet, hint::black_box};

/// Records between two turns over what stands apart: few enough that what was read of them is still
/// in the nearest cache.
const AT_ONCE: usize = 256;

/// A record of a database.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    country: Option<Country>,
    continent: Option<Continent>,
    subdivision: Option<Subdivision>,
    /// It names a part of a country or a city, by code or not.
    is_finer_than_country: bool,
    at: Option<Coordinates>,
    asn: Option<u32>,
}

/// A point on earth, by its bits.
pub(super) type Point = (u32, u32);
/// Points that are nobody's own.
pub(super) type Points = HashSet<Point, FixedState>;

fn bits(at: Coordinates) -> Point {
    (at.lat.to_bits(), at.lon.to_bits())
}

impl Record {
    /// Whether it says anything at all.
    pub(super) fn is_empty(&self) -> bool {
        self.country.is_none() && self.continent.is_none() && self.asn.is_none()
    }

    /// The point it gives, if it is placed no finer than a country: then that is its country's
    /// default point.
    pub(super) fn default_point(&self) -> Option<Point> {
        self.at.filter(|_| !self.is_finer_than_country).map(bits)
    }

    /// What it means, where `default_points` are known to be nobody's own.
    pub(super) fn location(&self, default_points: &Points) -> Location {
        let at = self.at.filter(|at| !default_points.contains(&bits(*at)));
        let facts = || self.country.and_then(distance::country);
        Location {
            country: self.country,
            continent: self.continent.or_else(|| Some(facts()?.continent)),
            subdivision: self.subdivision,
            at,
            accuracy: Accuracy::of(at, self.subdivision),
            asn: self.asn,
        }
    }
}

/// Reads the records of one database.
pub(super) struct Records<'a> {
    values: Values<'a>,
    /// What stands at an offset, by offset. Records share their keys and the maps that say a
    /// country, so nearly all of them need not be looked at again.
    fields: Memo<Field>,
    codes: Memo<Code>,
}

impl<'a> Records<'a> {
    pub(super) fn new(values: Values<'a>) -> Self {
        Records { values, fields: Memo::new(Field::Other), codes: Memo::new(Code::default()) }
    }

    /// The records at `offsets` in their order; `None` if one is damaged.
    pub(super) fn read(&mut self, offsets: &[u32]) -> Option<Vec<Record>> {
        let mut records = Vec::with_capacity(offsets.len());
        let mut written = Vec::with_capacity(AT_ONCE);
        for offsets in offsets.chunks(AT_ONCE) {
            written.clear();
            for at in offsets {
                written.push(self.written(*at as usize)?);
            }
            // Coordinates and cities stand far apart. Asked for in a turn so short, the processor
            // fetches those of many records at once; one after the other it would wait for each.
            // A sum that nobody looks at would be left out, and the turn with it.
            let apart = |w: &Written| [w.lat, w.lon, w.city.filter(|_| !w.has_part)];
            let apart = written.iter().flat_map(apart).flatten();
            black_box(apart.fold(0, |all, at| all ^ self.values.first_byte(at)));
            for written in &written {
                records.push(self.record(written)?);
            }
        }
        Some(records)
    }

    fn written(&mut self, at: usize) -> Option<Written> {
        let mut written = Written::default();
        if let Value::Map(fields) = self.values.at(at)? {
            self.fields(fields, &mut written, true)?;
        }
        Some(written)
    }

    fn fields(
        &mut self,
        fields: Entries<'a>,
        written: &mut Written,
        is_top: bool,
    ) -> Option<usize> {
        let values = self.values;
        fields.each(|key, at| {
            let field = self.fields.get(key, || Some(Field::of(values.text(key)?)))?;
            match field {
                Field::CountryCode => written.country[0] = self.code(at)?.country,
                Field::Country => written.country[1] = self.code(at)?.country,
                Field::Registered => written.country[2] = self.code(at)?.country,
                Field::ContinentCode => written.continent[0] = self.code(at)?.continent,
                Field::Continent => written.continent[1] = self.code(at)?.continent,
                Field::Subdivisions => {
                    if let Value::List(parts) = values.at(at)?
                        && let Some(part) = parts.first()
                    {
                        written.has_part = true;
                        written.subdivision = self.code(part)?.subdivision;
                    }
                }
                Field::RegionCode => {
                    let code = self.code(at)?;
                    written.subdivision = code.subdivision;
                    written.has_part |= code.is_written;
                }
                Field::Region => written.has_part |= says_something(values.at(at)?),
                Field::City => written.city = Some(values.target(at)?),
                Field::Latitude => written.lat = Some(values.target(at)?),
                Field::Longitude => written.lon = Some(values.target(at)?),
                Field::Asn => written.asn = asn(values.at(at)?).or(written.asn),
                Field::Group if is_top => {
                    if let Value::Map(inner) = values.at(at)? {
                        let end = self.fields(inner, written, false)?;
                        if values.target(at)? == at {
                            return Some(Look::From(end));
                        }
                    }
                }
                Field::Group | Field::Code | Field::Other => {}
            }
            Some(Look::On)
        })
    }

    /// The bare text at `at`, or the code in the map there; nothing if there is neither.
    fn code(&mut self, at: usize) -> Option<Code> {
        let values = self.values;
        let target = values.target(at)?;
        // A text that stands right here is nobody else's: remembered, it would only push out what
        // records share.
        if target == at
            && let Value::Text(text) = values.own(at)?
        {
            return Some(Code::of(text));
        }
        let fields = &mut self.fields;
        self.codes.get(target, || {
            let map = match values.own(target)? {
                Value::Text(text) => return Some(Code::of(text)),
                Value::Map(map) => map,
                _ => return Some(Code::default()),
            };
            let mut found = "";
            map.each(|key, at| {
                match fields.get(key, || Some(Field::of(values.text(key)?)))? {
                    Field::Code => {}
                    _ => return Some(Look::On),
                }
                if let Value::Text(text) = values.at(at)? {
                    found = text;
                }
                Some(Look::Enough)
            })?;
            Some(Code::of(found))
        })
    }

    #[inline]
    fn record(&self, written: &Written) -> Option<Record> {
        let point = match (written.lat, written.lon) {
            (Some(lat), Some(lon)) => {
                number(self.values.own(lat)?).zip(number(self.values.own(lon)?))
            }
            _ => None,
        };
        // Whether there is a city is asked only where nothing else says that a place is finer
        // than its country: the maps of cities are many and far apart.
        let has_city = match written.city {
            Some(at) if !written.has_part => says_something(self.values.own(at)?),
            _ => false,
        };
        Some(Record {
            country: written.country.into_iter().find_map(|code| code),
            continent: written.continent.into_iter().find_map(|code| code),
            subdivision: written.subdivision,
            is_finer_than_country: written.has_part || has_city,
            at: point.and_then(|(lat, lon)| distance::checked_coordinates(lat, lon)),
            asn: written.asn,
        })
    }
}

/// What a key means, wherever it stands.
#[derive(Clone, Copy)]
enum Field {
    CountryCode,
    Country,
    Registered,
    ContinentCode,
    Continent,
    Subdivisions,
    RegionCode,
    Region,
    City,
    Latitude,
    Longitude,
    Asn,
    /// A map of more fields.
    Group,
    /// The code of whatever the map around it is.
    Code,
    Other,
}

impl Field {
    fn of(key: &[u8]) -> Field {
        match key {
            b"country_code" => Field::CountryCode,
            b"country" => Field::Country,
            b"registered_country" => Field::Registered,
            b"continent_code" => Field::ContinentCode,
            b"continent" => Field::Continent,
            b"subdivisions" => Field::Subdivisions,
            b"region_code" => Field::RegionCode,
            b"region" | b"state1" => Field::Region,
            b"city" => Field::City,
            b"latitude" | b"lat" => Field::Latitude,
            b"longitude" | b"lng" => Field::Longitude,
            b"autonomous_system_number" | b"asn" => Field::Asn,
            b"location" | b"traits" | b"geo" | b"as" => Field::Group,
            b"iso_code" | b"code" => Field::Code,
            _ => Field::Other,
        }
    }
}

/// A record as it is written. Of what stands there twice in different words, the first that is
/// understood counts.
#[derive(Default)]
struct Written {
    country: [Option<Country>; 3],
    continent: [Option<Continent>; 2],
    subdivision: Option<Subdivision>,
    has_part: bool,
    /// Where the city stands.
    city: Option<usize>,
    /// Where the latitude stands, and the longitude.
    lat: Option<usize>,
    lon: Option<usize>,
    asn: Option<u32>,
}

/// What a code says, whatever it is the code of.
#[derive(Clone, Copy, Default)]
struct Code {
    is_written: bool,
    country: Option<Country>,
    continent: Option<Continent>,
    subdivision: Option<Subdivision>,
}

impl Code {
    fn of(text: &str) -> Code {
        Code {
            is_written: !text.is_empty(),
            country: Country::parse(text).map(distance::current),
            continent: Continent::parse(text),
            subdivision: Subdivision::parse(text),
        }
    }
}

/// What was found at an offset, for the offsets asked for most: a later one may take the place
/// of an earlier.
struct Memo<T>(Vec<(usize, T)>);

impl<T: Copy> Memo<T> {
    /// A power of two; a database has some 300 codes and 30 keys.
    const PLACES: usize = 1_024;

    fn new(nothing: T) -> Self {
        // No value can stand at the last offset there is.
        Memo(vec![(usize::MAX, nothing); Self::PLACES])
    }
    #[inline]
    fn get(&mut self, at: usize, find: impl FnOnce() -> Option<T>) -> Option<T> {
        // Neighbours are apart, and what is a power of two apart seldom meets.
        let place = &mut self.0[(at ^ at >> 10) % Self::PLACES];
        if place.0 != at {
            *place = (at, find()?);
        }
        Some(place.1)
    }
}

fn says_something(value: Value<'_>) -> bool {
    match value {
        Value::Text(text) => !text.is_empty(),
        Value::Map(entries) | Value::List(entries) => entries.count > 0,
        Value::Number(_) | Value::Real(_) => true,
        Value::Other => false,
    }
}

fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Real(number) => Some(number),
        Value::Number(number) => Some(number as f64),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

/// `15169` or `AS15169`; AS 0 is nobody's (RFC 7607).
fn asn(value: Value<'_>) -> Option<u32> {
    let number = match value {
        Value::Number(number) => u32::try_from(number).ok(),
        Value::Text(text) => text.strip_prefix("AS").unwrap_or(text).parse().ok(),
        _ => None,
    };
    number.filter(|asn| *asn != 0)
}
