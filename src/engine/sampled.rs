//! One answer in so many is told to control, whole: the only place where an answer is looked at
//! once it is given.

use super::{Desk, steer::Client};
use crate::{
    clock::Moment,
    telemetry::{Sampler, Via},
    world::World,
};
use std::net::SocketAddr;

impl Desk {
    /// Answers like [`Desk::answer`], and has `sampler` take its samples. Only for these the time
    /// is asked once more.
    ///
    /// # Panics
    /// Where `answer` would.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "those of `answer`, and what a sample takes")]
    pub fn answer_sampled(
        &mut self,
        world: &World,
        buf: &mut [u8],
        len: usize,
        from: SocketAddr,
        via: Via,
        sampler: &mut Sampler,
        now: impl FnOnce() -> Moment,
    ) -> usize {
        if sampler.is_due()
            && let Some(sample) = sampler.begin()
        {
            sample.set_query(buf.get(..len).unwrap_or_default());
            let len = self.answer_noted(world, buf, len, from, via);
            self.tell(sampler, buf.get(..len).unwrap_or_default(), from, via, now());
            return len;
        }
        self.answer(world, buf, len, from.ip(), via)
    }

    /// Answers, and leaves behind what counted it.
    #[cold]
    fn answer_noted(
        &mut self,
        world: &World,
        buf: &mut [u8],
        len: usize,
        from: SocketAddr,
        via: Via,
    ) -> usize {
        self.counted = None;
        // A packet that is not even read leaves the query before it standing.
        self.query.edns = None;
        self.answer(world, buf, len, from.ip(), via)
    }

    #[cold]
    fn tell(
        &mut self,
        sampler: &mut Sampler,
        reply: &[u8],
        from: SocketAddr,
        via: Via,
        now: Moment,
    ) {
        let sample = sampler.sample();
        sample.set_reply(reply);
        sample.at = self.time.now;
        sample.took = now.since(self.time.now);
        sample.from = from;
        sample.via = via;
        sample.subnet = Client::behind(&self.query, from.ip()).subnet;
        sample.counted = self.counted;
        sampler.send();
    }
}
