//! When nothing is available to a class, even ignoring `min_healthy`: what is answered all the
//! same (DESIGN §5, Availability).
//!
//! A failover that keeps a dead member answers the same way, for that member alone. Every way out
//! looks at the same tree with some dead addresses taken for living ones, so a
//! fence and the exact shares of members that do not absorb hold here as on any other day.
//! A dead address beats a name without any; only where there is no other the answer is unknown.

use super::{
    Context,
    choice::{Basis, Choice, Decision},
    eligible::Assumed,
    failover,
    trace::Trace,
    tree::{AllDown, Kind, NodeIx, WeightedMember},
    weighted::{self, Above},
};

impl<'t, T: Trace> Context<'t, '_, T> {
    /// As the record's `all_down` says.
    pub(super) fn all_down(&mut self) -> Decision<'t> {
        let said = self.tree.all_down;
        self.trace.note(0, || format!("everything is down: all_down = \"{}\"", said.word()));
        let choice = match said {
            AllDown::LastGood => {
                self.last_good(self.tree.root, None, 0).unwrap_or_else(|| self.unknown())
            }
            AllDown::All => self.all(),
            // A fence holds under all_down too: never a pool from outside it.
            AllDown::Pool(_) if self.is_fenced(self.tree.root) => self.all(),
            AllDown::Pool(pool) => self.beside_exact_shares(|c| c.living_or_whole(pool)),
            AllDown::First => self.beside_exact_shares(|c| c.first(c.tree.root)),
            AllDown::Nodata => self.beside_exact_shares(|_| Choice::Nodata),
        };
        Decision { choice, basis: Basis::AllDown(said) }
    }

    /// What `ix`, a failover's active member, answers although it is not available: the least
    /// that has to be assumed for it to have an answer. `None` if no address of it is known.
    pub(super) fn kept(
        &mut self,
        ix: NodeIx,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let view = self.view;
        (self.view.kept, self.view.ignore_min_healthy) = (true, true);
        let choice = self.evaluate(ix, above, depth);
        let choice = choice.or_else(|| self.last_good(ix, above, depth));
        self.view = view;
        choice
    }

    /// What `ix` answered with what was up just before the newest change without which there
    /// would be an answer.
    ///
    /// That is the change which left none. Later falls can only have been of members that do
    /// not absorb: those of which nothing is up count as up too, so that nothing moves. `None` if
    /// no address is known.
    fn last_good(
        &mut self,
        ix: NodeIx,
        above: Option<&Above<'t, '_>>,
        depth: u8,
    ) -> Option<Choice<'t>> {
        let tree = self.tree;
        let slots = tree.pools().flat_map(|pool| &pool.endpoints).flat_map(|e| e.target.slots());
        let mut falls: Vec<u64> = slots.map(|slot| self.view.directives.fell(slot)).collect();
        falls.retain(|&change| change > 0);
        falls.sort_unstable_by(|a, b| b.cmp(a));
        falls.dedup();
        // The longer ago the change, the more counts as up: once there is an answer, there is
        // one for every earlier change too.
        let newer = falls.partition_point(|&change| {
            self.view.assumed = Assumed::FellSince(change);
            !self.is_available(ix)
        });
        self.view.assumed = match falls.get(newer) {
            Some(&change) => Assumed::FellSince(change),
            None => {
                self.trace.note(depth, || "nothing is remembered to have been up: all".into());
                Assumed::All
            }
        };
        self.evaluate(ix, above, depth)
    }

    /// All that has addresses.
    fn all(&mut self) -> Choice<'t> {
        self.whole(self.tree.root).unwrap_or_else(|| self.unknown())
    }

    /// All of `ix`, dead or not; `None` if no address of it is known.
    fn whole(&mut self, ix: NodeIx) -> Option<Choice<'t>> {
        self.view.assumed = Assumed::All;
        self.evaluate(ix, None, 0)
    }

    /// Those of whom nobody knows an address: there is nobody else.
    fn unknown(&mut self) -> Choice<'t> {
        self.trace.note(0, || "no address of anybody is known yet".into());
        self.view.unfound_counts = true;
        self.whole(self.tree.root).expect("with everything up every node has an answer")
    }

    /// An up endpoint beats a dead one, also in the pool that steps in.
    fn living_or_whole(&mut self, pool: NodeIx) -> Choice<'t> {
        let choice = self.evaluate(pool, None, 0).or_else(|| self.whole(pool));
        choice.unwrap_or_else(|| self.all())
    }

    /// The first pool in this client's order, whole.
    fn first(&mut self, ix: NodeIx) -> Choice<'t> {
        let tree = self.tree;
        let regular_first = |members: &mut dyn Iterator<Item = &'t WeightedMember>| {
            members.min_by_key(|m| m.weight.is_reserve()).map(|m| m.node)
        };
        let next = match &tree.node(ix).kind {
            Kind::Pool(_) => return self.whole(ix).unwrap_or_else(|| self.all()),
            Kind::Empty => return Choice::Nodata,
            Kind::Weighted(weighted) => {
                regular_first(&mut weighted.members.iter().filter(|m| m.absorb))
            }
            Kind::Latency(latency) => {
                let order = tree.classes.order(self.class, latency.dependent).iter();
                regular_first(&mut order.map(|rank| &latency.members[usize::from(rank.member)]))
            }
            Kind::Failover(failover) => {
                // Where the active member is kept, no other may step in.
                let course = self.view.directives.course(failover.id);
                let first = if course.stays { failover::active(failover, &course) } else { 0 };
                failover.members.get(first).copied()
            }
            Kind::Multivalue(multivalue) => multivalue.members.first().copied(),
            Kind::Geo(geo) => {
                let chain = tree.classes.chain(self.class, geo.dependent);
                chain.first().and_then(|&r| geo.rules[usize::from(r)].members.first().copied())
            }
        };
        self.first(next.expect("compile refuses a policy without members"))
    }

    /// Whether every way down for this class ends at a fence.
    fn is_fenced(&self, ix: NodeIx) -> bool {
        let tree = self.tree;
        let all = |members: &[NodeIx]| members.iter().all(|&member| self.is_fenced(member));
        match &tree.node(ix).kind {
            Kind::Pool(_) | Kind::Empty => false,
            Kind::Geo(geo) => {
                let chain = tree.classes.chain(self.class, geo.dependent).iter();
                let mut rules = chain.map(|&rule| &geo.rules[usize::from(rule)]);
                rules.clone().any(|rule| rule.fence) || rules.all(|rule| all(&rule.members))
            }
            Kind::Weighted(weighted) => weighted.members.iter().all(|m| self.is_fenced(m.node)),
            Kind::Latency(latency) => latency.members.iter().all(|m| self.is_fenced(m.node)),
            Kind::Failover(failover) => {
                let course = self.view.directives.course(failover.id);
                failover::ways(failover, &course).all(|(_, member)| self.is_fenced(member))
            }
            Kind::Multivalue(multivalue) => all(&multivalue.members),
        }
    }

    /// Members of a weighted root that do not absorb keep their exact share while they are up,
    /// whatever becomes of the rest (DESIGN §5, Weights).
    fn beside_exact_shares(&mut self, rest: impl FnOnce(&mut Self) -> Choice<'t>) -> Choice<'t> {
        let Kind::Weighted(weighted) = &self.tree.node(self.tree.root).kind else {
            return rest(self);
        };
        let exact = self.members(weighted, None, 0).exact;
        let rest = rest(self);
        weighted::beside(weighted, None, exact, rest)
    }
}
