//! Game days: a region is lost on purpose, every step of what follows is measured, there is a
//! verdict, and everything is as it was.
//!
//! A drill is a state machine over the same [`Change`](crate::control::Change)s an operator makes:
//! the same safety rules judge them, the same audit has them, and each carries an expiry that is
//! no later than the drill's `max_duration`, so that what a crash leaves behind heals by itself.
//! What a drill injects at probes ([`crate::health::Fault`]) ends by time as well.
//!
//! | file | its part |
//! |---|---|
//! | `machine` | which step when, and what ends it all; pure |
//! | `asker` | asks the server by DNS, as clients do, at a bounded rate |
//! | `answers` | what those answers say, second by second; pure |
//! | `journal` | what happened, one JSON line each, only ever added to |
//! | `report`, `measures` | a journal → times, budgets, the verdict; pure, so that anybody can check it |
//! | `markdown`, `html`, `charts` | a report for people |
//! | `ground` | the server as a drill sees it |
//! | `admission` | whether a drill may begin, and what it would do |
//! | `figures` | what Prometheus says, for stop conditions |
//! | `effects` | what steps do, and how it is taken back |
//! | `runner` | the thread of one run |
//! | `archive` | the journals that are kept |
//! | `desk` | [`Drills`]: what the doors and the daemon hold |
//!
//! The runner has a thread of its own and asks for nothing it cannot do without: `abort` works
//! with the control socket full, the state database lost and the publishing loop busy. Must not
//! know the doors, nor how reports are delivered.

mod admission;
mod answers;
pub mod archive;
mod asker;
mod charts;
mod desk;
mod effects;
mod figures;
mod ground;
pub mod html;
pub mod journal;
mod machine;
pub mod markdown;
mod measures;
pub mod report;
mod runner;

pub use admission::{Plan, PlannedStep, Refusal};
pub use desk::{Drills, Listed, Order, Running};
pub use ground::{Ground, WHO};
