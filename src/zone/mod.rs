//! Which names exist and what they own.
pub mod file;
mod generate;
pub mod problem;
mod scan;
mod text;
