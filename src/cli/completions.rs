//! `tradewind completions`: what a shell needs to complete commands, options and the names of a
//! running server.
//!
//! The shell asks this program for each completion, with [`VARIABLE`] set and the words so far
//! behind `--`. Names come from the server of the folder that `-C` among these words says; one
//! that does not answer at once completes nothing, and says nothing.

use super::{
    Exit,
    args::Cli,
    folder::FolderArgs,
    output::Out,
    server::{Server, encoded},
};
use crate::admin::schema::names::Names;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{
    CompletionCandidate,
    env::{EnvCompleter, Shells},
};
use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

const EXAMPLES: &str = "\
Examples:
  source <(tradewind completions bash)
      In ~/.bashrc: `tradewind drain region:<TAB>` then shows the regions there are.
  source <(tradewind completions zsh)
      In ~/.zshrc, below `autoload -Uz compinit && compinit`.
  tradewind completions fish > ~/.config/fish/completions/tradewind.fish

Names are those of the server whose folder this is, or that -C names; none while it is down.

Exit codes: 0 done";

/// Tells that a shell asks, and which.
const VARIABLE: &str = "TRADEWIND_COMPLETE";
/// Nobody waits longer than this for a key to have an effect.
const QUICK: Duration = Duration::from_millis(500);

/// For bash, whose words end at `:` and `=`, so that `region:us` is three of them: they are taken
/// from the line itself, and of what comes back only the end replaces what bash calls the word.
const BASH: &str = r#"
_tradewind() {
    local line="${COMP_LINE:0:COMP_POINT}" kept="" breaks words=()
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local current="${words[-1]}"
    local IFS=$'\013'
    COMPREPLY=( $( _CLAP_IFS="$IFS" _CLAP_COMPLETE_INDEX=$(( ${#words[@]} - 1 )) \
        TRADEWIND_COMPLETE=bash tradewind -- "${words[@]}" 2> /dev/null ) )
    for breaks in : =; do
        if [[ $COMP_WORDBREAKS == *$breaks* && $current == *$breaks* ]]; then
            local before="${current%"${current##*$breaks}"}"
            [[ ${#before} -gt ${#kept} ]] && kept="$before"
        fi
    done
    COMPREPLY=( "${COMPREPLY[@]#"$kept"}" )
    [[ ${COMPREPLY[0]-} == *[/:=] ]] || compopt +o nospace 2> /dev/null
}
complete -o nospace -o bashdefault -o nosort -F _tradewind tradewind"#;

/// Print what a shell needs to complete commands and live names.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// Which
    pub shell: Shell,
}

/// A shell that can be taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash, from 4.4 on.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

impl Shell {
    const fn word(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        }
    }
}

/// Prints it.
pub fn run(args: &CompletionsArgs, out: &mut Out) -> Exit {
    if args.shell == Shell::Bash {
        out.line(BASH.trim_start());
        return Exit::Well;
    }
    let mut script = Vec::new();
    let said = completer(args.shell.word()).map(|completer| {
        completer.write_registration(VARIABLE, "tradewind", "tradewind", "tradewind", &mut script)
    });
    match said {
        Some(Ok(())) => {
            out.line(String::from_utf8_lossy(&script).trim());
            Exit::Well
        }
        _ => Exit::Failed,
    }
}

fn completer(shell: &str) -> Option<&'static dyn EnvCompleter> {
    const KNOWN: Shells<'static> = Shells::builtins();
    KNOWN.iter().find(|completer| completer.is(shell))
}

/// Answers a shell that asks what could stand at the end of `args`; nothing if none does.
pub(super) fn answer(args: &[OsString]) -> Option<Exit> {
    let shell = env::var(VARIABLE).ok()?;
    let words = args.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let mut command = Cli::command();
    command.build();
    let mut found = Vec::new();
    let here = env::current_dir().ok();
    let completed =
        completer(&shell)?.write_complete(&mut command, words, here.as_deref(), &mut found);
    // A shell that asks for what cannot be is told nothing.
    let _ = completed.and_then(|()| io::stdout().write_all(&found));
    Some(Exit::Well)
}

/// Targets of operators' changes: `region:us-east-1`.
pub(super) fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    names("target", current)
}

/// Those of failovers: records and policies.
pub(super) fn failovers(current: &OsStr) -> Vec<CompletionCandidate> {
    names("failover", current)
}

/// Overrides by number beside targets, where one is taken away.
pub(super) fn overrides(current: &OsStr) -> Vec<CompletionCandidate> {
    names("override", current)
}

/// Names that are answered.
pub(super) fn owners(current: &OsStr) -> Vec<CompletionCandidate> {
    names("name", current)
}

/// Endpoints, bare.
pub(super) fn endpoints(current: &OsStr) -> Vec<CompletionCandidate> {
    names("endpoint", current)
}

/// Regions, bare.
pub(super) fn regions(current: &OsStr) -> Vec<CompletionCandidate> {
    names("region", current)
}

/// What the server knows of `kind` that begins with `current`.
fn names(kind: &str, current: &OsStr) -> Vec<CompletionCandidate> {
    let begins = encoded(&current.to_string_lossy());
    let server = Server::quietly_of(folder(env::args_os()).path()).within(QUICK);
    let found = server.get::<Names>(&format!("/v1/names?kind={kind}&begins={begins}"));
    let found = found.map(|found| found.names).unwrap_or_default();
    found.into_iter().map(CompletionCandidate::new).collect()
}

/// The folder that the words so far name.
fn folder(words: impl Iterator<Item = OsString>) -> FolderArgs {
    let mut words = words.skip_while(|word| word != "--").skip(1);
    let mut dir = None;
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "-C" || text == "--dir" {
            dir = words.next().map(PathBuf::from);
        } else if let Some(rest) = text.strip_prefix("--dir=").or(text.strip_prefix("-C")) {
            dir = Some(rest.into());
        }
    }
    FolderArgs { dir }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_one_among_the_words_so_far() {
        let of = |line: &str| folder(line.split(' ').map(OsString::from)).dir;
        assert_eq!(of("tradewind -- tradewind drain -C /x re"), Some("/x".into()));
        assert_eq!(of("tradewind -- tradewind drain -C/x --dir=/y re"), Some("/y".into()));
        assert_eq!(of("tradewind -C /z -- tradewind drain"), None);
    }
}
