//! The commands' way into the World.
