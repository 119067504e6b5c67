//! Lays the networks operators wrote over a location table: what comes out is the address space
//! of a family as runs of one class each, which [`super::map`] then cuts into blocks.
//!
//! One sweep from the lowest address to the highest with the stack of networks it stands in;
//! networks are nested or apart, never across, so a stack is enough.

use super::{
    fold::Hiding,
    locate::Location,
    sets::{NONE, SetId},
    table::{NOWHERE, Spaces},
};
use crate::ids::Class;
use ipnet::IpNet;
use std::collections::HashMap;

/// From `start` to the next run's start every address has the same class, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClassRun {
    /// The first address, its bits at the left of 128.
    pub(super) start: u128,
    pub(super) set: SetId,
}

/// A network in the same notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: u128,
    pub(super) len: u8,
    /// Its index among the networks of the map.
    pub(super) net: u32,
}

impl Span {
    pub(super) fn new(net: &IpNet, index: usize) -> Self {
        let start = match net {
            IpNet::V4(v4) => u128::from(v4.network().to_bits()) << 96,
            IpNet::V6(v6) => v6.network().to_bits(),
        };
        Span { start, len: net.prefix_len(), net: index as u32 }
    }
    /// The network in which IPv4 hides; no rule's.
    pub(super) fn of_hiding(hiding: &Hiding) -> Self {
        let (start, len) = hiding.network();
        Span { start, len, net: u32::MAX }
    }
    pub(super) fn last(&self) -> u128 {
        self.start | ones_after(self.len)
    }
}

/// All bits below the first `len` of 128.
pub(super) fn ones_after(len: u8) -> u128 {
    u128::MAX.checked_shr(len.into()).unwrap_or(0)
}

/// Cuts a family's space into runs. `places` are its location runs, the first at zero; `spans`
/// are sorted.
pub(super) fn overlay<E>(
    places: impl Iterator<Item = (u128, u32)>,
    spans: &[Span],
    classes: &mut Classes<'_, '_, E>,
) -> Result<Vec<ClassRun>, E> {
    let mut places = places.peekable();
    let mut spans = spans.iter().peekable();
    let mut stack: Vec<&Span> = Vec::new();
    let mut runs: Vec<ClassRun> = Vec::new();
    let mut place = NOWHERE;
    // One turn for each stretch within one stack of networks.
    let mut next = Some(0);
    while let Some(at) = next {
        stack.retain(|span| span.last() >= at);
        while let Some(span) = spans.next_if(|span| span.start == at) {
            stack.push(span);
        }
        classes.enter(stack.iter().rev().map(|span| span.net));
        let leave = stack.last().and_then(|span| span.last().checked_add(1));
        let enter = spans.peek().map(|span| span.start);
        next = leave.into_iter().chain(enter).min();
        while let Some((_, here)) = places.next_if(|(start, _)| *start <= at) {
            place = here;
        }
        let mut start = at;
        loop {
            let set = classes.of(place)?;
            if runs.last().is_none_or(|run| run.set != set) {
                runs.push(ClassRun { start, set });
            }
            let is_here = |(start, _): &(u128, u32)| next.is_none_or(|next| *start < next);
            let Some(turn) = places.next_if(is_here) else { break };
            (start, place) = turn;
        }
    }
    classes.enter([].into_iter());
    Ok(runs)
}

/// Says the class of a location inside the networks with these indices, longest first.
pub type ClassOf<'f, E> = dyn FnMut(Option<&Location>, &[u32]) -> Result<Class, E> + 'f;

/// Asks the map's maker for the class of a location in a stack of networks, once for each.
pub(super) struct Classes<'t, 'f, E> {
    spaces: Option<&'t Spaces>,
    class_of: &'f mut ClassOf<'f, E>,
    stack: Vec<u32>,
    stack_id: u32,
    stacks: HashMap<Vec<u32>, u32>,
    /// By place and stack.
    known: HashMap<(u32, u32), Class>,
    /// By place where the stack is empty, as it is nearly everywhere.
    plain: Vec<Option<Class>>,
    /// The classes given, unsorted.
    given: Vec<Class>,
}

impl<'t, 'f, E> Classes<'t, 'f, E> {
    pub(super) fn new(spaces: Option<&'t Spaces>, class_of: &'f mut ClassOf<'f, E>) -> Self {
        Classes {
            spaces,
            class_of,
            stack: Vec::new(),
            stack_id: 0,
            stacks: HashMap::from([(Vec::new(), 0)]),
            known: HashMap::new(),
            plain: vec![None; spaces.map_or(0, |spaces| spaces.locations.len())],
            given: Vec::new(),
        }
    }
    fn enter(&mut self, stack: impl Iterator<Item = u32>) {
        self.stack = stack.collect();
        let fresh = self.stacks.len() as u32;
        self.stack_id = *self.stacks.entry(self.stack.clone()).or_insert(fresh);
    }
    #[inline]
    fn of(&mut self, place: u32) -> Result<SetId, E> {
        if place == NOWHERE && self.stack.is_empty() {
            return Ok(NONE);
        }
        match self.recall(place) {
            Some(known) => Ok(known.0),
            None => self.ask(place),
        }
    }
    #[cold]
    fn ask(&mut self, place: u32) -> Result<SetId, E> {
        let location = self.spaces.and_then(|spaces| spaces.location(place));
        let class = (self.class_of)(location, &self.stack)?;
        match self.plain.get_mut(place as usize) {
            Some(plain) if self.stack.is_empty() => *plain = Some(class),
            _ => drop(self.known.insert((place, self.stack_id), class)),
        }
        self.given.push(class);
        Ok(class.0)
    }
    fn recall(&self, place: u32) -> Option<Class> {
        match self.plain.get(place as usize) {
            Some(plain) if self.stack.is_empty() => *plain,
            _ => self.known.get(&(place, self.stack_id)).copied(),
        }
    }
    /// Every class given so far, ascending.
    pub(super) fn every(self) -> Vec<Class> {
        let mut every = self.given;
        every.sort_unstable();
        every.dedup();
        every
    }
}
