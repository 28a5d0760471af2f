//! `annulusd` from the view of its user: exit statuses, messages, signals, log lines. These tests need neither root
//! nor a second host.

#![cfg(all(target_os = "linux", feature = "daemon"))]

mod child;
mod life;
#[path = "../loopback/mod.rs"]
mod loopback;
mod orders;
mod promises;
mod refusals;
#[cfg(feature = "tools")]
mod rotation;
mod several;
#[cfg(feature = "tools")]
mod tools;
