//! The IPC room with itself, with libqb in both directions, and with hostile clients.
//!
//! The foreign side is two small C programs, compiled here with the system's libqb. Without a compiler or libqb-dev
//! these tests print that they are skipped, and pass; with `CI=true` in the environment they fail instead.

mod echo;
mod foreign;
mod hostile;
mod names;
mod own;
mod turns;
