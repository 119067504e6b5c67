//! What may be known of where an address is: the words rules are written in.
//!
//! Knows no addresses: `table.rs` has them.

use crate::units::Coordinates;
use std::fmt;

/// An ISO 3166-1 alpha-2 code: two capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country written `code`, in either case, if it has the form of one.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 2] = code.as_bytes().try_into().ok()?;
        let letters = bytes.iter().all(u8::is_ascii_alphabetic);
        letters.then(|| Country(bytes.map(|b| b.to_ascii_uppercase())))
    }
    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("parse lets only ASCII letters in")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of a country: the ISO 3166-2 code after its hyphen, one to three letters or digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdivision {
    bytes: [u8; 3],
    len: u8,
}

impl Subdivision {
    /// The subdivision whose suffix is `code` (`CA` of `US-CA`), if it has the form of one.
    pub fn parse(code: &str) -> Option<Self> {
        let fits = (1..=3).contains(&code.len());
        if !fits || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let mut bytes = [0; 3];
        for (to, from) in bytes.iter_mut().zip(code.bytes()) {
            *to = from.to_ascii_uppercase();
        }
        let len = code.len() as u8;
        Some(Subdivision { bytes, len })
    }
    /// `US-CA` as its two parts.
    pub fn parse_full(code: &str) -> Option<(Country, Self)> {
        let (country, suffix) = code.split_once('-')?;
        Some((Country::parse(country)?, Subdivision::parse(suffix)?))
    }
    /// The suffix.
    pub fn as_str(&self) -> &str {
        let used = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(used).expect("parse lets only ASCII in")
    }
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A continent as location databases count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Continent {
    /// `AF`
    Africa,
    /// `AN`
    Antarctica,
    /// `AS`
    Asia,
    /// `EU`
    Europe,
    /// `NA`
    NorthAmerica,
    /// `OC`
    Oceania,
    /// `SA`
    SouthAmerica,
}

impl Continent {
    /// Every continent, in order of its code.
    pub const ALL: [Continent; 7] = [
        Continent::Africa,
        Continent::Antarctica,
        Continent::Asia,
        Continent::Europe,
        Continent::NorthAmerica,
        Continent::Oceania,
        Continent::SouthAmerica,
    ];
    /// The continent with this two-letter code, in either case.
    pub fn parse(code: &str) -> Option<Self> {
        let all = Self::ALL.into_iter();
        all.clone().find(|c| c.code().eq_ignore_ascii_case(code))
    }
    /// The code databases and rules use.
    pub const fn code(self) -> &'static str {
        match self {
            Continent::Africa => "AF",
            Continent::Antarctica => "AN",
            Continent::Asia => "AS",
            Continent::Europe => "EU",
            Continent::NorthAmerica => "NA",
            Continent::Oceania => "OC",
            Continent::SouthAmerica => "SA",
        }
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// How finely a location is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accuracy {
    /// The country at most.
    Country,
    /// A state or province.
    Subdivision,
    /// Coordinates of its own.
    City,
}

impl Accuracy {
    /// What these two fields of a location make of it.
    pub(super) fn of(at: Option<Coordinates>, part: Option<Subdivision>) -> Self {
        match (at, part) {
            (Some(_), _) => Accuracy::City,
            (None, Some(_)) => Accuracy::Subdivision,
            (None, None) => Accuracy::Country,
        }
    }
}

/// All a database says of one place, as far as steering cares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// The country, or where the address is registered if nothing better is known.
    pub country: Option<Country>,
    /// The continent, from the database or its country.
    pub continent: Option<Continent>,
    /// The state or province within `country`.
    pub subdivision: Option<Subdivision>,
    /// Coordinates that belong to the place itself, never a country's default point.
    pub at: Option<Coordinates>,
    /// How finely all this is known.
    pub accuracy: Accuracy,
    /// The network that announces the address.
    pub asn: Option<u32>,
}

impl Location {
    /// A client of `country` of whom no more is known.
    pub fn of_country(country: Country, continent: Option<Continent>) -> Self {
        Location {
            country: Some(country),
            continent,
            subdivision: None,
            at: None,
            accuracy: Accuracy::Country,
            asn: None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.country, self.subdivision, self.continent) {
            (Some(country), Some(part), _) => write!(f, "{country}-{part}")?,
            (Some(country), None, _) => write!(f, "{country}")?,
            (None, _, Some(continent)) => write!(f, "{continent}")?,
            (None, _, None) => f.write_str("nowhere known")?,
        }
        if let Some(at) = self.at {
            write!(f, " ({:.2}, {:.2})", at.lat, at.lon)?;
        }
        match self.asn {
            Some(asn) => write!(f, " AS{asn}"),
            None => Ok(()),
        }
    }
}

/// A location in a form that can be a key, small because a City database has half a million to
/// compare; accuracy follows from the rest.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Identity(u64, u64, u64);

impl Identity {
    pub(super) fn of(location: &Location) -> Self {
        let Location { country, continent, subdivision, at, asn, accuracy: _ } = location;
        let bytes = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        // No code has a zero byte, so what is absent is told from what is there.
        let country = country.map_or(0, |country| bytes(&country.0));
        let subdivision = subdivision.map_or(0, |part| bytes(&part.bytes));
        let continent = continent.map_or(0, |continent| continent as u64 + 1);
        let words = country << 32 | subdivision << 8 | continent;
        let point = at.map_or(0, |at| bits(at.lat) << 32 | bits(at.lon));
        let flags = u64::from(at.is_some()) << 1 | u64::from(asn.is_some());
        Identity(words, point, u64::from(asn.unwrap_or(0)) << 2 | flags)
    }
}

fn bits(degrees: f32) -> u64 {
    degrees.to_bits().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_a_form() {
        assert_eq!(Country::parse("de").unwrap().as_str(), "DE");
        assert!(Country::parse("D1").is_none() && Country::parse("DEU").is_none());
        let (country, part) = Subdivision::parse_full("US-CA").unwrap();
        assert_eq!((country.as_str(), part.as_str()), ("US", "CA"));
        assert!(Subdivision::parse("").is_none() && Subdivision::parse("é").is_none());
        assert_eq!(Continent::parse("eu"), Some(Continent::Europe));
    }
}
