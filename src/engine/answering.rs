//! RFC 1034 §4.3.2, steps 3 to 6, in one zone: down to the name, what it owns, and on along
//! CNAMEs and DNAMEs for as long as they stay in the zone.
//!
//! Each function is one case and either ends the reply or names what to follow. Must not know
//! how a steered answer is found, nor how records are written.

use super::signed::Pending;
use super::steer::{Client, Steered, steer, steers};
use crate::{
    clock::Dice,
    ids::{MapId, ZoneId},
    snapshot::{Plan, Record},
    telemetry::Counted,
    wire::{
        Full, Owner, QName, Query, Reply, Section, hash,
        types::{Rcode, Rtype},
    },
    world::World,
    zone::{Lookup, Node, Rrset, Zone},
};
use arrayvec::ArrayVec;

/// Links of one chain that are followed; what is behind them is for the resolver to ask.
/// Resolvers give up sooner (unbound and BIND after 11).
pub(super) const CHAIN_MAX: usize = 16;

/// One query on its way through one zone.
pub(super) struct Answering<'q, 'r, 'b> {
    pub world: &'q World,
    pub id: ZoneId,
    pub zone: &'q Zone,
    /// The first of the zone's steered records.
    pub records: u32,
    pub query: &'q Query,
    pub client: Client,
    pub dice: &'q mut Dice,
    /// Becomes the map that the client is looked up in.
    pub last_map: &'q mut Option<MapId>,
    pub reply: &'r mut Reply<'b>,
    pub chain: Chain,
    /// Whether a `*` stands in for the name being answered.
    pub expanded: bool,
    /// Whether a `*` or a DNAME did on the way, so that any name made up is answered alike.
    pub conjured: bool,
    /// Proofs for the authority section.
    pub pending: Pending<'q>,
    /// The RRset whose companions go into the additional section.
    pub leading: Option<&'q Rrset>,
    /// The longest scope of what was steered on the way (RFC 7871 §7.2.1).
    pub scope: u8,
    /// What counts the answer: the first steered record on the way.
    pub counted: Option<Counted>,
}

/// What follows a name.
pub(super) enum Next {
    /// Nothing: the reply is complete.
    Done,
    /// The name that a CNAME or DNAME led to.
    Follow,
}

/// Why a query got no whole answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unanswered {
    /// What it needs does not fit: truncate.
    Full,
    /// The name is answered as the addresses of another one, and nobody has found any yet.
    Unknown,
    /// The name is steered, and the first results of health checks are still awaited. Silence
    /// makes the resolver ask again; an error would be remembered.
    NotYet,
}

impl From<Full> for Unanswered {
    fn from(_: Full) -> Self {
        Unanswered::Full
    }
}

/// The aliases in the reply but that of the name asked for, by hashes of their owners: so that a
/// loop ends where it closes, and no record stands in a reply twice (RFC 2181 §5). Two names of
/// one hash would only leave the rest of the chain to the resolver.
#[derive(Default)]
pub(super) struct Chain {
    names: ArrayVec<u64, { CHAIN_MAX - 1 }>,
    dnames: ArrayVec<u64, CHAIN_MAX>,
}

impl Chain {
    /// Notes that the reply to what asks for `asked` leads from `name` to `target`; whether that is
    /// news, and the chain is not yet too long. Of the first link, which mostly is the only one,
    /// there is nothing to note: `asked` is at hand.
    fn lead(&mut self, asked: &QName, name: &QName, target: &QName) -> bool {
        if target.wire() == asked.wire() {
            return false;
        }
        if std::ptr::eq(name, asked) {
            return true;
        }
        let noted = self.names.try_push(hash(name.wire()));
        noted.is_ok() && !self.names.contains(&hash(target.wire()))
    }

    /// Notes the DNAME of `owner`; whether it is new to the reply.
    fn pass(&mut self, owner: &[u8]) -> bool {
        let owner = hash(owner);
        !self.dnames.contains(&owner) && self.dnames.try_push(owner).is_ok()
    }
}

impl<'q> Answering<'q, '_, '_> {
    /// Writes the answer, section by section. `names` is room for the names that a chain leads to.
    pub fn run(&mut self, names: &mut [QName; 2]) -> Result<(), Unanswered> {
        self.follow(names)?;
        if self.proves() {
            self.write_proofs()?;
        }
        match self.leading {
            Some(rrset) => self.additional(rrset),
            None => Ok(()),
        }
    }

    /// From the question's name along the chain to its end.
    fn follow(&mut self, [name, target]: &mut [QName; 2]) -> Result<(), Unanswered> {
        let (mut name, mut target) = (name, target);
        let mut asked = &self.query.name;
        loop {
            self.reply.enter_zone(self.zone.apex().as_wire());
            match self.name(asked, target)? {
                Next::Follow if self.goes_on(asked, target) => {}
                Next::Follow | Next::Done => return Ok(()),
            }
            std::mem::swap(&mut name, &mut target);
            self.reply.follow(name)?;
            asked = name;
        }
    }

    /// Whether the chain leads from `name` to a new name of this zone; another zone's is for the
    /// resolver to ask, even if that is ours too.
    fn goes_on(&mut self, name: &QName, target: &QName) -> bool {
        let zones = &self.world.snapshot.apexes;
        let closest = || zones.closest_after(self.id, target, self.query.qtype);
        self.chain.lead(&self.query.name, name, target) && closest() == Some(self.id)
    }

    /// Answers for `name`; if that is an alias, `target` becomes what it leads to.
    fn name(&mut self, name: &QName, target: &mut QName) -> Result<Next, Unanswered> {
        // What stood in for the name before this one is no matter any more.
        self.expanded = false;
        let found = self.zone.lookup(name);
        if let Lookup::Delegation { cut, at_cut } = found
            && !(at_cut && self.query.qtype == Rtype::DS)
        {
            return self.referral(name, cut);
        }
        self.reply.set_authoritative();
        match found {
            Lookup::Node { node, wildcard } => {
                self.expanded = wildcard;
                self.conjured |= wildcard;
                if wildcard && self.proves() {
                    self.prove_expansion(name, node);
                }
                self.node(name, node, target)
            }
            // The parent's side of a cut holds the DS (RFC 4035 §3.1.4.1).
            Lookup::Delegation { cut, .. } => self.owned(name, cut, target),
            Lookup::Dname { node, labels } => {
                self.conjured = true;
                self.dname(name, node, labels, target)
            }
            Lookup::NxDomain { encloser } => self.nxdomain(name, encloser),
        }
    }

    /// What an existing name is given: by steering, where that has a say, else from the zone.
    fn node(
        &mut self,
        name: &QName,
        node: Node<'q>,
        target: &mut QName,
    ) -> Result<Next, Unanswered> {
        match self.steers(node) {
            Some(_) if self.world.warming => Err(Unanswered::NotYet),
            Some(by) => self.steered(node, by, target),
            None => self.owned(name, node, target),
        }
    }

    /// The record that steers what is asked of `node`, if one does, and its plan. ANY is left to
    /// what is static there, which is the same for everybody, if there is such.
    fn steers(&self, node: Node<'q>) -> Option<(&'q Record, &'q Plan)> {
        let steered = node.steered()?;
        let index = self.records.checked_add(steered.index)?;
        let record = self.world.snapshot.records.get(index as usize)?;
        let (plan, qtype) = (self.world.snapshot.plan(record.plan), self.query.qtype);
        let leaves_to_static = qtype == Rtype::ANY && !node.rrsets().is_empty();
        (steers(plan, qtype) && !leaves_to_static).then_some((record, plan))
    }

    fn steered(
        &mut self,
        node: Node<'q>,
        by: (&'q Record, &'q Plan),
        target: &mut QName,
    ) -> Result<Next, Unanswered> {
        let qtype = self.query.qtype;
        let mut answer = self.steer(by, qtype);
        if qtype == Rtype::ANY && answer.variant.rdatas.is_none() {
            answer = self.steer_ipv6(by);
        }
        self.scope = self.scope.max(answer.scope);
        self.counted = self.counted.or(answer.counted);
        let Some(rdatas) = &answer.variant.rdatas else {
            return if answer.variant.is_unknown {
                Err(Unanswered::Unknown)
            } else {
                self.nodata(node)
            };
        };
        self.reply.records(Section::Answer, Owner::Current, answer.variant.ttl, rdatas)?;
        let is_alias = rdatas.rtype() == Rtype::CNAME && follows_cname(qtype);
        Ok(match is_alias && rdatas.read_target(&[0], target).is_ok() {
            true => Next::Follow,
            false => Next::Done,
        })
    }

    #[inline(always)] // As the function it calls.
    fn steer(&mut self, by: (&'q Record, &'q Plan), qtype: Rtype) -> Steered<'q> {
        steer(self.world, by, qtype, &self.client, self.dice, self.last_map)
    }

    /// ANY gets one RRset, no more (RFC 8482 §4.1), and not NODATA where there is one: this one,
    /// when there is none for IPv4.
    #[cold]
    fn steer_ipv6(&mut self, by: (&'q Record, &'q Plan)) -> Steered<'q> {
        self.steer(by, Rtype::AAAA)
    }

    /// What the name owns: an RRset, a CNAME, or nothing of that type.
    fn owned(
        &mut self,
        name: &QName,
        node: Node<'q>,
        target: &mut QName,
    ) -> Result<Next, Unanswered> {
        let qtype = self.query.qtype;
        let rrset = match qtype {
            // One RRset, no more (RFC 8482 §4.1).
            Rtype::ANY => node.rrsets().first(),
            _ => node.rrset(qtype),
        };
        if let Some(rrset) = rrset {
            // The DNAME asked for may be what led to its owner, and stand there already.
            if rrset.rtype() == Rtype::DNAME && !self.chain.pass(name.wire()) {
                return Ok(Next::Done);
            }
            self.answer(rrset)?;
            if qtype != Rtype::ANY {
                self.leading = Some(rrset);
            }
            return Ok(Next::Done);
        }
        if qtype == Rtype::RRSIG
            && let Some(answered) = self.signatures_alone(node)
        {
            return answered;
        }
        let Some(cname) = node.rrset(Rtype::CNAME) else { return self.nodata(node) };
        self.answer(cname)?;
        Ok(match cname.rdatas.read_target(self.zone.apex().as_wire(), target) {
            Ok(()) => Next::Follow,
            Err(_) => Next::Done,
        })
    }

    fn answer(&mut self, rrset: &Rrset) -> Result<(), Full> {
        self.put(Section::Answer, Owner::Current, rrset.ttl, rrset)
    }

    /// The DNAME of `node`, above `name`, and the CNAME made from it (RFC 6672 §3.1).
    fn dname(
        &mut self,
        name: &QName,
        node: Node<'q>,
        labels: usize,
        target: &mut QName,
    ) -> Result<Next, Unanswered> {
        let Some(dname) = node.rrset(Rtype::DNAME) else { return self.nodata(node) };
        let owner = name.suffix(labels);
        if self.chain.pass(owner) {
            let owner = Owner::Ancestor(owner);
            self.put(Section::Answer, owner, dname.ttl, dname)?;
        }
        let mut substitute = QName::default();
        if dname.rdatas.read_target(self.zone.apex().as_wire(), &mut substitute).is_err() {
            return Ok(Next::Done);
        }
        target.clone_from(name);
        if target.replace_suffix(labels, substitute.wire()).is_err() {
            // The name would be too long (RFC 6672 §2.2).
            self.reply.set_rcode(Rcode::YXDOMAIN);
            return Ok(Next::Done);
        }
        self.reply.synthesize_cname(dname.ttl, target)?;
        Ok(match follows_cname(self.query.qtype) {
            true => Next::Follow,
            false => Next::Done,
        })
    }
}

/// Whether a CNAME is only the way to what is asked for, not that itself.
fn follows_cname(qtype: Rtype) -> bool {
    !matches!(qtype, Rtype::CNAME | Rtype::ANY)
}
