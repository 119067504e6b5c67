//! The chain that entries are kept in: each hash covers the one before, so that an entry that was
//! altered, taken out or put in later does not fit any more.
//!
//! A row is `HASH TEXT`, where TEXT is the entry as JSON, byte for byte as it was written, and
//! HASH is the SHA-256 of `PREVIOUS-HASH\nTEXT`, in hexadecimal; the first one follows 64 zeros.
//! So anybody can recompute it with `sha256sum`. Pure: where rows stand is [`super::super::store`]'s.
//! What it cannot show is that *everything* from some entry on was written anew by somebody who
//! may write the file: for that the hash of each entry is also in the log, which may be kept
//! elsewhere, and [`Verifier::take`] is compared with one from there.

use ring::digest::{SHA256, digest};
use std::fmt;

/// SHA-256, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Hash([u8; 32]);

/// The length of a hash in text.
const HEX: usize = 64;

impl Hash {
    /// The one that `text` begins with, and what follows the space behind it.
    pub fn read(row: &str) -> Option<(Hash, &str)> {
        let (hash, text) = row.split_at_checked(HEX)?;
        Some((Hash::parse(hash)?, text.strip_prefix(' ')?))
    }

    /// The hash that `text` is.
    pub fn parse(text: &str) -> Option<Hash> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
        Some(Hash(bytes.try_into().ok()?))
    }

    /// The hash of an entry after this one.
    fn followed_by(self, text: &str) -> Hash {
        let whole = format!("{self}\n{text}");
        let mut hash = Hash::default();
        hash.0.copy_from_slice(digest(&SHA256, whole.as_bytes()).as_ref());
        hash
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A place in the chain: an entry by number, and the hash of everything up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Link {
    /// Counts up from 1; 0 stands before the first.
    pub seq: u64,
    /// Of it and all before.
    pub hash: Hash,
}

impl Link {
    /// The next link, whose entry is `text`, and its row.
    pub fn then(self, text: &str) -> (Link, String) {
        let link = Link { seq: self.seq + 1, hash: self.hash.followed_by(text) };
        (link, format!("{} {text}", link.hash))
    }

    /// The link that `SEQ HASH` is.
    pub fn parse(text: &str) -> Option<Link> {
        let (seq, hash) = text.split_once(' ')?;
        Some(Link { seq: seq.parse().ok()?, hash: Hash::parse(hash)? })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.seq, self.hash)
    }
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// A row is gone, or there are some that do not belong there.
    #[error("entry {expected} is missing: entry {found} comes after entry {}", .expected - 1)]
    Missing {
        /// The number that should have come.
        expected: u64,
        /// The one that did.
        found: u64,
    },
    /// The hash does not fit: either the entry was altered, or the hash of the one before.
    #[error(
        "entry {seq} was altered: what is written there, after entry {}, does not have the hash \
         it is kept under", .seq - 1
    )]
    Altered {
        /// Its number.
        seq: u64,
    },
    /// The row is no row.
    #[error("entry {seq} cannot be read")]
    Unreadable {
        /// Its number.
        seq: u64,
    },
    /// The newest entries are gone.
    #[error("entries {} to {head} are missing at the end", .last + 1)]
    Cut {
        /// The last one that is there.
        last: u64,
        /// The last one that was written.
        head: u64,
    },
    /// The newest entry is another one than was written last.
    #[error("the newest entry, {seq}, is not the one that was written last")]
    Head {
        /// Its number.
        seq: u64,
    },
}

/// Recomputes a chain, row by row.
#[derive(Clone, Debug)]
pub struct Verifier {
    last: Link,
    /// A hash from elsewhere that is looked for.
    wanted: Option<Hash>,
    /// Where it was found.
    found: Option<u64>,
}

impl Verifier {
    /// Begins behind `anchor`, and looks for `wanted` on the way.
    pub fn after(anchor: Link, wanted: Option<Hash>) -> Verifier {
        let found = wanted.filter(|wanted| *wanted == anchor.hash).map(|_| anchor.seq);
        Verifier { last: anchor, wanted, found }
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// When it does not follow from the ones before.
    pub fn take(&mut self, seq: u64, row: &str) -> Result<(), Break> {
        let expected = self.last.seq + 1;
        if seq != expected {
            return Err(Break::Missing { expected, found: seq });
        }
        let (kept, text) = Hash::read(row).ok_or(Break::Unreadable { seq })?;
        let (link, _) = self.last.then(text);
        if link.hash != kept {
            return Err(Break::Altered { seq });
        }
        self.last = link;
        if self.wanted == Some(kept) {
            self.found = Some(seq);
        }
        Ok(())
    }

    /// Up to and with the last row taken.
    pub fn last(&self) -> Link {
        self.last
    }

    /// The entry that has the hash which was looked for.
    pub fn found(&self) -> Option<u64> {
        self.found
    }

    /// Ends at `head`, which was noted beside the rows.
    ///
    /// # Errors
    /// When there should be more, or something else.
    pub fn end(&self, head: Link) -> Result<(), Break> {
        let last = self.last.seq;
        match head.seq.cmp(&last) {
            std::cmp::Ordering::Greater => Err(Break::Cut { last, head: head.seq }),
            _ if head == self.last => Ok(()),
            _ => Err(Break::Head { seq: last }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> (Vec<String>, Link) {
        let mut link = Link::default();
        let mut rows = Vec::new();
        for text in texts {
            let (next, row) = link.then(text);
            link = next;
            rows.push(row);
        }
        (rows, link)
    }

    fn judged(rows: &[(u64, String)], head: Link) -> Result<(), Break> {
        let mut verifier = Verifier::after(Link::default(), None);
        rows.iter().try_for_each(|(seq, row)| verifier.take(*seq, row))?;
        verifier.end(head)
    }

    #[test]
    fn whatever_is_done_to_a_chain_is_seen_and_named() {
        let (rows, head) = rows(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        let whole: Vec<(u64, String)> = (1..).zip(rows).collect();
        assert_eq!(judged(&whole, head), Ok(()));
        let mut altered = whole.clone();
        altered[1].1 = altered[1].1.replace('2', "9");
        assert_eq!(judged(&altered, head), Err(Break::Altered { seq: 2 }));
        // With a hash that fits again, it is the next one that does not.
        let (first, _) = Link::default().then("{\"a\":1}");
        altered[1].1 = first.then("{\"a\":9}").1;
        assert_eq!(judged(&altered, head), Err(Break::Altered { seq: 3 }));
        let holed = [whole[0].clone(), whole[2].clone()];
        assert_eq!(judged(&holed, head), Err(Break::Missing { expected: 2, found: 3 }));
        assert_eq!(judged(&whole[..2], head), Err(Break::Cut { last: 2, head: 3 }));
        let garbled = [(1, "no hash".to_owned())];
        assert_eq!(judged(&garbled, head), Err(Break::Unreadable { seq: 1 }));
        assert_eq!(judged(&whole, first), Err(Break::Head { seq: 3 }));
    }

    #[test]
    fn the_hash_is_what_sha256sum_says_and_reads_back() {
        let (link, row) = Link::default().then("{}");
        // printf '%064d\n{}' 0 | sha256sum
        assert_eq!(row, "5649d09ed68c17156095d175eef152856c5b1a81c117c409c1e00f096aa6838e {}");
        assert_eq!(Hash::read(&row), Some((link.hash, "{}")));
        assert_eq!(Link::parse(&link.to_string()), Some(link));
        let mut verifier = Verifier::after(Link::default(), Some(link.hash));
        assert_eq!((verifier.take(1, &row), verifier.found()), (Ok(()), Some(1)));
    }
}
