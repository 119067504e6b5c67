//! How far a drain has come.
//!
//! Nobody can look into resolvers: what they may still give out is computed from the time since
//! the drain and the TTL, and what this server itself still answers is observed where it can be.
//! Drained is when both are past: a minute beyond the last TTL, and less than a thousandth of
//! the answers.

use std::time::Duration;

/// Beyond the TTL: clients and resolvers that keep answers a little longer than they may.
pub const GRACE: Duration = Duration::from_secs(60);
/// An observed share below this counts as nothing.
pub const NOTHING: f64 = 0.001;

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Whether its endpoints may be taken away.
    pub is_drained: bool,
    /// The largest share of clients that may still be sent there, by ramp and TTL.
    pub residual: f64,
    /// The share of answers that still named it lately, where that is counted.
    pub observed: Option<f64>,
}

/// How far a drain has come that began `elapsed` ago, takes `over` and had answers with a TTL of
/// `ttl` out.
pub fn progress(
    elapsed: Duration,
    over: Option<Duration>,
    ttl: Duration,
    observed: Option<f64>,
) -> Progress {
    let over = over.unwrap_or_default();
    // An answer given at time t is kept until t + ttl; the share given at t falls from 1 to 0.
    let newest = elapsed.saturating_sub(ttl);
    let residual = if elapsed < ttl {
        1.0
    } else if newest < over {
        1.0 - newest.as_secs_f64() / over.as_secs_f64()
    } else {
        0.0
    };
    let is_past = elapsed >= over + ttl + GRACE;
    let is_drained = is_past && observed.is_none_or(|share| share < NOTHING);
    Progress { is_drained, residual, observed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_is_over_a_minute_after_the_last_answer_ran_out_and_nobody_is_sent_there() {
        let secs = Duration::from_secs;
        let at = |elapsed, over, observed| progress(secs(elapsed), over, secs(30), observed);
        assert_eq!((at(0, None, None).residual, at(29, None, None).residual), (1.0, 1.0));
        assert_eq!((at(30, None, None).residual, at(89, None, None).is_drained), (0.0, false));
        assert!(at(90, None, None).is_drained && at(90, None, Some(0.0009)).is_drained);
        assert!(!at(90, None, Some(0.001)).is_drained);
        let slow = Some(secs(100));
        assert_eq!(at(80, slow, None).residual, 0.5);
        assert!(!at(189, slow, None).is_drained && at(190, slow, None).is_drained);
    }
}
