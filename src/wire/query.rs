//! What a packet asks: header, question and OPT record, and nothing else of it.
//!
//! A query is read once from front to back, in time linear in its length whatever its counts
//! claim, into a [`Query`] that is reused. Must not know the answer, the sender or the socket.

use super::edns::{Edns, MalformedOption, UDP_MAX, UDP_MIN};
use super::name::NAME_MAX;
use super::qname::QName;
use super::types::{Opcode, Rclass, Rcode, Rtype};

/// How long a message's header is; the question follows it.
pub(super) const HEADER_LEN: usize = 12;
/// The flag that tells a reply from a query.
pub(super) const QR: u16 = 0x8000;
/// The flag by which a client asks for recursion; echoed, never followed.
pub(super) const RD: u16 = 0x0100;
/// Where the opcode stands in the flags, and how wide it is.
pub(super) const OPCODE_SHIFT: u32 = 11;
const OPCODE_MASK: u16 = 0xf;

/// What becomes of a packet that is not a query we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Silence: a reply (answering one could go on for ever) or shorter than a header.
    Drop,
    /// The message is broken, or has not exactly one question (RFC 9619 §4) and no cookie in
    /// its place.
    FormErr,
    /// Another opcode than QUERY.
    NotImp,
    /// A later EDNS version than ours, 0.
    BadVers,
}

impl Reject {
    /// The rcode to reply with, if there is to be a reply.
    pub fn rcode(self) -> Option<Rcode> {
        match self {
            Reject::Drop => None,
            Reject::FormErr => Some(Rcode::FORMERR),
            Reject::NotImp => Some(Rcode::NOTIMP),
            Reject::BadVers => Some(Rcode::BADVERS),
        }
    }
}

impl From<MalformedOption> for Reject {
    fn from(MalformedOption: MalformedOption) -> Self {
        Reject::FormErr
    }
}

/// A query. Filled by [`Query::parse`] and reused, so that no query allocates.
#[derive(Clone, Debug)]
pub struct Query {
    /// The message's id; echoed.
    pub id: u16,
    /// What kind of request it is; echoed.
    pub opcode: Opcode,
    /// Whether recursion is desired; echoed.
    pub recursion_desired: bool,
    /// The name asked for; the root when the question could not be read.
    pub name: QName,
    /// The type asked for.
    pub qtype: Rtype,
    /// The class asked for.
    pub qclass: Rclass,
    /// What the OPT record says, if there is one.
    pub edns: Option<Edns>,
    question_end: usize,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            id: 0,
            opcode: Opcode::QUERY,
            recursion_desired: false,
            name: QName::default(),
            qtype: Rtype(0),
            qclass: Rclass(0),
            edns: None,
            question_end: HEADER_LEN,
        }
    }
}

impl Query {
    /// Reads `packet`. When it is refused with anything but [`Reject::Drop`], the query holds
    /// what the reply needs: the header's fields, the question if it could be read, and
    /// whether there was an OPT record in front of what is broken (RFC 6891 §7).
    ///
    /// Flags other than QR, opcode and RD, bytes after the last record, and records other than
    /// OPT are of no account. A message without a question that holds a cookie is well-formed:
    /// it asks for ours (RFC 7873 §5.4).
    #[inline(always)] // Once a query, from one place.
    pub fn parse(&mut self, packet: &[u8]) -> Result<(), Reject> {
        let (header, question) = packet.split_first_chunk::<HEADER_LEN>().ok_or(Reject::Drop)?;
        let flags = u16_at(header, 2);
        if flags & QR != 0 {
            return Err(Reject::Drop);
        }
        self.id = u16_at(header, 0);
        self.opcode = Opcode((flags >> OPCODE_SHIFT & OPCODE_MASK) as u8);
        self.recursion_desired = flags & RD != 0;
        self.question_end = HEADER_LEN;
        self.edns = None;
        let body = self.read_body(packet, header, question);
        if self.opcode != Opcode::QUERY {
            return Err(Reject::NotImp);
        }
        body
    }

    /// Where the question ends in the packet, and the reply's records begin. Just behind the
    /// header if there is none or it could not be read.
    #[inline]
    pub fn question_end(&self) -> usize {
        self.question_end
    }

    /// Whether there is a question that could be read.
    #[inline]
    pub fn has_question(&self) -> bool {
        self.question_end > HEADER_LEN
    }

    /// How long a UDP reply may be: no more than the client and we take (RFC 6891 §6.2.3-5).
    #[inline]
    pub fn udp_limit(&self) -> usize {
        self.edns.map_or(UDP_MIN, |edns| usize::from(edns.udp_size).min(UDP_MAX))
    }

    #[inline(always)] // As `parse`, which is its only caller.
    fn read_body(
        &mut self,
        packet: &[u8],
        header: &[u8; HEADER_LEN],
        question: &[u8],
    ) -> Result<(), Reject> {
        let questions = u16_at(header, 4);
        let others = u32::from(u16_at(header, 6)) + u32::from(u16_at(header, 8));
        let additionals = u32::from(u16_at(header, 10));
        let mut at = HEADER_LEN;
        if questions == 1 {
            at = self.read_question(question)?;
        } else {
            self.forget_question();
            for _ in 0..questions {
                at = skip_name(packet, at).ok_or(Reject::FormErr)? + 4;
            }
        }
        self.find_opt(packet, at, others, additionals)?;
        match questions {
            1 => Ok(()),
            0 if self.edns.is_some_and(|edns| edns.cookie.is_some()) => Ok(()),
            _ => Err(Reject::FormErr),
        }
    }

    /// Reads the one question, at the start of what is behind the header, and returns where it
    /// ends in the packet. Nothing stands in front of it that a compression pointer could point
    /// to, so there must be none.
    #[inline(always)] // As `parse`.
    fn read_question(&mut self, question: &[u8]) -> Result<usize, Reject> {
        let read = self.name.read(question).ok();
        let Some((len, fixed)) =
            read.and_then(|len| Some((len, question.get(len..)?.first_chunk::<4>()?)))
        else {
            self.forget_question();
            return Err(Reject::FormErr);
        };
        self.qtype = Rtype(u16_at(fixed, 0));
        self.qclass = Rclass(u16_at(fixed, 2));
        self.question_end = HEADER_LEN + len + 4;
        Ok(self.question_end)
    }

    #[cold]
    fn forget_question(&mut self) {
        self.name = QName::default();
        self.qtype = Rtype(0);
        self.qclass = Rclass(0);
    }

    /// Walks all records after the question in search of the OPT record, which may only be
    /// among the last `additionals` (RFC 6891 §6.1.1). Each step takes eleven bytes at the
    /// least, so counts that lie cost nothing.
    #[inline(always)] // As `parse`; most queries of old resolvers have nothing to walk.
    fn find_opt(
        &mut self,
        packet: &[u8],
        mut at: usize,
        others: u32,
        additionals: u32,
    ) -> Result<(), Reject> {
        for index in 0..others + additionals {
            let owner = at;
            let fixed_at = skip_name(packet, owner).ok_or(Reject::FormErr)?;
            let (fixed, rest) = packet
                .get(fixed_at..)
                .and_then(|record| record.split_first_chunk::<10>())
                .ok_or(Reject::FormErr)?;
            let rdata = rest.get(..usize::from(u16_at(fixed, 8))).ok_or(Reject::FormErr)?;
            at = fixed_at + 10 + rdata.len();
            if Rtype(u16_at(fixed, 0)) == Rtype::OPT {
                let at_root = packet.get(owner) == Some(&0);
                let misplaced = index < others || self.edns.is_some() || !at_root;
                let ttl = u32::from(u16_at(fixed, 4)) << 16 | u32::from(u16_at(fixed, 6));
                self.read_opt(Edns::from_fixed(u16_at(fixed, 2), ttl), rdata, misplaced)?;
            }
        }
        match self.edns {
            Some(Edns { version: 1.., .. }) => Err(Reject::BadVers),
            _ => Ok(()),
        }
    }

    /// Takes an OPT record, keeping what the reply to a broken one needs too. A later
    /// version's options are not ours to judge.
    #[inline]
    fn read_opt(&mut self, edns: Edns, options: &[u8], misplaced: bool) -> Result<(), Reject> {
        let edns = self.edns.insert(edns);
        if misplaced {
            return Err(Reject::FormErr);
        }
        if edns.version == 0 {
            edns.read_options(options)?;
        }
        Ok(())
    }
}

/// Where the record's owner which begins at `at` ends; compression pointers are not followed.
#[inline]
pub(super) fn skip_name(packet: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while end - at < NAME_MAX {
        match *packet.get(end)? {
            0 => return Some(end + 1),
            len @ 1..=0x3f => end += 1 + usize::from(len),
            0xc0..=0xff => return Some(end + 2),
            _ => return None,
        }
    }
    None
}

/// The number at `at`, in network order; `at` is a constant within `N`.
#[inline]
#[expect(clippy::indexing_slicing, reason = "`at` is a constant within `N`, at every caller")]
pub(super) fn u16_at<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests;
