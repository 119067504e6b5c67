//! `[[hooks]]` of `tradewind.toml`: whom to tell what happens, as written.

/// Every kind of event that there is, as `on` and `tradewind events --kind` name them.
pub const EVENT_WORDS: &[&str] = &[
    "loaded",
    "refused",
    "verdict",
    "failover",
    "phase",
    "basis",
    "breaker",
    "published",
    "geoip",
    "hand",
    "demo",
    "store",
    "hook",
];
