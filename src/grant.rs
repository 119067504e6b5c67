//! Who may use the admin API from another machine: names, roles and the hashes of their tokens.
//!
//! The tokens themselves are nowhere but with their bearers: what is kept is a SHA-256 of 256
//! random bits, which nobody turns back. Knows no clock and no HTTP.

use crate::checkplan::Token;
use std::{fmt, str::FromStr, sync::Arc, time::SystemTime};

/// Each is compared with whatever is given; more people than this come by another way.
const GRANTS_MAX: usize = 256;

/// What a caller may do; each may do all that those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Read,
    /// Move clients: drains, weights, failovers.
    Operate,
    /// Be the second person: confirm, approve.
    Approve,
    /// All there is: files, pins, what goes over a safety rule.
    Admin,
}

/// All of them, the least first.
const ROLES: [Role; 4] = [Role::Read, Role::Operate, Role::Approve, Role::Admin];

/// A token that was given out.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whose it is.
    pub name: Arc<str>,
    /// What it allows.
    pub role: Role,
    token: Token,
    /// None: for ever.
    expires: Option<jiff::Timestamp>,
}

/// All tokens that were given out.
#[derive(Clone, Debug, Default)]
pub struct Grants(Vec<Grant>);

/// Why a token is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Useless {
    /// It was never given out, or was taken back.
    #[error("the token is not known here")]
    Unknown,
    /// Its time is over.
    #[error("the token of `{0}` expired at {1}")]
    Expired(Arc<str>, jiff::Timestamp),
}

impl Grants {
    /// The grants of `text`: a line each, `NAME ROLE sha256:HEX EXPIRY`; `#` begins a comment.
    ///
    /// # Errors
    /// Says which line is wrong, and how; never what stands there, for that may be a token.
    pub fn parse(text: &str) -> Result<Grants, String> {
        let mut grants: Vec<Grant> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let grant: Grant = text.parse().map_err(|why| format!("line {line}: {why}"))?;
            if grants.iter().any(|other| other.name == grant.name) {
                return Err(format!("line {line}: there are two tokens of that name"));
            }
            grants.push(grant);
        }
        if grants.len() > GRANTS_MAX {
            return Err(format!("more than {GRANTS_MAX} tokens"));
        }
        Ok(Grants(grants))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose token `given` is at `now`. Takes equally long whichever it is.
    ///
    /// # Errors
    /// When it is nobody's, or was somebody's.
    pub fn find(&self, given: &[u8], now: SystemTime) -> Result<&Grant, Useless> {
        let mut found = None;
        for grant in &self.0 {
            if grant.token.is(given) {
                found = Some(grant);
            }
        }
        let grant = found.ok_or(Useless::Unknown)?;
        match grant.expired(now) {
            Some(at) => Err(Useless::Expired(Arc::clone(&grant.name), at)),
            None => Ok(grant),
        }
    }

    /// Whether the token of this `name` still allows `role` at `now`.
    pub fn allow(&self, name: &str, role: Role, now: SystemTime) -> bool {
        let mut grants = self.0.iter();
        grants.any(|one| &*one.name == name && one.role >= role && one.expired(now).is_none())
    }
}

impl Grant {
    /// When it expired, if it did by `now`.
    fn expired(&self, now: SystemTime) -> Option<jiff::Timestamp> {
        self.expires.filter(|at| SystemTime::from(*at) <= now)
    }
}

impl FromStr for Grant {
    type Err = String;

    fn from_str(line: &str) -> Result<Grant, String> {
        let mut words = line.split_whitespace();
        let mut next = || words.next().ok_or("write `NAME ROLE sha256:HEX EXPIRY`");
        let (name, role, hash, expires) = (next()?, next()?, next()?, next()?);
        if words.next().is_some() {
            return Err("there is more than `NAME ROLE sha256:HEX EXPIRY`".into());
        }
        check_name(name)?;
        let hash = hash.strip_prefix("sha256:").and_then(hash_of);
        let token = hash.ok_or("the hash is `sha256:` and 64 hexadecimal digits")?;
        let expires = match expires {
            "never" => None,
            at => Some(at.parse().map_err(|_| "it expires at a time (RFC 3339), or `never`")?),
        };
        Ok(Grant { name: name.into(), role: role.parse()?, token: Token::hashed(token), expires })
    }
}

/// Whether `name` can stand in a line and in a log.
///
/// # Errors
/// Says what a name is.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    match (1..=64).contains(&name.len()) && name.chars().all(fits) {
        true => Ok(()),
        false => Err("a name is 1 to 64 letters, digits, `-`, `_`, `.` or `@`".into()),
    }
}

fn hash_of(digits: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok()
}

impl Role {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Approve => "approve",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let role = ROLES.into_iter().find(|role| role.word() == text);
        role.ok_or_else(|| "a role is read, operate, approve or admin".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// Of `open sesame`.
    const HASH: &str = "sha256:41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";

    #[test]
    fn a_token_is_its_bearers_until_it_expires_and_nobody_elses() {
        let text = format!("# ours\nci operate {HASH} 1970-01-01T00:01:00Z # for a minute\n\n");
        let grants = Grants::parse(&text).unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let found = grants.find(b"open sesame", at(59)).unwrap();
        assert_eq!((&*found.name, found.role), ("ci", Role::Operate));
        let expired = grants.find(b"open sesame", at(60)).unwrap_err();
        assert_eq!(expired.to_string(), "the token of `ci` expired at 1970-01-01T00:01:00Z");
        assert!(
            grants.allow("ci", Role::Operate, at(59)) && grants.allow("ci", Role::Read, at(59))
        );
        assert!(!grants.allow("ci", Role::Read, at(60)), "nor does what it began go on");
        assert!(!grants.allow("ci", Role::Admin, at(0)) && !grants.allow("bo", Role::Read, at(0)));
        for other in [&b"open sesam"[..], b"open sesame ", b"", HASH.as_bytes()] {
            assert_eq!(grants.find(other, at(0)).unwrap_err(), Useless::Unknown);
        }
        let forever = Grants::parse(&format!("a admin {HASH} never")).unwrap();
        assert!(forever.find(b"open sesame", at(1 << 40)).is_ok());
        assert!(Grants::parse("\n# nobody\n").unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_wrong_is_told_of_without_what_stands_in_it() {
        for (line, why) in [
            ("secret".to_owned(), "write `NAME"),
            (format!("a admin {HASH}"), "write `NAME"),
            (format!("a admin {HASH} never x"), "there is more"),
            (format!("a secret {HASH} never"), "a role is"),
            (format!("se/cret admin {HASH} never"), "a name is"),
            ("a admin sha256:secret never".to_owned(), "the hash is"),
            ("a admin secret never".to_owned(), "the hash is"),
            (format!("a admin {HASH} secret"), "it expires"),
            (format!("a admin {HASH} never\na read {HASH} never"), "there are two"),
        ] {
            let error = Grants::parse(&line).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{line}: {error}");
        }
        let many: String = (0..=GRANTS_MAX).map(|i| format!("n{i} read {HASH} never\n")).collect();
        assert!(Grants::parse(&many).is_err());
    }

    #[test]
    fn each_role_may_do_what_those_before_it_may() {
        assert!(ROLES.is_sorted());
        assert!(ROLES.iter().all(|role| role.word().parse() == Ok(*role)));
    }
}
