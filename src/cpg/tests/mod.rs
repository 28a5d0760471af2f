//! The group desk on its ring: bytes, answers, stories, and random histories.

mod answers;
mod bus;
mod captures;
mod hostile;
mod random;
mod stories;
