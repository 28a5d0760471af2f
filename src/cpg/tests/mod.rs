//! The CPG desk on a simulated ring: bytes, answers, stories, and random histories.

mod answers;
mod bus;
mod captures;
mod hostile;
mod random;
mod stories;
