//! Signs zones with the tools that operators sign them with.

use super::{scratch::Scratch, tool};
use std::{fs, path::Path, process::Command};

/// Whose signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// BIND's `dnssec-signzone`.
    Bind,
    /// NLnet Labs' `ldns-signzone`.
    Ldns,
}

/// How the signed zone proves what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// By names.
    Nsec,
    /// By hashes of names.
    Nsec3,
    /// By hashes, but for delegations to unsigned zones.
    OptOut,
}

/// A signed zone.
pub struct SignedZone {
    /// RFC 1035 text.
    pub text: String,
    /// The DNSKEY record of its key-signing key, as a trust anchor.
    pub anchor: String,
    /// The DS records for the zone above.
    pub ds: String,
}

/// Signs `text` of the zone `origin` for `valid`, options of `signer` that say when; `None` where
/// a program is missing.
pub fn sign(
    signer: Signer,
    chain: Chain,
    origin: &str,
    text: &str,
    valid: &[&str],
) -> Option<SignedZone> {
    let folder = Scratch::with(&[("zone", text)]);
    let keygen = tool("dnssec-keygen")?;
    let keys = [&[][..], &["-f", "KSK"]].map(|kind: &[&str]| {
        let arguments = [&["-q", "-a", "ECDSAP256SHA256"], kind, &[origin]].concat();
        run(Command::new(&keygen).args(arguments), folder.path()).trim().to_owned()
    });
    let (program, options): (_, &[&str]) = match (signer, chain) {
        (Signer::Bind, Chain::Nsec) => ("dnssec-signzone", &["-x"]),
        (Signer::Bind, Chain::Nsec3) => ("dnssec-signzone", &["-x", "-3", "-"]),
        (Signer::Bind, Chain::OptOut) => ("dnssec-signzone", &["-x", "-3", "-", "-A"]),
        (Signer::Ldns, Chain::Nsec) => ("ldns-signzone", &[]),
        (Signer::Ldns, Chain::Nsec3) => ("ldns-signzone", &["-n", "-t", "0"]),
        (Signer::Ldns, Chain::OptOut) => ("ldns-signzone", &["-n", "-t", "0", "-p"]),
    };
    let mut command = Command::new(tool(program)?);
    command.args(options).args(valid).args(["-o", origin, "-f", "signed"]);
    if signer == Signer::Bind {
        command.arg("-S");
    }
    run(command.arg("zone").args(&keys), folder.path());
    let key = format!("{}.key", keys[1]);
    let ds = run(Command::new(tool("dnssec-dsfromkey")?).arg(&key), folder.path());
    let anchor = folder.read(&key);
    let anchor = anchor.lines().find(|line| line.contains("DNSKEY")).unwrap().to_owned();
    Some(SignedZone { text: folder.read("signed"), anchor, ds })
}

/// What `command` prints when run in `folder`; failing fails the test.
fn run(command: &mut Command, folder: &Path) -> String {
    let output = command.current_dir(folder).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let zone = || fs::read_to_string(folder.join("zone")).unwrap_or_default();
    assert!(output.status.success(), "{command:?}: {error}\n{}", zone());
    String::from_utf8(output.stdout).unwrap()
}
