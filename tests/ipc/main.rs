//! The IPC room against itself, against libqb in both directions, and against clients that mean harm.
//!
//! The foreign side is two small C programs, compiled here against the system's libqb. Without a compiler
//! or libqb-dev those tests say so and pass; with `CI=true` in the environment they fail instead.

mod echo;
mod foreign;
mod hostile;
mod names;
mod own;
mod turns;
