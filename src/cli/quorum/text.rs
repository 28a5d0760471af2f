//! The report as Corosync's tool prints it, to the byte.
//!
//! Source: corosync-quorumtool(8) and outputs of Debian 12's tool.

use std::fmt::Write;

use super::report::{Member, Report, device_word, flags};

/// The style of the output.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cli) struct Style {
    /// Whether node ids are printed in hexadecimal.
    pub(in crate::cli) hex: bool,
    /// Whether the column of the quorum device is always printed.
    pub(in crate::cli) machine: bool,
}

/// The three blocks of the status. `date` is as from `ctime`, without a line end.
pub(in crate::cli) fn status(report: &Report, date: &str, style: Style) -> String {
    let mut text = String::new();
    let ring = match &report.votes {
        Some(_) => report.ring.to_string(),
        None => format!("{:x}", report.ring.seq),
    };
    let provider = report.provider.as_deref().unwrap_or_default();
    let id = if style.hex { format!("0x{:08x}", report.local) } else { report.local.to_string() };
    let quorate = if report.quorate { "Yes" } else { "No" };
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        text,
        "Quorum information\n------------------\n\
         Date:             {date}\n\
         Quorum provider:  {provider}\n\
         Nodes:            {}\n\
         Node ID:          {id}\n\
         Ring ID:          {ring}\n\
         Quorate:          {quorate}\n",
        report.members.len(),
    );
    if let Some(votes) = &report.votes {
        let words: String = flags(votes).into_iter().map(|word| format!("{word} ")).collect();
        let blocked = if votes.quorate { " " } else { "Activity blocked" };
        let _ = write!(
            text,
            "\nVotequorum information\n----------------------\n\
             Expected votes:   {}\n\
             Highest expected: {}\n\
             Total votes:      {}\n\
             Quorum:           {} {blocked}\n\
             Flags:            {words}\n",
            votes.expected_votes, votes.highest_expected, votes.total_votes, votes.quorum,
        );
    }
    text + &list(report, style)
}

/// The block with the members, after an empty line.
pub(in crate::cli) fn list(report: &Report, style: Style) -> String {
    let device = style.machine || report.has_device();
    let mut text = "\nMembership information\n----------------------\n    Nodeid ".to_owned();
    let Some(own) = &report.votes else {
        text += "Name\n";
        for member in &report.members {
            let _ = writeln!(text, "{}{}", id(member.id, style), name(member, report.local));
        }
        return text;
    };
    text += if device { "     Votes    Qdevice Name\n" } else { "     Votes Name\n" };
    for member in &report.members {
        let Some(votes) = &member.votes else {
            let _ = writeln!(text, "Unable to get node {} info", member.id);
            continue;
        };
        let _ = write!(text, "{}{:>10} ", id(member.id, style), votes.votes);
        if device {
            let _ = write!(text, "{:>10} ", device_word(&votes.device));
        }
        let _ = writeln!(text, "{}", name(member, report.local));
    }
    if report.has_device() {
        let device = &own.device;
        let counted = if device.casts_vote { device.votes } else { 0 };
        let _ = write!(text, "{}{counted:>10} {:>10} {}", id(0, style), "", device.name);
        if !device.casts_vote {
            let _ = write!(text, " (votes {})", device.votes);
        }
        text.push('\n');
    }
    text
}

fn id(id: u32, style: Style) -> String {
    if style.hex { format!("0x{id:08x} ") } else { format!("{id:>10} ") }
}

fn name(member: &Member, local: u32) -> String {
    let suffix = if member.id == local { " (local)" } else { "" };
    format!("{}{suffix}", member.names.join(", "))
}
