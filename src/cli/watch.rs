//! `--watch`: the same again and again, in place on a terminal, a line of JSON for each change in a
//! pipe.

use super::{Exit, output::Out, server::ServerError};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// The server is asked so often.
const EVERY: Duration = Duration::from_secs(1);

/// What goes on by itself, under these names, while nothing changes: numbers, and times of probes.
const RUNNING: [&str; 12] = [
    "now",
    "last_probe",
    "probes",
    "failures",
    "voids",
    "latency_ms",
    "ago_s",
    "due_in_s",
    "held_down_s",
    "remaining_ms",
    "residual_share",
    "computed",
];

/// The option of every command that shows a state.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct WatchArgs {
    /// Go on: redrawn in place on a terminal, a line of JSON for each change in a pipe
    #[arg(long, short)]
    pub watch: bool,
}

/// Shows what `look` finds until nobody reads any more. A server that goes away is waited for.
pub(super) fn watch<T: Serialize>(
    look: impl Fn() -> Result<T, ServerError>,
    show: impl Fn(&T, &mut Out),
    out: &mut Out,
) -> Exit {
    let (mut shown, mut is_away) = (None, false);
    while !out.is_broken() {
        match look() {
            Ok(found) => {
                is_away = false;
                if out.redraws() {
                    out.redraw(|out| show(&found, out));
                } else {
                    let still = serde_json::to_value(&found).map(still);
                    let still = still.unwrap_or_default();
                    if shown.as_ref() != Some(&still) {
                        out.schema_line(&found);
                        shown = Some(still);
                    }
                }
            }
            Err(error @ ServerError::NotReachable { .. }) if shown.is_some() || out.redraws() => {
                let line = format!("{error}; asked again every second");
                match (out.redraws(), std::mem::replace(&mut is_away, true)) {
                    (true, _) => out.redraw(|out| out.line(&line)),
                    (false, false) => out.complain(&format!("{line}\n")),
                    (false, true) => {}
                }
            }
            Err(error) => return error.tell(out),
        }
        out.pause(EVERY);
    }
    Exit::Well
}

/// `value` without what goes on by itself.
fn still(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let counts = |(name, _): &(String, Value)| !RUNNING.contains(&name.as_str());
            fields.into_iter().filter(counts).map(|(name, value)| (name, still(value))).collect()
        }
        Value::Array(all) => all.into_iter().map(still).collect(),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::tests::Page;
    use serde_json::json;
    use std::{cell::Cell, io};

    #[test]
    fn a_line_is_printed_for_each_change_and_none_for_what_goes_on_by_itself() {
        let states = [
            json!({ "up": 1, "now": "a" }),
            json!({ "up": 1, "now": "b", "all": [{ "ago_s": 3 }] }),
            json!({ "up": 1, "now": "c", "all": [{ "ago_s": 4 }] }),
            json!({ "up": 2, "now": "d", "all": [{ "ago_s": 5 }] }),
        ];
        let turn = Cell::new(0);
        let look = || {
            let state = states.get(turn.replace(turn.get() + 1)).cloned();
            state.ok_or_else(|| ServerError::Garbled("the end".to_owned()))
        };
        let data = Page::default();
        let mut out = Out::into_writers(false, data.clone(), io::sink());
        assert_eq!(watch(look, |_, _| {}, &mut out), Exit::Failed);
        let lines: Vec<Value> =
            data.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let now: Vec<&Value> = lines.iter().map(|line| &line["now"]).collect();
        assert_eq!(now, ["a", "b", "d"]);
        assert!(lines.iter().all(|line| line["schema_version"] == 1), "{lines:?}");
    }
}
