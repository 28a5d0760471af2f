//! Rules by table, desks by story, and whole clusters at random.

mod arithmetic;
mod readings;
