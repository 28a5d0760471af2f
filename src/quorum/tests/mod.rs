//! Rules by table, desks by story, and whole clusters at random.

mod arithmetic;
mod cluster;
mod first_cut;
mod keys;
mod partitions;
mod readings;
mod stories;
