//! What end-to-end tests need: the real binary on its own folder, real backends to kill, real
//! servers of others beside it, and a client that decodes by other code than ours.
//!
//! Everything binds to loopback, waits for events with a deadline, and ends with its owner.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of this; a test may panic"
)]

pub mod alone;
pub mod backend;
pub mod demo;
pub mod dns;
pub mod https;
pub mod load;
pub mod peers;
pub mod plain;
pub mod process;
pub mod prometheus;
pub mod rollouts;
pub mod scratch;
pub mod server;
pub mod signer;
pub mod site;
pub mod stream;
pub mod zones;

use std::{
    env,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};
use tradewind::clock::{Clock, SystemClock};

/// How long anything that must happen may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// How often a state that tells nobody of its change is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Whether a missing tool fails a test instead of skipping it.
pub fn on_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}

/// Says why a test does nothing here.
///
/// # Panics
/// On CI, where nothing may be skipped.
#[expect(clippy::print_stderr, reason = "libtest knows no skipping; this is how it shows")]
pub fn skip(why: &str) {
    assert!(!on_ci(), "cannot be skipped on CI: {why}");
    eprintln!("SKIPPED: {why}");
}

/// Tells a measured figure to whoever runs the tests with `--nocapture`.
#[expect(clippy::print_stderr, reason = "figures are for people; no assertion reads them")]
pub fn figure(what: &str, figure: impl std::fmt::Display) {
    eprintln!("FIGURE {what}: {figure}");
}

/// Where the program `name` is; says so when it is nowhere, and fails on CI.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let found = env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("no `{name}` on this machine; .ci/run installs it"));
    }
    found
}

/// Whether we may bind port 53 there, as a delegation demands; says so when not.
pub fn may_bind_53(address: IpAddr) -> bool {
    let bound = (UdpSocket::bind((address, 53)), TcpListener::bind((address, 53)));
    match bound {
        (Ok(_), Ok(_)) => true,
        (Err(e), _) | (_, Err(e)) => {
            skip(&format!("cannot bind {address} port 53: {e}"));
            false
        }
    }
}

/// Ports below those which the kernel gives out by itself (32,768 and up), so that nobody who asks
/// for any free port takes one between our look and its use.
const GIVEN_OUT: std::ops::Range<u16> = 10_000..32_000;

/// An address on `ip` whose port is free for UDP and TCP, and given to nobody else in this process.
pub fn free_address(ip: IpAddr) -> SocketAddr {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let ports = u32::from(GIVEN_OUT.end - GIVEN_OUT.start);
    // Programs that run beside each other begin at different places.
    let begin = std::process::id().wrapping_mul(7919);
    loop {
        let turn = begin.wrapping_add(TURN.fetch_add(1, Relaxed));
        let address = SocketAddr::new(ip, GIVEN_OUT.start + (turn % ports) as u16);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Looks until `look` finds something; no find before [`DEADLINE`] fails the test with `what`.
pub fn await_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    await_some_for(DEADLINE, what, look)
}

/// [`await_some`] with a deadline that is itself what the test asserts.
pub fn await_some_for<T>(deadline: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    look_for(deadline, look).unwrap_or_else(|| panic!("{what}: not within {deadline:?}"))
}

/// What `look` finds before the deadline.
fn look_for<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let clock = SystemClock::default();
    let begun = clock.now();
    loop {
        let found = look();
        if found.is_some() || clock.now().since(begun) >= deadline {
            return found;
        }
        thread::sleep(LOOK_AGAIN);
    }
}
