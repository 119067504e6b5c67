//! What may be answered: the standing of every address, and why.
//!
//! A verdict belongs to a *slot*: one address (or CNAME target) of one endpoint. Probes judge it,
//! the breaker and a pin may hold that judgement back, the operator's hand has the last word.
//! Steering sees only the dense [`Standings`] table; people see the whole [`Verdict`].

use crate::{
    clock::{Moment, Since},
    ids::SlotId,
};
use std::{sync::Arc, time::Duration};

/// Whether an address may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Standing {
    /// No result yet: answered, since nothing speaks against it (DESIGN §5, Health).
    #[default]
    Unknown,
    /// Answers its checks, or has none.
    Up,
    /// Works, but badly: half the weight inside its pool.
    Degraded,
    /// Failed its checks `fall` times in a row.
    Down,
    /// Taken out by an operator; counts as down.
    Drained,
}

impl Standing {
    /// Every one of them.
    pub const ALL: [Standing; 5] =
        [Standing::Unknown, Standing::Up, Standing::Degraded, Standing::Down, Standing::Drained];
    /// Whether it counts as up.
    pub const fn is_up(self) -> bool {
        matches!(self, Standing::Unknown | Standing::Up | Standing::Degraded)
    }
    /// The word people read: lower case, as in `status` and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Standing::Unknown => "unknown",
            Standing::Up => "up",
            Standing::Degraded => "degraded",
            Standing::Down => "down",
            Standing::Drained => "drained",
        }
    }
}

/// What select() sees of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sight {
    /// May it be answered?
    pub standing: Standing,
    /// Its last probe failed, though it may not have fallen yet: TTLs shrink (DESIGN §5, TTL).
    pub failing: bool,
}

/// How a target stood when somebody last looked, for who goes on judging it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stood {
    /// Its standing.
    pub standing: Standing,
    /// What its falls have come to.
    pub damped: Option<Damped>,
}

/// What flap damping remembers of a target that fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damped {
    /// How long after its fall it does not rise.
    pub hold_down: Duration,
    /// Since when it has been down, or worse than before.
    pub fell: Since,
    /// Since when it has stood well again, until it falls.
    pub rose: Option<Since>,
    /// It fell soon after it had risen.
    pub flapping: bool,
}

impl Damped {
    /// A target that fell again so soon after it rose is flapping; one that stayed up longer is
    /// forgiven.
    pub const FORGET: Duration = Duration::from_secs(600);

    /// The shortest hold-down of a target that flaps.
    const FLAPPING_MIN: Duration = Duration::from_secs(60);
    /// The longest.
    const FLAPPING_MAX: Duration = Duration::from_secs(300);

    /// How long it is held down, at least, if it falls at `now`, where that would be flapping.
    pub fn again(&self, now: Moment) -> Option<Duration> {
        let is_flapping = self.rose.is_some_and(|rose| rose.elapsed(now) <= Self::FORGET);
        is_flapping.then(|| (self.hold_down * 2).clamp(Self::FLAPPING_MIN, Self::FLAPPING_MAX))
    }

    /// Until when it does not rise.
    pub const fn until(&self) -> Moment {
        self.fell.reaches(self.hold_down)
    }

    /// Whether what comes at `now` depends on it.
    pub fn matters(&self, now: Moment) -> bool {
        now < self.until() || self.again(now).is_some()
    }
}

/// The dense table select() reads: one [`Sight`] a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings(pub Vec<Sight>);

impl Standings {
    /// What is known of `slot`; a slot without an entry has no check and is up.
    pub fn of(&self, slot: SlotId) -> Sight {
        self.0
            .get(slot.index())
            .copied()
            .unwrap_or(Sight { standing: Standing::Up, failing: false })
    }

    /// The same table where only what was seen to be up is: of what is unknown nothing speaks
    /// against answering it, and nothing for sending clients back to it.
    #[must_use]
    pub fn proven(&self) -> Standings {
        let proven = |sight: &Sight| match sight.standing {
            Standing::Unknown => Sight { standing: Standing::Down, ..*sight },
            _ => *sight,
        };
        Standings(self.0.iter().map(proven).collect())
    }
}

/// All that is known of one slot, for people and metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What steering sees: probes, the breaker, a pin and the operator's hand, merged.
    pub sight: Sight,
    /// The same without the operator's hand.
    pub judged: Sight,
    /// Why, in words: `refused 3/3`, `200 in 3 ms`, `no check`, `drained by ana: INC-42`.
    pub reason: Arc<str>,
    /// Since when it stands as it does.
    pub since: Moment,
    /// The same on the wall clock, for display.
    pub since_wall: std::time::SystemTime,
}
