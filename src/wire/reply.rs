//! Writes a reply behind the question, in the buffer the query came in.
//!
//! Sets of records are copied whole or not at all, room for the OPT record is kept from the
//! start, and names are compressed by arithmetic: the zone's apex is a suffix of the name asked
//! for, so its place in the packet is known without a table. Must not know why these records
//! are the answer. Past 600 lines: whatever writes into the buffer stands where its room is counted.

use super::edns::{Ecs, Edns, IdleTime, Nsid, UDP_MAX, UDP_MIN};
use super::qname::QName;
use super::query::{HEADER_LEN, OPCODE_SHIFT, QR, Query, RD};
use super::rdata::{Rdatas, split_framed};
use super::types::{Ede, OptionCode, Rclass, Rcode, Rtype};
use crate::units::Ttl;

/// The longest reply over TCP (RFC 1035 §4.2.2).
pub const TCP_MAX: usize = 0xffff;

const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
/// The furthest place a compression pointer reaches: fourteen bits.
const POINTER_MAX: usize = 0x3fff;
/// Type, class, TTL: what stands between a record's owner and its rdlength.
const FIXED_LEN: usize = 8;
/// The same with an owner that is a pointer in front.
const HEAD_LEN: usize = 2 + FIXED_LEN;
/// An OPT record without options.
const OPT_LEN: usize = 11;
/// An extended error without text: code, length, info-code.
const EDE_LEN: usize = 6;
/// Code and length of any option.
const OPTION_HEAD: usize = 4;

/// The reply has no room for the set; nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room in the reply")]
pub struct Full;

/// Where records go. They must be written in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Records that answer the question.
    Answer,
    /// SOA of a negative answer, NS of a referral.
    Authority,
    /// Addresses of names in the sections before.
    Additional,
}

/// Whose records they are.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'o> {
    /// The name being answered: the question's, or the target last followed.
    Current,
    /// The name being answered or one above it, within the zone entered: a suffix of it.
    Ancestor(&'o [u8]),
    /// The apex of the zone entered.
    Apex,
    /// These labels, without a root, in front of the zone's apex.
    Relative(&'o [u8]),
    /// This name, in full.
    Name(&'o [u8]),
    /// What stands at this place of the reply.
    At(usize),
}

/// An owner as it is written: some bytes, then perhaps a pointer.
#[derive(Clone, Copy)]
struct OwnerWire<'o> {
    labels: &'o [u8],
    pointer: Option<[u8; 2]>,
}

impl OwnerWire<'_> {
    fn len(&self) -> usize {
        self.labels.len() + if self.pointer.is_some() { 2 } else { 0 }
    }
}

/// What a reply's OPT record says beside the client's network and why: to those who speak EDNS.
/// The longest of them all fit beside any question in 512 bytes: 271 of header and question, 11
/// of OPT, 24 of ECS, 28 of cookie, 132 of NSID, 6 of keepalive, 6 of EDE.
#[derive(Clone, Copy, Debug)]
pub struct Options<'o> {
    /// The client's cookie and ours (RFC 7873 §4, RFC 9018 §4).
    pub cookie: Option<[u8; 24]>,
    /// Which server this is (RFC 5001 §2.1).
    pub nsid: Option<&'o Nsid>,
    /// How long the connection may be idle (RFC 7828 §3.1).
    pub keepalive: Option<IdleTime>,
}

impl Options<'_> {
    /// Nothing more.
    pub const NONE: Options<'static> = Options { cookie: None, nsid: None, keepalive: None };

    #[inline]
    fn wire_len(&self) -> usize {
        let cookie = self.cookie.as_ref().map_or(0, |cookie| OPTION_HEAD + cookie.len());
        let keepalive = self.keepalive.map_or(0, |idle| OPTION_HEAD + idle.wire().len());
        cookie + keepalive + self.nsid.map_or(0, |nsid| OPTION_HEAD + nsid.as_bytes().len())
    }
}

/// A reply in the making. [`Reply::begin`], [`Reply::enter_zone`], sets of records section by
/// section, [`Reply::finish`].
#[derive(Debug)]
pub struct Reply<'b> {
    /// As long as the reply may become.
    buf: &'b mut [u8],
    /// The end of what is written.
    len: usize,
    /// Where records must end, so that OPT fits behind them.
    room: usize,
    question_end: usize,
    /// Header flags, without the rcode.
    flags: u16,
    rcode: Rcode,
    counts: [u16; 3],
    section: Section,
    /// Where the name being answered stands in the packet, and its length uncompressed.
    name_at: usize,
    name_len: usize,
    /// Where the zone's apex stands.
    apex_at: usize,
    /// Where the target of the last CNAME stands.
    target_at: usize,
    edns: Option<&'b Edns>,
    /// The class of the question, which is that of all records.
    class: Rclass,
    options: &'b Options<'b>,
    scope: u8,
    extended_error: Option<Ede>,
}

impl<'b> Reply<'b> {
    /// Begins the reply to `query`, no longer than `limit` or `buf`, with `options` if the query
    /// had an OPT record. `buf` begins with the
    /// packet that `query` was parsed from, up to [`Query::question_end`] at least; that part
    /// is kept, all behind it is overwritten.
    ///
    /// # Panics
    /// When `limit` or `buf` is below 512 bytes, the least that DNS allows: then question and
    /// OPT might not fit.
    #[inline]
    pub fn begin(
        buf: &'b mut [u8],
        query: &'b Query,
        limit: usize,
        options: &'b Options<'b>,
    ) -> Self {
        let limit = limit.min(buf.len()).min(TCP_MAX);
        assert!(limit >= UDP_MIN, "a reply needs {UDP_MIN} bytes of room");
        let question_end = query.question_end();
        #[expect(clippy::indexing_slicing, reason = "`limit` is at most its length")]
        let buf = &mut buf[..limit];
        if let Some(id) = buf.first_chunk_mut() {
            *id = query.id.to_be_bytes();
        }
        let recursion = if query.recursion_desired { RD } else { 0 };
        let opt_len = query.edns.as_ref().map_or(0, |edns| {
            OPT_LEN + edns.ecs.as_ref().map_or(0, Ecs::wire_len) + options.wire_len()
        });
        Reply {
            buf,
            len: question_end,
            room: limit - opt_len,
            question_end,
            flags: QR | u16::from(query.opcode.0) << OPCODE_SHIFT | recursion,
            rcode: Rcode::NOERROR,
            counts: [0; 3],
            section: Section::Answer,
            name_at: HEADER_LEN,
            // Without a question there is no name, and no zone that could be entered.
            name_len: (question_end - HEADER_LEN).saturating_sub(4),
            apex_at: HEADER_LEN,
            target_at: HEADER_LEN,
            edns: query.edns.as_ref(),
            class: query.qclass,
            options,
            scope: 0,
            extended_error: None,
        }
    }

    /// Writes the whole reply to a query that gets `rcode` and nothing else.
    pub fn error(buf: &'b mut [u8], query: &'b Query, rcode: Rcode) -> usize {
        let mut reply = Reply::begin(buf, query, UDP_MIN, &Options::NONE);
        reply.set_rcode(rcode);
        reply.finish()
    }

    /// From here on records are those of the zone with this apex, of which the name being
    /// answered is part. Before any records of a zone.
    #[inline]
    pub fn enter_zone(&mut self, apex: &[u8]) {
        self.apex_at = self.ancestor_at(apex);
    }

    /// From here on the name being answered is `target`, that of the CNAME written last.
    ///
    /// # Errors
    /// When it stands where no pointer reaches, behind 16 KiB of records.
    pub fn follow(&mut self, target: &QName) -> Result<(), Full> {
        if self.target_at > POINTER_MAX {
            return Err(Full);
        }
        self.name_at = self.target_at;
        self.name_len = target.wire().len();
        Ok(())
    }

    /// Writes one RRset, the whole of it or nothing.
    ///
    /// # Errors
    /// When it does not fit. Whether that truncates the reply is the caller's to say.
    #[inline(always)] // Of the owner nothing is left but its place, where callers name its kind.
    pub fn records(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        ttl: Ttl,
        rdatas: &Rdatas,
    ) -> Result<(), Full> {
        let at = match owner {
            Owner::Current => self.name_at,
            Owner::Apex => self.apex_at,
            Owner::At(at) => at,
            _ => return self.spelled_records(section, owner, ttl, rdatas),
        };
        if rdatas.has_patches() {
            return match rdatas.count() {
                1 => self.patched_record(section, at, ttl, rdatas),
                _ => self.spelled_records(section, owner, ttl, rdatas),
            };
        }
        let (count, framed) = (rdatas.count(), rdatas.framed());
        let start = self.reserve(section, count, count * HEAD_LEN + framed.len())?;
        if rdatas.rtype() == Rtype::CNAME {
            self.target_at = start + HEAD_LEN + 2;
        }
        let head = head(at, rdatas.rtype(), self.class, ttl);
        copy_pointed(self.written_from(start), head, rdatas.rtype(), framed);
        Ok(())
    }

    /// The same for one record whose rdata is left open, as that of a CNAME mostly is: copied whole,
    /// and filled in then.
    #[inline(never)]
    fn patched_record(
        &mut self,
        section: Section,
        at: usize,
        ttl: Ttl,
        rdatas: &Rdatas,
    ) -> Result<(), Full> {
        let framed = rdatas.framed();
        let start = self.reserve(section, 1, HEAD_LEN + framed.len())?;
        if rdatas.rtype() == Rtype::CNAME {
            self.target_at = start + HEAD_LEN + 2;
        }
        let head = head(at, rdatas.rtype(), self.class, ttl);
        let apex = pointer_to(self.apex_at);
        let mut out = self.written_from(start);
        put(&mut out, &head);
        out.copy_from_slice(framed);
        for patch in rdatas.patches() {
            if let Some(place) = out.get_mut(patch..).and_then(<[u8]>::first_chunk_mut) {
                *place = apex;
            }
        }
        Ok(())
    }

    /// The same for an owner that may have to be spelled out, or rdata that is left open.
    #[inline(never)]
    fn spelled_records(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        ttl: Ttl,
        rdatas: &Rdatas,
    ) -> Result<(), Full> {
        let first = self.owner_wire(owner);
        // All but the first record point to the first one's owner.
        let others = match self.len {
            at if !first.labels.is_empty() && at <= POINTER_MAX => {
                OwnerWire { labels: &[], pointer: Some(pointer_to(at)) }
            }
            _ => first,
        };
        let (count, framed) = (rdatas.count(), rdatas.framed());
        let owners = first.len() + (count - 1) * others.len();
        let start = self.reserve(section, count, owners + count * FIXED_LEN + framed.len())?;
        if rdatas.rtype() == Rtype::CNAME {
            self.target_at = start + first.len() + FIXED_LEN + 2;
        }
        let fixed = fixed_fields(rdatas.rtype(), self.class, ttl);
        let apex = pointer_to(self.apex_at);
        copy_patched(self.written_from(start), first, others, fixed, rdatas, apex);
        Ok(())
    }

    /// Writes one RRset and the signatures that cover it, which have its owner and its TTL
    /// (RFC 4034 §3).
    ///
    /// # Errors
    /// When both do not fit; then the RRset may stand there alone.
    pub fn signed_records(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        ttl: Ttl,
        [rdatas, signatures]: [&Rdatas; 2],
    ) -> Result<(), Full> {
        let start = self.len;
        self.records(section, owner, ttl, rdatas)?;
        let again = match owner {
            // The others are pointers already.
            Owner::Relative([_, ..]) | Owner::Name(_) if start <= POINTER_MAX => Owner::At(start),
            _ => owner,
        };
        self.records(section, again, ttl, signatures)
    }

    /// Writes the CNAME from the name being answered to `target`, which a DNAME made, and
    /// follows it.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn synthesize_cname(&mut self, ttl: Ttl, target: &QName) -> Result<(), Full> {
        let owner = self.owner_wire(Owner::Current);
        let rdata = target.wire();
        let len = owner.len() + FIXED_LEN + 2 + rdata.len();
        let start = self.reserve(Section::Answer, 1, len)?;
        self.target_at = self.len - rdata.len();
        let fixed = fixed_fields(Rtype::CNAME, self.class, ttl);
        let mut out = self.written_from(start);
        put_owner(&mut out, owner);
        put(&mut out, &fixed);
        put(&mut out, &(rdata.len() as u16).to_be_bytes());
        put(&mut out, rdata);
        self.follow(target)
    }

    /// Takes back all records, lets no more in, and sets TC: the client comes back over TCP.
    pub fn truncate(&mut self) {
        self.len = self.question_end;
        self.room = self.question_end;
        self.counts = [0; 3];
        self.section = Section::Answer;
        self.flags |= TC;
    }

    /// Sets AA: the answer is from a zone that is ours.
    #[inline]
    pub fn set_authoritative(&mut self) {
        self.flags |= AA;
    }

    /// Sets the rcode, NOERROR otherwise; its upper bits go into OPT.
    #[inline]
    pub fn set_rcode(&mut self, rcode: Rcode) {
        self.rcode = rcode;
    }

    /// Sets how many bits of the client's network the answer depends on (RFC 7871 §7.2.1), 0
    /// otherwise; told to those who sent ECS only.
    #[inline]
    pub fn set_scope(&mut self, scope: u8) {
        self.scope = scope;
    }

    /// Adds why, for people (RFC 8914): to those who speak EDNS, and if there is room.
    pub fn set_extended_error(&mut self, code: Ede) {
        self.extended_error = Some(code);
    }

    /// Writes OPT, if the query had one, and the header, and returns the reply's length.
    #[inline]
    pub fn finish(&mut self) -> usize {
        if let Some(edns) = self.edns {
            self.put_opt(edns);
        }
        let [answers, authorities, additionals] = self.counts;
        let questions = u16::from(self.question_end > HEADER_LEN);
        let header = [
            self.flags | (self.rcode.0 & 0xf),
            questions,
            answers,
            authorities,
            additionals + u16::from(self.edns.is_some()),
        ];
        #[expect(clippy::indexing_slicing, reason = "`begin` has looked at its length")]
        let (fields, _) = self.buf[2..HEADER_LEN].as_chunks_mut::<2>();
        for (field, value) in fields.iter_mut().zip(header) {
            *field = value.to_be_bytes();
        }
        self.len
    }

    #[inline(never)]
    fn put_opt(&mut self, edns: &Edns) {
        let kept = edns.ecs.as_ref().map_or(0, Ecs::wire_len) + self.options.wire_len();
        let free = self.buf.len() - self.len - OPT_LEN - kept;
        let error = self.extended_error.filter(|_| free >= EDE_LEN);
        let options_len = kept + error.map_or(0, |_| EDE_LEN);

        let start = self.len;
        self.len += OPT_LEN + options_len;
        let options = self.options;
        let (rcode, scope) = (self.rcode, self.scope);
        let mut out = self.written_from(start);
        put(&mut out, &[0]);
        put(&mut out, &Rtype::OPT.0.to_be_bytes());
        put(&mut out, &(UDP_MAX as u16).to_be_bytes());
        let ttl = edns.reply_ttl((rcode.0 >> 4) as u8);
        put(&mut out, &ttl.to_be_bytes());
        put(&mut out, &(options_len as u16).to_be_bytes());
        if let Some(mut ecs) = edns.ecs {
            put_option(&mut out, OptionCode::ECS, ecs.echo(scope));
        }
        if let Some(cookie) = &options.cookie {
            put_option(&mut out, OptionCode::COOKIE, cookie);
        }
        if let Some(nsid) = options.nsid {
            put_option(&mut out, OptionCode::NSID, nsid.as_bytes());
        }
        if let Some(idle) = options.keepalive {
            put_option(&mut out, OptionCode::KEEPALIVE, &idle.wire());
        }
        if let Some(Ede(code)) = error {
            put_option(&mut out, OptionCode::EDE, &code.to_be_bytes());
        }
    }

    /// What was reserved from `start` on.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "what is reserved lies within `buf`")]
    fn written_from(&mut self, start: usize) -> &mut [u8] {
        &mut self.buf[start..self.len]
    }

    /// Takes `len` bytes for `count` records of `section` and returns where they begin.
    #[inline]
    fn reserve(&mut self, section: Section, count: usize, len: usize) -> Result<usize, Full> {
        debug_assert!(section >= self.section, "sections are written in order");
        if len > self.room - self.len {
            return Err(Full);
        }
        let start = self.len;
        self.len += len;
        self.section = section;
        // Below 64 KiB there are at most 5,957 records.
        #[expect(clippy::indexing_slicing, reason = "there is a count for each section")]
        let counted = &mut self.counts[section as usize];
        *counted += count as u16;
        Ok(start)
    }

    #[inline]
    fn owner_wire<'o>(&self, owner: Owner<'o>) -> OwnerWire<'o> {
        let (labels, at) = match owner {
            Owner::Current => (&[][..], self.name_at),
            Owner::Ancestor(suffix) => (&[][..], self.ancestor_at(suffix)),
            Owner::Apex => (&[][..], self.apex_at),
            Owner::Relative(labels) => (labels, self.apex_at),
            Owner::At(at) => (&[][..], at),
            Owner::Name(name) => {
                return OwnerWire { labels: name, pointer: None };
            }
        };
        OwnerWire { labels, pointer: Some(pointer_to(at)) }
    }

    /// Where `suffix` of the name being answered stands. If that name is a CNAME's target it
    /// may end in a pointer to the apex of its zone, never in one further right, since
    /// `suffix` is no shorter than that apex: then it stands where the pointer points.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the name being answered stands in `buf`")]
    fn ancestor_at(&self, suffix: &[u8]) -> usize {
        debug_assert!(suffix.len() <= self.name_len, "a suffix of the name");
        let at = self.name_at + self.name_len.saturating_sub(suffix.len());
        if self.name_at == HEADER_LEN {
            return at;
        }
        match self.buf[at..].first_chunk::<2>() {
            Some([high @ 0xc0..=0xff, low]) => {
                usize::from(u16::from_be_bytes([*high, *low])) & POINTER_MAX
            }
            _ => at,
        }
    }
}

/// A compression pointer to `at`, which is at most [`POINTER_MAX`].
#[inline]
fn pointer_to(at: usize) -> [u8; 2] {
    (0xc000 | at as u16).to_be_bytes()
}

/// Type, class and TTL of a record.
#[inline]
fn fixed_fields(rtype: Rtype, class: Rclass, ttl: Ttl) -> [u8; FIXED_LEN] {
    let [t0, t1] = rtype.0.to_be_bytes();
    let [c0, c1] = class.0.to_be_bytes();
    let [a, b, c, d] = ttl.as_secs().to_be_bytes();
    [t0, t1, c0, c1, a, b, c, d]
}

/// The same behind an owner that stands at `at`.
#[inline]
fn head(at: usize, rtype: Rtype, class: Rclass, ttl: Ttl) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..2].copy_from_slice(&pointer_to(at));
    head[2..].copy_from_slice(&fixed_fields(rtype, class, ttl));
    head
}

/// The hot path: fills `out` with records whose owner is a pointer and which need no patch.
#[inline(always)]
fn copy_pointed(out: &mut [u8], head: [u8; HEAD_LEN], rtype: Rtype, framed: &[u8]) {
    match rtype {
        Rtype::A => copy_equal::<6, { HEAD_LEN + 6 }>(out, head, framed),
        Rtype::AAAA => copy_equal::<18, { HEAD_LEN + 18 }>(out, head, framed),
        _ => copy_each(out, head, framed),
    }
}

#[inline(never)]
#[expect(clippy::indexing_slicing, reason = "`rdata` was split off `framed`")]
fn copy_each(mut out: &mut [u8], head: [u8; HEAD_LEN], mut framed: &[u8]) {
    while let Some((rdata, rest)) = split_framed(framed) {
        put(&mut out, &head);
        put(&mut out, &framed[..2 + rdata.len()]);
        framed = rest;
    }
}

/// Records of one length, `N` with their rdlength and `WHOLE` with their head: every copy is of
/// constant size.
#[inline(always)]
fn copy_equal<const N: usize, const WHOLE: usize>(
    mut out: &mut [u8],
    head: [u8; HEAD_LEN],
    mut framed: &[u8],
) {
    while let Some((record, others)) = framed.split_first_chunk::<N>()
        && let Some((place, behind)) = std::mem::take(&mut out).split_first_chunk_mut::<WHOLE>()
    {
        place[..HEAD_LEN].copy_from_slice(&head);
        place[HEAD_LEN..].copy_from_slice(record);
        (framed, out) = (others, behind);
    }
}

/// Fills `out` with the records of any set, the first with its owner and the others with
/// theirs, writing `apex` where rdata was left open.
#[expect(clippy::indexing_slicing, reason = "records, and patches in them, lie within `framed`")]
fn copy_patched(
    out: &mut [u8],
    first: OwnerWire<'_>,
    others: OwnerWire<'_>,
    fixed: [u8; FIXED_LEN],
    rdatas: &Rdatas,
    apex: [u8; 2],
) {
    let (mut out, mut owner) = (out, first);
    let mut patches = rdatas.patches().peekable();
    let mut at = 0;
    while let Some((rdata, _)) = split_framed(&rdatas.framed()[at..]) {
        let end = at + 2 + rdata.len();
        put_owner(&mut out, owner);
        put(&mut out, &fixed);
        while let Some(patch) = patches.next_if(|patch| *patch < end) {
            put(&mut out, &rdatas.framed()[at..patch]);
            put(&mut out, &apex);
            at = patch + apex.len();
        }
        put(&mut out, &rdatas.framed()[at..end]);
        at = end;
        owner = others;
    }
}

#[inline]
fn put_owner(out: &mut &mut [u8], owner: OwnerWire<'_>) {
    put(out, owner.labels);
    if let Some(pointer) = owner.pointer {
        put(out, &pointer);
    }
}

#[inline]
fn put_option(out: &mut &mut [u8], code: OptionCode, data: &[u8]) {
    put(out, &code.0.to_be_bytes());
    put(out, &(data.len() as u16).to_be_bytes());
    put(out, data);
}

/// Writes `bytes` at the front of `out`, which becomes what is behind them. The room was
/// reserved to the byte.
#[inline]
fn put(out: &mut &mut [u8], bytes: &[u8]) {
    let (front, behind) = std::mem::take(out).split_at_mut(bytes.len());
    front.copy_from_slice(bytes);
    *out = behind;
}

#[cfg(test)]
mod tests;
