//! The dice roll, prepared: from a distribution to one Variant in constant time.

use crate::{
    clock::Dice,
    policy::sticky::{Key, number, pick},
    units::Share,
};
use std::collections::BTreeMap;

/// Sixty-four even bits for one draw.
pub type Dice64 = u64;

/// How one answer is drawn; results index into `Selection::variants`.
#[derive(Debug, PartialEq)]
pub enum Draw {
    /// There is only one.
    Fixed(u32),
    /// By chance: one roll, one comparison, however many there are.
    Chance(Alias),
    /// By client, level by level.
    Sticky(Box<[Level]>),
}

/// Walker's alias table as Vose fills it: each cell holds two outcomes and where to cut.
#[derive(Debug, PartialEq)]
pub struct Alias(Box<[Cell]>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    /// Share of the cell, in units of 2⁻⁶⁴, that belongs to `own`.
    cut: u64,
    own: u32,
    other: u32,
}

/// One draw on the way down; level 0 is first.
#[derive(Debug, PartialEq)]
pub enum Level {
    /// By weight: weighted rendezvous.
    Weights(Box<[Arm]>),
    /// By a number of the client's own: the first cut that lies above it.
    Thresholds {
        /// Tells this number of a client from its others.
        salt: u64,
        /// By rising bounds; the last one is for all that is left.
        cuts: Box<[Cut]>,
    },
}

/// One arm of a sticky draw.
#[derive(Debug, PartialEq)]
pub struct Arm {
    /// Hash of the member's name.
    pub hash: u64,
    /// Above zero.
    pub weight: u64,
    /// What follows.
    pub then: Then,
}

/// The clients up to a threshold.
#[derive(Debug, PartialEq)]
pub struct Cut {
    /// Numbers below this one, of 64 even bits.
    pub below: u64,
    /// The share of clients between this cut and the one before, for people.
    pub width: Share,
    /// What follows.
    pub then: Then,
}

/// What follows a sticky draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    /// The answer.
    Variant(u32),
    /// Another draw: an index into the levels.
    Level(u32),
}

impl Draw {
    /// The index of the Variant this client gets.
    #[inline(always)] // Most plans draw in a few instructions, or in none.
    pub fn draw(&self, dice: &mut Dice, key: impl FnOnce() -> Key) -> usize {
        let variant = match self {
            Draw::Fixed(variant) => *variant,
            Draw::Chance(alias) => alias.draw(dice.roll()),
            Draw::Sticky(levels) => sticky(levels, key()),
        };
        variant as usize
    }

    /// Every Variant it can give with its exact share of all clients, for people.
    pub fn shares(&self) -> Vec<(usize, f64)> {
        let mut shares: BTreeMap<usize, f64> = BTreeMap::new();
        let mut give = |variant: u32, share| *shares.entry(variant as usize).or_default() += share;
        match self {
            Draw::Fixed(variant) => give(*variant, 1.0),
            Draw::Chance(alias) => alias.shares(&mut give),
            Draw::Sticky(levels) => sticky_shares(levels, 0, 1.0, &mut give),
        }
        shares.into_iter().filter(|(_, share)| *share > 0.0).collect()
    }
}

fn sticky_shares(levels: &[Level], at: u32, share: f64, give: &mut dyn FnMut(u32, f64)) {
    let mut follow = |then: Then, share| match then {
        Then::Variant(variant) => give(variant, share),
        Then::Level(next) => sticky_shares(levels, next, share, give),
    };
    match &levels[at as usize] {
        Level::Weights(arms) => {
            let sum: u64 = arms.iter().map(|arm| arm.weight).sum();
            arms.iter().for_each(|arm| follow(arm.then, share * arm.weight as f64 / sum as f64));
        }
        Level::Thresholds { cuts, .. } => {
            cuts.iter().for_each(|cut| follow(cut.then, share * cut.width.as_fraction()));
        }
    }
}

#[inline(never)]
fn sticky(levels: &[Level], key: Key) -> u32 {
    let mut level = &levels[0];
    loop {
        match level.draw(key) {
            Then::Variant(variant) => return variant,
            Then::Level(next) => level = &levels[next as usize],
        }
    }
}

impl Level {
    #[inline]
    fn draw(&self, key: Key) -> Then {
        match self {
            Level::Weights(arms) => {
                arms[pick(key, arms.iter().map(|arm| (arm.hash, arm.weight)))].then
            }
            Level::Thresholds { salt, cuts } => {
                let number = number(key, *salt);
                let last = cuts.len() - 1;
                let above = cuts[..last].iter().position(|cut| number < cut.below);
                cuts[above.unwrap_or(last)].then
            }
        }
    }

    /// The Variant it leads to, whoever asks; nothing if there are several, or draws below.
    pub(super) fn only_variant(&self) -> Option<Then> {
        let (arms, cuts): (&[Arm], &[Cut]) = match self {
            Level::Weights(arms) => (arms, &[]),
            Level::Thresholds { cuts, .. } => (&[], cuts),
        };
        let mut outcomes = arms.iter().map(|arm| arm.then).chain(cuts.iter().map(|cut| cut.then));
        let first = outcomes.next()?;
        (matches!(first, Then::Variant(_)) && outcomes.all(|then| then == first)).then_some(first)
    }
}

impl Alias {
    /// A table that gives `outcome` with probability `share / Σ shares`, to within 2⁻⁵².
    /// `shares` is not empty and sums above zero.
    pub fn new(shares: &[(u32, f64)]) -> Alias {
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        let even = sum / shares.len() as f64;
        // What each outcome still has to give, in cells.
        let mut left: Vec<f64> = shares.iter().map(|(_, share)| share / even).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..shares.len()).partition(|&i| left[i] < 1.0);
        let mut cells: Vec<Cell> =
            shares.iter().map(|&(o, _)| Cell { cut: u64::MAX, own: o, other: o }).collect();
        while let (Some(needy), Some(&rich)) = (small.pop(), large.last()) {
            cells[needy].cut = (left[needy] * 2_f64.powi(64)) as u64;
            cells[needy].other = shares[rich].0;
            left[rich] -= 1.0 - left[needy];
            if left[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Alias(cells.into_boxed_slice())
    }

    fn shares(&self, give: &mut dyn FnMut(u32, f64)) {
        let cells = self.0.len() as f64;
        for cell in &self.0 {
            let cut = cell.cut as f64 / 2_f64.powi(64);
            give(cell.own, cut / cells);
            give(cell.other, (1.0 - cut) / cells);
        }
    }

    #[inline]
    fn draw(&self, roll: Dice64) -> u32 {
        // The high half of roll × cells is an even cell number, the low half an even fraction.
        let scaled = u128::from(roll) * self.0.len() as u128;
        let cell = &self.0[(scaled >> 64) as usize];
        if (scaled as u64) < cell.cut { cell.own } else { cell.other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_tables_hold_every_share() {
        for shares in [
            vec![(0, 90.0), (1, 10.0)],
            vec![(0, 1.0)],
            vec![(0, 1.0), (1, 1.0), (2, 1.0)],
            (0..64).map(|i| (i, f64::from(i) + 0.5)).collect(),
        ] {
            let alias = Alias::new(&shares);
            let sum: f64 = shares.iter().map(|s| s.1).sum();
            let given = Draw::Chance(alias).shares();
            for &(outcome, share) in &shares {
                let given = given.iter().find(|(known, _)| *known == outcome as usize).unwrap().1;
                assert!((given - share / sum).abs() < 1e-12, "{outcome}: {given}");
            }
        }
    }

    #[test]
    fn weighted_ninety_ten_holds_over_a_hundred_thousand_rolls() {
        let draw = Draw::Chance(Alias::new(&[(0, 90.0), (1, 10.0)]));
        let mut dice = Dice::seeded(7);
        let n = 100_000;
        let hits = (0..n).filter(|_| draw.draw(&mut dice, || Key::new(0, 0)) == 1).count() as f64;
        assert!((hits - 10_000.0).abs() < 4.5 * (100_000.0_f64 * 0.09).sqrt(), "{hits}");
    }
}
