//! Asking one target once: connect, say what the check says, see whether it is answered in time.
//!
//! Gives an [`Outcome`] in words; what it means is for [`super::judge`]. Must not know earlier
//! results, nor when the next probe is. Nothing is ever sent to an address that
//! [`crate::checkplan::denied`] names, whatever a host's name resolves to, and the connection
//! goes to the very address that was looked at: there is no second lookup.

mod fault;
mod http;
mod lookup;
mod tcp;
mod tls;

pub(crate) use lookup::Lookups;
pub(crate) use tls::client_config;

use crate::{
    checkplan::{CheckKind, ProbeAddress, Target, denied},
    clock::Clock,
};
use ipnet::IpNet;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// The longest text an outcome carries: what comes from the network is cut and made printable.
const WORDS_MAX: usize = 100;

/// What one probe brought, in words of at most a hundred printable characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered as the check wants: `200`, `open`.
    Passed(Box<str>),
    /// Not answered, or not so.
    Failed {
        /// `refused`, `status 503`, `timeout after 3s`.
        why: Box<str>,
        /// Whether it was an answer all the same, as a status of 503 is: whoever gives one can
        /// be reached. That a port refuses proves less: a firewall on the way may have said so.
        answered: bool,
    },
    /// Not asked for: the target's own word that it lives.
    Heartbeat(Box<str>),
    /// Says nothing about the target: the fault is our own.
    Void(Box<str>),
}

impl Outcome {
    /// A success.
    pub fn passed(words: impl fmt::Display) -> Self {
        Outcome::Passed(clip(words))
    }

    /// A failure of the target's, or of the way to it.
    pub fn failed(words: impl fmt::Display) -> Self {
        Outcome::Failed { why: clip(words), answered: false }
    }

    /// A failure of the target's, by its own word.
    pub fn wrong(words: impl fmt::Display) -> Self {
        Outcome::Failed { why: clip(words), answered: true }
    }

    /// A failure of our own.
    pub fn void(words: impl fmt::Display) -> Self {
        Outcome::Void(clip(words))
    }

    /// Whether the target itself was heard.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Outcome::Failed { answered: false, .. } | Outcome::Void(_))
    }

    /// The outcome as `status` shows it: `200 in 3 ms`.
    pub fn words(&self, took: Duration) -> Arc<str> {
        match self {
            Outcome::Passed(what) => format!("{what} in {} ms", took.as_millis()).into(),
            Outcome::Failed { why, .. } | Outcome::Heartbeat(why) => (&**why).into(),
            Outcome::Void(why) => format!("void: {why}").into(),
        }
    }
}

fn clip(words: impl fmt::Display) -> Box<str> {
    words
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .take(WORDS_MAX)
        .collect()
}

/// Why there is nowhere to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAddress {
    /// Its name could not be looked up.
    Lookup(String),
    /// This address, and every other it has, is never probed.
    Denied(IpAddr),
}

/// What probes one target, kept between probes.
#[derive(Debug)]
pub(crate) struct Prober {
    address: ProbeAddress,
    timeout: Duration,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Tcp,
    Http(Box<http::HttpProbe>),
}

impl Prober {
    /// What probes `target`; https uses `tls`.
    pub(crate) fn new(target: &Target, tls: &Arc<rustls::ClientConfig>) -> Self {
        let name = match &target.address {
            ProbeAddress::Host { name, .. } => Some(name),
            ProbeAddress::Ip(_) | ProbeAddress::Pushed(_) => None,
        };
        let http = |scheme, check| {
            let probe = http::HttpProbe::new(scheme, check, name, tls);
            Method::Http(Box::new(probe))
        };
        let method = match &target.check.kind {
            // Heartbeats come by themselves; nobody makes a prober for them.
            CheckKind::Tcp | CheckKind::Push { .. } => Method::Tcp,
            CheckKind::Http(check) => http("http", check),
            CheckKind::Https(check) => http("https", check),
        };
        Prober { address: target.address.clone(), timeout: target.check.timeout, method }
    }

    /// Where to connect to.
    ///
    /// # Errors
    /// When there is nowhere.
    pub(crate) async fn address(
        &self,
        lookups: &Lookups,
        deny: &[IpNet],
        clock: &dyn Clock,
    ) -> Result<SocketAddr, NoAddress> {
        let found = match &self.address {
            ProbeAddress::Ip(address) => vec![*address],
            ProbeAddress::Host { name, port } => {
                let found = lookups.resolve(name, *port, self.timeout).await?;
                lookups.found(clock.now());
                found
            }
            ProbeAddress::Pushed(_) => Vec::new(),
        };
        match found.iter().find(|address| !denied(address.ip(), deny)) {
            Some(address) => Ok(*address),
            None => Err(found.first().map_or_else(
                || NoAddress::Lookup("it has no address".into()),
                |address| NoAddress::Denied(address.ip()),
            )),
        }
    }

    /// Probes `address`. All of it, from the start of the connect to the last byte needed, has
    /// the check's time-out (reliability H-4).
    pub(crate) async fn probe(&mut self, address: SocketAddr) -> Outcome {
        let asked = async {
            match &mut self.method {
                Method::Tcp => tcp::probe(address).await,
                Method::Http(http) => http.probe(address).await,
            }
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::failed(format_args!("timeout after {:?}", self.timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::SystemClock, health::testkit};

    #[test]
    fn words_are_printable_and_bounded() {
        let Outcome::Failed { why: words, .. } =
            Outcome::failed(format!("a\u{1b}[31m\né{}", "x".repeat(300)))
        else {
            panic!("a failure stays one");
        };
        assert!(words.starts_with("a?[31m??x"));
        assert_eq!(words.len(), WORDS_MAX);
    }

    async fn address_of(address: ProbeAddress, deny: &[IpNet]) -> Result<SocketAddr, NoAddress> {
        let target = testkit::target(address, CheckKind::Tcp, Duration::from_secs(1));
        let prober = Prober::new(&target, &testkit::tls(&[]));
        prober.address(&Lookups::default(), deny, &SystemClock::default()).await
    }

    #[tokio::test]
    async fn metadata_addresses_are_never_probed() {
        let metadata = "169.254.169.254:80".parse().unwrap();
        let got = address_of(ProbeAddress::Ip(metadata), &[]).await;
        assert_eq!(got, Err(NoAddress::Denied("169.254.169.254".parse().unwrap())));
        let deny = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        for name in ["localhost", "127.0.0.1"] {
            let (name, port) = (name.into(), 80);
            let got = address_of(ProbeAddress::Host { name, port }, &deny).await;
            assert!(matches!(got, Err(NoAddress::Denied(_))), "{got:?}");
        }
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_has_no_address() {
        let name = "no-such-host.invalid".into();
        let got = address_of(ProbeAddress::Host { name, port: 80 }, &[]).await;
        assert!(matches!(got, Err(NoAddress::Lookup(_))), "{got:?}");
    }
}
