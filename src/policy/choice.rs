//! What select() returns: a tree of draws over pools, still in the operator's words.
//!
//! Weights and bounds are whole numbers at every level, so shares are exact fractions;
//! [`crate::steering`] flattens them for the dice or keeps the levels for sticky draws.

use super::{
    leaf::Leaf,
    sticky::{Drawn, name_hash},
    tree::AllDown,
};
use crate::units::Share;

/// A distribution over answers, and on what grounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision<'t> {
    /// The answers.
    pub choice: Choice<'t>,
    /// Why these and not others.
    pub basis: Basis,
}

/// On what grounds an answer is given; anything but `Healthy` is marked wherever people look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basis {
    /// Available members, as configured.
    Healthy,
    /// Too few are up for `min_healthy`, but an up one beats a dead one.
    IgnoringMinHealthy,
    /// A failover answers a member that is not available, because leaving it waits.
    FailoverWaits,
    /// Nothing is up.
    AllDown(AllDown),
}

impl Basis {
    /// The word in metrics, events and `explain`.
    pub const fn word(self) -> &'static str {
        match self {
            Basis::Healthy => "healthy",
            Basis::IgnoringMinHealthy => "ignoring-min-healthy",
            Basis::FailoverWaits => "failover-waits",
            Basis::AllDown(_) => "all-down",
        }
    }

    /// How far from health it is: of several grounds the furthest one is told.
    pub const fn badness(self) -> u8 {
        match self {
            Basis::Healthy => 0,
            Basis::IgnoringMinHealthy => 1,
            Basis::FailoverWaits => 2,
            Basis::AllDown(_) => 3,
        }
    }

    /// Whether some clients are given what is known not to be available.
    pub const fn is_last_resort(self) -> bool {
        matches!(self, Basis::FailoverWaits | Basis::AllDown(_))
    }
}

impl AllDown {
    /// As written in zone files.
    pub const fn word(self) -> &'static str {
        match self {
            AllDown::LastGood => "last-good",
            AllDown::All => "all",
            AllDown::First => "first",
            AllDown::Nodata => "nodata",
            AllDown::Pool(_) => "pool",
        }
    }
}

/// One level of a distribution.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Choice<'t> {
    /// An empty answer, on purpose.
    Nodata,
    /// Endpoints of a pool, led by one that is drawn.
    Leaf(Leaf<'t>),
    /// One of these, by weight. Never empty, weights never zero.
    Draw(Vec<Branch<'t>>),
    /// One of these, by a number that each client has: ramps and trickle.
    Split(Split<'t>),
}

/// Clients parted at thresholds of one number each of them has, even in [0, 1). As thresholds
/// move, a client changes sides once: the clients below a bound are nested sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Split<'t> {
    /// What the number is for.
    pub by: Drawn,
    /// The policy it parts the clients of: with `by` it tells this number from a client's others.
    pub name: &'t str,
    /// By rising bounds, the last of which is one; at least two.
    pub parts: Vec<Part<'t>>,
}

/// The clients whose number lies below `below` and not below the part before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part<'t> {
    /// Where it ends.
    pub below: Share,
    /// What they get.
    pub choice: Choice<'t>,
}

/// One arm of a draw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch<'t> {
    /// The member's name: what sticky draws hash.
    pub name: &'t str,
    /// How many draws above already had a member of this name. It keeps draws independent of
    /// each other when a name stands on two levels of one tree.
    pub salt: u8,
    /// Against its siblings.
    pub weight: u64,
    /// What follows.
    pub choice: Choice<'t>,
}

impl<'t> Choice<'t> {
    /// A draw over `branches`; a single one needs no dice. `None` when there is none.
    pub(crate) fn draw(mut branches: Vec<Branch<'t>>) -> Option<Choice<'t>> {
        match branches.len() {
            0 => None,
            1 => branches.pop().map(|branch| branch.choice),
            _ => Some(Choice::Draw(branches)),
        }
    }

    /// `parts` by rising bounds, each from the end of the one before; those of no width and
    /// those that are answered alike are no parts of their own. The last one is for the rest.
    pub(crate) fn split(
        by: Drawn,
        name: &'t str,
        parts: impl IntoIterator<Item = (Share, Choice<'t>)>,
    ) -> Option<Choice<'t>> {
        let mut kept: Vec<Part<'t>> = Vec::new();
        let mut end = Share::NONE;
        for (below, choice) in parts {
            match kept.last_mut() {
                _ if below <= end => {}
                Some(last) if last.choice == choice => last.below = below,
                _ => kept.push(Part { below, choice }),
            }
            end = end.max(below);
        }
        match kept.len() {
            0 | 1 => kept.pop().map(|part| part.choice),
            _ => {
                kept.last_mut()?.below = Share::ONE;
                Some(Choice::Split(Split { by, name, parts: kept }))
            }
        }
    }

    /// Calls `visit` for each leaf that a client may get whose number is `u` in every split.
    pub(crate) fn leaves_at<'c>(&'c self, u: Share, visit: &mut dyn FnMut(&'c Leaf<'t>)) {
        match self {
            Choice::Nodata => {}
            Choice::Leaf(leaf) => visit(leaf),
            Choice::Draw(branches) => branches.iter().for_each(|b| b.choice.leaves_at(u, visit)),
            Choice::Split(split) => {
                if let Some(part) = split.parts.iter().find(|part| u < part.below) {
                    part.choice.leaves_at(u, visit);
                }
            }
        }
    }

    /// Calls `visit` with the bound of each part of every split.
    pub(crate) fn bounds(&self, visit: &mut dyn FnMut(Share)) {
        match self {
            Choice::Nodata | Choice::Leaf(_) => {}
            Choice::Draw(branches) => branches.iter().for_each(|b| b.choice.bounds(visit)),
            Choice::Split(split) => {
                for part in &split.parts {
                    visit(part.below);
                    part.choice.bounds(visit);
                }
            }
        }
    }

    /// `basis`, unless a failover keeps some of it against health.
    pub(crate) fn grounds(&self, basis: Basis) -> Basis {
        let mut kept = false;
        self.leaves(&mut |_, leaf| kept |= leaf.is_some_and(|leaf| leaf.kept));
        if kept { Basis::FailoverWaits } else { basis }
    }

    /// Calls `visit` for each leaf with its exact probability.
    pub fn leaves<'c>(&'c self, visit: &mut dyn FnMut(f64, Option<&'c Leaf<'t>>)) {
        self.walk(1.0, visit);
    }

    fn walk<'c>(&'c self, share: f64, visit: &mut dyn FnMut(f64, Option<&'c Leaf<'t>>)) {
        match self {
            Choice::Nodata => visit(share, None),
            Choice::Leaf(leaf) => visit(share, Some(leaf)),
            Choice::Draw(branches) => {
                let sum: u64 = branches.iter().map(|b| b.weight).sum();
                for branch in branches {
                    branch.choice.walk(share * branch.weight as f64 / sum as f64, visit);
                }
            }
            Choice::Split(split) => {
                for (part, width) in split.parts() {
                    part.choice.walk(share * width.as_fraction(), visit);
                }
            }
        }
    }
}

impl<'t> Split<'t> {
    /// What is mixed with a client's key to get its number; equal on all nodes.
    pub fn salt(&self) -> u64 {
        name_hash(self.by, 0, &[self.name])
    }
    /// Each part with the share of clients in it; these sum to one exactly.
    pub fn parts(&self) -> impl Iterator<Item = (&Part<'t>, Share)> {
        let mut start = 0;
        self.parts.iter().map(move |part| {
            let end = part.below.as_millionths();
            let width = Share::from_millionths(end - std::mem::replace(&mut start, end));
            (part, width)
        })
    }
}
