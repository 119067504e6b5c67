//! Failover: the active member, else the first that is available.
//!
//! Which one is active is decided elsewhere ([`crate::failover`]) and comes as a directive. A
//! dead active member never waits for that decision: leaving it is immediate.

use super::{
    Context,
    choice::Choice,
    trace::Trace,
    tree::{Failover, NodeIx},
    weighted::Above,
};

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn failover(
        &mut self,
        failover: &'t Failover,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let active = self.view.directives.active(failover.id);
        if let Some(&member) = failover.members.get(active)
            && active > 0
        {
            let name = &self.tree.node(member).name;
            self.trace.note(depth, || format!("`{name}` is the active member"));
            if let Some(choice) = self.evaluate(member, above, depth + 1) {
                return Some(choice);
            }
        }
        self.first_available(&failover.members, above, depth)
    }

    /// The first of `members` that is available: also what a geo rule's list means.
    pub(super) fn first_available(
        &mut self,
        members: &'t [NodeIx],
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        members.iter().find_map(|&member| self.evaluate(member, above, depth + 1))
    }
}
