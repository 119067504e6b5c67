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
pub(super) struct WorldAnswerer {
    reader: Reader,
    time: Timekeeper,
    desk: Desk,
    sampler: Sampler,
}

impl WorldAnswerer {
    pub(super) fn new(reader: Reader, time: Timekeeper, desk: Desk, sampler: Sampler) -> Self {
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

    fn read(&mut self, seat: usize, packet: &[u8]) {
        self.desk.read(seat, packet);
    }

    fn look_ahead(&mut self, seats: usize) {
        self.desk.look_ahead(self.reader.held(), seats);
    }

    fn answer_read(
        &mut self,
        seat: usize,
        buf: &mut [u8],
        len: usize,
        from: SocketAddr,
        via: Via,
    ) -> usize {
        let WorldAnswerer { reader, time, desk, sampler } = self;
        desk.answer_sampled(seat, reader.held(), buf, len, from, via, sampler, || time.read().now)
    }

    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, via: Via) -> usize {
        self.read(0, buf.get(..len).unwrap_or_default());
        self.answer_read(0, buf, len, from, via)
    }
}
