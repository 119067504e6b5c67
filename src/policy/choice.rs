//! What select() returns: a tree of draws over pools, still in the operator's words.
//!
//! Weights are whole numbers at every level, so shares are exact fractions; [`crate::steering`]
//! flattens them for the dice or keeps the levels for sticky draws.

use super::{leaf::Leaf, tree::AllDown};

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
    /// Nothing is up.
    AllDown(AllDown),
}

impl Basis {
    /// The word in metrics, events and `explain`.
    pub const fn word(self) -> &'static str {
        match self {
            Basis::Healthy => "healthy",
            Basis::IgnoringMinHealthy => "ignoring-min-healthy",
            Basis::AllDown(_) => "all-down",
        }
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
        }
    }
}
