//! Which zone a name belongs to: the longest apex at or above it (RFC 1034 §4.3.2, step 2).

use super::link::ancestors;
use super::names::{Names, TableFull};
use crate::ids::ZoneId;
use crate::wire::types::Rtype;
use crate::wire::{Name, NameKey, QName};

/// The apexes of all zones.
#[derive(Clone, Debug, Default)]
pub struct Zones {
    /// By the index of its zone.
    apexes: Names<Apex>,
    /// How many labels apexes have, the most first. Only names of that many are probed.
    label_counts: Vec<u8>,
}

/// What is known of an apex.
#[derive(Clone, Copy, Debug)]
struct Apex {
    labels: u8,
    /// Whether another zone's apex lies below it.
    has_zones_below: bool,
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
            // A name has at most 127 labels.
            let labels = apex.label_count() as u8;
            let entry = Apex { labels, has_zones_below: false };
            let row = zones.apexes.insert(apex.as_wire(), entry);
            let row = row.map_err(|TableFull| ApexProblem::TooMany)?;
            if row as usize != index {
                return Err(ApexProblem::Twice(apex.clone()));
            }
            zones.label_counts.push(labels);
        }
        for row in 0..zones.apexes.len() as u32 {
            let above: Vec<u32> = {
                let above = ancestors(zones.apexes.key(row));
                above.filter_map(|key| zones.apexes.find(key)).collect()
            };
            above.into_iter().for_each(|row| zones.apexes.value_mut(row).has_zones_below = true);
        }
        zones.label_counts.sort_unstable_by(|a, b| b.cmp(a));
        zones.label_counts.dedup();
        zones.label_counts.shrink_to_fit();
        zones.apexes.settle();
        Ok(zones)
    }

    /// The same as [`Zones::closest`], for a name that is likely to be in the zone `last`, whatever
    /// number that is: most queries ask for one zone in a row, or a server has but one.
    #[inline(always)] // Once a query, from one place.
    pub fn closest_after(&self, last: ZoneId, qname: &QName, rtype: Rtype) -> Option<ZoneId> {
        match rtype != Rtype::DS && self.is_closest(last, qname) {
            true => Some(last),
            false => self.closest(qname, rtype),
        }
    }

    /// Whether `id` is a zone, `qname` at or below it, and no other zone below it.
    #[inline(always)] // As `closest_after`.
    fn is_closest(&self, id: ZoneId, qname: &QName) -> bool {
        let Some(apex) = self.apexes.get(id.0).filter(|apex| !apex.has_zones_below) else {
            return false;
        };
        let above = qname.label_count().checked_sub(usize::from(apex.labels));
        above.is_some_and(|above| self.apexes.is_at(id.0, NameKey::of(qname, above, 0)))
    }

    /// The zone to ask about `rtype` at `qname`: the closest at or above it; but a DS belongs
    /// to the parent's side of a cut, so at the apex of one of our zones it is the zone above,
    /// if that is ours too (RFC 4035 §3.1.4.1).
    #[inline(never)]
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
                return Some((ZoneId(row), labels));
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
        let closest = zones.closest(&qname, rtype);
        for last in 0..4 {
            assert_eq!(zones.closest_after(ZoneId(last), &qname, rtype), closest, "after {last}");
        }
        closest.map(|id| id.0)
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
