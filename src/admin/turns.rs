//! Whose turn it is to look ahead. A plan or a simulation takes a processor for seconds, and files
//! that are sent for one up to 64 MiB: one is worked out at a time, few wait, the rest are told to
//! come back.

use super::{context::Context, refused::Refused};
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Those who send files, the one whose turn it is included: 3 × 64 MiB of them.
const LINE_MAX: usize = 3;
/// What most plans take, in seconds.
const RETRY_SECS: &str = "5";

/// The line, and the one desk at its end.
#[derive(Debug)]
pub(super) struct Turns {
    line: Arc<Semaphore>,
    desk: Arc<Semaphore>,
}

/// A place in the line, taken before a body is read: as an extractor it stands before the body.
#[derive(Debug)]
pub(super) struct InLine(OwnedSemaphorePermit);

/// The turn: kept by the work itself, which goes on though nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Turn {
    _desk: OwnedSemaphorePermit,
    _line: Option<OwnedSemaphorePermit>,
}

impl Default for Turns {
    fn default() -> Turns {
        let line = Arc::new(Semaphore::new(LINE_MAX));
        Turns { line, desk: Arc::new(Semaphore::new(1)) }
    }
}

impl Turns {
    /// The turn of who has waited `in_line`. Whoever loads files has not: looking on holds nobody up
    /// who acts for longer than those before take.
    pub async fn of(&self, in_line: Option<InLine>) -> Result<Turn, Refused> {
        let desk = Arc::clone(&self.desk).acquire_owned().await.map_err(|_| busy())?;
        Ok(Turn { _desk: desk, _line: in_line.map(|InLine(place)| place) })
    }
}

impl FromRequestParts<Arc<Context>> for InLine {
    type Rejection = Refused;

    async fn from_request_parts(_: &mut Parts, context: &Arc<Context>) -> Result<InLine, Refused> {
        let place = Arc::clone(&context.turns.line).try_acquire_owned();
        place.map(InLine).map_err(|_| busy())
    }
}

fn busy() -> Refused {
    let why = format!(
        "{LINE_MAX} plans or simulations are being worked out or wait; try again in {RETRY_SECS} s"
    );
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, why).with(header::RETRY_AFTER, RETRY_SECS)
}
