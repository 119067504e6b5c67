//! The slow obvious lookup: RFC 1034 §4.3.2 on a list of owners, compared with the quick one.

use proptest::prelude::*;

use super::lookup::tests::ask;
use super::testing::at;
use super::{Record, ZoneBuilder, link};
use crate::units::Ttl;
use crate::wire::Name;
use crate::wire::testing::name;
use crate::wire::types::{Rclass, Rtype};

/// Owner and type of every record.
struct Model(Vec<(Name, Rtype)>);

impl Model {
    fn has(&self, owner: &Name, rtype: Rtype) -> bool {
        self.0.iter().any(|(name, type_)| name == owner && *type_ == rtype)
    }

    /// RFC 8020: a name exists if it, or anything below it, owns something.
    fn exists(&self, name: &Name) -> bool {
        self.0.iter().any(|(owner, _)| owner.is_at_or_below(name))
    }

    /// In the words of [`ask`].
    fn ask(&self, apex: &Name, asked: &Name) -> String {
        let mut line: Vec<Name> =
            std::iter::successors(Some(asked.clone()), Name::parent).collect();
        line.retain(|name| name.is_at_or_below(apex));
        line.reverse();
        // Step 3: match down, label by label; b) a cut, c) a DNAME end it early.
        for (depth, name) in line.iter().enumerate() {
            let is_cut = self.has(name, Rtype::NS) && name != apex;
            if is_cut && name.labels().next() != Some(b"*") {
                let at_cut = if name == asked { "cut" } else { "below cut" };
                return format!("{at_cut} {name}");
            }
            if self.has(name, Rtype::DNAME) && name != asked {
                return format!("{} below dname {name}", line.len() - 1 - depth);
            }
        }
        if self.exists(asked) {
            return self.show("at", asked);
        }
        let encloser = line.iter().rev().find(|name| self.exists(name)).unwrap();
        let wildcard = encloser.prepend(b"*").unwrap();
        match self.exists(&wildcard) {
            true => self.show("by", &wildcard),
            false => "nothing".into(),
        }
    }

    fn show(&self, how: &str, node: &Name) -> String {
        let owned = self.0.iter().filter(|(owner, _)| owner == node);
        let mut types: Vec<_> = owned.map(|(_, rtype)| *rtype).collect();
        types.sort();
        types.dedup();
        let types: Vec<_> = types.iter().map(Rtype::to_string).collect();
        format!("{how} {node}: {}", types.join(" "))
    }
}

fn below_example() -> impl Strategy<Value = Name> {
    let odd = [r"\000", r"a\.b", "A", "**", "long-label-that-is-not-inline"];
    let label = prop::sample::select([&["a", "b", "*", "a", "b", "*"][..], &odd].concat());
    prop::collection::vec(label, 0..5).prop_map(|labels| {
        let text: String = labels.iter().map(|label| format!("{label}.")).collect();
        name(&format!("{text}example"))
    })
}

fn records() -> impl Strategy<Value = Vec<(Name, Rtype)>> {
    let rtype =
        prop::sample::select(vec![Rtype::TXT, Rtype::TXT, Rtype::TXT, Rtype::NS, Rtype::DNAME]);
    prop::collection::vec((below_example(), rtype), 0..12).prop_map(|records| {
        // Nothing may stand below a DNAME; a zone which has that is refused.
        let dnames: Vec<_> =
            records.iter().filter(|record| record.1 == Rtype::DNAME).cloned().collect();
        let is_below = |name: &Name| {
            dnames.iter().any(|(dname, _)| name != dname && name.is_at_or_below(dname))
        };
        let mut records = records;
        records.retain(|(name, _)| !is_below(name));
        records.push((name("example"), Rtype::SOA));
        records
    })
}

proptest! {
    #[test]
    fn lookup_agrees_with_the_model(records in records(), asked in prop::collection::vec(below_example(), 20)) {
        let apex = name("example");
        let mut builder = ZoneBuilder::new(apex.clone(), at(0));
        for (owner, rtype) in &records {
            let rdata: &[u8] = if *rtype == Rtype::SOA { &[0; 22] } else { b"\0" };
            builder.add(Record {
                owner: owner.clone(),
                rtype: *rtype,
                class: Rclass::IN,
                ttl: Ttl::from_secs(1),
                rdata: rdata.into(),
                at: at(1),
            });
        }
        // Without the rules: lookups must be right in zones that would be refused, too.
        let mut draft = builder.group();
        link::link_tree(&mut draft);
        let model = Model(records);
        for name in asked.iter().chain(model.0.iter().map(|record| &record.0)) {
            let quick = ask(&draft.zone, &name.to_string()).to_lowercase();
            prop_assert_eq!(quick, model.ask(&apex, name).to_lowercase(), "{}", name);
        }
    }
}
