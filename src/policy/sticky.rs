//! Sticky draws: weighted rendezvous hashing by name.
//!
//! The member with the smallest −ln(u)/w wins, u a hash of (client key, cohort, the member's
//! name). A pure function, equal on all nodes and after any restart; a member that grows takes
//! clients only for itself, one that dies spreads only its own and gets them back
//! (DESIGN §5, Sticky). All in whole numbers: a logarithm from the machine's math library
//! could differ in its last bit between two nodes and split a client between them.

use crate::clock::mix;

/// Identifies a client network and a cohort in every draw of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key of a client: its address as 128 bits already cut to the sticky prefix (IPv4 as
    /// `::ffff:a.b.c.d`), and the hash of its cohort.
    #[inline]
    pub fn new(network: u128, cohort: u64) -> Self {
        let folded = mix(network as u64 ^ 0x7472_6164_6577_696e) ^ ((network >> 64) as u64);
        Key(mix(mix(folded) ^ cohort))
    }
}

/// What a name is hashed as: members and endpoints draw independently of each other, and so do
/// the numbers by which clients are parted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drawn {
    /// A member of a policy.
    Member,
    /// The leader of a pool.
    Endpoint,
    /// Clients that already get what ramps up or still get what ramps down.
    Ramp,
    /// Clients that have already followed a failover to its new member.
    Failover,
    /// Clients that keep a failover's next member warm.
    Trickle,
    /// The same two below a multivalue policy, all by one number.
    Multivalue,
}

/// Hash of a name for draws: FNV-1a over its bytes, finished by a strong mix. Done when answers
/// are compiled, never per packet. Its value is part of our promise that all nodes agree.
pub fn name_hash(drawn: Drawn, salt: u8, parts: &[&str]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325 ^ u64::from(salt) ^ ((drawn as u64) << 8);
    for part in parts {
        for &byte in part.as_bytes().iter().chain(b"\0") {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    mix(hash)
}

/// Picks among `arms` of (name hash, weight): the winner's index. Weights are above zero.
#[inline]
pub fn pick(key: Key, arms: impl Iterator<Item = (u64, u64)>) -> usize {
    let (mut winner, mut best) = (0, (u64::MAX, 1_u64));
    for (index, (hash, weight)) in arms.enumerate() {
        let cost = minus_log2(mix(key.0 ^ hash));
        // cost / weight < best.0 / best.1, without dividing. Costs are below 2³⁸ and weights
        // below 2³¹ × 64 members, so products stay inside u128.
        if u128::from(cost) * u128::from(best.1) < u128::from(best.0) * u128::from(weight) {
            (winner, best) = (index, (cost, weight));
        }
    }
    winner
}

/// The number of the client that `salt` tells from its others: 64 even bits.
#[inline]
pub const fn number(key: Key, salt: u64) -> u64 {
    mix(key.0 ^ salt)
}

const TABLE_BITS: u32 = 10;
/// log₂(1 + i/1024) in units of 2⁻³², by repeated squaring in whole numbers when we are compiled.
static LOG2: [u64; (1 << TABLE_BITS) + 1] = {
    let mut table = [0; (1 << TABLE_BITS) + 1];
    let mut i = 0;
    while i < table.len() {
        table[i] = log2_of((1 << 32) + ((i as u64) << (32 - TABLE_BITS)));
        i += 1;
    }
    table
};

/// log₂ of a number in [1, 2] given in units of 2⁻³²; the result is in the same unit.
const fn log2_of(mut x: u64) -> u64 {
    if x == 2 << 32 {
        return 1 << 32;
    }
    let (mut log, mut bit) = (0, 32);
    while bit > 0 {
        bit -= 1;
        x = ((x as u128 * x as u128) >> 32) as u64;
        if x >= 2 << 32 {
            x >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

/// −log₂(u) for u = (hash + 1) / 2⁶⁴, in units of 2⁻³²: from 0 to 64 × 2³².
///
/// A table of 1,024 steps with linear interpolation: off by less than 2⁻²² at most, which moves
/// fewer than one client in a million.
#[inline]
fn minus_log2(hash: u64) -> u64 {
    let Some(x) = hash.checked_add(1) else {
        return 0;
    };
    let exponent = 63 - x.leading_zeros();
    // The fraction after the leading one, as 32 bits.
    let fraction = ((x << x.leading_zeros()) << 1) >> 32;
    let step = (fraction >> (32 - TABLE_BITS)) as usize;
    let rest = fraction & ((1 << (32 - TABLE_BITS)) - 1);
    let (low, high) = (LOG2[step], LOG2[step + 1]);
    let log = (u64::from(exponent) << 32) + low + (((high - low) * rest) >> (32 - TABLE_BITS));
    (64 << 32) - log
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms(weights: &[(&str, u64)]) -> Vec<(u64, u64)> {
        weights.iter().map(|&(n, w)| (name_hash(Drawn::Member, 0, &[n]), w)).collect()
    }

    fn winners(weights: &[(&str, u64)], clients: u32) -> Vec<usize> {
        let arms = arms(weights);
        let cohort = name_hash(Drawn::Member, 0, &["shop"]);
        (0..clients)
            .map(|c| pick(Key::new(u128::from(c) << 8, cohort), arms.iter().copied()))
            .collect()
    }

    #[test]
    fn logarithm_agrees_with_floating_point() {
        for i in 0..100_000_u64 {
            let hash = mix(i) >> (i % 60);
            let exact = -((hash as f64 + 1.0) / 2_f64.powi(64)).log2();
            let ours = minus_log2(hash) as f64 / 2_f64.powi(32);
            assert!((exact - ours).abs() < 3e-7, "{hash}: {exact} {ours}");
        }
        assert_eq!(minus_log2(u64::MAX), 0);
        assert_eq!(minus_log2(0), 64 << 32);
    }

    #[test]
    fn shares_follow_weights() {
        let n = 200_000;
        let won = winners(&[("stable", 90), ("canary", 10)], n);
        let canary = won.iter().filter(|&&w| w == 1).count() as f64;
        let sigma = (f64::from(n) * 0.1 * 0.9).sqrt();
        assert!((canary - 0.1 * f64::from(n)).abs() < 4.5 * sigma, "{canary}");
    }

    #[test]
    fn a_member_that_grows_takes_clients_only_for_itself() {
        let n = 200_000;
        let before = winners(&[("stable", 90), ("canary", 10)], n);
        let after = winners(&[("stable", 80), ("canary", 20)], n);
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a).count();
        assert!(before.iter().zip(&after).all(|(&b, &a)| b == a || (b == 0 && a == 1)));
        assert!(moved as f64 / f64::from(n) <= 0.105, "{moved}");
    }

    #[test]
    fn a_member_that_dies_spreads_only_its_own() {
        let before = winners(&[("a", 3), ("b", 2), ("c", 1)], 50_000);
        let after = winners(&[("a", 3), ("c", 1)], 50_000);
        for (b, a) in before.iter().zip(&after) {
            let a = if *a == 1 { 2 } else { *a };
            assert!(*b == 1 || *b == a);
        }
    }

    #[test]
    fn sixty_four_members_share_evenly() {
        let names: Vec<String> = (0..64).map(|i| format!("m{i}")).collect();
        let weights: Vec<(&str, u64)> = names.iter().map(|n| (n.as_str(), 5)).collect();
        let n = 256_000;
        let mut count = [0_u32; 64];
        winners(&weights, n).into_iter().for_each(|w| count[w] += 1);
        let expected = f64::from(n) / 64.0;
        for c in count {
            assert!((f64::from(c) - expected).abs() < 5.0 * expected.sqrt(), "{c}");
        }
    }

    #[test]
    fn draws_are_the_same_on_every_machine() {
        // Recorded once; a change of these numbers moves every sticky client of every user.
        let won = winners(&[("stable", 90), ("canary", 10)], 64);
        let bits = won.iter().enumerate().fold(0_u64, |acc, (i, &w)| acc | ((w as u64) << i));
        assert_eq!(format!("{bits:016x}"), RECORDED);
    }
    const RECORDED: &str = "000000400a040000";
}
