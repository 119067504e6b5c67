//! Location data that are read when somebody first asks for them: a server none of whose
//! records looks at the client reads no database.
//!
//! Must not know how they are read: whoever makes a [`LazyTable`] gives that along.

use super::{LocationTable, embedded};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// The identity of the table that is built in.
pub const EMBEDDED: &str = "embedded";

/// What is known of where addresses are, read at the first question.
pub struct LazyTable {
    identity: Box<str>,
    read: Box<dyn Fn() -> Arc<LocationTable> + Send + Sync>,
    table: OnceLock<Arc<LocationTable>>,
}

impl LazyTable {
    /// A table that `read` will give, once. Equal identities mean equal data.
    pub fn new(
        identity: String,
        read: impl Fn() -> Arc<LocationTable> + Send + Sync + 'static,
    ) -> Self {
        LazyTable { identity: identity.into(), read: Box::new(read), table: OnceLock::new() }
    }
    /// One that is there already.
    pub fn of(identity: String, table: Arc<LocationTable>) -> Self {
        LazyTable::new(identity, move || Arc::clone(&table))
    }
    /// The embedded country table.
    pub fn embedded() -> Self {
        LazyTable::new(EMBEDDED.into(), embedded::table)
    }
    /// Whether it is the embedded table and nothing else.
    pub fn is_embedded(&self) -> bool {
        &*self.identity == EMBEDDED
    }
    /// What tells these data from any other.
    pub fn identity(&self) -> &str {
        &self.identity
    }
    /// The data, if somebody has asked for them.
    pub fn known(&self) -> Option<&Arc<LocationTable>> {
        self.table.get()
    }
    /// The data. The first call may take as long as a start does.
    pub fn table(&self) -> &Arc<LocationTable> {
        self.table.get_or_init(&self.read)
    }
}

impl fmt::Debug for LazyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyTable").field("identity", &self.identity).finish_non_exhaustive()
    }
}
