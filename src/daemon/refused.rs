//! Tells the operator that the kernel refuses replies: the threads that answer only count them.

use crate::telemetry::{Tally, Telemetry};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// How long the first refusal goes untold.
const LOOK: Duration = Duration::from_secs(1);
/// A route that is gone refuses every reply, and a line a minute says as much of it as a million.
const REST: Duration = Duration::from_secs(60);

/// Warns of replies that the kernel refused since the last warning, with one of its reasons.
pub(super) async fn tell_of_refused_replies(telemetry: Arc<Telemetry>) {
    let mut told = 0;
    loop {
        sleep(LOOK).await;
        if let Some(error) = telemetry.take_send_error() {
            let all = telemetry.totals().of(Tally::SendDrop);
            tracing::warn!(replies = all - told, %error, "the kernel refused to send replies");
            told = all;
            sleep(REST).await;
        }
    }
}
