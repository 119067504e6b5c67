//! How the nodes of a zone bear on each other: empty non-terminals, wildcards, zone cuts, and
//! the addresses that go with an RRset. Worked out once, so that a lookup only follows indices.

use std::collections::HashMap;

use arrayvec::ArrayVec;

use super::build::Draft;
use super::lookup::{APEX, Zone};
use super::names::Names;
use super::rrset::{Companions, Kin, NONE, Owned};
use crate::wire::NAME_MAX;
use crate::wire::types::Rtype;

/// A node's relative name, on the stack.
type Key = ArrayVec<u8, NAME_MAX>;

/// Adds the empty non-terminals, then finds the wildcard below and the cut above each node.
pub(super) fn link_tree(draft: &mut Draft) {
    if let Err(full) = add_empty_non_terminals(&mut draft.zone.names) {
        draft.error(&draft.at.clone(), full.to_string(), "split the zone");
    }
    let Zone { names, kin, depth, .. } = &mut draft.zone;
    *depth =
        (0..names.len() as u32).map(|index| ancestors(names.key(index)).count()).max().unwrap_or(0);
    let mut rows = Vec::new();
    for index in 0..names.len() as u32 {
        if is_wildcard(names.key(index))
            && let Some(parent) = parent(names.key(index)).and_then(|key| names.find(key))
        {
            row(&mut rows, names.value_mut(parent)).wildcard = index;
        }
    }
    *kin = rows.into();
    link_cuts(&mut draft.zone);
}

/// Every ancestor of a name exists (RFC 4592 §2.2.2).
fn add_empty_non_terminals(names: &mut Names<Owned>) -> Result<(), super::names::TableFull> {
    for index in 0..names.len() as u32 {
        let key: Key = names.key(index).iter().copied().collect();
        for ancestor in ancestors(&key) {
            if names.find(ancestor).is_some() {
                break;
            }
            names.insert(ancestor, Owned::default())?;
        }
    }
    Ok(())
}

/// Notes the topmost cut over every node; what is below one is not ours (RFC 1034 §4.2.1).
fn link_cuts(zone: &mut Zone) {
    if !(0..zone.names.len() as u32).any(|index| is_cut(zone, index)) {
        return;
    }
    let mut rows = std::mem::take(&mut zone.kin).into_vec();
    for index in 0..zone.names.len() as u32 {
        let key = zone.names.key(index);
        let line = std::iter::once(key).chain(ancestors(key));
        let line = line.filter_map(|key| zone.names.find(key));
        if let Some(cut) = line.filter(|&index| is_cut(zone, index)).last() {
            row(&mut rows, zone.names.value_mut(index)).cut = cut;
        }
    }
    zone.kin = rows.into();
}

/// Whether a node is delegated. NS records of a `*` are data to be synthesised: they delegate
/// nothing, as RFC 4592 §4.2 leaves open what they would mean.
pub(super) fn is_cut(zone: &Zone, index: u32) -> bool {
    let delegated = index != APEX && zone.node(index).rrset(Rtype::NS).is_some();
    delegated && !is_wildcard(zone.names.key(index))
}

/// Whether the first label is `*`.
pub(super) fn is_wildcard(key: &[u8]) -> bool {
    key.starts_with(b"\x01*")
}

/// The relative name without its first label; the apex has none.
pub(super) fn parent(key: &[u8]) -> Option<&[u8]> {
    let (&len, rest) = key.split_first()?;
    rest.get(usize::from(len)..)
}

/// The relative names above `key`, the nearest first, the apex last.
pub(super) fn ancestors(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(parent(key), |key| parent(key))
}

fn row<'k>(rows: &'k mut Vec<Kin>, owned: &mut Owned) -> &'k mut Kin {
    if owned.kin == NONE {
        owned.kin = rows.len() as u32;
        rows.push(Kin::default());
    }
    &mut rows[owned.kin as usize]
}

/// Finds the addresses that go with each RRset whose records point to names.
pub(super) fn link_companions(draft: &mut Draft) {
    let mut table = std::mem::take(&mut draft.companions);
    let mut rows: HashMap<Companions, u32> = HashMap::new();
    for node in 0..draft.zone.names.len() as u32 {
        for index in draft.rrset_indices(node) {
            let companions = companions(draft, node, index);
            if companions.nodes.is_empty() {
                continue;
            }
            let row = &mut draft.zone.rrsets[index].companions;
            match table.get_mut(*row as usize) {
                // Signatures are of one owner: there is nothing to share.
                Some(signed) => {
                    *signed = Companions { signatures: signed.signatures.take(), ..companions };
                }
                None => {
                    *row = *rows.entry(companions).or_insert_with_key(|companions| {
                        table.push(companions.clone());
                        table.len() as u32 - 1
                    });
                }
            }
        }
    }
    draft.zone.companions = table.into();
}

fn companions(draft: &Draft, owner: u32, index: usize) -> Companions {
    let targets = draft.targets(index);
    if targets.is_empty() {
        return Companions::default();
    }
    let zone = &draft.zone;
    let rtype = zone.rrsets[index].rtype();
    let is_referral = rtype == Rtype::NS && is_cut(zone, owner);
    let owner_name = zone.node(owner).name();
    let (mut required, mut helpful) = (Vec::new(), Vec::new());
    for (target, _) in targets {
        // In ServiceMode `.` is the owner itself (RFC 9460 §2.5).
        // A wildcard's owner is only known with the query.
        let is_self = target.is_root() && matches!(rtype, Rtype::SVCB | Rtype::HTTPS);
        let target = match is_self {
            true if is_wildcard(zone.names.key(owner)) => continue,
            true => &owner_name,
            false => &target,
        };
        let Some(node) = zone.find(target).filter(|node| has_addresses(*node)) else {
            continue;
        };
        let list = if is_referral && target.is_at_or_below(&owner_name) {
            &mut required
        } else if rtype == Rtype::NS || zone.cut_over(node.index).is_none() {
            &mut helpful
        } else {
            continue;
        };
        if !list.contains(&node.index) {
            list.push(node.index);
        }
    }
    let nodes = [&required[..], &helpful].concat().into();
    Companions { required: required.len(), nodes, signatures: None }
}

/// Whether a node has static addresses of its own.
pub(super) fn has_addresses(node: super::Node<'_>) -> bool {
    node.rrset(Rtype::A).or(node.rrset(Rtype::AAAA)).is_some()
}
