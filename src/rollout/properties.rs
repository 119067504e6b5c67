//! Random lives of a machine: whatever happens in whatever order, what must hold holds.
