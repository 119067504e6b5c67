//! argv → [`tradewind::cli::run`] → exit code.

use std::{path::Path, process::ExitCode};
use tradewind::{
    cli::{self, Exit, Servers},
    daemon::{self, ServeOptions},
};

/// A load's memory comes back within seconds of it, which the system's allocator is not to be had
/// for; and a World is made by one thread and freed by another.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let servers = Servers { serve, demo: daemon::demo::demo };
    cli::run(std::env::args_os(), &servers).into()
}

fn serve(dir: &Path, ready_file: Option<&Path>) -> anyhow::Result<Exit> {
    let (dir, ready_file) = (dir.to_owned(), ready_file.map(Path::to_owned));
    daemon::serve(&ServeOptions { dir, ready_file })
}
