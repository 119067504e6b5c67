//! The compact form of a [`Database`]: what is embedded in the program.
//!
//! `TWLT`, a version byte, then deflated: the table's info, its locations, and for each family
//! its runs. A run is three numbers, kept in three columns because like packs well beside like:
//! how many times its size can be halved, the odd number that is left, and its place plus one
//! (zero: nowhere). All numbers are LEB128. Knows bytes only, not where they are kept.

use super::{
    locate::{Accuracy, Continent, Country, Location, Subdivision},
    table::{Database, Key, NOWHERE, Runs, RunsBuilder, Spaces, TableInfo},
};
use crate::units::Coordinates;

const MAGIC: &[u8; 5] = b"TWLT\x01";
/// A table unpacks to at most this: forty times what the embedded one needs.
const UNPACKED_BYTES_MAX: usize = 128 << 20;
/// The best miniz_oxide does; made once, read at every start.
const DEFLATE_LEVEL: u8 = 10;

/// Why bytes are not a packed table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodecProblem {
    #[error("not a packed location table of this version")]
    NotATable,
    #[error("the packed location table is cut short or damaged")]
    Damaged,
}

/// Packs `table`.
pub(super) fn pack(table: &Database) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    let info = &table.info;
    for text in [&info.source, &info.date, &info.licence, &info.sha256] {
        out.text(text);
    }
    let Spaces { v4, v6, locations } = &table.spaces;
    out.number(locations.len() as u64);
    locations.iter().for_each(|l| out.location(l));
    out.runs(v4);
    out.runs(v6);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(miniz_oxide::deflate::compress_to_vec(&out.0, DEFLATE_LEVEL));
    bytes
}

/// The table packed in `bytes`.
pub(super) fn unpack(bytes: &[u8]) -> Result<Database, CodecProblem> {
    let packed = bytes.strip_prefix(MAGIC).ok_or(CodecProblem::NotATable)?;
    let plain = miniz_oxide::inflate::decompress_to_vec_with_limit(packed, UNPACKED_BYTES_MAX)
        .map_err(|_| CodecProblem::Damaged)?;
    Reader(&plain).table().ok_or(CodecProblem::Damaged)
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }
    /// A list of fields that may be absent: an empty text, or zero for the AS number.
    fn location(&mut self, l: &Location) {
        self.text(l.country.as_ref().map_or("", Country::as_str));
        self.text(l.continent.map_or("", Continent::code));
        self.text(l.subdivision.as_ref().map_or("", Subdivision::as_str));
        self.0.push(u8::from(l.at.is_some()));
        if let Some(at) = l.at {
            self.0.extend(at.lat.to_le_bytes());
            self.0.extend(at.lon.to_le_bytes());
        }
        self.number(u64::from(l.asn.unwrap_or(0)));
    }
    fn runs<K: Key>(&mut self, runs: &Runs<K>) {
        let rows: Vec<(u64, u32)> = runs.iter_keys().collect();
        let sizes = rows.windows(2).map(|pair| pair[1].0 - pair[0].0);
        // The last run needs no size: it ends where the family does.
        let sizes: Vec<u64> = sizes.collect();
        self.number(rows.len() as u64);
        for size in &sizes {
            self.0.push(size.trailing_zeros() as u8);
        }
        for size in &sizes {
            self.number(size >> size.trailing_zeros() >> 1);
        }
        for (_, place) in &rows {
            self.number(u64::from(place.wrapping_add(1)));
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn table(&mut self) -> Option<Database> {
        let info = TableInfo {
            source: self.text()?.to_owned(),
            date: self.text()?.to_owned(),
            licence: self.text()?.to_owned(),
            sha256: self.text()?.to_owned(),
        };
        let count = self.number()?;
        let locations = (0..count).map(|_| self.location()).collect::<Option<Vec<_>>>()?;
        let (v4, v6) = (self.runs(locations.len())?, self.runs(locations.len())?);
        let spaces = Spaces { v4, v6, locations };
        self.0.is_empty().then(|| Database::new(spaces, info))
    }
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn text(&mut self) -> Option<&str> {
        let len = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }
    fn degrees(&mut self) -> Option<f32> {
        Some(f32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    fn location(&mut self) -> Option<Location> {
        let country = Country::parse(self.text()?);
        let continent = Continent::parse(self.text()?);
        let subdivision = Subdivision::parse(self.text()?);
        let at = match self.byte()? {
            0 => None,
            _ => Some(Coordinates { lat: self.degrees()?, lon: self.degrees()? }),
        };
        let asn = u32::try_from(self.number()?).ok()?;
        Some(Location {
            country,
            continent,
            subdivision,
            at,
            accuracy: Accuracy::of(at, subdivision),
            asn: (asn != 0).then_some(asn),
        })
    }
    fn runs<K: Key>(&mut self, locations: usize) -> Option<Runs<K>> {
        let count = usize::try_from(self.number()?).ok()?;
        let halvings = self.take(count.checked_sub(1)?)?.to_vec();
        let odds = halvings.iter().map(|_| self.number()).collect::<Option<Vec<_>>>()?;
        let mut builder = RunsBuilder::new();
        let mut start = 0u64;
        for (halvings, odd) in halvings.iter().zip(odds) {
            let size = (odd << 1 | 1).checked_shl(u32::from(*halvings))?;
            let last = start.checked_add(size.checked_sub(1)?)?;
            if last > K::MAX {
                return None;
            }
            builder.add(start, last, self.place(locations)?);
            start = last.checked_add(1)?;
        }
        builder.add(start, K::MAX, self.place(locations)?);
        Some(builder.finish())
    }
    fn place(&mut self, locations: usize) -> Option<u32> {
        let place = u32::try_from(self.number()?).ok()?;
        let known = place as usize <= locations;
        known.then_some(place.wrapping_sub(1))
    }
}

const _: () = assert!(NOWHERE.wrapping_add(1) == 0, "nowhere is written as zero");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::table::tests::database;

    fn sample() -> Database {
        let Database { mut spaces, .. } = database(&[
            ("1.0.0.0/24", "AU"),
            ("1.0.1.0/32", "CN"),
            ("128.0.0.0/1", "US"),
            ("2001:db8::/32", "DE"),
            ("ffff:ffff:ffff:ffff::/64", "FR"),
        ]);
        let city = &mut spaces.locations[0];
        city.subdivision = Subdivision::parse("NSW");
        city.at = Some(Coordinates { lat: -33.9, lon: 151.2 });
        city.accuracy = Accuracy::City;
        city.asn = Some(64500);
        let info = TableInfo {
            source: "sample".into(),
            date: "2026-01-02".into(),
            licence: "none".into(),
            sha256: "00".into(),
        };
        Database::new(spaces, info)
    }

    #[test]
    fn what_is_packed_unpacks_the_same() {
        assert_eq!(unpack(&pack(&sample())), Ok(sample()));
        let nothing = database(&[]);
        assert_eq!(unpack(&pack(&nothing)), Ok(nothing));
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let good = pack(&sample());
        assert_eq!(unpack(b"GIF89a"), Err(CodecProblem::NotATable));
        for cut in 0..good.len() {
            assert!(unpack(&good[..cut]).is_err(), "cut at {cut}");
        }
        // The same below the compression, where a flipped bit may still mean something.
        let plain = miniz_oxide::inflate::decompress_to_vec(&good[MAGIC.len()..]).unwrap();
        for bit in 0..plain.len() * 8 {
            let mut bad = plain.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = Reader(&bad).table();
        }
    }
}
