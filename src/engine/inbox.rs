//! Queries that were read and are not answered yet: those which came in together, up to so many.
//!
//! Reading is kept apart from answering so that between the two it can be seen what all of them
//! will look at ([`super::ahead`]). Must not know the answers, nor the World.

use crate::wire::{Query, Reject};

/// Queries that may wait. Eight hide most of what memory takes; more than thirty-two would push
/// each other out of the innermost cache, at half a kilobyte each.
pub const SEATS: usize = 16;

/// The queries, each in its seat, and which of them is being answered.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    seats: [Seat; SEATS],
    at: usize,
}

#[derive(Debug)]
struct Seat {
    query: Query,
    read: Result<(), Reject>,
}

impl Default for Seat {
    fn default() -> Self {
        Seat { query: Query::default(), read: Err(Reject::Drop) }
    }
}

#[expect(clippy::indexing_slicing, reason = "whatever the number, it is below SEATS once cut")]
impl Inbox {
    /// Reads `packet` into a seat.
    #[inline(always)] // So that nothing of the query is written twice.
    pub(super) fn read(&mut self, seat: usize, packet: &[u8]) {
        let seat = &mut self.seats[seat % SEATS];
        seat.read = seat.query.parse(packet);
        if seat.read == Err(Reject::Drop) {
            // What is not even read leaves the query before it standing.
            seat.query.edns = None;
        }
    }

    /// Turns to the query in a seat, which is the one at hand from now on.
    #[inline]
    pub(super) fn turn_to(&mut self, seat: usize) {
        self.at = seat % SEATS;
    }

    /// The query at hand.
    #[inline]
    pub(super) fn query(&self) -> &Query {
        &self.seats[self.at % SEATS].query
    }

    /// The query at hand, to be changed.
    #[inline]
    pub(super) fn query_mut(&mut self) -> &mut Query {
        &mut self.seats[self.at % SEATS].query
    }

    /// Whether the query at hand could be read.
    #[inline]
    pub(super) fn outcome(&self) -> Result<(), Reject> {
        self.seats[self.at % SEATS].read
    }

    /// The queries in the first `count` seats, also those that could not be read.
    #[inline]
    pub(super) fn first(&self, count: usize) -> impl Iterator<Item = &Query> {
        self.seats.iter().take(count).map(|seat| &seat.query)
    }
}
