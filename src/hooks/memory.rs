//! Up to where each hook has been told, also over the end of the process.
//!
//! What happens between a delivery and the commit that notes it down is told twice after a crash:
//! better than not at all.

use crate::{
    config::hooks::HookDef,
    control::{
        journal::Mark,
        store::{Keeper, Saved, Write},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The note of the store.
const NOTE: &str = "hooks";

/// Where each hook stands in the journal, by its name.
#[derive(Debug, Default)]
pub struct Memory {
    keeper: Option<Keeper>,
    told: Mutex<BTreeMap<String, Mark>>,
}

impl Memory {
    /// What the run before noted down; what changes is given to `keeper`.
    pub fn resumed(saved: &Saved, keeper: Keeper) -> Memory {
        let note = saved.notes.get(NOTE).cloned();
        let told = note.and_then(|note| serde_json::from_value(note).ok()).unwrap_or_default();
        Memory { keeper: Some(keeper), told: Mutex::new(told) }
    }

    /// Where the hook `name` stands; `newest` for one that was not there before.
    pub(super) fn begin(&self, name: &str, newest: Mark) -> Mark {
        let known = self.lock().get(name).copied();
        known.unwrap_or_else(|| {
            self.note(name, newest);
            newest
        })
    }

    /// The hook `name` is done with everything up to `mark`.
    pub(super) fn note(&self, name: &str, mark: Mark) {
        let mut told = self.lock();
        if told.insert(name.to_owned(), mark) != Some(mark) {
            self.keep(&told);
        }
    }

    /// Forgets all but `defs`: one that comes again begins anew.
    pub(super) fn retain(&self, defs: &[HookDef]) {
        let mut told = self.lock();
        let before = told.len();
        told.retain(|name, _| defs.iter().any(|def| def.name == *name));
        if told.len() < before {
            self.keep(&told);
        }
    }

    /// One row for all, under the lock, so that the newest is the last; the store commits what
    /// comes within a moment as one.
    fn keep(&self, told: &BTreeMap<String, Mark>) {
        if let Some(keeper) = &self.keeper {
            let value = serde_json::to_value(told).ok();
            keeper.write(vec![Write::Note { name: NOTE.into(), value }]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Mark>> {
        // Whole values come and go, so a panic elsewhere has spoilt nothing.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
