//! Geo: the class's chain of matching rules, most specific first; the first available wins.
//!
//! A rule with nothing available falls through to the next less specific one; a fence ends the
//! chain, and compile has already cut it there.

use super::{Context, choice::Choice, trace::Trace, tree::Geo, weighted::Above};

impl<'t, T: Trace> Context<'t, '_, T> {
    pub(super) fn geo(
        &mut self,
        geo: &'t Geo,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let tree = self.tree;
        for &rule in tree.classes.chain(self.class, geo.dependent) {
            let rule = &geo.rules[usize::from(rule)];
            self.trace.note(depth, || {
                format!("rule {}{}", rule.label, if rule.fence { " (fence)" } else { "" })
            });
            if let Some(choice) = self.first_available(&rule.members, above, depth) {
                return Some(choice);
            }
        }
        None
    }
}
