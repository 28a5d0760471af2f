//! Tests of rules by tables, of desks by stories, and of whole clusters with random histories.

mod arithmetic;
mod cluster;
mod first_cut;
mod keys;
mod partitions;
mod readings;
mod stories;
