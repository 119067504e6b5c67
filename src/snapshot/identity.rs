//! Who this server says it is, to those who ask in class CHAOS (RFC 4892) or by NSID (RFC 5001).
//!
//! Nothing unless the operator wrote it: a version tells an attacker what to try (reliability
//! S-17).

use crate::wire::{Nsid, QName, Rdatas, types::Rtype};

/// What the server tells of itself.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// In the OPT record of replies to those who ask.
    pub nsid: Option<Nsid>,
    /// At `version.bind` and `version.server`, a TXT record.
    pub version: Option<Rdatas>,
    /// At `id.server` and `hostname.bind`, a TXT record.
    pub id: Option<Rdatas>,
}

impl Identity {
    /// The longest text: one string of a TXT record.
    pub const TEXT_MAX: usize = 255;

    /// `text` as a TXT record; nothing if it is too long.
    pub fn text(text: &str) -> Option<Rdatas> {
        let len = u8::try_from(text.len()).ok()?;
        Rdatas::build(Rtype::TXT, [[&[len], text.as_bytes()].concat().as_slice()], None).ok()
    }

    /// What is told at `name` in class CHAOS.
    pub fn at(&self, name: &QName) -> Option<&Rdatas> {
        match name.wire() {
            b"\x07version\x04bind\0" | b"\x07version\x06server\0" => self.version.as_ref(),
            b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => self.id.as_ref(),
            _ => None,
        }
    }
}
