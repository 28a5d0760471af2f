//! The ring protocol's bytes: what Debian's Corosync 3.1.7 put on a wire, read and written again, and what
//! nobody should ever send.
//!
//! | file | what |
//! |---|---|
//! | `captures.rs` | frames of real Corosync nodes |
//! | `layout.rs` | sizes and values of all frames, both byte orders |
//! | `arbitrary.rs` | arbitrary, mutated and cut bytes |
//! | `knet.rs` | the same for packets of knet, clear and sealed |

mod arbitrary;
mod captures;
mod knet;
mod layout;
