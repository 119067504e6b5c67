//! Failover: the active member, else the first that is available.
//!
//! Which one is active is decided elsewhere ([`crate::failover`]) and comes as a directive, the
//! [`Course`]. Unless that says that the active member is kept, a dead one never waits for the
//! decision: leaving it is immediate. One that is kept answers, dead or not, as long as another
//! member is available: the wait neither empties a name nor gives its clients away.

use super::{
    Context,
    choice::Choice,
    directives::Course,
    sticky::Drawn,
    trace::Trace,
    tree::{Failover, NodeIx},
    weighted::Above,
};
use crate::units::Share;

/// One failover as one evaluation meets it.
#[derive(Clone, Copy)]
struct Met<'t, 'a> {
    name: &'t str,
    failover: &'t Failover,
    above: Option<&'a Above<'t, 'a>>,
    depth: u8,
}

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn failover(
        &mut self,
        name: &'t str,
        failover: &'t Failover,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let was_below = std::mem::replace(&mut self.view.below_failover, true);
        let choice = self.follow(Met { name, failover, above, depth });
        self.view.below_failover = was_below;
        choice
    }

    fn follow(&mut self, met: Met<'t, '_>) -> Option<Choice<'t>> {
        let course = self.view.directives.course(met.failover.id);
        let active = active(met.failover, &course);
        if active > 0 {
            let name = self.member_name(met, active);
            self.trace.note(met.depth, || format!("`{name}` is the active member"));
        }
        let found = match left(met.failover, &course) {
            Some((from, moved)) => self.moving(met, active, from, moved),
            None => self.settled(met, active),
        };
        if found.is_some() {
            return found;
        }
        let others = ways(met.failover, &course).filter(|(index, _)| *index != active);
        let mut others = others.map(|(index, _)| index);
        others.find_map(|index| self.settled(met, index)).or_else(|| self.keep(met, active))
    }

    /// The active member although it is down, if another one is available: that one may not be
    /// gone to yet, and until it may nothing moves, neither here nor at the parent or the root.
    /// Where no address of the active member is known, nobody could stay there.
    fn keep(&mut self, met: Met<'t, '_>, active: usize) -> Option<Choice<'t>> {
        let mut members = met.failover.members.iter();
        if !members.any(|&member| self.is_available(member)) {
            return None;
        }
        let name = self.member_name(met, active);
        let why = || format!("`{name}` is kept although it is down: leaving it waits");
        self.trace.note(met.depth, why);
        match self.kept(met.failover.members[active], met.above, met.depth + 1) {
            Some(choice) => self.trickled(met, active, choice),
            None => {
                let why = || format!("no address of `{name}` is known yet: the next one answers");
                self.trace.note(met.depth, why);
                (0..met.failover.members.len()).find_map(|index| self.settled(met, index))
            }
        }
    }

    /// What clients get while `from` is left for `active`: those below `moved` have followed.
    /// If one of the two has become unavailable the other has them all.
    fn moving(
        &mut self,
        met: Met<'t, '_>,
        active: usize,
        from: usize,
        moved: Share,
    ) -> Option<Choice<'t>> {
        let left = self.member_name(met, from);
        self.trace.note(met.depth, || format!("ramp: {moved} of clients have left `{left}`"));
        let to = self.settled(met, active);
        self.trace.note(met.depth, || format!("ramp: {} of clients are still there", moved.rest()));
        match (to, self.member(met, from)) {
            (Some(to), Some(from)) => {
                Choice::split(Drawn::Failover, met.name, [(moved, to), (Share::ONE, from)])
            }
            (to, from) => to.or(from),
        }
    }

    /// What clients get of the member with this index once nothing moves: all of it, but for
    /// the trickle to the next one.
    fn settled(&mut self, met: Met<'t, '_>, index: usize) -> Option<Choice<'t>> {
        let choice = self.member(met, index)?;
        self.trickled(met, index, choice)
    }

    /// `choice`, what the member with this index answers, but for the trickle to the next one.
    fn trickled(
        &mut self,
        met: Met<'t, '_>,
        index: usize,
        choice: Choice<'t>,
    ) -> Option<Choice<'t>> {
        let trickle = met.failover.trickle;
        if trickle == Share::NONE {
            return Some(choice);
        }
        let course = self.view.directives.course(met.failover.id);
        let next = met.failover.members.iter().enumerate().skip(index + 1);
        let next = next.filter(|(next, _)| !course.barred.contains(*next)).map(|(next, _)| next);
        self.trace.note(met.depth, || format!("trickle: {trickle} of clients keep the next warm"));
        match next.into_iter().find_map(|next| self.member(met, next)) {
            Some(warm) => {
                Choice::split(Drawn::Trickle, met.name, [(trickle, warm), (Share::ONE, choice)])
            }
            None => Some(choice),
        }
    }

    fn member(&mut self, met: Met<'t, '_>, index: usize) -> Option<Choice<'t>> {
        self.evaluate(met.failover.members[index], met.above, met.depth + 1)
    }

    fn member_name(&self, met: Met<'t, '_>, index: usize) -> &'t str {
        &self.tree.node(met.failover.members[index]).name
    }

    /// The first of `members` that is available: what a geo rule's list means.
    pub(super) fn first_available(
        &mut self,
        members: &'t [NodeIx],
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        members.iter().find_map(|&member| self.evaluate(member, above, depth + 1))
    }
}

/// Index of the active member.
pub(super) fn active(failover: &Failover, course: &Course) -> usize {
    // An index from another Snapshot means the first.
    Some(usize::from(course.active)).filter(|&at| at < failover.members.len()).unwrap_or(0)
}

/// The member that is being left, and how many clients have left it.
fn left(failover: &Failover, course: &Course) -> Option<(usize, Share)> {
    let (from, moved) = course.leaving?;
    let from = usize::from(from);
    let is_other = from < failover.members.len() && from != active(failover, course);
    is_other.then_some((from, moved))
}

/// The members, with their indices, of which some client may be given one now or as soon as it
/// is needed.
pub(super) fn ways<'f>(
    failover: &'f Failover,
    course: &Course,
) -> impl Iterator<Item = (usize, NodeIx)> + use<'f> {
    let course = *course;
    let active = active(failover, &course);
    let left = left(failover, &course).map(|(from, _)| from);
    failover.members.iter().copied().enumerate().filter(move |&(index, _)| {
        let is_open = !course.stays && !course.barred.contains(index);
        is_open || index == active || Some(index) == left
    })
}
