//! `corosync-quorumtool`: shows and sets the votes.
//!
//! Source: corosync-quorumtool(8). Exit status: 0; 2 for the status of a node that is not quorate; 1 for an error.

use std::ffi::OsString;

use super::c::saturating;
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
        let accepted = match given.letter {
            'V' => {
                streams.out(format!("corosync-quorumtool version: {}\n", super::VERSION));
                return 0;
            }
            'h' => {
                streams.out(USAGE);
                return 0;
            }
            'H' => {
                request.style.hex = true;
                Ok(())
            }
            'a' => {
                request.all_addresses = true;
                Ok(())
            }
            'i' => {
                request.addresses = true;
                Ok(())
            }
            'p' => {
                request.style.machine = true;
                Ok(())
            }
            's' => act(&mut request, Action::Status),
            'l' => act(&mut request, Action::List),
            'm' => act(&mut request, Action::Monitor),
            'f' => act(&mut request, Action::Unregister),
            'e' => match number(&given.value).filter(|votes| *votes > 0) {
                Some(votes) => act(&mut request, Action::Expect(votes)),
                None => Err("New expected votes value was not valid, try a positive number"),
            },
            'v' => match number(&given.value) {
                Some(votes) => act(&mut request, Action::Vote(votes)),
                None => Err("New votes value was not valid, try a positive number or zero"),
            },
            'n' => match number(&given.value).filter(|node| *node > 0) {
                Some(node) => {
                    request.node = Some(node);
                    Ok(())
                }
                None => Err("The nodeid was not valid, try a positive number"),
            },
            _ => match given.value.as_slice() {
                b"a" => order(&mut request, Order::Address),
                b"i" => order(&mut request, Order::Id),
                b"n" => order(&mut request, Order::Name),
                _ => Err("Invalid ordering option. valid orders are a(address), i(node ID) or n(name)"),
            },
        };
        if let Err(complaint) = accepted {
            streams.err(format!("{complaint}\n"));
            return 1;
        }
    }
    tool::run(&request, site, streams)
}

fn act(request: &mut Request, action: Action) -> Result<(), &'static str> {
    request.action = action;
    Ok(())
}

fn order(request: &mut Request, order: Order) -> Result<(), &'static str> {
    request.order = order;
    Ok(())
}

/// The whole text as a number.
fn number(text: &[u8]) -> Option<u32> {
    let (number, rest) = saturating(text)?;
    if rest.is_empty() { u32::try_from(number).ok() } else { None }
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
