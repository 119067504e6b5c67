//! Which zone a name belongs to: the longest apex at or above it (RFC 1034 §4.3.2, step 2).

use super::names::{Names, TableFull};
use crate::ids::ZoneId;
use crate::wire::types::Rtype;
use crate::wire::{Name, NameKey, QName};

/// The apexes of all zones.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    apexes: Names<ZoneId>,
    /// How many labels apexes have, the most first. Only names of that many are probed.
    label_counts: Vec<u8>,
}

/// Why apexes do not make a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApexProblem {
    /// Two zones have one apex.
    #[error("zone `{0}` is defined twice")]
    Twice(Name),
    /// More zones than a table holds.
    #[error("too many zones")]
    TooMany,
}

impl Zones {
    /// A table of `apexes`; the zone of the first is [`ZoneId`] 0, and so on.
    pub fn new<'n>(apexes: impl IntoIterator<Item = &'n Name>) -> Result<Self, ApexProblem> {
        let mut zones = Zones::default();
        for (index, apex) in apexes.into_iter().enumerate() {
            let id = ZoneId::at(index);
            let row = zones.apexes.insert(apex.as_wire(), id);
            let row = row.map_err(|TableFull| ApexProblem::TooMany)?;
            if *zones.apexes.value(row) != id {
                return Err(ApexProblem::Twice(apex.clone()));
            }
            // A name has at most 127 labels.
            zones.label_counts.push(apex.label_count() as u8);
        }
        zones.label_counts.sort_unstable_by(|a, b| b.cmp(a));
        zones.label_counts.dedup();
        zones.label_counts.shrink_to_fit();
        zones.apexes.shrink();
        Ok(zones)
    }

    /// The zone to ask about `rtype` at `qname`: the closest at or above it; but a DS belongs
    /// to the parent's side of a cut, so at the apex of one of our zones it is the zone above,
    /// if that is ours too (RFC 4035 §3.1.4.1).
    #[inline]
    pub fn closest(&self, qname: &QName, rtype: Rtype) -> Option<ZoneId> {
        let (id, labels) = self.closest_within(qname, qname.label_count())?;
        if rtype == Rtype::DS && labels == qname.label_count() && labels > 0 {
            let parent = self.closest_within(qname, labels - 1);
            return Some(parent.map_or(id, |(parent, _)| parent));
        }
        Some(id)
    }

    /// The zone with the longest apex of at most `most` labels, and how many it has.
    #[inline]
    fn closest_within(&self, qname: &QName, most: usize) -> Option<(ZoneId, usize)> {
        let has = qname.label_count();
        for labels in self.label_counts.iter().map(|&labels| usize::from(labels)) {
            if labels <= most
                && let Some(row) = self.apexes.find_key(NameKey::of(qname, has - labels, 0))
            {
                return Some((*self.apexes.value(row), labels));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{LABELS_MAX, testing::name};

    fn closest(zones: &Zones, text: &str, rtype: Rtype) -> Option<u32> {
        let mut qname = QName::default();
        qname.set(&name(text));
        zones.closest(&qname, rtype).map(|id| id.0)
    }

    #[test]
    fn the_longest_apex_wins() {
        let apexes = ["example.com", "a.b.example.com", "example.org"].map(name);
        let zones = Zones::new(&apexes).unwrap();
        let cases = [
            ("example.com", Some(0)),
            ("WWW.example.com", Some(0)),
            ("b.example.com", Some(0)),
            ("a.b.example.com", Some(1)),
            ("x.y.a.b.example.com", Some(1)),
            ("x.example.org", Some(2)),
            ("badexample.com", None),
            ("com", None),
            (".", None),
        ];
        for (text, expected) in cases {
            assert_eq!(closest(&zones, text, Rtype::A), expected, "{text}");
        }
        assert_eq!(closest(&Zones::default(), "a", Rtype::A), None);
    }

    #[test]
    fn ds_at_an_apex_belongs_to_the_zone_above_if_it_is_ours() {
        let apexes = ["example.com", "sub.example.com", "example.org"].map(name);
        let zones = Zones::new(&apexes).unwrap();
        let ds = |text| closest(&zones, text, Rtype::DS);
        assert_eq!(ds("sub.example.com"), Some(0));
        assert_eq!(ds("x.sub.example.com"), Some(1));
        assert_eq!(ds("example.org"), Some(2));
    }

    #[test]
    fn the_root_zone_holds_every_name() {
        let zones = Zones::new(&[Name::root()]).unwrap();
        let deepest = vec!["a"; LABELS_MAX].join(".");
        for text in [".", "com", &deepest] {
            assert_eq!(closest(&zones, text, Rtype::DS), Some(0));
        }
    }

    #[test]
    fn one_apex_twice_is_refused() {
        let apexes = ["a.example", "b.example", "A.example."].map(name);
        let refused = Zones::new(&apexes).map(|_| ()).unwrap_err();
        assert_eq!(refused, ApexProblem::Twice(name("a.example")));
    }
}
