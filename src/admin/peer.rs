//! Who asks, and from where.
//!
//! At the control socket the kernel says which user it is (SO_PEERCRED), over TCP a token does.
//! People who share one say who they are with `--as`. That is told beside the user's or token's
//! name and proves nothing: whoever may open the socket is trusted, and the second person of a
//! safety rule guards against slips, not against malice.

use super::{door::challenge, refused::Refused};
use crate::{
    control::audit::Origin,
    drill,
    grant::{Grants, Role},
    rollout,
};
use axum::http::StatusCode;
use std::{fmt, fs, net::SocketAddr, sync::Arc, time::SystemTime};

/// Who asks, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A user of this machine at the control socket; nobody known if the kernel does not say.
    User(Option<u32>),
    /// Over TCP, with a token.
    Token {
        /// Its name.
        name: Arc<str>,
        /// What it allows.
        role: Role,
        /// Its bearer's address.
        from: SocketAddr,
    },
    /// Over TCP, without.
    Stranger {
        /// Its address.
        from: SocketAddr,
    },
}

/// A [`Peer`] as it comes in, before its token was looked at.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// Who it is.
    pub peer: Peer,
    /// Whether what it says is encrypted on its way.
    pub is_encrypted: bool,
}

/// The longest name somebody may give.
const NAME_CHARS: usize = 64;
/// What those begin with who sign for themselves: what a drill of a process that is gone left
/// behind is known by it, and taken back.
const RESERVED: [&str; 2] = [drill::WHO, rollout::MAKER];
/// The longest reason.
pub(super) const REASON_CHARS: usize = 500;

/// Shows by what a [`Peer`] is known: `ana`, `uid 1000`, `token ci`.
pub struct Who<'a>(&'a Peer);

/// Shows where a [`Peer`] is: `control socket`, `192.0.2.7:40000`.
pub struct From<'a>(&'a Peer);

impl Peer {
    /// By what it is known.
    pub fn known(&self) -> Who<'_> {
        Who(self)
    }

    /// Where it is.
    pub fn from(&self) -> From<'_> {
        From(self)
    }

    /// Its address, over TCP.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::User(_) => None,
            Peer::Token { from, .. } | Peer::Stranger { from } => Some(*from),
        }
    }

    /// Whether it may do what takes `role`; who `is_here`, on this machine, may look without a
    /// token.
    pub(super) fn check(&self, role: Role, is_here: bool) -> Result<(), Refused> {
        match self {
            Peer::User(_) => Ok(()),
            Peer::Token { role: has, .. } if *has >= role => Ok(()),
            Peer::Token { name, role: has, .. } => {
                let why = format!("this takes the role {role}; the token of `{name}` has {has}");
                Err(Refused::new(StatusCode::FORBIDDEN, why).takes(role))
            }
            Peer::Stranger { .. } if is_here && role == Role::Read => Ok(()),
            Peer::Stranger { .. } => Err(challenge(&format!("this takes a token ({role})"))),
        }
    }

    /// Whether it may go on looking at what it may look at already: a token ends, or is taken back.
    pub(super) fn may_still_read(&self, grants: &Grants, now: SystemTime) -> bool {
        match self {
            Peer::Token { name, .. } => grants.allow(name, Role::Read, now),
            Peer::User(_) | Peer::Stranger { .. } => true,
        }
    }

    /// Who it is, where and why, for the audit.
    pub(super) fn origin(
        &self,
        said: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Origin, String> {
        if let Some(reason) = reason {
            check_text("--reason", reason, REASON_CHARS)?;
        }
        Ok(Origin { who: self.who(said)?, from: self.place(), reason: reason.map(Arc::from) })
    }

    /// Where it is, for the audit: the kernel's word on the user too, whatever name that has today.
    pub(super) fn place(&self) -> Arc<str> {
        match self {
            Peer::User(Some(uid)) => format!("{}, uid {uid}", self.from()).into(),
            peer => peer.from().to_string().into(),
        }
    }

    /// The name to be written down, for somebody who says to be `said`.
    pub(super) fn who(&self, said: Option<&str>) -> Result<Arc<str>, String> {
        let known = self.known().to_string();
        let Some(said) = said.map(str::trim) else { return Ok(known.into()) };
        check_text("--as", said, NAME_CHARS)?;
        if let Some(ours) = RESERVED.iter().find(|ours| said.starts_with(**ours)) {
            return Err(format!("--as cannot begin with {ours}: so drills and rollouts sign"));
        }
        Ok(if said == known { known.into() } else { format!("{said} ({known})").into() })
    }
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Peer::User(Some(uid)) => f.write_str(&user(*uid)),
            Peer::Token { name, .. } => write!(f, "token {name}"),
            Peer::User(None) | Peer::Stranger { .. } => f.write_str("unknown"),
        }
    }
}

impl fmt::Display for From<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Peer::User(_) => f.write_str("control socket"),
            Peer::Token { from, .. } | Peer::Stranger { from } => from.fmt(f),
        }
    }
}

/// Refuses what would be hard to read where it is shown later: nothing, control characters, books.
pub(super) fn check_text(what: &str, text: &str, max: usize) -> Result<(), String> {
    if text.is_empty() || text.chars().any(char::is_control) || text.chars().count() > max {
        return Err(format!("{what} takes one line of 1 to {max} characters"));
    }
    Ok(())
}

/// The name of a user. Not by getpwuid(3), which may ask the network.
fn user(uid: u32) -> String {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&list, uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// The name of `uid` in a passwd(5) file.
fn name_in(list: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let line = list.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_go_by_their_names_and_may_say_who_they_are() {
        let list = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n";
        assert_eq!(name_in(list, 1000).as_deref(), Some("ana"));
        assert_eq!(name_in(list, 7), None);
        let peer = Peer::User(Some(u32::MAX - 1));
        let user = format!("uid {}", u32::MAX - 1);
        assert_eq!(&*peer.who(None).unwrap(), user);
        assert_eq!(&*peer.who(Some("bo")).unwrap(), format!("bo ({user})"));
        assert_eq!(&*peer.who(Some(&user)).unwrap(), user);
        assert_eq!(peer.from().to_string(), "control socket");
        let from = "192.0.2.7:40000".parse().unwrap();
        let peer = Peer::Token { name: "ci".into(), role: Role::Operate, from };
        assert_eq!(&*peer.who(Some("bo")).unwrap(), "bo (token ci)");
        assert_eq!(peer.from().to_string(), "192.0.2.7:40000");
        for odd in ["", " ", "a\nb", &"x".repeat(65), "drill:region-loss/1", " rollout www"] {
            assert!(peer.who(Some(odd)).is_err(), "{odd:?}");
        }
    }
}
