//! A run as it goes: its journal, entry by entry, for people or as JSON lines.

use super::{Out, Paint, Server, encoded, show};
use crate::{
    admin::schema::drill::RunningLine,
    cli::Exit,
    drill::{
        journal::{Entry, What},
        report::{Report, Verdict, time},
    },
};
use std::{thread, time::Duration};

/// How often what is new is asked for.
const AGAIN: Duration = Duration::from_millis(200);

/// The exit code of a verdict.
pub(super) fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Pass => Exit::Well,
        Verdict::Fail => Exit::VerdictFail,
        Verdict::Aborted => Exit::Aborted,
        Verdict::Running => Exit::Failed,
    }
}

/// Shows `running` until it is over, then its report.
pub(super) fn to_the_end(server: &Server, running: &RunningLine, out: &mut Out) -> Exit {
    let (drill, run) = (encoded(&running.drill), encoded(&running.run));
    if !out.wants_json() {
        let RunningLine { drill, run, mode, .. } = running;
        let line = out.paint(Paint::Strong, format_args!("DRILL {drill} {run} ({mode})"));
        out.line(line);
    }
    let (mut known, mut was_gone) = (0, false);
    loop {
        let path = format!("/v1/drills/{drill}/journal?run={run}&from={known}");
        let entries: Vec<Entry> = match server.get(&path) {
            Ok(entries) => entries,
            Err(error) => return error.tell(out),
        };
        known += entries.len();
        if !out.wants_json() {
            entries.iter().filter_map(line).for_each(|line| out.line(line));
        }
        if entries.iter().any(|entry| matches!(entry.what, What::Ended { .. })) {
            break;
        }
        if entries.is_empty() {
            // One that ended in between has said so by now.
            match server.get::<Option<RunningLine>>("/v1/drills/running") {
                Ok(Some(now)) if now.run == running.run && now.drill == running.drill => {}
                Ok(_) if was_gone => break,
                Ok(_) => was_gone = true,
                Err(error) => return error.tell(out),
            }
        }
        if out.is_broken() {
            return Exit::Well;
        }
        thread::sleep(AGAIN);
    }
    match server.get::<Report>(&format!("/v1/drills/{drill}/report?run={run}")) {
        Ok(report) => {
            show::report(&report, out);
            exit_of(report.verdict)
        }
        Err(error) => error.tell(out),
    }
}

/// An entry for people, if it is worth a line.
fn line(entry: &Entry) -> Option<String> {
    let said = match &entry.what {
        What::Stage { stage } => match stage.as_str() {
            "before" => "the steady state is looked at".to_owned(),
            "steps" => "it is as it should be: the steps begin".to_owned(),
            "after" => "all is taken back: the way back is looked at".to_owned(),
            _ => return None,
        },
        What::Injected { step, said, .. } => format!("step {step}: {said}"),
        What::Over { step } => format!("step {step} is over"),
        What::Refused { step, why } => format!("step {step} could not be done: {why}"),
        What::FirstFailedProbe { step } => format!("first failed probe of {step}"),
        What::FirstSlowedProbe { step } => format!("first slowed probe of {step}"),
        What::Event(seen) if seen.kind != "old_answers" => seen.text.clone(),
        What::Fired { when, value } => format!("STOP {when}: it is {value}"),
        What::Aborted { why, .. } => format!("ABORTED: {why}"),
        What::Second(row) => {
            let regions = row.regions.iter().map(|(region, count)| format!("{region} {count}"));
            let regions: Vec<String> = regions.collect();
            let odd = [("lost", row.lost), ("empty", row.empty), ("wrong", row.wrong)];
            let odd: String = odd
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(what, count)| format!("; {count} {what}"))
                .collect();
            let at = format!("{} s", row.second);
            return Some(format!("{at:>9}  answers: {}{odd}", regions.join(", ")));
        }
        _ => return None,
    };
    Some(format!("{:>9}  {said}", time(entry.ms)))
}
