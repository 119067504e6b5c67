//! The addresses found for names that are answered flattened, and how they become answers.
//!
//! What is found stays until something else is: a lookup that fails takes nothing away, and a
//! restart goes on with what is kept (DESIGN §2, decision 13).

use super::{
    event::EventKind,
    publish::{Control, Outcome},
    store::{Saved, Write},
};
use crate::{
    clock::Moment,
    ids::{PlanId, SlotId},
    policy::Found,
    snapshot::Snapshot,
    units::Ttl,
    wire::Name,
    world::World,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

/// Most addresses of one family that a flattened name is answered with (DESIGN §5, CNAME
/// members): the lowest, so that resolvers which rotate them move nobody.
pub const FOUND_MAX: usize = 8;

/// New addresses of one name are told at most so often: who rotates them every other second would
/// leave nothing else in the journal.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The note of the store.
const FOUND: &str = "found";

/// What one lookup found: one address at least. A family that could not be asked for is `None`, and
/// stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// IPv4, rising.
    pub v4: Option<Box<[Ipv4Addr]>>,
    /// IPv6, rising.
    pub v6: Option<Box<[Ipv6Addr]>>,
    /// For how long they were given.
    pub ttl: Ttl,
}

/// What is known of all names, whatever the Snapshot.
pub(super) type AllFound = BTreeMap<Name, Known>;

/// What is known of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    found: Arc<Found>,
    /// When its addresses were last said to have changed.
    told: Option<Moment>,
}

/// A name's addresses as they are kept.
#[derive(Debug, Serialize, Deserialize)]
struct KeptFound {
    name: Arc<str>,
    v4: Option<Box<[Ipv4Addr]>>,
    v6: Option<Box<[Ipv6Addr]>>,
    ttl_s: u32,
}

impl Control {
    /// Takes what was found for `name`. A family that was not found stays as it was, and where
    /// only their lifetime is a little other than before, answers stay as they are.
    pub fn take_found(&mut self, name: &Name, looked: Looked) {
        let old = self.publisher.world();
        let Some(alias) = old.snapshot.aliases.iter().find(|alias| alias.name == *name) else {
            // It may have been taken out of the files meanwhile.
            return;
        };
        let now = self.clock.now();
        let known = self.found.get(name);
        let before = known.map(|known| &*known.found);
        let Looked { v4, v6, ttl } = looked;
        let v4 = v4.or_else(|| before?.v4.clone());
        let v6 = v6.or_else(|| before?.v6.clone());
        let found = Found { v4, v6, ttl };
        let is_same = before.is_some_and(|b| (&b.v4, &b.v6) == (&found.v4, &found.v6));
        let lasts = before.map_or(Ttl::default(), |before| before.ttl);
        let plans = alias.slots.iter().flat_map(|slot| &old.snapshot.plans_of_slot[slot.index()]);
        let touched: Vec<PlanId> = plans
            .filter(|plan| {
                let ours = old.snapshot.plan(**plan).ttl.max;
                !is_same || is_far(ours.min(lasts), ours.min(found.ttl))
            })
            .copied()
            .collect();
        if is_same && touched.is_empty() {
            return;
        }
        let told = known.and_then(|known| known.told);
        let is_told = !is_same && told.is_none_or(|told| now.since(told) >= TOLD_EVERY);
        let event = is_told.then(|| EventKind::Lookup {
            name: name.to_string().into(),
            what: found.to_string().into(),
            well: true,
        });
        // Whatever comes after the first is a change.
        let told = if is_told && known.is_some() { Some(now) } else { told };
        self.found.insert(name.clone(), Known { found: Arc::new(found), told });
        if !is_same {
            self.keep_found();
        }
        if self.warming {
            // `warm` takes all at once.
            self.write(old.swap, event.into_iter().collect());
            return;
        }
        let mut outcome = Outcome::new(&old, now);
        outcome.touched.extend(touched);
        outcome.events.extend(event);
        outcome.state.found = self.found_of(&old.snapshot, &old);
        self.settle(&old, outcome);
    }

    /// What is known for the slots of `snapshot`, by slot. An endpoint that got another name keeps
    /// the addresses it had in `old` until there are some for the new one.
    pub(super) fn found_of(&self, snapshot: &Snapshot, old: &World) -> Vec<(SlotId, Arc<Found>)> {
        let old_slots = &old.snapshot.slots;
        let before: BTreeMap<&str, &Arc<Found>> = old
            .state
            .found
            .iter()
            .filter_map(|(slot, found)| Some((&*old_slots.get(slot.index())?.name, found)))
            .collect();
        let aliases = snapshot.aliases.iter().flat_map(|alias| {
            let known = self.found.get(&alias.name).map(|known| &known.found);
            let before = &before;
            alias.slots.iter().filter_map(move |slot| {
                let had = || before.get(&*snapshot.slots[slot.index()].name).copied();
                Some((*slot, Arc::clone(known.or_else(had)?)))
            })
        });
        let mut found: Vec<_> = aliases.collect();
        found.sort_unstable_by_key(|(slot, _)| *slot);
        found
    }

    /// Forgets what no name of `snapshot` needs.
    pub(super) fn forget_found(&mut self, snapshot: &Snapshot) {
        let known = self.found.len();
        self.found.retain(|name, _| snapshot.aliases.iter().any(|alias| alias.name == *name));
        if self.found.len() != known {
            self.keep_found();
        }
    }

    fn keep_found(&self) {
        let Some(keeper) = self.keeper() else { return };
        let kept = self.found.iter().map(|(name, Known { found, .. })| KeptFound {
            name: name.to_string().into(),
            v4: found.v4.clone(),
            v6: found.v6.clone(),
            ttl_s: found.ttl.as_secs(),
        });
        let value = serde_json::to_value(kept.collect::<Vec<_>>()).ok();
        keeper.write(vec![Write::Note { name: FOUND.into(), value }]);
    }
}

/// What the run before had found.
pub(super) fn restored(saved: &Saved) -> AllFound {
    let note = saved.notes.get(FOUND).cloned().and_then(|v| serde_json::from_value(v).ok());
    let kept: Vec<KeptFound> = note.unwrap_or_default();
    let restored = kept.into_iter().filter_map(|kept| {
        let KeptFound { name, v4, v6, ttl_s } = kept;
        let found = Found { v4, v6, ttl: Ttl::from_secs(ttl_s) };
        Some((Name::parse(&name).ok()?, Known { found: Arc::new(found), told: None }))
    });
    restored.collect()
}

/// Whether one lifetime is at least twice the other: what a cache counts down is no news.
fn is_far(before: Ttl, after: Ttl) -> bool {
    let (before, after) = (before.as_secs(), after.as_secs());
    before != after && before.max(after) >= 2 * before.min(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::tests::{Hands, secs, verdict},
        ids::{Class, PlanId},
        policy::testing::Given,
        snapshot::{Rules, testing::snapshot},
        verdict::Standing,
    };

    const TEXT: &str = "pool cdn = f1@\npool own = s1\nfailover www = cdn own";

    fn looked(v4: &[u8], ttl: u32) -> Looked {
        let v4 = v4.iter().map(|n| Ipv4Addr::new(192, 0, 2, *n)).collect();
        Looked { v4: Some(v4), v6: Some(Box::default()), ttl: Ttl::from_secs(ttl) }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// Control over TEXT, warm at second 0.
    fn bench() -> (Control, Arc<Hands>) {
        let clock = Arc::new(Hands::default());
        let mut control = Control::new(Arc::clone(&clock) as Arc<dyn crate::clock::Clock>);
        control.install(Arc::new(compiled()), 1);
        control.warm();
        (control, clock)
    }

    fn compiled() -> Snapshot {
        snapshot(&Given::new(TEXT), &["www"], Rules::default())
    }

    /// The last byte of the IPv4 addresses of `f1`, if those are what is answered.
    fn answered(control: &Control) -> Vec<u8> {
        let world = control.world();
        let variants = &world.steering.plan(PlanId(0)).selection(Class(0)).variants;
        let rdatas = variants.iter().filter_map(|v| v.rdatas.as_ref());
        let all = rdatas.flat_map(|r| r.iter(None).map(|rdata| rdata.to_vec()).collect::<Vec<_>>());
        all.filter(|rdata| rdata.starts_with(&[192, 0, 2])).map(|rdata| rdata[3]).collect()
    }

    fn events(control: &Control, word: &str) -> usize {
        let journal = control.journal();
        let journal = journal.lock();
        journal.since(0).filter(|event| event.kind.word() == word).count()
    }

    #[test]
    fn an_endpoint_keeps_its_addresses_until_its_new_name_has_some() {
        let (mut control, _) = bench();
        control.take_found(&name("f1.test"), looked(&[1], 60));
        assert_eq!(answered(&control), [1]);
        let mut renamed = compiled();
        renamed.aliases[0].name = name("f2.test");
        control.install(Arc::new(renamed), 2);
        assert_eq!(answered(&control), [1], "the new name was not looked up yet");
        control.take_found(&name("f1.test"), looked(&[3], 60));
        assert_eq!(answered(&control), [1], "nobody has that name any more");
        control.take_found(&name("f2.test"), looked(&[2], 60));
        assert_eq!(answered(&control), [2]);
    }

    #[test]
    fn what_is_not_found_moves_no_failover() {
        let (mut control, _) = bench();
        assert!(answered(&control).is_empty());
        assert_eq!(control.world().state.courses[0].active, 0, "it is not lost");
        control.take_found(&name("f1.test"), looked(&[1], 60));
        assert_eq!(answered(&control), [1]);
        assert_eq!(events(&control, "failover"), 0);
    }

    #[test]
    fn nobody_goes_back_to_who_is_not_found() {
        let (mut control, clock) = bench();
        let mut observe = |at, key: &str, standing| {
            clock.set(secs(at));
            control.observe(vec![verdict(key, standing, secs(at))]);
            control.tick();
            control.world().state.courses[0].active
        };
        observe(1, "s1/4", Standing::Up);
        assert_eq!(observe(2, "f1", Standing::Down), 1);
        observe(3, "f1", Standing::Up);
        assert_eq!(observe(1_000, "s1/4", Standing::Up), 1, "it is well, and has no addresses");
        control.take_found(&name("f1.test"), looked(&[1], 60));
        clock.set(secs(2_000));
        control.tick();
        assert_eq!(control.world().state.courses[0].active, 0);
    }

    #[test]
    fn addresses_that_rotate_are_followed_and_told_once_a_minute() {
        let (mut control, clock) = bench();
        let lookups = |control: &Control| (events(control, "lookup"), events(control, "published"));
        let before = lookups(&control);
        for second in 0..120 {
            clock.set(secs(second));
            control.take_found(&name("f1.test"), looked(&[second as u8], 60));
            assert_eq!(answered(&control), [second as u8]);
        }
        // The first, and two changes.
        assert_eq!(lookups(&control), (before.0 + 3, before.1 + 3));
    }

    #[test]
    fn a_lifetime_that_is_counted_down_publishes_nothing() {
        let (mut control, _) = bench();
        control.take_found(&name("f1.test"), looked(&[1], 20));
        let swap = |control: &Control| control.world().swap;
        let before = swap(&control);
        for ttl in [19, 12, 11, 30, 39] {
            control.take_found(&name("f1.test"), looked(&[1], ttl));
        }
        assert_eq!(swap(&control), before);
        control.take_found(&name("f1.test"), looked(&[1], 10));
        assert_eq!(swap(&control), before + 1);
    }
}
