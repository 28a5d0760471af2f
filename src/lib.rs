//! Group communication for clusters, in the place where Corosync stands.
//!
//! Data flows one way: socket → [`transport`] → [`totem`] → [`service`] router → desk ([`cpg`],
//! [`quorum`], [`confdb`], [`admin`]) → [`ipc`] → client. ARCHITECTURE.md tells the way of a message through
//! the rooms and who may import whom.
//!
//! Two ways to use the crate, with one API: [`node::Node`] runs a ring inside the caller's tokio
//! runtime; [`client::Client`] talks to a running `annulusd` (or Corosync) on this host.

pub mod error;
pub mod ids;
mod quiet;
mod secret;
pub mod time;
pub mod value;
pub mod view;

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

/// The README's examples, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
