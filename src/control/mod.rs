//! How a running server is changed: one way in, one owner of the Publisher.

pub mod event;
pub mod publish;
