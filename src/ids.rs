//! Dense indices given out by [`crate::compile`]; the only names the running server knows.
//!
//! Words are looked up once, at compile time; from then on a zone, pool or endpoint *is* its
//! index into the one [`crate::snapshot::Snapshot`] that gave it out. An id means nothing in
//! another Snapshot: what must live through a reload is found again by its stable name.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($repr:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $repr);
        impl $name {
            /// The id as an index into the table it was given out for.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
            /// The id at `index`; tables are bounded by compile, far below the id's range.
            #[inline]
            pub const fn at(index: usize) -> Self {
                Self(index as $repr)
            }
        }
    )*};
}

ids! {
    /// A zone: index into `Snapshot::zones`.
    ZoneId(u32);
    /// A steered record: index into `Snapshot::records`.
    RecordId(u32);
    /// What steers a record, shared by equal records: index into `Snapshot::plans`.
    PlanId(u32);
    /// A client map (prefix → class): index into `Snapshot::maps`.
    MapId(u32);
    /// A region: index into `Snapshot::regions`.
    RegionId(u16);
    /// An address (or name) that has a verdict of its own: index into `Snapshot::slots` and
    /// into every table of verdicts.
    SlotId(u32);
    /// One thing to probe: index into `CheckPlan::targets`.
    TargetId(u32);
    /// A failover definition, shared by all who refer to it: index into `Snapshot::failovers`.
    FailoverId(u32);
    /// A class of clients of one map (DESIGN: at most 65,535 a map).
    Class(u16);
    /// A counter's place in every thread's table; given out by stable name, never taken back.
    CounterSlot(u32);
}
