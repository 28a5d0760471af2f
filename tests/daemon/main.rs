//! `annulusd` as whoever starts it sees it: exit statuses, messages, signals, log lines. Without root and
//! without a second host.

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
