//! Joins the datapath's threads to the World: one Reader and one Desk a thread.

use crate::{
    engine::Desk,
    telemetry::{ThreadCounters, Via},
    transport::Answerer,
    world::Reader,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// Answers packets from the newest World.
pub(super) struct WorldAnswerer {
    reader: Reader,
    desk: Desk,
}

impl WorldAnswerer {
    pub(super) fn new(reader: Reader, seed: u64, counters: Arc<ThreadCounters>) -> Self {
        WorldAnswerer { reader, desk: Desk::new(seed, counters) }
    }
}

impl Answerer for WorldAnswerer {
    fn refresh(&mut self) {
        self.reader.refresh();
    }

    fn tell_idle(&mut self, limit: Duration) {
        self.desk.tell_idle(limit);
    }

    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, via: Via) -> usize {
        self.desk.answer(self.reader.held(), buf, len, from.ip(), via)
    }
}
