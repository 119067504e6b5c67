//! Weights that are served and that files do not say, as they are shown: `tradewind status` holds
//! them against the files in force, `tradewind check` against those it was given.

use super::{hand::Hands, schema::hand::WeightLine};
use crate::{
    control::hand::{
        differing::{Differing, Place, differing},
        words,
    },
    rollout,
    snapshot::Snapshot,
    units::Share,
};

impl Hands {
    /// Weights that are served and that the files in force do not say.
    pub(super) fn weights(&self) -> Vec<WeightLine> {
        let shown = self.shown.load_full();
        let line = |one: Differing| {
            let made = shown.hand.find(one.by)?;
            let rollout = rollout::of_override(&made.who).map(str::to_owned);
            let next = match &rollout {
                Some(name) => format!("tradewind rollout finish {}", words::quoted(name)),
                None => words::undo(made, &shown.hand),
            };
            let (record, policy, pool) = match one.place {
                Place::Policy { record, policy } => {
                    let policy = Some(policy.to_string()).filter(|name| !name.is_empty());
                    (Some(record.to_string()), policy, None)
                }
                Place::Pool(pool) => (None, None, Some(pool.to_string())),
            };
            Some(WeightLine {
                record,
                policy,
                pool,
                member: one.member.to_string(),
                served_share: one.served.as_fraction(),
                file_share: one.filed.as_fraction(),
                others: one.others,
                by: one.by,
                who: made.who.to_string(),
                rollout,
                next,
            })
        };
        let world = self.viewer.world();
        let all = differing(&shown.hand, &shown.files, &world.snapshot, self.clock.now());
        all.into_iter().filter_map(line).collect()
    }
}

impl WeightLine {
    /// The same against other `files`; nothing where they say what is served, or have no such
    /// member.
    pub fn against(self, files: &Snapshot) -> Option<WeightLine> {
        let place = match (&self.record, &self.pool) {
            (Some(record), _) => Place::Policy {
                record: record.as_str().into(),
                policy: self.policy.as_deref().unwrap_or_default().into(),
            },
            (None, pool) => Place::Pool(pool.as_deref()?.into()),
        };
        let filed = place.share(&self.member, files)?;
        let is_other = filed != Share::from_fraction(self.served_share);
        is_other.then(|| WeightLine { file_share: filed.as_fraction(), ..self })
    }

    /// `canary of g.example/www is given 10 % of the clients; the files say 0 % (rollout www)`.
    pub fn words(&self) -> String {
        let WeightLine { member, who, by, .. } = self;
        let place = self.record.as_ref().or(self.pool.as_ref()).map_or("", String::as_str);
        let policy = self.policy.as_ref().map(|name| format!("{name} of ")).unwrap_or_default();
        let others = match self.others {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let served = Share::from_fraction(self.served_share);
        let filed = Share::from_fraction(self.file_share);
        let by = match &self.rollout {
            Some(name) => format!("rollout {name}"),
            None => format!("#{by} of {who}"),
        };
        format!(
            "{member} of {policy}{place}{others} is given {served}; the files say {filed} ({by})"
        )
    }
}
