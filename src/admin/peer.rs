//! Who stands at the control socket.
//!
//! The kernel says which user it is (SO_PEERCRED); people who share one say who they are with
//! `--as`. That is told beside the user's name and proves nothing: whoever may open the socket is
//! trusted, and the second person of a safety rule guards against slips, not against malice.

use crate::control::audit::Origin;
use std::{fs, sync::Arc};

/// The user at the other end of a connection; nobody known over TCP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub Option<u32>);

/// The longest name somebody may give.
const NAME_CHARS: usize = 64;
/// The longest reason.
pub(super) const REASON_CHARS: usize = 500;

impl Peer {
    /// Who it is and where, for the audit.
    pub(super) fn origin(self, said: Option<&str>, reason: Option<&str>) -> Result<Origin, String> {
        if let Some(reason) = reason {
            check_text("--reason", reason, REASON_CHARS)?;
        }
        Ok(Origin { who: self.who(said)?, from: self.place(), reason: reason.map(Arc::from) })
    }

    /// Where it is.
    pub(super) fn place(self) -> Arc<str> {
        match self.0 {
            Some(uid) => format!("control socket, uid {uid}").into(),
            None => "control socket".into(),
        }
    }

    /// The name to be written down, for somebody who says to be `said`.
    pub(super) fn who(self, said: Option<&str>) -> Result<Arc<str>, String> {
        let user = match self.0 {
            Some(uid) => user(uid),
            None => "unknown".to_owned(),
        };
        let Some(said) = said.map(str::trim) else { return Ok(user.into()) };
        check_text("--as", said, NAME_CHARS)?;
        Ok(if said == user { user.into() } else { format!("{said} ({user})").into() })
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
        let peer = Peer(Some(u32::MAX - 1));
        let user = format!("uid {}", u32::MAX - 1);
        assert_eq!(&*peer.who(None).unwrap(), user);
        assert_eq!(&*peer.who(Some("bo")).unwrap(), format!("bo ({user})"));
        assert_eq!(&*peer.who(Some(&user)).unwrap(), user);
        for odd in ["", " ", "a\nb", &"x".repeat(65)] {
            assert!(peer.who(Some(odd)).is_err(), "{odd:?}");
        }
    }
}
