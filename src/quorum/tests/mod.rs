//! Tests of the rules in tables, and of the settings. The stories of whole nodes are in `src/stack/tests/quorum`.

mod arithmetic;
mod readings;
