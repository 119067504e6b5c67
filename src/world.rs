//! Everything an answer depends on, behind one pointer: many Readers, one Publisher.
//!
//! Readers see all of a change or none of it. The Publisher keeps every World until it is its
//! last owner and drops it on its own thread or one made for that, so that no thread that answers
//! queries ever frees one. Decides nothing: [`crate::control`] says what the next World is.

use crate::{
    chunked::Chunked,
    clock::Moment,
    ids::SlotId,
    policy::{Course, Directives, Found},
    snapshot::Snapshot,
    spread,
    steering::{Before, Moved, RampState, Steering},
    verdict::{Standings, Verdict},
};
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;

/// One consistent state of the whole server.
#[derive(Debug, Default)]
pub struct World {
    /// Number of the accepted set of files behind `snapshot`.
    pub revision: u64,
    /// Number of this World: one up at every publish, whatever its cause.
    pub swap: u64,
    /// The first results of health checks are still awaited: static answers are given, steered
    /// names are not answered yet.
    pub warming: bool,
    /// What files say.
    pub snapshot: Arc<Snapshot>,
    /// What is answered.
    pub steering: Steering,
    /// What moved the answers: standings, failovers, ramps, who fell when.
    pub state: Arc<State>,
}

/// What probes and state machines say, as it went into a World's Steering.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// What select() saw of each slot.
    pub standings: Standings,
    /// The same for people.
    pub verdicts: Chunked<Verdict>,
    /// What each failover does.
    pub courses: Vec<Course>,
    /// Slots on their way up or down, ordered by slot.
    pub ramps: Vec<RampState>,
    /// The moment at which ramps are looked at; it advances only while there are any, so that
    /// equal states are equal.
    pub now: Moment,
    /// For each slot the `swap` in which it last fell; 0 = never.
    pub fell: Vec<u64>,
    /// What was found for names that are answered as addresses, ordered by slot.
    pub found: Vec<(SlotId, Arc<Found>)>,
}

impl State {
    /// What steering needs of it.
    pub fn moved(&self) -> Moved<'_> {
        let State { courses, fell, found, .. } = self;
        let directives = Directives { courses, fell, ramps: &[], found };
        Moved { standings: &self.standings, directives, ramps: &self.ramps, now: self.now }
    }
    /// Adds the verdict on the next slot, and when it last fell.
    pub fn push(&mut self, verdict: Verdict, fell: u64) {
        self.standings.0.push(verdict.sight);
        self.verdicts.push(verdict);
        self.fell.push(fell);
    }
    /// The ramp of `slot`, while one runs.
    pub fn ramp(&self, slot: SlotId) -> Option<RampState> {
        let at = self.ramps.binary_search_by_key(&slot, |ramp| ramp.slot).ok()?;
        Some(self.ramps[at])
    }
    /// Puts `ramp` in the place of whatever ramp `slot` has.
    pub fn set_ramp(&mut self, slot: SlotId, ramp: Option<RampState>) {
        match (self.ramps.binary_search_by_key(&slot, |ramp| ramp.slot), ramp) {
            (Ok(at), Some(ramp)) => self.ramps[at] = ramp,
            (Ok(at), None) => drop(self.ramps.remove(at)),
            (Err(at), Some(ramp)) => self.ramps.insert(at, ramp),
            (Err(_), None) => {}
        }
    }
    /// The verdict on `slot`, where it has one.
    pub fn verdict(&self, slot: SlotId) -> Option<&Verdict> {
        self.verdicts.get(slot.index())
    }
}

impl<'a> From<&'a World> for Before<'a> {
    fn from(world: &'a World) -> Before<'a> {
        let World { snapshot, steering, state, .. } = world;
        Before { snapshot, moved: state.moved(), steering }
    }
}

/// The one who replaces the World. Not `Clone`: there is one.
#[derive(Debug)]
pub struct Publisher {
    cell: Arc<ArcSwap<World>>,
    /// Replaced Worlds that some Reader may still hold.
    retired: Vec<Arc<World>>,
}

/// A thread's view of the newest World. Refreshed once a batch, then read without any atomic
/// operation.
#[derive(Clone, Debug)]
pub struct Reader {
    cell: Arc<ArcSwap<World>>,
    held: Arc<World>,
}

/// Shows the newest World to whoever asks now and then, and keeps none alive in between.
#[derive(Clone, Debug)]
pub struct Viewer(Arc<ArcSwap<World>>);

impl Publisher {
    /// Publishes the first World.
    pub fn new(world: World) -> Publisher {
        Publisher { cell: Arc::new(ArcSwap::from_pointee(world)), retired: Vec::new() }
    }

    /// A new Reader.
    pub fn reader(&self) -> Reader {
        Reader { cell: Arc::clone(&self.cell), held: self.cell.load_full() }
    }

    /// The World as it is now.
    pub fn world(&self) -> Arc<World> {
        self.cell.load_full()
    }

    /// Replaces the World for every Reader at once.
    pub fn publish(&mut self, world: World) {
        self.retired.push(self.cell.swap(Arc::new(world)));
        self.collect();
    }

    /// Drops the replaced Worlds nobody reads any more; returns how many are still read.
    /// Called at every publish and once a second: datapath threads refresh that often.
    ///
    /// Those of other files than are in force, a hundred thousand plans perhaps, are dropped on a
    /// thread of its own: verdicts do not wait for that.
    pub fn collect(&mut self) -> usize {
        let in_force = self.cell.load();
        // A count of one is ours alone: nobody can get a new reference to a retired World.
        let free = self.retired.extract_if(.., |world| Arc::strong_count(world) == 1);
        let is_of_others = |world: &Arc<World>| !Arc::ptr_eq(&world.snapshot, &in_force.snapshot);
        let of_others: Vec<Arc<World>> = free.filter(is_of_others).collect();
        if !of_others.is_empty() {
            spread::freed_aside(of_others);
        }
        self.retired.len()
    }
}

impl Reader {
    /// Takes the newest World; one atomic load and no reference counted when nothing changed.
    #[inline]
    pub fn refresh(&mut self) {
        let newest = self.cell.load();
        if !Arc::ptr_eq(&newest, &self.held) {
            self.held = Guard::into_inner(newest);
        }
    }

    /// The World of the last refresh.
    #[inline]
    pub fn held(&self) -> &World {
        &self.held
    }

    /// A view of the same World for those who ask seldom.
    pub fn viewer(&self) -> Viewer {
        Viewer(Arc::clone(&self.cell))
    }

    /// The newest World.
    pub fn load(&mut self) -> &Arc<World> {
        self.refresh();
        &self.held
    }
}

impl Viewer {
    /// The World as it is now.
    pub fn world(&self) -> Arc<World> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread, time::Duration};

    #[test]
    fn a_world_lives_until_its_last_reader_refreshed() {
        let mut publisher = Publisher::new(World::default());
        let mut reader = publisher.reader();
        assert_eq!(reader.load().swap, 0);
        publisher.publish(World { swap: 1, ..World::default() });
        assert_eq!(publisher.collect(), 1, "the reader still holds World 0");
        assert_eq!(reader.load().swap, 1);
        assert_eq!(publisher.collect(), 0);
    }

    #[test]
    fn worlds_of_other_files_are_freed_with_them() {
        let mut publisher = Publisher::new(World::default());
        let files = Arc::downgrade(&publisher.world().snapshot);
        let same = World { snapshot: files.upgrade().unwrap(), swap: 1, ..World::default() };
        publisher.publish(same);
        assert!(files.upgrade().is_some(), "the second World is of these files too");
        publisher.publish(World { swap: 2, ..World::default() });
        assert_eq!(publisher.collect(), 0);
        // Not here: somebody else is about to.
        let is_freed = |_| {
            thread::sleep(Duration::from_millis(1));
            files.upgrade().is_none()
        };
        assert!((0..10_000).any(is_freed));
    }
}
