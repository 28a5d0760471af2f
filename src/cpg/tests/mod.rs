//! Requests as bytes, and the bytes that Corosync's nodes send. The desk itself is tested on whole nodes
//! (`stack/tests/cpg`).

pub(crate) mod captures;
mod requests;
