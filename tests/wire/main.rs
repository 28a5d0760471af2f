//! The bytes of the ring protocol: datagrams that Debian's Corosync 3.1.7 sent, parsed and encoded again, and
//! datagrams that nobody should ever send.
//!
//! | file | what |
//! |---|---|
//! | `captures.rs` | frames of real Corosync nodes |
//! | `layout.rs` | sizes and values of all frames, both byte orders |
//! | `arbitrary.rs` | arbitrary, mutated and truncated bytes |
//! | `knet.rs` | the same for packets of knet, clear and encrypted |

mod arbitrary;
mod captures;
mod knet;
mod layout;
