//! The client map: from a client's prefix to its class, and back to the widest prefix that may
//! share its answer. The one structure of this room a query touches.
//!
//! For each family, a root of 65,536 cells for the first 16 bits, then blocks of 16 cells for
//! every 4 bits more; a cell is a finished set of classes or leads to a block. Beside the cells
//! of root and block stands a binary heap of unions: for every aligned prefix inside, the set
//! of classes below it. So a lookup is one load for the root and one a block, and a scope is
//! found by climbing the heaps from the leaf while the classes below stay within the answer's
//! mask (DESIGN §5, ECS scope). Equal blocks are stored once; they can be, because a block says
//! nothing of where it hangs.
//!
//! Must not know what a class means, nor any answer.

use super::{
    blocks::{Builder, Family, Path},
    fold::{self, HIDINGS},
    nets::{self, ClassOf, ClassRun, Classes, Span},
    sets::{CLASSES_MAX, ClassMask, NONE, SetId, Sets, SetsBuilder},
    table::{LocationTable, Spaces},
};
use crate::ids::Class;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How much of an IPv4 address a map looks at where no longer network is named: databases and
/// resolvers deal in /24, and so does the privacy advice of RFC 7871 §11.1.
const V4_LIMIT: u8 = 24;
/// The same for IPv6.
const V6_LIMIT: u8 = 56;

/// Prefix → class, for one set of regions and rules.
#[derive(Debug, PartialEq)]
pub struct ClientMap {
    v4: Family,
    v6: Family,
    sets: Sets,
    default: Class,
    nets: Vec<IpNet>,
}

/// Where a lookup ended; what [`ClientMap::scope`] climbs from.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// The client's class.
    pub class: Class,
    /// Whether the map knows this space; if not, the class is the default one.
    pub known: bool,
    is_v4: bool,
    /// To add to a length to speak of the address as it came (IPv4 hidden in IPv6).
    shift: u8,
    path: Path,
}

impl ClientMap {
    /// The most classes a map can tell apart; `Class` ids must be below.
    pub const CLASSES_MAX: usize = CLASSES_MAX;

    /// Compiles a map. `nets` are the networks rules name, in any order, as written (IPv4 in
    /// IPv6 is folded here). `class_of` says the class of a location inside the networks whose
    /// indices it is given, longest first; it is called once for each combination that occurs.
    /// What is in no network and not in `table` stays unknown and gets `default`.
    ///
    /// # Errors
    /// The first error of `class_of`.
    ///
    /// # Panics
    /// If `class_of` gives a class of [`Self::CLASSES_MAX`] or above; compile refuses such maps.
    pub fn build<E>(
        table: Option<&LocationTable>,
        nets: &[IpNet],
        class_of: &mut ClassOf<'_, E>,
        default: Class,
    ) -> Result<ClientMap, E> {
        let nets: Vec<IpNet> = nets.iter().map(|net| fold::fold_rule(*net)).collect();
        let (spans_v4, spans_v6) = spans(&nets);
        let spaces = table.and_then(|table| table.spaces());
        let spaces: Option<&Spaces> = spaces.as_deref();
        let mut classes = Classes::new(spaces, class_of);
        let (places_v4, places_v6) = (
            spaces.into_iter().flat_map(|spaces| spaces.v4.iter()),
            spaces.into_iter().flat_map(|spaces| spaces.v6.iter()),
        );
        let runs_v4 = nets::overlay(places_v4, &spans_v4, &mut classes)?;
        let runs_v6 = nets::overlay(places_v6, &spans_v6, &mut classes)?;
        let every = classes.every();
        assert!(every.last().is_none_or(|class| class.index() < CLASSES_MAX));

        let mut sets = SetsBuilder::new(&every);
        let v4 = Builder::new(&mut sets, V4_LIMIT, &spans_v4).build(&runs_v4);
        let (runs_v6, spans_v6) = with_hidden_ipv4(runs_v6, spans_v6, v4.union());
        let v6 = Builder::new(&mut sets, V6_LIMIT, &spans_v6).build(&runs_v6);
        let sets = sets.finish();
        Ok(ClientMap { v4, v6, sets, default, nets })
    }

    /// The class of the client at `ip`.
    #[inline]
    pub fn lookup(&self, ip: IpAddr) -> Hit {
        self.lookup_net(ip, if ip.is_ipv4() { 32 } else { 128 })
    }

    /// The class of the client network `ip/source_len` (ECS): that of its first address. The
    /// bits of `ip` after `source_len` are zero.
    #[inline]
    pub fn lookup_net(&self, ip: IpAddr, source_len: u8) -> Hit {
        let folded = fold::fold_net(ip, source_len);
        let is_v4 = folded.ip.is_ipv4();
        let (family, key) = self.key(folded.ip);
        let path = family.find(key);
        let class = self.sets.class(path.set());
        Hit {
            class: class.unwrap_or(self.default),
            known: class.is_some(),
            is_v4,
            shift: folded.shift,
            path,
        }
    }

    /// Asks for what looking up a client at `ip` begins with; where IPv4 is hidden in it, in vain.
    #[inline]
    pub fn begin(&self, ip: IpAddr) {
        let (family, key) = self.key(ip);
        family.prefetch_root(&key);
    }

    /// Once that is there, for what comes next.
    #[inline]
    pub fn go_on(&self, ip: IpAddr) {
        let (family, key) = self.key(ip);
        family.prefetch_block(&key);
    }

    /// The family of `ip`, and its key there.
    #[inline]
    fn key(&self, ip: IpAddr) -> (&Family, [u8; 16]) {
        match ip {
            IpAddr::V4(v4) => {
                let mut key = [0; 16];
                key[..4].copy_from_slice(&v4.octets());
                (&self.v4, key)
            }
            IpAddr::V6(v6) => (&self.v6, v6.octets()),
        }
    }

    /// The length of the widest prefix around `hit` whose mapped space has only classes in
    /// `same`; at least 1. It may be longer than the source prefix (RFC 7871 §7.2.1), and speaks
    /// of the address as it was looked up, also where IPv4 was hidden in it.
    pub fn scope(&self, hit: &Hit, same: &ClassMask) -> u8 {
        // As where one member has all clients: then no climb goes through long lists in vain.
        if self.sets.are_all_within(same) {
            return 1 + hit.shift;
        }
        if !self.sets.within(hit.path.set(), same) {
            // A network too wide to tell which hidden IPv4 it means: nobody else shares it.
            return if hit.is_v4 { 32 + hit.shift } else { 128 };
        }
        let within = |set| self.sets.within(set, same);
        self.family(hit).climb(&hit.path, within).max(1) + hit.shift
    }

    /// The widest network around `hit` in which the map makes no difference at all; of IPv4
    /// where IPv4 was hidden.
    pub fn row(&self, hit: &Hit) -> IpNet {
        let len = self.family(hit).climb(&hit.path, |set| set == hit.path.set());
        let bits = hit.path.bits() & !nets::ones_after(len);
        let net = if hit.is_v4 {
            let ip = Ipv4Addr::from_bits((bits >> 96) as u32);
            Ipv4Net::new(ip, len).map(IpNet::from)
        } else {
            Ipv6Net::new(Ipv6Addr::from_bits(bits), len).map(IpNet::from)
        };
        net.expect("paths are no longer than their family's addresses")
    }

    fn family(&self, hit: &Hit) -> &Family {
        if hit.is_v4 { &self.v4 } else { &self.v6 }
    }

    /// The networks rules name, in the order given, as the map sees them.
    pub fn nets(&self) -> &[IpNet] {
        &self.nets
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.sets.bytes() + size_of_val(&self.nets[..])
    }
}

/// The networks of each family, sorted.
fn spans(nets: &[IpNet]) -> (Vec<Span>, Vec<Span>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (index, net) in nets.iter().enumerate() {
        let spans = if matches!(net, IpNet::V4(_)) { &mut v4 } else { &mut v6 };
        spans.push(Span::new(net, index));
    }
    v4.sort_unstable();
    v6.sort_unstable();
    (v4, v6)
}

/// Puts all of IPv4's classes where IPv4 hides in IPv6. Those clients are looked up in the IPv4
/// map, so an IPv6 scope must not reach over them unless the answer is the same there too.
fn with_hidden_ipv4(
    runs: Vec<ClassRun>,
    mut spans: Vec<Span>,
    all_v4: SetId,
) -> (Vec<ClassRun>, Vec<Span>) {
    let mut out: Vec<ClassRun> = Vec::with_capacity(runs.len() + 2 * HIDINGS.len());
    let mut hidden: Vec<Span> = HIDINGS.iter().map(Span::of_hiding).collect();
    hidden.sort_unstable();
    let mut runs = runs.into_iter().peekable();
    let mut set = NONE;
    for span in &hidden {
        while let Some(run) = runs.next_if(|run| run.start < span.start) {
            set = run.set;
            out.push(run);
        }
        out.push(ClassRun { start: span.start, set: all_v4 });
        let after = span.last() + 1;
        while let Some(run) = runs.next_if(|run| run.start <= after) {
            set = run.set;
        }
        out.push(ClassRun { start: after, set });
    }
    out.extend(runs);
    spans.extend(hidden);
    spans.sort_unstable();
    (out, spans)
}

#[cfg(test)]
mod tests;
