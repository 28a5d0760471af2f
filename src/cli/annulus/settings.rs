//! The manual page of the configuration, from the table of all settings.

use clap_mangen::roff::{Roff, bold, roman};

use super::manual::{references, term};
use crate::config::keys::{KEYS, Key, Kind, Reload};

/// The name of the page, and the manual section for file formats.
pub(super) const NAME: &str = "corosync.toml";
pub(super) const SECTION: &str = "5";

/// Writes the whole page.
pub(super) fn page(roff: &mut Roff) {
    let source = format!("annulus {}", env!("CARGO_PKG_VERSION"));
    roff.control("TH", [NAME, SECTION, "", &source, "annulus"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("corosync.toml, corosync.conf - configuration of annulusd")]);
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
    roff.control("SH", ["SETTINGS"]);
    let mut section = "";
    for key in KEYS {
        let own = key.name.rsplit_once('.').map_or("", |(section, _)| section);
        if own != section {
            section = own;
            roff.control("SS", [heading(section).as_str()]);
        }
        setting(roff, key);
    }
    for (section, what) in OTHERS {
        roff.control("SS", [*section]);
        roff.text([roman(*what)]);
    }
    roff.control("SH", ["FILES"]);
    for (file, what) in FILES {
        term(roff, file, what);
    }
    roff.control("SH", ["EXAMPLES"]);
    roff.text([roman(
        "A cluster of two hosts with two links, encrypted with /etc/corosync/authkey, in TOML:",
    )]);
    roff.control("PP", []);
    roff.control("EX", []);
    for line in EXAMPLE.lines() {
        roff.text([roman(line)]);
    }
    roff.control("EE", []);
    references(
        roff,
        &[
            "annulusd(8)",
            "annulus(8)",
            "annulus-check(8)",
            "annulus-convert(8)",
            "corosync.conf(5)",
            "votequorum(5)",
        ],
    );
}

/// The header of a section in TOML.
fn heading(section: &str) -> String {
    match section {
        "totem.interface.*" | "nodelist.node.*" => format!("[[{}]]", section.trim_end_matches(".*")),
        _ => format!("[{}]", section.replace('*', "NAME")),
    }
}

fn setting(roff: &mut Roff, key: &Key) {
    roff.control("TP", []);
    roff.text([bold(key.name)]);
    roff.text([roman(key.what)]);
    let mut facts = vec![format!("Type: {}.", kind(key))];
    if let Some(unit) = key.unit() {
        facts.push(format!("Unit: {unit}."));
    }
    facts.push(match key.default {
        "" => "No default.".to_owned(),
        default => format!("Default: {default}."),
    });
    facts.push(
        match key.reload {
            Reload::Yes => "Reload: takes effect.",
            Reload::No => "Reload: taken over, takes effect at the next start.",
            Reload::Refused => "Reload: the old value stays until the next start, and a notice is logged.",
        }
        .to_owned(),
    );
    facts.push(format!("Source: {}.", key.source()));
    roff.control("br", []);
    roff.text([roman(facts.join(" "))]);
}

fn kind(key: &Key) -> String {
    match (key.kind.range(), key.words) {
        (Some((least, most)), _) => format!("{}, {least} to {most}", word(key.kind)),
        (None, []) => "text".to_owned(),
        (None, words) => format!("one of {}", words.join(", ")),
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::U8 => "u8",
        Kind::U16 => "u16",
        Kind::I32 => "i32",
        Kind::U32 => "u32",
        Kind::U64 => "u64",
        Kind::Text => "text",
    }
}

const DESCRIPTION: &[&str] = &[
    "annulusd reads its configuration from corosync.conf, in the form that Corosync reads, or from a file whose name ends \
     in .toml. Both have the same settings under the same names, which are those of the configuration database as well; \
     annulus-convert(8) turns one into the other.",
    "In corosync.conf a name such as totem.token is the key token in the section totem. In TOML it is the key token in the \
     table [totem]; each node is a table [[nodelist.node]], each link a table [[totem.interface]] with its linknumber, \
     each subsystem of the log a table [logging.logger_subsys.NAME]. Settings that are yes or no, or on or off, take true \
     and false as well. In a name below, * stands for a number or a name.",
    "In TOML an unknown name is an error; in corosync.conf it is kept in the database and has no effect.",
    "A file in TOML for transport knet that has none of crypto_cipher, crypto_hash and secauth means aes256 and sha256, and \
     needs a key (see annulus-keygen(8)); a corosync.conf that has none of them means that nothing is encrypted, as with \
     Corosync. annulus-convert(8) writes what is meant.",
];

/// Sections that are not in the table of settings.
const OTHERS: &[(&str, &str)] = &[
    (
        "[uidgid]",
        "Who, besides root, may use the daemon: uid and gid, each a name or number, in TOML also a list of them. Reload: \
         takes effect.",
    ),
    (
        "[quorum.device.net], [quorum.device.heuristics], [resources.process], [nozzle], [pload]",
        "Any key may stand here; other programs read them.",
    ),
    (
        "[other]",
        "In TOML: settings that have no place of their own, under their full names, as corosync.conf had them.",
    ),
];

const FILES: &[(&str, &str)] = &[
    ("/etc/corosync/corosync.conf", "Read by default."),
    ("/etc/corosync/corosync.toml", "Read with annulusd --config /etc/corosync/corosync.toml."),
    ("/etc/corosync/uidgid.d/", "Beside a corosync.conf: further sections uidgid, one or several a file."),
    ("/etc/corosync/authkey", "The key of the cluster; see totem.keyfile."),
];

const EXAMPLE: &str = "\
[totem]
cluster_name = \"pair\"

[[nodelist.node]]
nodeid = 1
name = \"one\"
ring0_addr = \"10.0.0.1\"
ring1_addr = \"10.1.0.1\"

[[nodelist.node]]
nodeid = 2
name = \"two\"
ring0_addr = \"10.0.0.2\"
ring1_addr = \"10.1.0.2\"

[quorum]
provider = \"corosync_votequorum\"
two_node = true";
