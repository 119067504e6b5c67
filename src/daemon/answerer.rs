//! Joins the datapath's threads to the World and the clock: one Reader, one Desk
//! and one Sampler a thread.

use crate::{
    clock::Timekeeper,
    engine::Desk,
    telemetry::{Sampler, Via},
    transport::Answerer,
    world::Reader,
};
use std::{net::SocketAddr, time::Duration};

/// Answers packets from the newest World.
pub struct WorldAnswerer {
    reader: Reader,
    time: Timekeeper,
    desk: Desk,
    sampler: Sampler,
}

impl WorldAnswerer {
    /// One for a thread of its own: `desk` and `sampler` count where that thread does.
    pub fn new(reader: Reader, time: Timekeeper, desk: Desk, sampler: Sampler) -> Self {
        WorldAnswerer { reader, time, desk, sampler }
    }
}

impl Answerer for WorldAnswerer {
    fn refresh(&mut self) {
        self.reader.refresh();
        self.desk.set_time(self.time.read());
        self.sampler.refresh();
    }

    fn tell_idle(&mut self, limit: Duration) {
        self.desk.tell_idle(limit);
    }

    fn foresee(&mut self, packet: &[u8]) {
        self.desk.foresee(self.reader.held(), packet);
    }

    fn prepare(&mut self) {
        self.desk.prepare(self.reader.held());
    }

    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, via: Via) -> usize {
        let WorldAnswerer { reader, time, desk, sampler } = self;
        desk.answer_sampled(reader.held(), buf, len, from, via, sampler, || time.read().now)
    }
}
