//! `corosync-cpgtool`: groups and their members.
//!
//! Source: corosync-cpgtool(8). Exit status: 0; 1 for an error.

use std::ffi::OsString;
use std::net::IpAddr;

use super::c::escaped;
use crate::cli::getopt::{Getopt, Grammar};
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::cpg::{GroupName, Member};

const GRAMMAR: Grammar = Grammar { short: "hd:ne", long: &[] };

#[derive(Clone, Copy, Debug, Default)]
struct Style {
    /// Delimiter between fields; without one, columns are printed.
    delimiter: Option<u8>,
    names: bool,
    /// Whether names are printed unchanged.
    raw: bool,
}

/// Runs the tool; `args` begin with the program's name.
pub(super) fn run(args: Vec<OsString>, site: &Site, streams: &mut Streams<'_>) -> u8 {
    let mut style = Style::default();
    for given in Getopt::new(args, GRAMMAR) {
        match given {
            Ok(given) => match given.letter {
                // Only the first byte of a longer delimiter is used.
                'd' => style.delimiter = given.value.first().copied(),
                'n' => style.names = true,
                'e' => style.raw = true,
                _ => {
                    streams.out(USAGE);
                    return 0;
                }
            },
            Err(complaint) => return streams.fail(1, complaint),
        }
    }
    let groups = match site.cpg().groups_in_order() {
        Ok(groups) => groups,
        Err(error) => {
            let number = error.status().code();
            return streams.fail(1, format!("Could not initialize corosync cpg API error {number}"));
        }
    };
    streams.out(listing(&groups, style, |member| site.admin().addresses(member.node).unwrap_or_default()));
    0
}

fn listing(
    groups: &[(GroupName, Vec<Member>)],
    style: Style,
    addresses: impl Fn(&Member) -> Vec<IpAddr>,
) -> Vec<u8> {
    let mut text = Vec::new();
    let name = |group: &GroupName| {
        if style.raw { group.as_bytes().to_vec() } else { escaped(group.as_bytes()).into_bytes() }
    };
    if style.names {
        for (group, _) in groups {
            text.extend_from_slice(&name(group));
            text.push(style.delimiter.unwrap_or(b'\n'));
        }
        if style.delimiter.is_some() {
            text.push(b'\n');
        }
        return text;
    }
    if let Some(delimiter) = style.delimiter {
        for (place, word) in ["GRP_NAME", "PID", "NODEID"].into_iter().enumerate() {
            text.extend((place > 0).then_some(delimiter));
            text.extend_from_slice(word.as_bytes());
        }
        text.push(b'\n');
        for (group, members) in groups {
            for member in members {
                text.extend_from_slice(&name(group));
                for number in [member.pid, member.node.get()] {
                    text.push(delimiter);
                    text.extend_from_slice(number.to_string().as_bytes());
                }
                text.push(b'\n');
            }
        }
        return text;
    }
    text.extend_from_slice(b"Group Name\t       PID\t   Node ID\n");
    for (group, members) in groups {
        text.extend_from_slice(&name(group));
        text.push(b'\n');
        for member in members {
            let addresses: Vec<String> = addresses(member).iter().map(ToString::to_string).collect();
            let (pid, node, addresses) = (member.pid, member.node.get(), addresses.join(" "));
            text.extend_from_slice(format!("\t\t{pid:>10}\t{node:>10} ({addresses})\n").as_bytes());
        }
    }
    text
}

const USAGE: &str = "\
usage: corosync-cpgtool [-d DELIMITER] [-e] [-n] [-h]

  -d DELIMITER  put this between fields instead of columns
  -e            show names of groups as they are, whatever they hold
  -n            the names of the groups alone
  -h            this help
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    fn shown(style: Style) -> String {
        let group = |name: &[u8], members: &[(u32, u32)]| {
            let members =
                members.iter().map(|(node, pid)| Member { node: NodeId::new(*node).unwrap(), pid: *pid });
            (GroupName::new(name).unwrap(), members.collect())
        };
        let groups = [
            group(b"sp ace\ttab\x01\xff~", &[(1, 16982)]),
            group(b"crmd\0", &[(1, 16982)]),
            group(b"grp", &[(1, 16982), (2, 16995)]),
        ];
        let at = |member: &Member| vec![IpAddr::from([10, 77, 0, member.node.get() as u8])];
        String::from_utf8_lossy(&listing(&groups, style, at)).into_owned()
    }

    /// Output of Debian 12's tool.
    #[test]
    fn groups_are_printed_as_by_debians_tool() {
        let expected = "Group Name\t       PID\t   Node ID\nsp ace\\x09tab\\x01\\xFFFFFFFF~\n\
             \t\t     16982\t         1 (10.77.0.1)\ncrmd\\x00\n\t\t     16982\t         1 (10.77.0.1)\n\
             grp\n\t\t     16982\t         1 (10.77.0.1)\n\t\t     16995\t         2 (10.77.0.2)\n";
        assert_eq!(shown(Style::default()), expected);
        let delimited = Style { delimiter: Some(b','), ..Style::default() };
        let expected = "GRP_NAME,PID,NODEID\nsp ace\\x09tab\\x01\\xFFFFFFFF~,16982,1\ncrmd\\x00,16982,1\n\
             grp,16982,1\ngrp,16995,2\n";
        assert_eq!(shown(delimited), expected);
        let names = Style { names: true, ..delimited };
        assert_eq!(shown(names), "sp ace\\x09tab\\x01\\xFFFFFFFF~,crmd\\x00,grp,\n");
        let raw = Style { names: true, raw: true, delimiter: None };
        assert_eq!(shown(raw), "sp ace\ttab\x01\u{fffd}~\ncrmd\0\ngrp\n");
    }
}
