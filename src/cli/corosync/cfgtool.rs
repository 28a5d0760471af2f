//! `corosync-cfgtool`: links, reload, shutdown.
//!
//! Source: corosync-cfgtool(8). Exit status: 0 for success and a refused shutdown; 1 for an error; for an error of a
//! reload or of reopening logs, the daemon's own status number.

use std::ffi::OsString;
use std::time::Duration;

use super::c::whole;
use crate::admin::{NodeStatus, Shutdown};
use crate::cli::getopt::{Getopt, Grammar, Long};
use crate::cli::links::{Links, Reach};
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::error::Status;
use crate::ids::NodeId;

const GRAMMAR: Grammar = Grammar {
    short: "i:snbRLk:a:hH",
    long: &[
        Long { name: "if", takes: true, letter: 'i' },
        Long { name: "status", takes: false, letter: 's' },
        Long { name: "nodes", takes: false, letter: 'n' },
        Long { name: "brief", takes: false, letter: 'b' },
        Long { name: "reload", takes: false, letter: 'R' },
        Long { name: "reopen", takes: false, letter: 'L' },
        Long { name: "kill", takes: true, letter: 'k' },
        Long { name: "address", takes: true, letter: 'a' },
        Long { name: "shutdown", takes: false, letter: 'H' },
        Long { name: "force", takes: false, letter: 'F' },
    ],
};

/// Attempts to request a shutdown while the daemon is busy, one second apart.
const TRIES: u32 = 30;

/// The reason that is sent to a killed node.
const REASON: &str = "killed by administrator";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Help,
    Status,
    Nodes,
    Reload,
    Reopen,
    Kill(NodeId),
    Addresses(NodeId),
    Shutdown,
}

#[derive(Debug)]
struct Request {
    action: Action,
    brief: bool,
    force: bool,
}

/// Runs the tool; `args` begin with the program's name.
pub(super) fn run(args: Vec<OsString>, site: &Site, streams: &mut Streams<'_>) -> u8 {
    let request = match parse(args) {
        Ok(request) => request,
        Err(complaint) => return streams.fail(1, complaint),
    };
    if request.action == Action::Help {
        streams.out(USAGE);
        return 0;
    }
    // Printed whether or not there is a daemon.
    match request.action {
        Action::Reload => streams.out("Reloading corosync.conf...\n"),
        Action::Kill(node) => streams.out(format!("Killing node {node}\n")),
        _ => {}
    }
    streams.flush();
    if let Err(error) = site.admin().local_id() {
        let status = error.status();
        let told = match request.action {
            Action::Reload | Action::Reopen => status.to_string(),
            _ => status.code().to_string(),
        };
        return streams.fail(1, format!("Could not initialize corosync configuration API error {told}"));
    }
    match act(&request, site, streams) {
        Ok(()) => 0,
        Err((status, complaint)) => streams.fail(status, complaint),
    }
}

fn parse(args: Vec<OsString>) -> Result<Request, String> {
    let mut request = Request { action: Action::Help, brief: false, force: false };
    for given in Getopt::new(args, GRAMMAR) {
        let given = given?;
        let node = || {
            let node = whole(&given.value).and_then(NodeId::new);
            node.ok_or_else(|| "The nodeid was not valid, try a positive number".to_owned())
        };
        match given.letter {
            's' => request.action = Action::Status,
            'n' => request.action = Action::Nodes,
            'b' => request.brief = true,
            'R' => request.action = Action::Reload,
            'L' => request.action = Action::Reopen,
            'k' => request.action = Action::Kill(node()?),
            'a' => request.action = Action::Addresses(node()?),
            'H' => request.action = Action::Shutdown,
            'F' => request.force = true,
            _ => {} // 'i' has no effect; 'h' is the default action
        }
    }
    Ok(request)
}

fn act(request: &Request, site: &Site, streams: &mut Streams<'_>) -> Result<(), (u8, String)> {
    match request.action {
        Action::Help => Ok(()),
        Action::Status | Action::Nodes => {
            let links = links(site, streams)?;
            streams.out(match request.action {
                Action::Nodes => nodes(&links),
                _ => status(&links, request.brief),
            });
            Ok(())
        }
        Action::Reload => {
            site.admin().reload().map_err(|error| {
                let status = error.status();
                (exit(status), format!("Could not reload configuration. Error {status}"))
            })?;
            streams.out("Done\n");
            Ok(())
        }
        Action::Reopen => site.admin().reopen_logs().map_err(|error| {
            let status = error.status();
            (exit(status), format!("Could not reopen corosync logging files. Error {status}"))
        }),
        Action::Kill(node) => {
            let killed = site.admin().kill(node, REASON);
            killed.map_err(|error| (1, format!("Could not kill node (error = {})", error.status())))
        }
        Action::Addresses(node) => {
            let addresses = site.admin().addresses(node);
            let addresses =
                addresses.map_err(|_| (1, format!("Could not get node address for nodeid {node}")))?;
            let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            streams.out(shown.join(" ") + "\n");
            Ok(())
        }
        Action::Shutdown => shutdown(request.force, site, streams),
    }
}

/// The daemon's status as an exit status.
fn exit(status: Status) -> u8 {
    u8::try_from(status.code()).unwrap_or(1)
}

fn shutdown(force: bool, site: &Site, streams: &mut Streams<'_>) -> Result<(), (u8, String)> {
    streams.out("Shutting down corosync\n");
    streams.flush();
    let how = if force { Shutdown::Regardless } else { Shutdown::IfAllAgree };
    let mut tries = 0;
    loop {
        match site.admin().shutdown(how) {
            Ok(()) => return Ok(()),
            Err(error) if error.status() == Status::TryAgain && tries < TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_secs(1));
            }
            Err(error) => {
                return Err((0, format!("Could not shutdown (error = {})", error.status().code())));
            }
        }
    }
}

fn links(site: &Site, streams: &mut Streams<'_>) -> Result<Links, (u8, String)> {
    let failed = |error: crate::service::client::Error| {
        (1, format!("Could not initialize corosync configuration API error {}", error.status().code()))
    };
    let links = Links::ask(site).map_err(failed)?;
    if links.reaches.is_empty() {
        return Err((1, "No nodes found in nodelist".to_owned()));
    }
    for (node, status) in &links.unknown {
        streams.err(format!("Could not get the node status for nodeid {node}, the error is: {status}\n"));
    }
    Ok(links)
}

/// The status by link: the nodes reached over each.
fn status(links: &Links, brief: bool) -> String {
    let mut text = format!("Local node ID {}, transport {}\n", links.local, links.transport);
    let Some(sample) = links.sample() else { return text };
    for (number, link) in sample.links.iter().enumerate().filter(|(_, link)| link.enabled) {
        text += &format!("LINK ID {number} {}\n\taddr\t= {}\n", links.protocol(number), link.from);
        text += if brief { "\tstatus\t= " } else { "\tstatus:\n" };
        for Reach { node, status } in &links.reaches {
            let of_link = &status.links[number];
            if brief {
                let digit = b'0' + u8::from(of_link.enabled) + 2 * u8::from(of_link.connected);
                text.push(if *node == links.local { 'n' } else { char::from(digit) });
            } else {
                let word = match (*node == links.local, of_link.connected) {
                    (true, _) => "localhost",
                    (false, true) => "connected",
                    (false, false) => "disconnected",
                };
                text += &format!("\t\tnodeid: {node:>10}:\t{word}\n");
            }
        }
        if brief {
            text.push('\n');
        }
    }
    text
}

/// The status by node: the links to each.
fn nodes(links: &Links) -> String {
    let mut text = format!("Local node ID {}, transport {}\n", links.local, links.transport);
    for Reach { node, status } in &links.reaches {
        if *node == links.local || !status.reachable {
            continue;
        }
        text += &format!("nodeid: {node} reachable");
        for (is, word) in [(status.remote, " remote"), (status.external, " external")] {
            text += if is { word } else { "" };
        }
        text.push('\n');
        text += &ways(links, status);
        text.push('\n');
    }
    text
}

fn ways(links: &Links, status: &NodeStatus) -> String {
    let mut text = String::new();
    for (number, link) in status.links.iter().enumerate().filter(|(_, link)| link.enabled) {
        let ends = if links.is_knet() { format!("{}->{}", link.from, link.to) } else { link.from.clone() };
        text += &format!("   LINK: {number} {} ({ends}) enabled", links.protocol(number));
        for (is, word) in [(link.connected, " connected"), (link.dynconnected, " dynconnected")] {
            text += if is { word } else { "" };
        }
        text += &format!(" mtu: {}\n", link.mtu);
    }
    text
}

const USAGE: &str = "\
usage: corosync-cfgtool [-s [-b] [-i ADDRESS]] [-n] [-R] [-L] [-k NODEID] [-a NODEID] [-H [--force]] [-h]

  -s, --status         by link: which nodes are reached over it
  -b, --brief          with -s: a character for each node
  -i, --if ADDRESS     accepted, without effect
  -n, --nodes          by node that is reached: its links
  -R, --reload         all nodes read their configuration again
  -L, --reopen         the daemon opens its log files again
  -k, --kill NODEID    end the daemon of a node
  -a, --address NODEID the addresses of a node
  -H, --shutdown       end the daemon of this node, if nobody objects
      --force          with -H: whoever objects
  -h                   this help
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::LinkStatus;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(std::iter::once(&"corosync-cfgtool").chain(args).map(OsString::from).collect())
    }

    #[test]
    fn the_last_action_counts() {
        assert_eq!(parsed(&["-s", "-n"]).unwrap().action, Action::Nodes);
        assert_eq!(parsed(&["-h", "-s"]).unwrap().action, Action::Status);
        assert_eq!(parsed(&["--force"]).unwrap().action, Action::Help);
        assert!(parsed(&["-Hb", "--force"]).unwrap().force);
        for bad in ["x", "0", "-1", "1x", "4294967296", "10.77.0.1"] {
            let told = parsed(&["-k", bad]).unwrap_err();
            assert_eq!(told, "The nodeid was not valid, try a positive number", "{bad}");
        }
    }

    fn link(from: &str, to: &str, connected: bool, mtu: u32) -> LinkStatus {
        let (from, to) = (from.to_owned(), to.to_owned());
        LinkStatus { enabled: true, connected, mtu, from, to, ..LinkStatus::default() }
    }

    fn reach(node: u32, reachable: bool, links: Vec<LinkStatus>) -> Reach {
        let mut status = NodeStatus { node, reachable, ..NodeStatus::default() };
        for (number, link) in links.into_iter().enumerate() {
            status.links[number] = link;
        }
        Reach { node, status }
    }

    fn udpu() -> Links {
        let reaches = vec![
            reach(1, true, vec![link("10.77.0.1", "", true, 1410)]),
            reach(2, true, vec![link("10.77.0.2", "", true, 1410)]),
            reach(3, false, vec![link("10.77.0.3", "", false, 1410)]),
        ];
        Links { local: 1, transport: "udpu".to_owned(), reaches, ..Links::default() }
    }

    /// Output of Debian 12's tool, three nodes, the third of them down.
    #[test]
    fn udpu_output_is_that_of_debians_tool() {
        let expected = "Local node ID 1, transport udpu\nLINK ID 0 \n\taddr\t= 10.77.0.3\n\tstatus:\n\
             \t\tnodeid:          1:\tlocalhost\n\t\tnodeid:          2:\tconnected\n\
             \t\tnodeid:          3:\tdisconnected\n";
        assert_eq!(status(&udpu(), false), expected);
        let brief = "Local node ID 1, transport udpu\nLINK ID 0 \n\taddr\t= 10.77.0.3\n\tstatus\t= n31\n";
        assert_eq!(status(&udpu(), true), brief);
        let expected = "Local node ID 1, transport udpu\nnodeid: 2 reachable\n   \
             LINK: 0  (10.77.0.2) enabled connected mtu: 1410\n\n";
        assert_eq!(nodes(&udpu()), expected);
    }

    /// Output of Debian 12's tool, two nodes with two links.
    #[test]
    fn knet_output_is_that_of_debians_tool() {
        let ways =
            vec![link("10.77.0.1", "10.77.0.2", true, 1446), link("10.78.0.1", "10.78.0.2", true, 1446)];
        let reaches = vec![reach(1, true, vec![link("10.77.0.1", "", true, 0)]), reach(2, true, ways)];
        let links = Links { local: 1, transport: "knet".to_owned(), reaches, ..Links::default() };
        let expected = "Local node ID 1, transport knet\nLINK ID 0 udp\n\taddr\t= 10.77.0.1\n\tstatus\t= n3\n\
             LINK ID 1 udp\n\taddr\t= 10.78.0.1\n\tstatus\t= n3\n";
        assert_eq!(status(&links, true), expected);
        let expected = "Local node ID 1, transport knet\nnodeid: 2 reachable\n   \
             LINK: 0 udp (10.77.0.1->10.77.0.2) enabled connected mtu: 1446\n   \
             LINK: 1 udp (10.78.0.1->10.78.0.2) enabled connected mtu: 1446\n\n";
        assert_eq!(nodes(&links), expected);
    }

    /// Output of Debian 12's tool.
    #[test]
    fn output_of_a_single_node_is_that_of_debians_tool() {
        let reaches = vec![reach(1, true, vec![link("10.77.0.1", "", true, 1410)])];
        let links = Links { local: 1, transport: "udpu".to_owned(), reaches, ..Links::default() };
        let brief = "Local node ID 1, transport udpu\nLINK ID 0 \n\taddr\t= 10.77.0.1\n\tstatus\t= n\n";
        assert_eq!(status(&links, true), brief);
        assert_eq!(nodes(&links), "Local node ID 1, transport udpu\n");
    }
}
