//! Joins the datapath's threads to the World and the clock: one Reader and one Desk a thread.

use crate::{clock::Timekeeper, engine::Desk, telemetry::Via, transport::Answerer, world::Reader};
use std::{net::SocketAddr, time::Duration};

/// Answers packets from the newest World.
pub(super) struct WorldAnswerer {
    reader: Reader,
    time: Timekeeper,
    desk: Desk,
}

impl WorldAnswerer {
    pub(super) fn new(reader: Reader, time: Timekeeper, desk: Desk) -> Self {
        WorldAnswerer { reader, time, desk }
    }
}

impl Answerer for WorldAnswerer {
    fn refresh(&mut self) {
        self.reader.refresh();
        self.desk.set_time(self.time.read());
    }

    fn tell_idle(&mut self, limit: Duration) {
        self.desk.tell_idle(limit);
    }

    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, via: Via) -> usize {
        self.desk.answer(self.reader.held(), buf, len, from.ip(), via)
    }
}
