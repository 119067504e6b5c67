//! The MaxMind DB file format, version 2: a binary tree over the bits of an address, and the
//! values its leaves point to.
//!
//! Everything is read in place and nothing is trusted: an offset that leads out of the file, a
//! map or list of absurd length and text that is not UTF-8 are `None`, which the caller calls
//! damaged. Pointers are followed one at a time and only where somebody asks, so that no file can
//! make a value that is larger to read than it is to store. Knows no vendor's schema.

/// What stands before the metadata.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The metadata are the last thing in the file and no longer than this.
const METADATA_BYTES_MAX: usize = 128 << 10;
/// Zero bytes between the tree and the values.
const GAP: usize = 16;
/// Entries of one map or list; the longest of a vendor has a tenth of it.
const ENTRIES_MAX: usize = 512;
/// Maps in maps; vendors need four levels.
const DEPTH_MAX: u8 = 16;

/// A whole file whose metadata were understood.
pub(super) struct File<'b> {
    bytes: &'b [u8],
    /// Bits of each of the two records of a node: 24, 28 or 32.
    record_bits: u32,
    node_count: u32,
    /// Where the values begin.
    values: usize,
    /// Whether the tree is over 128 bits; over 32 if not.
    pub(super) is_v6: bool,
    /// What its vendor calls it.
    pub(super) kind: String,
    /// When it was made: seconds since 1970.
    pub(super) built: u64,
}

/// Where one side of a node leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// To another node.
    Node(u32),
    /// Nothing is known there.
    Empty,
    /// To a value, by its offset among the values.
    Value(u32),
}

impl<'b> File<'b> {
    /// Understands `bytes`; the error says what is wrong with them.
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, &'static str> {
        let tail = bytes.len().saturating_sub(METADATA_BYTES_MAX);
        let marker = bytes[tail..].windows(MARKER.len()).rposition(|window| window == MARKER);
        let marker = tail + marker.ok_or("it has no metadata at its end")?;
        let metadata = Values(&bytes[marker + MARKER.len()..]);
        let Some(Value::Map(fields)) = metadata.at(0) else { return Err("it has no metadata") };
        let (mut version, mut nodes, mut bits, mut family) = (None, None, None, None);
        let (mut built, mut kind) = (0, String::new());
        let understood = fields.each(|key, value| {
            match (metadata.text(key)?, metadata.at(value)?) {
                (b"binary_format_major_version", Value::Number(n)) => version = Some(n),
                (b"node_count", Value::Number(n)) => nodes = u32::try_from(n).ok(),
                (b"record_size", Value::Number(n)) => bits = Some(n),
                (b"ip_version", Value::Number(n)) => family = Some(n),
                (b"build_epoch", Value::Number(n)) => built = n,
                (b"database_type", Value::Text(text)) => kind = text.to_owned(),
                _ => {}
            }
            Some(Look::On)
        });
        understood.ok_or("its metadata are damaged")?;
        if version != Some(2) {
            return Err("it is not version 2 of the format");
        }
        let node_count = nodes.filter(|n| *n > 0).ok_or("its metadata name no node count")?;
        let record_bits = match bits {
            Some(bits @ (24 | 28 | 32)) => bits as u32,
            _ => return Err("its metadata name no record size known"),
        };
        let is_v6 = match family {
            Some(6) => true,
            Some(4) => false,
            _ => return Err("its metadata name no family of addresses"),
        };
        let tree = node_count as usize * (record_bits as usize / 4);
        if tree + GAP > marker {
            return Err("its tree is longer than the file");
        }
        let bytes = &bytes[..marker];
        Ok(File { bytes, record_bits, node_count, values: tree + GAP, is_v6, kind, built })
    }

    /// How many nodes the tree has; the root is node 0.
    pub(super) fn node_count(&self) -> u32 {
        self.node_count
    }

    /// The two sides of `node`, the zero bit's first; `None` if one leads out of the file.
    #[inline]
    pub(super) fn node(&self, node: u32) -> Option<[Side; 2]> {
        let at = node as usize * (self.record_bits as usize / 4);
        // The last node is followed by the gap, so there are always eight bytes.
        let bits = u64::from_be_bytes(self.bytes.get(at..at + 8)?.try_into().ok()?);
        let (left, right) = match self.record_bits {
            24 => (bits >> 40, bits >> 16 & 0x00ff_ffff),
            // The byte in the middle has the highest bits of both.
            28 => (bits >> 40 | (bits >> 36 & 15) << 24, bits >> 8 & 0x0fff_ffff),
            _ => (bits >> 32, bits & 0xffff_ffff),
        };
        Some([self.side(left as u32)?, self.side(right as u32)?])
    }

    #[inline]
    fn side(&self, record: u32) -> Option<Side> {
        match record.checked_sub(self.node_count) {
            None => Some(Side::Node(record)),
            Some(0) => Some(Side::Empty),
            Some(beyond) => {
                let offset = beyond.checked_sub(GAP as u32)?;
                ((offset as usize) < self.value_bytes()).then_some(Side::Value(offset))
            }
        }
    }

    /// How long the part with the values is.
    pub(super) fn value_bytes(&self) -> usize {
        self.bytes.len() - self.values
    }

    /// The values.
    pub(super) fn values(&self) -> Values<'b> {
        Values(&self.bytes[self.values..])
    }
}

/// Bytes that hold values; offsets and pointers count from their beginning.
#[derive(Clone, Copy)]
pub(super) struct Values<'a>(&'a [u8]);

/// A value, as far as anybody here wants to know.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Number(u64),
    Real(f64),
    Map(Entries<'a>),
    List(Entries<'a>),
    /// Bytes, truth values, negative numbers and numbers of 128 bits.
    Other,
}

/// What is inside a map or a list, not yet looked at.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    values: Values<'a>,
    first: usize,
    pub(super) count: usize,
}

/// How to go on after an entry of a map.
pub(super) enum Look {
    /// To the next one, over whatever the value is.
    On,
    /// To the next one, which begins here: the value was walked through already.
    From(usize),
    /// Not at all.
    Enough,
}

/// The bytes that introduce a value.
struct Head {
    kind: u8,
    /// Bytes, or entries; of a pointer, where it leads.
    size: usize,
    /// Where what follows begins.
    body: usize,
}

impl Head {
    /// Where what follows begins; not of a map or list.
    #[inline]
    fn end(&self) -> usize {
        match self.kind {
            // The size of a truth value is the value.
            POINTER | BOOL => self.body,
            _ => self.body + self.size,
        }
    }
}

fn big(bytes: [u8; 4]) -> usize {
    u32::from_be_bytes(bytes) as usize
}

const POINTER: u8 = 1;
const TEXT: u8 = 2;
const DOUBLE: u8 = 3;
const U16: u8 = 5;
const U32: u8 = 6;
const MAP: u8 = 7;
const U64: u8 = 9;
const LIST: u8 = 11;
const BOOL: u8 = 14;
const FLOAT: u8 = 15;

impl<'a> Values<'a> {
    /// The value at `at`; if that is a pointer, the one it leads to.
    pub(super) fn at(self, at: usize) -> Option<Value<'a>> {
        let head = self.head(at)?;
        self.value(if head.kind == POINTER { self.head(head.size)? } else { head })
    }

    /// The value that stands at `at` itself.
    pub(super) fn own(self, at: usize) -> Option<Value<'a>> {
        self.value(self.head(at)?)
    }

    #[inline]
    fn value(self, Head { kind, size, body }: Head) -> Option<Value<'a>> {
        let entries = Entries { values: self, first: body, count: size };
        Some(match kind {
            TEXT => Value::Text(std::str::from_utf8(self.bytes(body, size)?).ok()?),
            U16 | U32 | U64 => Value::Number(self.number(body, size)?),
            DOUBLE => Value::Real(f64::from_be_bytes(self.bytes(body, size)?.try_into().ok()?)),
            FLOAT => {
                Value::Real(f32::from_be_bytes(self.bytes(body, size)?.try_into().ok()?).into())
            }
            MAP => Value::Map(entries),
            LIST => Value::List(entries),
            // A pointer to a pointer is not allowed.
            POINTER => return None,
            _ => Value::Other,
        })
    }

    /// Where the value at `at` stands itself: where a pointer leads, if it is one.
    #[inline]
    pub(super) fn target(self, at: usize) -> Option<usize> {
        let head = self.head(at)?;
        Some(if head.kind == POINTER { head.size } else { at })
    }

    /// Where the text at `at` stands itself, and where what follows begins.
    #[inline]
    fn key(self, at: usize) -> Option<(usize, usize)> {
        let Head { kind, size, body } = self.head(at)?;
        match kind {
            POINTER => Some((size, body)),
            TEXT => Some((at, body + size)),
            _ => None,
        }
    }

    /// The first byte of what is at `at`, or a zero.
    #[inline]
    pub(super) fn first_byte(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// The bytes of the text at `at`; `None` if there is none.
    pub(super) fn text(self, at: usize) -> Option<&'a [u8]> {
        let head = self.head(at)?;
        (head.kind == TEXT).then_some(self.bytes(head.body, head.size)?)
    }

    /// Where the value at `at` ends.
    #[inline]
    fn end(self, at: usize) -> Option<usize> {
        self.end_within(at, 0)
    }

    /// The same for a value in so many maps or lists. Nine of ten values are gone over and not looked
    /// at, most of them names of a place in eight languages: those take one look at one byte.
    #[inline]
    fn end_within(self, at: usize, depth: u8) -> Option<usize> {
        let first = *self.0.get(at)?;
        let short = usize::from(first & 31);
        match first >> 5 {
            POINTER => Some(at + 2 + usize::from(first >> 3 & 3)),
            TEXT..MAP if short < 29 => Some(at + 1 + short),
            _ => self.long_end(at, depth),
        }
    }

    fn long_end(self, at: usize, depth: u8) -> Option<usize> {
        let head = self.head(at)?;
        let entries = match head.kind {
            MAP => 2 * head.size,
            LIST => head.size,
            _ => return Some(head.end()),
        };
        let depth = depth.checked_add(1).filter(|depth| *depth < DEPTH_MAX)?;
        let mut at = head.body;
        for _ in 0..entries {
            at = self.end_within(at, depth)?;
        }
        Some(at)
    }

    #[inline]
    fn head(self, at: usize) -> Option<Head> {
        let bytes = self.0.get(at..)?;
        let (&first, rest) = bytes.split_first()?;
        let (kind, short) = (first >> 5, usize::from(first & 31));
        match kind {
            POINTER => {
                let high = usize::from(first & 7);
                // Longer pointers begin where shorter ones end; the longest has no bits here.
                let (size, more) = match (first >> 3 & 3, rest) {
                    (0, &[a, ..]) => (high << 8 | usize::from(a), 1),
                    (1, &[a, b, ..]) => ((high << 16 | big([0, 0, a, b])) + 2_048, 2),
                    (2, &[a, b, c, ..]) => ((high << 24 | big([0, a, b, c])) + 526_336, 3),
                    (3, &[a, b, c, d, ..]) => (big([a, b, c, d]), 4),
                    _ => return None,
                };
                Some(Head { kind, size, body: at + 1 + more })
            }
            // Most values are short and of the first types.
            1..8 if short < 29 => Some(Head { kind, size: short, body: at + 1 }),
            _ => Self::long_head(at, first, rest),
        }
    }

    /// A head of several bytes.
    fn long_head(at: usize, first: u8, rest: &[u8]) -> Option<Head> {
        let (mut kind, mut rest, mut body) = (first >> 5, rest, at + 1);
        if kind == 0 {
            kind = rest.first()?.checked_add(7)?;
            (rest, body) = (&rest[1..], body + 1);
        }
        let (size, more) = match (first & 31, rest) {
            (31, &[a, b, c, ..]) => (65_821 + big([0, a, b, c]), 3),
            (30, &[a, b, ..]) => (285 + big([0, 0, a, b]), 2),
            (29, &[a, ..]) => (29 + usize::from(a), 1),
            (29.., _) => return None,
            (short, _) => (usize::from(short), 0),
        };
        let is_absurd = matches!(kind, MAP | LIST) && size > ENTRIES_MAX;
        (!is_absurd).then_some(Head { kind, size, body: body + more })
    }

    fn bytes(self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.0.get(at..at.checked_add(len)?)
    }

    fn number(self, at: usize, len: usize) -> Option<u64> {
        let bytes = self.bytes(at, len).filter(|bytes| bytes.len() <= 8)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

impl<'a> Entries<'a> {
    /// Shows `see` where each key of a map stands, and its value, until it has seen enough; then
    /// says where it stopped.
    #[inline]
    pub(super) fn each(self, mut see: impl FnMut(usize, usize) -> Option<Look>) -> Option<usize> {
        let mut at = self.first;
        for _ in 0..self.count {
            let (key, value) = self.values.key(at)?;
            at = match see(key, value)? {
                Look::On => self.values.end(value)?,
                Look::From(next) => next,
                Look::Enough => break,
            };
        }
        Some(at)
    }

    /// Where the first entry of a list begins.
    pub(super) fn first(self) -> Option<usize> {
        (self.count > 0).then_some(self.first)
    }
}
