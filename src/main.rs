//! argv → [`tradewind::cli::run`] → exit code.
fn main() {}
