//! A machine as it is kept over a restart: elapsed times instead of moments, since nothing
//! lies before a clock was made. Time in which no server ran counts for nothing.

use super::{
    effect::Wait,
    machine::{Leaving, Machine, Member},
};
use crate::clock::{Moment, Since};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is kept of a [`Machine`]; members by index, so their names are to be kept beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// The active member.
    pub active: u8,
    /// For how long each member has been available without a break.
    pub available_for: Vec<Option<Duration>>,
    /// For how long the active member has not been.
    pub lost_for: Option<Duration>,
    /// The member that clients are leaving, and for how long.
    pub leaving: Option<(u8, Duration)>,
    /// What was waited for.
    pub pending: Option<(u8, Wait)>,
    /// Who was to be gone to when an operator rejected what was asked for.
    pub rejected: Option<Vec<bool>>,
    /// Where an operator approved to go while the active member is drained.
    #[serde(default)]
    pub approved: Option<u8>,
    /// The operator's first choice, and whether it was not reached yet.
    pub prefer: Option<(u8, bool)>,
}

impl Machine {
    /// What is to be kept of it.
    pub fn saved(&self, now: Moment) -> Saved {
        let elapsed = |since: Since| since.elapsed(now);
        Saved {
            active: self.active,
            available_for: self.members.iter().map(|m| m.available.map(elapsed)).collect(),
            lost_for: self.lost.map(elapsed),
            leaving: self.leaving.map(|leaving| (leaving.from, self.ramped(&leaving, now))),
            pending: self.pending.map(|pending| (pending.to, pending.wait)),
            rejected: self.rejected.clone(),
            approved: self.approved,
            prefer: self.prefer.map(|prefer| (prefer, self.is_wish)),
        }
    }

    /// The machine that was saved. What does not fit together is forgotten: a file may say
    /// anything.
    pub fn restored(saved: Saved, now: Moment) -> Machine {
        let members = saved.available_for.len();
        let fits = |member: u8| usize::from(member) < members;
        let since = |before| Since::resumed(before, now);
        let active = Some(saved.active).filter(|&active| fits(active));
        // Nothing is known of what was going on around a member that is not there.
        let Some(active) = active else { return Machine::new(members) };
        let leaving = saved.leaving.filter(|&(from, _)| fits(from) && from != active);
        let pending = saved.pending.filter(|&(to, _)| fits(to) && to != active);
        let prefer = saved.prefer.filter(|&(prefer, _)| fits(prefer));
        Machine {
            active,
            members: saved
                .available_for
                .into_iter()
                .map(|available| Member { available: available.map(since), is_shut: false })
                .collect(),
            lost: saved.lost_for.map(since),
            leaving: leaving.map(|(from, elapsed)| Leaving { from, since: since(elapsed) }),
            pending: pending.map(|(to, wait)| super::machine::Asked { to, wait }),
            rejected: saved.rejected,
            approved: saved.approved.filter(|&to| fits(to) && to != active),
            prefer: prefer.map(|(prefer, _)| prefer),
            is_wish: prefer.is_some_and(|(_, is_wish)| is_wish),
            held: false,
            adrift: false,
            at: now,
        }
    }
}
