//! Answers made ahead: what files that are about to be in force will answer.
//!
//! A reload makes every plan anew, which takes as long as there are plans. So that verdicts go on
//! being published meanwhile, they are made on the loader's thread, from how things stand then;
//! once the files come into force only those are made again whose slots, failovers or ramps
//! stand otherwise by now (what is in the middle of a ramp always does: looking ahead takes ramps
//! to be over). Decides nothing: without it a reload comes to the same, later.

use super::hand::{effect::WeightChange, foresee::Outlook};
use crate::{
    snapshot::Snapshot,
    steering::{Before, Steering},
    world::State,
};
use std::sync::Arc;

/// The answers of one set of files, as of one moment.
#[derive(Debug)]
pub struct Steered {
    /// The files as compiled.
    files: Arc<Snapshot>,
    /// What operators made other weights.
    weights: Vec<WeightChange>,
    /// The files with those weights.
    snapshot: Arc<Snapshot>,
    /// What the answers were made of.
    state: Arc<State>,
    steering: Steering,
}

impl Steered {
    /// What `files` answer as things stand in `outlook`.
    pub fn ahead(outlook: &Outlook, files: &Arc<Snapshot>) -> Steered {
        let would = outlook.under(Arc::clone(files));
        let (snapshot, state) = (Arc::clone(&would.world.snapshot), Arc::clone(&would.world.state));
        let steering = Steering::build(&snapshot, state.moved());
        let weights = would.weights().to_vec();
        Steered { files: Arc::clone(files), weights, snapshot, state, steering }
    }

    /// `files` with the weights that operators gave, which are `changes`, if that is what this
    /// was made of.
    pub(super) fn patched(
        &self,
        files: &Arc<Snapshot>,
        changes: &[WeightChange],
    ) -> Option<Arc<Snapshot>> {
        let is_it = Arc::ptr_eq(&self.files, files) && self.weights == changes;
        is_it.then(|| Arc::clone(&self.snapshot))
    }

    /// The answers, if they are of `files`.
    pub(super) fn before(&self, files: &Arc<Snapshot>) -> Option<Before<'_>> {
        let Steered { snapshot, steering, .. } = self;
        let before = Before { snapshot, moved: self.state.moved(), steering };
        Arc::ptr_eq(&self.files, files).then_some(before)
    }
}
