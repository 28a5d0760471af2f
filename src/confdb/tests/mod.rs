//! Tests of the desk: over a router, with a database, but without a ring or a network.

mod answers;
mod bench;
mod bounds;
mod hostile;
mod random;
mod reactions;
mod stories;
