//! `/v1/events` as they happen, for browsers and `curl -N`: server-sent events.
//!
//! Each carries its number as `id`, so that whoever was cut off says `Last-Event-ID` and misses
//! nothing that is still kept. A feed ends by itself before its connection does; the reader comes
//! back. It holds one of the seats of those who wait, and is filled only as fast as it is read.

use super::{
    events::{Events, EventsQuery, EventsRefused},
    schema::EventLine,
};
use axum::body::{Body, Bytes};
use hyper::body::Frame;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// A feed ends after this: less than a connection lasts.
const LASTS: Duration = Duration::from_secs(100);
/// A comment is sent after so many seconds of silence, so that what stands between holds the line.
const SILENCE_S: u64 = 15;
/// Chunks that wait to be read.
const AHEAD: usize = 2;

/// What is sent.
struct Feed(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

impl Events {
    /// What `asked` asks for, from now on, while whoever asked `is_allowed`; what there is already
    /// comes first.
    ///
    /// # Errors
    /// When it cannot be read, or too many follow.
    pub async fn feed(
        self: Arc<Self>,
        mut asked: EventsQuery,
        is_allowed: impl Fn() -> bool + Send + 'static,
    ) -> Result<Body, EventsRefused> {
        asked.wait = 0;
        // What is wrong with it is told now, while there is a status to tell it by.
        let mut page = Arc::clone(&self).page(asked.clone()).await?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let feeding = async move {
            loop {
                let text: String = match page.is_empty() {
                    true => ": nothing yet\n\n".to_owned(),
                    false => page.iter().map(told).collect(),
                };
                if let Some(last) = page.last() {
                    asked.since = Some(last.seq.to_string());
                }
                if sender.send(text.into()).await.is_err() {
                    return;
                }
                asked.wait = SILENCE_S;
                let next = tokio::select! {
                    next = Arc::clone(&self).page(asked.clone()) => next,
                    () = sender.closed() => return,
                };
                let Ok(next) = next else { return };
                if !is_allowed() {
                    return;
                }
                page = next;
            }
        };
        tokio::spawn(timeout(LASTS, feeding));
        Ok(Body::new(Feed(receiver)))
    }
}

/// One event, as the wire has it: JSON is one line.
fn told(event: &EventLine) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("id: {}\nevent: {}\ndata: {data}\n\n", event.seq, event.event)
}
