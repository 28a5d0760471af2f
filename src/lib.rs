//! Group communication for clusters, as a replacement for Corosync.
//!
//! Data flows in one direction: socket → [`transport`] → [`totem`] → [`service`] router → desk ([`cpg`],
//! [`quorum`], [`confdb`], [`admin`]) → [`ipc`] → client. ARCHITECTURE.md describes the path of a message and
//! which module may import which.
//!
//! The crate can be used in two ways, with one API: [`node::Node`] runs a ring inside of the caller's process, in a
//! thread of its own; [`client::Client`] connects to a running `annulusd` (or Corosync) on this host.

pub mod error;
pub mod ids;
mod interfaces;
mod quiet;
mod secret;
pub mod time;
pub mod value;
pub mod view;
#[cfg(any(feature = "daemon", feature = "tools"))]
mod wall;

pub mod config;

pub mod ipc;
pub mod totem;
pub mod transport;

pub mod service;

pub mod admin;
pub mod confdb;
pub mod cpg;
pub mod quorum;

pub mod client;
pub mod stack;

pub mod node;
pub mod sam;

#[cfg(feature = "tools")]
pub mod cli;

#[cfg(feature = "daemon")]
pub mod daemon;

/// Compiles the examples of the README as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
