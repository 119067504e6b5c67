//! `tradewind man`: a manual page for every command, from the definitions that `--help` shows.

use super::{Exit, args::Cli, output::Out};
use clap::{Args, Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  tradewind man | man -l -
      tradewind(1), here and now.
  tradewind man /usr/local/share/man/man1
      One page for each command into that folder: tradewind-drain.1, tradewind-audit-verify.1, …

Exit codes: 0 done · 1 the pages cannot be written";

/// When what the pages say was last looked through as a whole; a page has a date, and one that is
/// built again has the same.
const DATE: &str = "2026-11-28";

/// Write manual pages.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// Where to; without it tradewind(1) goes to stdout
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Writes them.
pub fn run(args: &ManArgs, out: &mut Out) -> Exit {
    let mut command = Cli::command();
    command.build();
    let done = match &args.dir {
        None => page(&command).map(|page| out.line(page.trim_end())),
        Some(dir) => write(&command, dir).map(|count| {
            out.line(format_args!("{count} pages in {}", dir.display()));
        }),
    };
    match done {
        Ok(()) => Exit::Well,
        Err(error) => {
            out.error(format_args!("the pages cannot be written: {error}"), None);
            Exit::Failed
        }
    }
}

/// Writes the pages of `command` and all below it; how many.
fn write(command: &Command, dir: &Path) -> io::Result<usize> {
    fs::create_dir_all(dir)?;
    let name = format!("{}.1", name_of(command));
    fs::write(dir.join(name), page(command)?)?;
    let below = below(command).map(|command| write(command, dir));
    below.sum::<io::Result<usize>>().map(|count| count + 1)
}

/// The commands below one, but for clap's own.
fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set())
}

/// `tradewind-geoip-lookup`.
fn name_of(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// The page of one command. What follows its options in `--help` is text laid out by hand, and is
/// set as such.
fn page(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone())
        .title(name_of(command).to_uppercase())
        .date(DATE)
        .source(concat!("Tradewind ", env!("CARGO_PKG_VERSION")))
        .manual("Tradewind Manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if below(command).next().is_some() {
        subcommands(command).to_writer(&mut page)?;
    }
    if let Some(said) = command.get_after_help() {
        after(&said.to_string()).to_writer(&mut page)?;
    }
    see_also(command).to_writer(&mut page)?;
    let page = String::from_utf8(page).map_err(io::Error::other)?;
    // Possible values come with line breaks around an empty line, which is one already.
    Ok(page.replace(".br\n\n.br\n", ".sp\n"))
}

fn subcommands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for below in below(command) {
        roff.control("TP", []);
        roff.text([bold(format!("{}(1)", name_of(below)))]);
        roff.text([roman(below.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    roff
}

/// Examples as they are typed; exit codes as a list.
fn after(said: &str) -> Roff {
    let mut roff = Roff::new();
    for part in said.split("\n\n") {
        if let Some(codes) = part.strip_prefix("Exit codes: ") {
            roff.control("SH", ["EXIT STATUS"]);
            for code in codes.replace('\n', " ").split(" · ") {
                let (number, meaning) = code.trim().split_once(' ').unwrap_or((code, ""));
                roff.control("TP", []);
                roff.text([bold(number)]);
                roff.text([roman(meaning)]);
            }
            continue;
        }
        let text = match part.split_once(":\n") {
            Some(("Examples" | "First steps", text)) => {
                roff.control("SH", ["EXAMPLES"]);
                text
            }
            _ => {
                roff.control("PP", []);
                part
            }
        };
        roff.control("nf", []);
        for line in text.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff
}

fn see_also(command: &Command) -> Roff {
    let mut roff = Roff::new();
    if name_of(command) != "tradewind" {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("tradewind"), roman("(1)")]);
    }
    roff
}
