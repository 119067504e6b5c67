//! `[[hooks]]` of `tradewind.toml`: whom to tell what happens, as written.

use super::{
    Problem, Spanned,
    reader::{Reader, Table, Value},
    scalar,
};
use std::{path::PathBuf, time::Duration};

/// Every kind of event that there is, as `on` and `tradewind events --kind` name them.
pub const EVENT_WORDS: &[&str] = &[
    "loaded",
    "refused",
    "verdict",
    "target",
    "checker",
    "lookup",
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
    "old_answers",
    "drill",
    "rollout",
];

/// What `on` may say beside a kind of event.
const ALARM: &str = "alarm";
const ALL: &str = "*";

/// A hook as written.
#[derive(Clone, Debug, PartialEq)]
pub struct HookDef {
    /// What it is called.
    pub name: String,
    /// Which incidents it is told of: kinds of events, `alarm`, `*`.
    pub on: Vec<String>,
    /// How it is told.
    pub way: HookWay,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often it is tried again.
    pub retries: u32,
}

/// How a hook is told.
#[derive(Clone, Debug, PartialEq)]
pub enum HookWay {
    /// By a POST of JSON.
    Url {
        /// Where to.
        url: String,
        /// The file with the bearer token, relative to the folder.
        token_file: Option<PathBuf>,
    },
    /// By a program that reads JSON.
    Exec(Vec<String>),
}

/// Reads all `[[hooks]]`.
pub(super) fn read<'i>(reader: &mut Reader<'i, '_>, root: &mut Table<'i>) -> Vec<HookDef> {
    let hooks = root.take(reader, "hooks", |reader, value| {
        let items = reader.array(value, "tables: write [[hooks]]")?;
        let mut hooks: Vec<HookDef> = Vec::new();
        for item in items {
            let span = item.span();
            let Some(hook) = hook(reader, item) else { continue };
            if hooks.iter().any(|known| known.name == hook.name) {
                reader.report(span, format!("there are two hooks called `{}`", hook.name));
            }
            hooks.push(hook);
        }
        Some(hooks)
    });
    hooks.map(Spanned::into_inner).unwrap_or_default()
}

fn hook<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<HookDef> {
    let mut table = reader.table("a hook".into(), value)?;
    let name = table.require(reader, "name", "\"pager\"", scalar::name);
    let on = table.take(reader, "on", |reader, value| {
        reader.list(value, "kinds of events, such as \"failover\"", kind)
    });
    let url = table.take(reader, "url", scalar::url);
    let exec = table.take(reader, "exec", |reader, value| {
        reader.list(value, "a program and its arguments", scalar::string)
    });
    let token_file = table.take(reader, "token_file", scalar::string);
    let timeout = table.take(reader, "timeout", scalar::duration);
    let retries = table.take(reader, "retries", scalar::integer(0..=20));
    let span = table.span.clone();
    table.finish(reader);
    let words = |list: Spanned<Vec<Spanned<String>>>| -> Vec<String> {
        list.into_inner().into_iter().map(Spanned::into_inner).collect()
    };
    let way = match (url, exec) {
        (Some(url), None) => HookWay::Url {
            url: url.into_inner(),
            token_file: token_file.map(|file| file.into_inner().into()),
        },
        (None, Some(exec)) => {
            let at = exec.span();
            let exec = words(exec);
            if !exec.first().is_some_and(|program| program.starts_with('/')) {
                let help = "no shell looks it up: write \"/usr/local/bin/NAME\"";
                reader.report_help(at, "`exec` begins with the full path of a program", help);
                return None;
            }
            HookWay::Exec(exec)
        }
        _ => {
            let help = "add `url = \"https://…\"` or `exec = [\"/path/to/program\"]`";
            reader.report_help(span, "a hook has either `url` or `exec`", help);
            return None;
        }
    };
    Some(HookDef {
        name: name?.into_inner(),
        on: on.map_or_else(|| vec![ALARM.into(), "failover".into()], words),
        way,
        timeout: timeout.map_or(Duration::from_secs(10), Spanned::into_inner),
        retries: retries.map_or(5, Spanned::into_inner),
    })
}

fn kind<'i>(reader: &mut Reader<'i, '_>, value: Value<'i>) -> Option<String> {
    let span = value.span();
    let word = scalar::string(reader, value)?;
    if word == ALARM || word == ALL || EVENT_WORDS.contains(&word.as_str()) {
        return Some(word);
    }
    let known = EVENT_WORDS.iter().chain(&[ALARM, ALL]).copied();
    let file = reader.file.clone();
    reader.push(Problem::unknown(&file, span, "kind of event", &word, known));
    None
}

impl HookDef {
    /// Whether it is told of an event of this kind.
    pub fn wants(&self, kind: &str, is_alarm: bool) -> bool {
        // What hooks themselves do is told to nobody: two of them would never be silent again.
        kind != "hook"
            && self.on.iter().any(|on| on == ALL || on == kind || (on == ALARM && is_alarm))
    }
}
