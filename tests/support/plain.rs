//! Two regions that nobody probes, and what commands say to them: what tests of the operator's hand
//! begin with.

use super::{scratch::Scratch, server::Server, site};
use serde_json::Value;
use std::process::Output;

/// A record of each kind that a hand moves: weights, and a failover.
pub const ZONE: &str = r#"
zone   = "gtm.example"
ns     = ["ns1.gtm.example"]
ttl    = "20s"
static = "ns1 60 IN A 127.0.0.53"
[pools.iad]
region = "us"
endpoints = [{ name = "iad-1", ipv4 = "192.0.2.1" }, { name = "iad-2", ipv4 = "192.0.2.2" }]
[pools.dub]
region = "eu"
endpoints = [{ name = "dub-1", ipv4 = "198.51.100.1" }]
[records.www]
policy  = "weighted"
members = [{ pool = "iad", weight = 90 }, { pool = "dub", weight = 10 }]
[records.app]
policy  = "failover"
members = ["iad", "dub"]
"#;

/// Such a folder, with `more` at the end of the server's file.
pub fn folder(more: &str) -> Scratch {
    folder_of(more, ZONE)
}

/// The same with another `zone`.
pub fn folder_of(more: &str, zone: &str) -> Scratch {
    let server = format!("{}{more}", site::SERVER);
    Scratch::with(&[("tradewind.toml", &server), ("zones/gtm.example.toml", zone)])
}

/// A server of such a folder.
pub fn serve(more: &str) -> Server {
    Server::start(folder(more))
}

/// All that a command said.
pub fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// What a command said that has to end with `code`.
#[track_caller]
pub fn exits(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    text(output)
}

/// What a command said as JSON.
#[track_caller]
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)))
}
