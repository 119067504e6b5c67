//! `/v1/events` as they happen, for browsers and `curl -N`: server-sent events.
//!
//! Each carries its number as `id`, so that whoever was cut off says `Last-Event-ID` and misses
//! nothing that is still kept. A feed ends by itself before its connection does; the reader comes
//! back. It holds one of the seats of those who follow as long as it lasts, and is filled only as
//! fast as it is read.

use super::{
    events::{Door, Events, EventsQuery, EventsRefused},
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
/// A comment is sent after so much silence, so that what stands between holds the line.
const SILENCE: Duration = Duration::from_secs(15);
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
    /// What `asked` asks for at `door`, from now on, while whoever asked `is_allowed`; what there is
    /// already comes first.
    ///
    /// # Errors
    /// When it cannot be read, or too many follow.
    pub async fn feed(
        self: Arc<Self>,
        door: Door,
        asked: &EventsQuery,
        is_allowed: impl Fn() -> bool + Send + 'static,
    ) -> Result<Body, EventsRefused> {
        // What is wrong is told now, while there is a status to tell it by.
        let wanted = self.read(asked)?;
        let seat = self.seat(door)?;
        let (mut page, seen) = Arc::clone(&self).look(wanted).await;
        let mut wanted = seen.after_these();
        let (sender, receiver) = mpsc::channel(AHEAD);
        let feeding = async move {
            let _seat = seat;
            loop {
                let text: String = match page.is_empty() {
                    true => ": nothing yet\n\n".to_owned(),
                    false => page.iter().map(told).collect(),
                };
                if sender.send(text.into()).await.is_err() {
                    return;
                }
                (page, wanted) = tokio::select! {
                    next = Arc::clone(&self).wait(wanted, SILENCE) => next,
                    () = sender.closed() => return,
                };
                if !is_allowed() {
                    return;
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Moment, SystemClock},
        control::{
            event::{EventKind, Stamp},
            journal::SharedJournal,
        },
    };
    use axum::extract::Query;
    use http_body_util::BodyExt;
    use std::time::UNIX_EPOCH;

    fn happen(journal: &SharedJournal, what: &[&str]) {
        let kinds = what.iter().map(|region| match region.strip_prefix("refused") {
            Some(_) => EventKind::Refused { cause: "SIGHUP".into(), errors: 1 },
            None => EventKind::Demo { region: (*region).into(), up: false },
        });
        let stamp = Stamp { at: Moment(0), wall: UNIX_EPOCH, swap: 0, who: None };
        journal.record_all(stamp, kinds.collect());
    }

    async fn feed(events: &Arc<Events>, door: Door, query: &str) -> Result<Body, EventsRefused> {
        let asked: Query<EventsQuery> =
            Query::try_from_uri(&format!("/?{query}").parse().unwrap()).unwrap();
        Arc::clone(events).feed(door, &asked.0, || true).await
    }

    /// The numbers in the next chunk.
    async fn next(body: &mut Body) -> Vec<u64> {
        let chunk = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
    }

    #[tokio::test]
    async fn a_feed_of_the_last_few_loses_nothing_that_comes_after() {
        let journal = SharedJournal::default();
        happen(&journal, &["a", "b", "c"]);
        let events = Arc::new(Events::new(journal.clone(), Arc::new(SystemClock::default())));
        let mut last = feed(&events, Door::Public, "last=1").await.unwrap();
        let mut none = feed(&events, Door::Public, "last=0").await.unwrap();
        let mut kind = feed(&events, Door::Public, "kind=refused").await.unwrap();
        assert_eq!(next(&mut last).await, [3]);
        assert_eq!((next(&mut none).await, next(&mut kind).await), (vec![], vec![]));
        happen(&journal, &["d", "e", "refused"]);
        assert_eq!(next(&mut last).await, [4, 5, 6]);
        assert_eq!(next(&mut none).await, [4, 5, 6]);
        assert_eq!(next(&mut kind).await, [6]);
    }

    #[tokio::test]
    async fn a_feed_holds_its_seat_while_it_lasts_and_none_at_the_other_door() {
        let journal = SharedJournal::default();
        let events = Arc::new(Events::new(journal.clone(), Arc::new(SystemClock::default())));
        let mut feeds = Vec::new();
        let crowded = loop {
            match feed(&events, Door::Public, "").await {
                Ok(body) => feeds.push(body),
                Err(error) => break error,
            }
        };
        assert_eq!((crowded, feeds.len()), (EventsRefused::Crowded, 16));
        assert!(feed(&events, Door::Control, "").await.is_ok());
        // Whoever goes away leaves its seat.
        drop(feeds.pop());
        while feed(&events, Door::Public, "").await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}
