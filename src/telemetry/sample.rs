//! One answer in so many, whole, handed from the thread that gave it to control.
//!
//! A thread counts down to the next one, which costs each packet a decrement; the gap is drawn
//! anew each time, so that no client who asks at a beat of his own is always or never seen. What
//! is handed on has a fixed size and goes through a queue of fixed length that is never waited
//! for: when it is full a sample is counted as lost. Must not know what is in a message, nor what
//! becomes of it.

use super::{
    counters::ThreadCounters,
    tally::{Counted, Lost, Tally, Via},
};
use crate::clock::{Dice, Moment};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

/// Bytes of a query that are kept. What resolvers send is shorter (RFC 1035 §4.2.1 lets no
/// datagram be longer); of what is not, the question and most often the options are in front.
const QUERY_BYTES: usize = 512;
/// Bytes of a reply that are kept: all that UDP may carry, which over TCP few exceed.
const REPLY_BYTES: usize = 1_232;
/// Samples that wait for control: at 1,000 a second (a million queries at one in a thousand) half
/// a second's worth, in 0.9 MiB.
const QUEUE: usize = 512;

/// The first bytes of a message, in place.
#[derive(Clone, Debug)]
struct Head<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> Head<N> {
    const EMPTY: Self = Head { len: 0, bytes: [0; N] };

    fn set(&mut self, message: &[u8]) {
        self.len = message.len();
        let kept = message.len().min(N);
        if let (Some(to), Some(from)) = (self.bytes.get_mut(..kept), message.get(..kept)) {
            to.copy_from_slice(from);
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let kept = self.len.min(N);
        self.bytes.get_mut(..kept).unwrap_or_default()
    }
}

/// A query and its reply, and what only the thread that answered knows of them.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When the batch it came in was received.
    pub at: Moment,
    /// How long it was until its reply stood in the buffer, those before it in the batch included.
    pub took: Duration,
    /// Who sent it.
    pub from: SocketAddr,
    /// How it came.
    pub via: Via,
    /// The client network that the sender spoke for, if it was believed.
    pub subnet: Option<(IpAddr, u8)>,
    /// What counted it, if it was steered.
    pub counted: Option<Counted>,
    query: Head<QUERY_BYTES>,
    reply: Head<REPLY_BYTES>,
}

impl Sample {
    const EMPTY: Sample = Sample {
        at: Moment(0),
        took: Duration::ZERO,
        from: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0),
        via: Via::Udp,
        subnet: None,
        counted: None,
        query: Head::EMPTY,
        reply: Head::EMPTY,
    };

    /// Keeps the query, which the reply will be written over.
    pub fn set_query(&mut self, query: &[u8]) {
        self.query.set(query);
    }
    /// Keeps the reply; nothing for silence.
    pub fn set_reply(&mut self, reply: &[u8]) {
        self.reply.set(reply);
    }
    /// The query, or its first 512 bytes.
    pub fn query(&self) -> &[u8] {
        self.query.bytes()
    }
    /// The same, to blank out what may not be shown.
    pub fn query_mut(&mut self) -> &mut [u8] {
        self.query.bytes_mut()
    }
    /// How long the query was.
    pub fn query_len(&self) -> usize {
        self.query.len
    }
    /// The reply, or its first 1,232 bytes; empty if there was none.
    pub fn reply(&self) -> &[u8] {
        self.reply.bytes()
    }
    /// The same, to blank out what may not be shown.
    pub fn reply_mut(&mut self) -> &mut [u8] {
        self.reply.bytes_mut()
    }
    /// How long the reply was.
    pub fn reply_len(&self) -> usize {
        self.reply.len
    }
}

/// Makes a [`Sampler`] for each thread, and says how often they look.
#[derive(Clone, Debug)]
pub struct Sampling {
    one_in: Arc<AtomicU32>,
    out: SyncSender<Sample>,
}

impl Sampling {
    /// None are taken until it is [said](Self::set) how many; they arrive at the receiver.
    /// Whoever waits in it makes each sample wake a thread, so look into it now and then.
    pub fn new() -> (Sampling, Receiver<Sample>) {
        let (out, samples) = sync_channel(QUEUE);
        (Sampling { one_in: Arc::default(), out }, samples)
    }

    /// From its next batch on each thread samples one answer in `one_in`, none if that is 0.
    pub fn set(&self, one_in: u32) {
        self.one_in.store(one_in, Relaxed);
    }

    /// One answer in so many; 0 when none are taken.
    pub fn one_in(&self) -> u32 {
        self.one_in.load(Relaxed)
    }

    /// A sampler for one thread, which counts in `counters`.
    pub fn sampler(&self, seed: u64, counters: Arc<ThreadCounters>) -> Sampler {
        Sampler {
            left: NEVER,
            one_in: 0,
            wanted: Arc::clone(&self.one_in),
            dice: Dice::seeded(seed),
            sample: Box::new(Sample::EMPTY),
            out: self.out.clone(),
            counters,
        }
    }
}

/// Four thousand million packets: where a thread that samples nothing counts down from, to start
/// again.
const NEVER: u32 = u32::MAX;

/// One thread's countdown, and room for the sample it is at.
#[derive(Debug)]
pub struct Sampler {
    left: u32,
    one_in: u32,
    wanted: Arc<AtomicU32>,
    dice: Dice,
    sample: Box<Sample>,
    out: SyncSender<Sample>,
    counters: Arc<ThreadCounters>,
}

impl Sampler {
    /// Looks whether it was told another rate; once for many packets.
    #[inline]
    pub fn refresh(&mut self) {
        let wanted = self.wanted.load(Relaxed);
        if wanted != self.one_in {
            self.one_in = wanted;
            self.left = self.gap();
        }
    }

    /// Counts a packet; whether it is one to [`begin`](Self::begin) a sample of.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }

    /// Starts the next countdown, and the sample that this one has come to; nothing if none are
    /// taken.
    pub fn begin(&mut self) -> Option<&mut Sample> {
        self.left = self.gap();
        (self.one_in > 0).then_some(&mut *self.sample)
    }

    /// The sample begun.
    pub fn sample(&mut self) -> &mut Sample {
        &mut self.sample
    }

    /// Hands the sample on.
    pub fn send(&mut self) {
        self.counters.count(Tally::Sampled);
        if self.out.try_send(Sample::clone(&self.sample)).is_err() {
            self.counters.count(Tally::SampleLost(Lost::Queue));
        }
    }

    /// Packets to the next sample: even between 1 and twice the mean, so `one_in` on average.
    fn gap(&mut self) -> u32 {
        match self.one_in {
            0 => NEVER,
            mean => 1 + (self.dice.roll() % (2 * u64::from(mean) - 1)) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Telemetry;
    use super::*;

    /// Counts `packets`, and how many of them are sampled.
    fn sampled(sampler: &mut Sampler, packets: u32) -> u32 {
        sampler.refresh();
        let mut taken = 0;
        for _ in 0..packets {
            if sampler.is_due() && sampler.begin().is_some() {
                taken += 1;
            }
        }
        taken
    }

    #[test]
    fn one_in_so_many_is_taken_and_the_rate_may_change() {
        let (sampling, _samples) = Sampling::new();
        let mut sampler = sampling.sampler(7, Telemetry::default().thread());
        assert_eq!(sampled(&mut sampler, 100_000), 0, "off until said otherwise");
        for one_in in [1_000, 100, 3, 2, 1] {
            sampling.set(one_in);
            // Gaps are even in 1 ..= 2n - 1: their variance is a third of n², so that of their
            // number in N packets is N / 3n.
            let (packets, mean) = (300_000, 300_000.0 / f64::from(one_in));
            let taken = f64::from(sampled(&mut sampler, packets));
            assert!((taken - mean).abs() <= 5.0 * (mean / 3.0).sqrt(), "{one_in}: {taken}");
        }
        sampling.set(0);
        assert_eq!(sampled(&mut sampler, 100_000), 0);
    }

    #[test]
    fn a_full_queue_loses_samples_and_counts_them() {
        let (sampling, samples) = Sampling::new();
        let telemetry = Telemetry::default();
        let mut sampler = sampling.sampler(7, telemetry.thread());
        sampling.set(1);
        sampler.refresh();
        for n in 0..QUEUE + 3 {
            assert!(sampler.is_due());
            let query = (n as u32).to_be_bytes();
            sampler.begin().unwrap().set_query(&query);
            sampler.send();
        }
        let totals = telemetry.totals();
        assert_eq!(totals.of(Tally::SampleLost(Lost::Queue)), 3);
        assert_eq!(totals.of(Tally::Sampled), QUEUE as u64 + 3);
        let first = samples.try_recv().unwrap();
        assert_eq!((first.query(), first.query_len(), first.reply()), (&[0; 4][..], 4, &[][..]));
        assert_eq!(samples.try_iter().count(), QUEUE - 1);
    }

    #[test]
    fn of_a_long_message_the_front_and_the_length_are_kept() {
        let mut sample = Sample::EMPTY;
        sample.set_query(&[7; QUERY_BYTES + 1]);
        sample.set_reply(&[8; REPLY_BYTES]);
        assert_eq!((sample.query(), sample.query_len()), (&[7; QUERY_BYTES][..], QUERY_BYTES + 1));
        assert_eq!((sample.reply(), sample.reply_len()), (&[8; REPLY_BYTES][..], REPLY_BYTES));
        sample.set_query(&[1, 2]);
        assert_eq!(sample.query(), [1, 2]);
    }
}
