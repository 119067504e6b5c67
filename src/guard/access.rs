//! What becomes of a query because of who sent it.
//!
//! Must not know how a refusal is written.

/// What becomes of a query because of who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is answered.
    Allow,
    /// It is refused (REFUSED, EDE 18).
    Deny,
    /// It meets silence.
    Drop,
}
