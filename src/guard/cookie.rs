//! DNS cookies (RFC 7873) in the form that servers of all makes agree on (RFC 9018): who holds
//! one of ours was seen at its address within the hour, so its address is not forged.
//!
//! Nothing is remembered of a client: the cookie is a hash of its address, what it chose and
//! when, which any server that has the secret can check. Must not know what a valid one is good
//! for.

use super::siphash::{self, Key};
use crate::{clock::Moment, wire::Cookie};
use arrayvec::ArrayVec;
use std::{net::IpAddr, time::Duration};

/// The only version there is (RFC 9018 §4.1).
const VERSION: u8 = 1;
/// How old a cookie may be (RFC 9018 §4.3: one hour), and how far in the future, for clocks of
/// other servers that go before ours (five minutes).
const OLD_MAX: i32 = 3_600;
const AHEAD_MAX: i32 = 300;
/// From this age on its holder is given a new one (RFC 9018 §4.3: half an hour).
const RENEW: i32 = 1_800;
/// How long a secret of our own signs (RFC 7873 §7.1: a day is what it suggests).
const SIGNS: Duration = Duration::from_secs(86_400);
/// Secrets a file may hold: one that signs, one that is on its way in, one on its way out, and
/// as many again for whoever rolls over in a hurry.
pub const SECRETS_MAX: usize = 6;

/// How cookies are made and asked for.
#[derive(Clone, Debug, Default)]
pub struct CookieRules {
    /// What the operator's file holds, shared with other servers; our own when absent.
    pub secrets: Option<Secrets>,
    /// Whether a client that sends cookies must hold one of ours to be answered over UDP.
    pub require: bool,
}

/// 128 bits that only the servers of one service know.
#[derive(Clone, Copy, Debug)]
pub struct Secret(Key);

impl Secret {
    /// The secret in these bytes.
    pub fn new(bytes: [u8; 16]) -> Secret {
        Secret(Key::new(bytes))
    }

    /// The secret written as 32 hexadecimal digits, as BIND, Knot and NSD have it.
    pub fn parse(text: &str) -> Option<Secret> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        // The digits say the bytes in their order.
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| digits)?;
        Some(Secret::new(bits.to_be_bytes()))
    }
}

/// Secrets in use: the first signs, all verify, so that a new one can be made known to every
/// server before any signs with it, and an old one still be known after (RFC 9018 §5).
#[derive(Clone, Debug)]
pub struct Secrets {
    signing: Secret,
    others: ArrayVec<Secret, { SECRETS_MAX - 1 }>,
}

impl Secrets {
    /// Those of a file: one a line, with blank lines and comments after `#` between them.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn parse(text: &str) -> Result<Secrets, String> {
        let mut all = ArrayVec::<Secret, SECRETS_MAX>::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            if line.is_empty() {
                continue;
            }
            let Some(secret) = Secret::parse(line) else {
                return Err(format!("line {number} is not 32 hexadecimal digits"));
            };
            if all.try_push(secret).is_err() {
                return Err(format!("holds more than {SECRETS_MAX} secrets"));
            }
        }
        match all.split_first() {
            Some((signing, others)) => {
                Ok(Secrets { signing: *signing, others: others.iter().copied().collect() })
            }
            None => Err("holds no secret".into()),
        }
    }

    /// What the reply to a client at `from` says to its `cookie`, `wall` seconds after 1970.
    #[inline]
    pub fn check(&self, cookie: &Cookie, from: IpAddr, wall: u32) -> Checked {
        let standing = match &cookie.server {
            None => Standing::New,
            Some(server) => self.judge(cookie, server, from, wall),
        };
        let server = match (standing, cookie.server) {
            (Standing::Valid { renew: false }, Some(server)) => server,
            _ => self.signing.make(&cookie.client, [VERSION, 0, 0, 0], wall, from),
        };
        let mut reply = [0; 24];
        let (client_half, server_half) = reply.split_at_mut(8);
        client_half.copy_from_slice(&cookie.client);
        server_half.copy_from_slice(&server);
        Checked { reply, standing }
    }

    #[inline]
    fn judge(&self, cookie: &Cookie, server: &[u8; 16], from: IpAddr, wall: u32) -> Standing {
        let [version, r1, r2, r3, t0, t1, t2, t3, ..] = *server;
        let made = u32::from_be_bytes([t0, t1, t2, t3]);
        // Serial arithmetic, so that 2106 is a year like any other (RFC 9018 §4.3).
        let age = wall.wrapping_sub(made) as i32;
        if version != VERSION || !(-AHEAD_MAX..=OLD_MAX).contains(&age) {
            return Standing::Invalid;
        }
        let is_of = |secret: &Secret| {
            let theirs = secret.make(&cookie.client, [version, r1, r2, r3], made, from);
            equal(&theirs, server)
        };
        if is_of(&self.signing) {
            return Standing::Valid { renew: age > RENEW };
        }
        match self.others.iter().any(is_of) {
            true => Standing::Valid { renew: true },
            false => Standing::Invalid,
        }
    }
}

/// The secrets of a server whose operator gave it none: one a day signs, and the one before
/// verifies, which is longer than any cookie is good for.
#[derive(Clone, Debug)]
pub struct OwnSecrets {
    day: u64,
    secrets: Secrets,
}

impl OwnSecrets {
    /// Those in use at `now`, of which `make` makes each from the number of its day.
    pub(super) fn at(now: Moment, make: impl Fn(u64) -> Secret) -> OwnSecrets {
        let day = day(now);
        let others = day.checked_sub(1).map(&make).into_iter().collect();
        OwnSecrets { day, secrets: Secrets { signing: make(day), others } }
    }

    /// Whether they are still those in use at `now`.
    #[inline]
    pub fn last(&self, now: Moment) -> bool {
        self.day == day(now)
    }

    /// The secrets.
    #[inline]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

/// The day's number, of which the first began with the server.
#[inline]
fn day(now: Moment) -> u64 {
    now.since(Moment(0)).as_secs() / SIGNS.as_secs()
}

impl Secret {
    /// The server's half: version, three reserved bytes, time, hash over these, the client's
    /// half and its address (RFC 9018 §4.4).
    #[inline]
    fn make(&self, client: &[u8; 8], head: [u8; 4], made: u32, from: IpAddr) -> [u8; 16] {
        let mut hashed = [0; 32];
        let mut server = [0; 16];
        server[..4].copy_from_slice(&head);
        server[4..8].copy_from_slice(&made.to_be_bytes());
        hashed[..8].copy_from_slice(client);
        hashed[8..16].copy_from_slice(&server[..8]);
        let hashed = match from {
            IpAddr::V4(ip) => {
                hashed[16..20].copy_from_slice(&ip.octets());
                &hashed[..20]
            }
            IpAddr::V6(ip) => {
                hashed[16..32].copy_from_slice(&ip.octets());
                &hashed[..]
            }
        };
        server[8..].copy_from_slice(&siphash::hash(self.0, hashed).to_le_bytes());
        server
    }
}

/// Whether both are the same, in a time that does not tell how much of them is.
#[inline]
fn equal(a: &[u8; 16], b: &[u8; 16]) -> bool {
    u128::from_ne_bytes(*a) ^ u128::from_ne_bytes(*b) == 0
}

/// What was found out about a client's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What the reply's option holds: the client's half and one of ours that is good for a
    /// while.
    pub reply: [u8; 24],
    /// What the one it sent is worth.
    pub standing: Standing,
}

/// What a client's cookie is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has none of ours yet.
    New,
    /// Ours, and made for this address.
    Valid {
        /// Whether it is old enough to be exchanged.
        renew: bool,
    },
    /// Not ours, not for this address, or too old.
    Invalid,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        assert_eq!(hex.len(), 2 * N);
        std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
    }

    /// Checks a cookie written in hex.
    fn check(secrets: &str, from: &str, cookie: &str, wall: u32) -> Checked {
        let (client, server) = cookie.split_at(16);
        let server = (!server.is_empty()).then(|| bytes(server));
        let cookie = Cookie { client: bytes(client), server };
        Secrets::parse(secrets).unwrap().check(&cookie, from.parse().unwrap(), wall)
    }

    const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715";
    const NEW: &str = "445536bcd2513298075a5d379663c962";

    /// RFC 9018, appendix A.
    #[test]
    fn cookies_are_those_of_rfc_9018() {
        let first = "e5e973e5a6b2a43f48e7dc849e37bfcf";
        let both = format!("{NEW}\n{OLD} # until the end of the hour\n");
        let v6 = "2001:db8:220:1:59de:d0f4:8769:82b8";
        let renewed = Standing::Valid { renew: true };
        for (secrets, from, sent, wall, standing, got) in [
            (
                first,
                "198.51.100.100",
                "2464c4abcf10c957",
                1_559_731_985,
                Standing::New,
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            ),
            (
                first,
                "198.51.100.100",
                "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
                1_559_734_385,
                renewed,
                "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
            ),
            (
                first,
                "203.0.113.203",
                "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
                1_559_727_985,
                Standing::Valid { renew: false },
                "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            ),
            (
                first,
                "203.0.113.203",
                "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
                1_559_734_700,
                Standing::Invalid,
                "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            ),
            (
                &both,
                v6,
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                1_559_741_961,
                renewed,
                "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
            ),
        ] {
            let checked = check(secrets, from, sent, wall);
            assert_eq!(checked, Checked { reply: bytes(got), standing }, "{sent} at {wall}");
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_holder_and_for_an_hour() {
        let made = u32::MAX - 10;
        let cookie = check(NEW, "192.0.2.1", "0102030405060708", made).reply;
        let cookie: String = cookie.iter().map(|byte| format!("{byte:02x}")).collect();
        let standing = |secrets: &str, from: &str, age: i32| {
            let wall = made.wrapping_add_signed(age);
            check(secrets, from, &cookie, wall).standing
        };
        for (age, expected) in [
            (-301, Standing::Invalid),
            (-300, Standing::Valid { renew: false }),
            (0, Standing::Valid { renew: false }),
            (1_800, Standing::Valid { renew: false }),
            (1_801, Standing::Valid { renew: true }),
            (3_600, Standing::Valid { renew: true }),
            (3_601, Standing::Invalid),
        ] {
            assert_eq!(standing(NEW, "192.0.2.1", age), expected, "{age} s old");
        }
        assert_eq!(standing(NEW, "192.0.2.2", 0), Standing::Invalid, "of another address");
        assert_eq!(standing(OLD, "192.0.2.1", 0), Standing::Invalid, "of another secret");
        let second = format!("{OLD}\n{NEW}");
        assert_eq!(standing(&second, "192.0.2.1", 0), Standing::Valid { renew: true });
        for (at, what) in [(0, "client"), (16, "version"), (18, "reserved"), (32, "hash")] {
            let mut forged = cookie.clone().into_bytes();
            forged[at] = if forged[at] == b'f' { b'e' } else { b'f' };
            let forged = String::from_utf8(forged).unwrap();
            let standing = check(NEW, "192.0.2.1", &forged, made).standing;
            assert_eq!(standing, Standing::Invalid, "{what} changed");
        }
    }

    #[test]
    fn a_secret_of_our_own_signs_for_a_day_and_verifies_for_another() {
        let guard = super::super::Guard::new([[1; 16], [2; 16]]);
        let cookie = Cookie { client: [7; 8], server: None };
        let (from, wall) = ("192.0.2.1".parse().unwrap(), 1_559_731_985);
        let at = |seconds: u64| guard.own_secrets(Moment(seconds * 1_000_000_000));
        let made = |seconds| at(seconds).secrets().check(&cookie, from, wall).reply;
        let first = made(0);
        assert_eq!(made(86_399), first);
        assert!(at(0).last(Moment(86_399_999_999_999)) && !at(0).last(Moment(86_400_000_000_000)));
        let sent = Cookie { client: [7; 8], server: first[8..].try_into().ok() };
        let standing = |seconds| at(seconds).secrets().check(&sent, from, wall).standing;
        for (seconds, expected) in [
            (86_399, Standing::Valid { renew: false }),
            (86_400, Standing::Valid { renew: true }),
            (2 * 86_400 - 1, Standing::Valid { renew: true }),
            (2 * 86_400, Standing::Invalid),
        ] {
            assert_eq!(standing(seconds), expected, "{seconds}");
        }
        let days: std::collections::HashSet<_> = (0..50).map(|day| made(day * 86_400)).collect();
        assert_eq!(days.len(), 50);
    }

    #[test]
    fn a_file_holds_a_secret_a_line() {
        let lines = |count: usize| format!("{NEW}\n").repeat(count);
        for (text, wrong) in [
            (format!("# ours\n\n {NEW} \n{OLD} # going\n"), None),
            (lines(SECRETS_MAX), None),
            (lines(SECRETS_MAX + 1), Some("holds more than 6 secrets")),
            (String::new(), Some("holds no secret")),
            (format!("{OLD}\n{}", &NEW[1..]), Some("line 2 is not 32 hexadecimal digits")),
            (format!("+{}", &NEW[1..]), Some("line 1 is not 32 hexadecimal digits")),
        ] {
            assert_eq!(Secrets::parse(&text).err().as_deref(), wrong, "{text}");
        }
    }
}
