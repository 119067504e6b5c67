//! What a client should get: policies as pure functions over a compiled tree.

pub mod tree;
