//! One zone as three signers would have signed it, and a query for every way a signed answer
//! comes about.

use super::Server;

/// Of the zone `example`, by names.
pub const NSEC: &str = include_str!("signed/nsec.zone");
/// By hashes of names.
pub const NSEC3: &str = include_str!("signed/nsec3.zone");
/// By hashes, but for delegations to unsigned zones.
pub const OPT_OUT: &str = include_str!("signed/optout.zone");

/// What is asked, and how.
pub const QUERIES: &[(&str, &str)] = &[
    ("signed", "www.example A do"),
    ("signed, signatures not wanted", "www.example A edns=1232"),
    ("signed no data", "www.example AAAA do"),
    ("signed empty non-terminal", "ent.example A do"),
    ("signed nxdomain", "nothing.example A do"),
    ("signed wildcard", "any.w.example A do"),
    ("signed wildcard no data", "any.w.example TXT do"),
    ("signed chain", "any.c.example A do"),
    ("signed dname", "www.old.example A do"),
    ("secure referral", "www.sec.example A do"),
    ("insecure referral", "www.sub.example A do"),
    ("opted-out no data", "ins.x.example A do"),
    ("signatures alone", "www.example RRSIG"),
    ("signed truncated", "nothing.example A do edns=512"),
];

/// A server of one of the zones.
pub fn signed(text: &str) -> Server {
    Server::of(&[("zones/example.zone".to_owned(), text.to_owned())])
}
