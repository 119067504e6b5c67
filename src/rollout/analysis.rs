//! What figures say of a step: pure counting of values that are good, bad or neither.

use crate::{config::rollouts::AnalysisDef, measure::Measured};
use std::time::Duration;

/// So many times in a row a figure cannot be had before that is the result: who is asked may be
/// restarted, which takes a probe or two.
pub const ERRORS_MAX: u32 = 4;

/// What a value, or all of them together, come to. The words are those of Argo Rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Good.
    Successful,
    /// Bad.
    Failed,
    /// Neither.
    Inconclusive,
    /// There is none.
    Error,
}

impl Verdict {
    /// As shown.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Successful => "Successful",
            Verdict::Failed => "Failed",
            Verdict::Inconclusive => "Inconclusive",
            Verdict::Error => "Error",
        }
    }
}

/// How one analysis of a step goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Good values.
    pub successful: u32,
    /// Bad ones.
    pub failed: u32,
    /// Those that are neither.
    pub inconclusive: u32,
    /// Looks in vain since the last value.
    pub errors: u32,
    /// The last look.
    pub last: Option<(Measured, Verdict)>,
    /// When in the step the next look is due; not known before the first.
    pub due: Option<Duration>,
}

/// What a single value is.
pub fn judged(def: &AnalysisDef, measured: &Measured) -> Verdict {
    match *measured {
        Measured::Error(_) => Verdict::Error,
        Measured::Nothing(_) => Verdict::Inconclusive,
        Measured::Value(value) if value.is_nan() => Verdict::Inconclusive,
        Measured::Value(value) if def.success.holds(value) => Verdict::Successful,
        Measured::Value(value) => match def.failure {
            Some(failure) if !failure.holds(value) => Verdict::Inconclusive,
            _ => Verdict::Failed,
        },
    }
}

impl Tally {
    /// Values so far.
    pub fn taken(&self) -> u32 {
        self.successful + self.failed + self.inconclusive
    }

    /// Takes in one more look.
    pub fn take(&mut self, def: &AnalysisDef, measured: Measured) {
        let verdict = judged(def, &measured);
        match verdict {
            Verdict::Successful => self.successful += 1,
            Verdict::Failed => self.failed += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
            Verdict::Error => self.errors += 1,
        }
        if verdict != Verdict::Error {
            self.errors = 0;
        }
        self.last = Some((measured, verdict));
    }

    /// What all of it comes to; nothing while more has to be seen.
    pub fn verdict(&self, def: &AnalysisDef) -> Option<Verdict> {
        if self.failed > def.failure_limit {
            return Some(Verdict::Failed);
        }
        if self.inconclusive > def.inconclusive_limit {
            return Some(Verdict::Inconclusive);
        }
        if self.errors > ERRORS_MAX {
            return Some(Verdict::Error);
        }
        let is_enough = match def.count {
            Some(count) => self.taken() >= count,
            None => self.successful > 0,
        };
        is_enough.then_some(Verdict::Successful)
    }

    /// Whether another look is wanted: not once `count` is reached.
    pub fn wants_more(&self, def: &AnalysisDef) -> bool {
        def.count.is_none_or(|count| self.taken() < count)
    }

    /// The last look in words: `0.02 (wanted < 0.01)`.
    pub fn said(&self, def: &AnalysisDef) -> String {
        let name = &def.name;
        match &self.last {
            None => format!("{name}: not looked at yet"),
            Some((Measured::Value(value), _)) => {
                format!("{name} is {}, wanted {}", figure(*value), def.success)
            }
            Some((Measured::Nothing(why), _)) => format!("{name} has no value: {why}"),
            Some((Measured::Error(why), _)) => format!("{name} cannot be had: {why}"),
        }
    }
}

/// A value with four digits that count.
pub fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let places = (3 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::rollouts::RolloutDef;
    use std::path::Path;

    fn def(rest: &str) -> AnalysisDef {
        let text = format!(
            "record = \"z/r\"\nmember = \"m\"\nsteps = [1]\n[[analysis]]\nname = \"e\"\n\
             health = \"errors\"\nsuccess = \"< 0.1\"\n{rest}"
        );
        RolloutDef::kept(&Path::new("x.toml").into(), &text).unwrap().analysis[0].clone()
    }

    /// What `looks` come to: `g`ood, `b`ad, `n`othing, `m` for what is neither, `e`rror.
    fn verdict(rest: &str, looks: &str) -> Option<Verdict> {
        let (def, mut tally) = (def(rest), Tally::default());
        for look in looks.chars() {
            tally.take(
                &def,
                match look {
                    'g' => Measured::Value(0.0),
                    'b' => Measured::Value(0.9),
                    'm' => Measured::Value(0.3),
                    'N' => Measured::Value(f64::NAN),
                    'n' => Measured::Nothing("none".into()),
                    _ => Measured::Error("refused".into()),
                },
            );
        }
        tally.verdict(&def)
    }

    #[test]
    fn values_add_up_to_a_verdict() {
        use Verdict::{Error, Failed, Inconclusive, Successful};
        for (rest, looks, wanted) in [
            ("", "", None),
            ("", "g", Some(Successful)),
            ("", "gb", Some(Failed)),
            ("failure_limit = 1", "gb", Some(Successful)),
            ("failure_limit = 1", "gbgb", Some(Failed)),
            ("", "n", Some(Inconclusive)),
            ("", "N", Some(Inconclusive)),
            ("inconclusive_limit = 2", "nn", None),
            ("inconclusive_limit = 2", "nng", Some(Successful)),
            ("count = 3", "gg", None),
            ("count = 3\nfailure_limit = 1", "gbg", Some(Successful)),
            ("failure = \"> 0.5\"", "m", Some(Inconclusive)),
            ("failure = \"> 0.5\"", "b", Some(Failed)),
            ("", "eeee", None),
            ("", "eeeee", Some(Error)),
            // One that can be had again is had.
            ("", "eeeegeeee", Some(Successful)),
            // Bad weighs more than unknown.
            ("", "nb", Some(Failed)),
        ] {
            assert_eq!(verdict(rest, looks), wanted, "{rest} {looks}");
        }
    }

    #[test]
    fn figures_have_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.023_456_7, "0.02346"),
            (0.5, "0.5"),
            (12.0, "12"),
            (1_234_567.0, "1234567"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
