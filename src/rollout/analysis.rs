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
    /// When in the step the last value was taken; not known after a restart.
    pub at: Option<Duration>,
}

/// What a single value is.
pub fn judged(def: &AnalysisDef, measured: &Measured) -> Verdict {
    match *measured {
        Measured::Error(_) => Verdict::Error,
        Measured::Nothing(_) => Verdict::Inconclusive,
        Measured::Value(value) if value.is_nan() => Verdict::Inconclusive,
        // More than all of it comes of dividing by nothing: it may be bad, and never means good.
        Measured::Value(value) if def.success.holds(value) => match value.is_finite() {
            true => Verdict::Successful,
            false => Verdict::Inconclusive,
        },
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

    /// Takes in one more look, `at` this time in the step.
    pub fn take(&mut self, def: &AnalysisDef, measured: Measured, at: Duration) {
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
        (self.last, self.at) = (Some((measured, verdict)), Some(at));
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
        let is_enough = def.count.is_none_or(|count| self.taken() >= count);
        // Who cannot be asked now says nothing, whatever was said before.
        (is_enough && self.successful > 0 && self.errors == 0).then_some(Verdict::Successful)
    }

    /// Whether all in all and the last look are good, and that is no older at `now` than the time
    /// between two looks.
    pub fn is_good(&self, def: &AnalysisDef, now: Duration) -> bool {
        let is_fresh = self.at.is_some_and(|at| now.saturating_sub(at) <= def.interval);
        let last = self.last.as_ref().map(|(_, verdict)| *verdict);
        let good = Some(Verdict::Successful);
        is_fresh && last == good && self.verdict(def) == good
    }

    /// Whether another look is wanted: not once `count` of them have come to something.
    pub fn wants_more(&self, def: &AnalysisDef) -> bool {
        def.count.is_none() || self.verdict(def).is_none()
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
                    'I' => Measured::Value(f64::INFINITY),
                    'i' => Measured::Value(f64::NEG_INFINITY),
                    'n' => Measured::Nothing("none".into()),
                    _ => Measured::Error("refused".into()),
                },
                Duration::ZERO,
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
            ("", "I", Some(Failed)),
            ("", "i", Some(Inconclusive)),
            ("inconclusive_limit = 2", "nn", None),
            ("inconclusive_limit = 2", "nng", Some(Successful)),
            ("count = 3", "gg", None),
            ("count = 3\nfailure_limit = 1", "gbg", Some(Successful)),
            ("failure = \"> 0.5\"", "m", Some(Inconclusive)),
            ("failure = \"> 0.5\"", "b", Some(Failed)),
            ("", "eeee", None),
            ("", "eeeee", Some(Error)),
            // One that can be had again is had; one that cannot any more is not.
            ("", "eeeeg", Some(Successful)),
            ("", "eeeegeeee", None),
            ("", "ge", None),
            ("", "geeeee", Some(Error)),
            ("count = 2", "gge", None),
            // Nothing good is nothing.
            ("count = 3\nfailure_limit = 2\ninconclusive_limit = 2", "bbn", None),
            // Bad weighs more than unknown.
            ("", "nb", Some(Failed)),
        ] {
            assert_eq!(verdict(rest, looks), wanted, "{rest} {looks}");
        }
    }

    #[test]
    fn a_step_goes_on_by_a_last_look_that_is_good_and_fresh() {
        let def = def("interval = \"3s\"\nfailure_limit = 1");
        let (at, mut tally) = (Duration::from_secs, Tally::default());
        assert!(!tally.is_good(&def, at(0)));
        tally.take(&def, Measured::Value(0.0), at(10));
        assert!(tally.is_good(&def, at(13)) && !tally.is_good(&def, at(14)));
        tally.take(&def, Measured::Value(0.9), at(13));
        assert_eq!(tally.verdict(&def), Some(Verdict::Successful), "one bad value is forgiven");
        assert!(!tally.is_good(&def, at(13)), "and yet nothing goes on by it");
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
