//! dnstap: each sampled query and reply as a message of protocol buffers, to a reader behind a
//! unix socket.
//!
//! A thread of its own writes, because a reader may stop reading; what comes meanwhile waits in a
//! queue of fixed length, and is lost beyond it. A reader that is not there, or gone, is looked
//! for once a second.

use super::{Shown, frames};
use crate::{
    clock::{Clock, Moment},
    telemetry::{Lost, Tally, ThreadCounters, Via},
};
use prost::Message as _;
use std::{
    io::{self, BufWriter, Write},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::Builder,
    time::{Duration, SystemTime},
};

/// Frames that wait for the reader: at 1,000 samples a second, two frames each, a second's worth,
/// in 3 MiB at the most.
const QUEUE: usize = 2_048;
/// How long the reader may take for a write or a word of the handshake.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon a reader is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// The way to a reader.
#[derive(Debug)]
pub(super) struct Tap {
    socket: PathBuf,
    identity: String,
    frames: Option<SyncSender<Vec<u8>>>,
    /// Nothing comes from it; it ends when the thread does.
    ended: Receiver<()>,
}

impl Tap {
    /// Starts the thread, which counts in `counters` what nobody took.
    pub(super) fn start(
        socket: PathBuf,
        identity: String,
        counters: Arc<ThreadCounters>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Tap> {
        let (frames, taken) = sync_channel(QUEUE);
        let (end, ended) = sync_channel(0);
        let mut line = Line {
            socket: socket.clone(),
            counters,
            clock,
            reader: None,
            look_at: Moment::default(),
            is_told: false,
        };
        Builder::new().name("dnstap".to_owned()).spawn(move || {
            line.run(&taken);
            drop(end);
        })?;
        Ok(Tap { socket, identity, frames: Some(frames), ended })
    }

    /// Where the reader is looked for.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Shows both messages of an answer; how many of them were lost for want of room.
    pub(super) fn show(&self, shown: &Shown) -> u64 {
        let Some(frames) = &self.frames else { return 0 };
        let frame = |message| {
            let frame = Dnstap {
                identity: Some(self.identity.clone().into_bytes()),
                version: Some(concat!("tradewind ", env!("CARGO_PKG_VERSION")).into()),
                message: Some(message),
                kind: KIND_MESSAGE,
            };
            frame.encode_to_vec()
        };
        let lost = |message: &Message| frames.try_send(frame(message.clone())).is_err();
        messages(shown).filter(lost).count() as u64
    }
}

impl Drop for Tap {
    /// Lets what waits be written, for as long as a reader may take for a word.
    fn drop(&mut self) {
        self.frames = None;
        // It ends by its other end's going; a reader that hangs is left to its thread.
        let _ = self.ended.recv_timeout(2 * PATIENCE);
    }
}

/// What the thread owns.
struct Line {
    socket: PathBuf,
    counters: Arc<ThreadCounters>,
    clock: Arc<dyn Clock>,
    reader: Option<BufWriter<UnixStream>>,
    /// When a reader is looked for next.
    look_at: Moment,
    /// Whether it was told that there is none.
    is_told: bool,
}

impl Line {
    fn run(&mut self, frames: &Receiver<Vec<u8>>) {
        loop {
            self.look_for_reader();
            match frames.recv_timeout(AGAIN) {
                Ok(frame) => {
                    self.pass(&frame);
                    frames.try_iter().for_each(|frame| self.pass(&frame));
                    self.mind(|reader| reader.flush());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return self.mind(|reader| {
                        reader.flush()?;
                        frames::end(reader.get_mut())
                    });
                }
            }
        }
    }

    fn look_for_reader(&mut self) {
        let now = self.clock.now();
        if self.reader.is_some() || now < self.look_at {
            return;
        }
        self.look_at = now.after(AGAIN);
        match connect(&self.socket) {
            Ok(reader) => {
                self.reader = Some(BufWriter::new(reader));
                self.is_told = false;
                tracing::info!(socket = %self.socket.display(), "dnstap is read");
            }
            Err(error) => self.tell(&error),
        }
    }

    fn pass(&mut self, frame: &[u8]) {
        self.mind(|reader| frames::write(reader, frame));
        if self.reader.is_none() {
            self.counters.count(Tally::SampleLost(Lost::Dnstap));
        }
    }

    /// Does something with the reader, if there is one; one that fails is let go.
    fn mind(&mut self, work: impl FnOnce(&mut BufWriter<UnixStream>) -> io::Result<()>) {
        let Some(reader) = &mut self.reader else { return };
        if let Err(error) = work(reader) {
            // What waits in it is not for the next one: half a frame would be its first.
            if let Some(reader) = self.reader.take() {
                drop(reader.into_parts());
            }
            self.tell(&error);
        }
    }

    fn tell(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_told, true) {
            let socket = self.socket.display();
            tracing::warn!(%socket, %error, "nobody reads dnstap; looking once a second");
        }
    }
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    frames::begin(&mut stream)?;
    Ok(stream)
}

/// The messages of an answer: what was asked, and what was said if anything was. Of one that was
/// longer than what a sample keeps, or may not be shown, all but its bytes.
fn messages(shown: &Shown) -> impl Iterator<Item = Message> {
    let Shown { sample, at, bytes, .. } = shown;
    let whole = |message: &[u8], len| (*bytes && message.len() == len).then(|| message.to_vec());
    let (family, address) = match sample.from.ip() {
        IpAddr::V4(v4) => (FAMILY_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (FAMILY_INET6, v6.octets().to_vec()),
    };
    let (query_sec, query_nsec) = since_1970(*at);
    let query = Message {
        kind: KIND_AUTH_QUERY,
        socket_family: Some(family),
        socket_protocol: Some(match sample.via {
            Via::Udp => PROTOCOL_UDP,
            Via::Tcp => PROTOCOL_TCP,
        }),
        query_address: Some(address),
        query_port: Some(u32::from(sample.from.port())),
        query_time_sec: Some(query_sec),
        query_time_nsec: Some(query_nsec),
        ..Message::default()
    };
    let reply = (sample.reply_len() > 0).then(|| {
        let (sec, nsec) = since_1970(*at + sample.took);
        Message {
            kind: KIND_AUTH_RESPONSE,
            response_time_sec: Some(sec),
            response_time_nsec: Some(nsec),
            response_message: whole(sample.reply(), sample.reply_len()),
            ..query.clone()
        }
    });
    let query = Message { query_message: whole(sample.query(), sample.query_len()), ..query };
    [Some(query), reply].into_iter().flatten()
}

fn since_1970(at: SystemTime) -> (u64, u32) {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}

/// `Dnstap.Type.MESSAGE`.
const KIND_MESSAGE: i32 = 1;
/// `Message.Type.AUTH_QUERY` and `AUTH_RESPONSE`.
const KIND_AUTH_QUERY: i32 = 1;
const KIND_AUTH_RESPONSE: i32 = 2;
/// `SocketFamily`.
const FAMILY_INET: i32 = 1;
const FAMILY_INET6: i32 = 2;
/// `SocketProtocol`.
const PROTOCOL_UDP: i32 = 1;
const PROTOCOL_TCP: i32 = 2;

/// `Dnstap` of `dnstap.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct Dnstap {
    #[prost(bytes = "vec", optional, tag = "1")]
    identity: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    version: Option<Vec<u8>>,
    #[prost(message, optional, tag = "14")]
    message: Option<Message>,
    #[prost(int32, required, tag = "15")]
    kind: i32,
}

/// `Message` of `dnstap.proto`, as far as we fill it in.
#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(int32, optional, tag = "2")]
    socket_family: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    socket_protocol: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "4")]
    query_address: Option<Vec<u8>>,
    #[prost(uint32, optional, tag = "6")]
    query_port: Option<u32>,
    #[prost(uint64, optional, tag = "8")]
    query_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "9")]
    query_time_nsec: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "10")]
    query_message: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "12")]
    response_time_sec: Option<u64>,
    #[prost(fixed32, optional, tag = "13")]
    response_time_nsec: Option<u32>,
    #[prost(bytes = "vec", optional, tag = "14")]
    response_message: Option<Vec<u8>>,
}
