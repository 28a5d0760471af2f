//! `corosync-quorumtool`: shows and sets the votes.
//!
//! Source: corosync-quorumtool(8). Exit status: 0; 2 for the status of a node that is not quorate; 1 for an error.

use std::ffi::OsString;

use super::c::whole;
use crate::cli::getopt::{Getopt, Grammar};
use crate::cli::quorum::report::Order;
use crate::cli::quorum::tool::{self, Action, Request};
use crate::cli::site::Site;
use crate::cli::streams::Streams;

const GRAMMAR: Grammar = Grammar { short: "VHaslpmfe:v:hin:o:", long: &[] };

/// Runs the tool; `args` begin with the program's name.
pub(super) fn run(args: Vec<OsString>, site: &Site, streams: &mut Streams<'_>) -> u8 {
    let mut request = Request::default();
    for given in Getopt::new(args, GRAMMAR) {
        let given = match given {
            Ok(given) => given,
            Err(complaint) => {
                streams.err(complaint + "\n");
                streams.out(USAGE);
                return 1;
            }
        };
        match given.letter {
            'V' => {
                streams.out(format!("corosync-quorumtool version: {}\n", super::VERSION));
                return 0;
            }
            'h' => {
                streams.out(USAGE);
                return 0;
            }
            'H' => request.style.hex = true,
            'a' => request.all_addresses = true,
            'i' => request.addresses = true,
            'p' => request.style.machine = true,
            's' => request.action = Action::Status,
            'l' => request.action = Action::List,
            'm' => request.action = Action::Monitor,
            'f' => request.action = Action::Unregister,
            'e' => match whole::<u32>(&given.value).filter(|votes| *votes > 0) {
                Some(votes) => request.action = Action::Expect(votes),
                None => {
                    return streams.fail(1, "New expected votes value was not valid, try a positive number");
                }
            },
            'v' => match whole(&given.value) {
                Some(votes) => request.action = Action::Vote(votes),
                None => {
                    return streams.fail(1, "New votes value was not valid, try a positive number or zero");
                }
            },
            'n' => match whole::<u32>(&given.value).filter(|node| *node > 0) {
                Some(node) => request.node = Some(node),
                None => return streams.fail(1, "The nodeid was not valid, try a positive number"),
            },
            _ => {
                request.order = match given.value.as_slice() {
                    b"a" => Order::Address,
                    b"i" => Order::Id,
                    b"n" => Order::Name,
                    _ => {
                        let valid = "valid orders are a(address), i(node ID) or n(name)";
                        return streams.fail(1, format!("Invalid ordering option. {valid}"));
                    }
                }
            }
        }
    }
    tool::run(&request, site, streams)
}

const USAGE: &str = "\
usage: corosync-quorumtool [-s] [-l] [-m] [-p] [-H] [-i] [-a] [-o a|n|i] [-v votes [-n nodeid]] [-e votes] [-f] [-V] [-h]

  -s           how it stands with quorum (default)
  -l           the members of the ring
  -m           as -s, again at each change
  -p           with -s and -l: always with the column of the quorum device
  -H           node ids in hexadecimal
  -i           addresses instead of names
  -a           all addresses of a node
  -o a|n|i     order by address, name or node id
  -v VOTES     set the votes of this node, or of -n (*)
  -n NODEID    which node -v is for
  -e VOTES     set the expected votes (*)
  -f           unregister the quorum device, dangerous (*)
  -V           the version
  -h           this help

(*) with corosync_votequorum as the quorum provider
";
