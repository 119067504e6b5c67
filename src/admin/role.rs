//! What a caller may do.

use std::{fmt, str::FromStr};

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
        role.ok_or_else(|| format!("a role is read, operate, approve or admin, not `{text}`"))
    }
}
