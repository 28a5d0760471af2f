//! An accepted configuration can be started; every refusal and warning names its file and line, whichever setting it
//! concerns.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::host::{Host, LocalAddress};
use crate::config::keys::{KEYS, Key, Kind};
use crate::config::os::OsHost;
use crate::ids::{Destination, NodeId, Seq};
use crate::time::Instant;
use crate::totem::{Input, Output, Params, RESERVE, Totem};
use crate::view::ViewKind;

fn read(text: &str, format: Format) -> Result<Config, ConfigError> {
    match format {
        Format::Conf => Config::from_conf(text.as_bytes(), Path::new("test.conf"), &OsHost),
        Format::Toml => Config::from_toml(text.as_bytes(), Path::new("test.toml"), &OsHost),
    }
}

/// The result of reading and inspecting a file: the refusal, or all warnings and notes.
fn said(text: &str, format: Format) -> String {
    match read(text, format).and_then(|config| inspect(&config)) {
        Ok(inspection) => inspection.remarks().join("\n"),
        Err(error) => error.to_string(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Conf,
    Toml,
}

/// An invalid value for a setting, if there is one.
enum Bad {
    /// The value, and settings of section totem that it needs to be checked.
    Value(&'static str, &'static [(&'static str, &'static str)]),
    /// No value is invalid, or only `look_at_host` can tell.
    Any,
}

fn bad(key: &Key) -> Bad {
    let no_transport: &[_] = &[];
    match key.name {
        "totem.keyfile" => Bad::Value("/nonexistent/key", &[("transport", "knet"), ("secauth", "on")]),
        "totem.key" => Bad::Value("short", &[("transport", "knet"), ("secauth", "on")]),
        "totem.interface.*.bindnetaddr" => Bad::Value("no.such.host.invalid", &[]),
        "totem.interface.*.mcastaddr" => Bad::Value("10.0.0.9", &[("transport", "udp")]),
        "quorum.provider" => Bad::Value("corosync_ykd", no_transport),
        "quorum.auto_tie_breaker_node" => Bad::Value("middle", no_transport),
        "system.priority" => Bad::Value("urgent", no_transport),
        name if name.starts_with("nodelist.node.*.ring") => Bad::Value("no.such.host.invalid", no_transport),
        "totem.cluster_name" | "totem.rrp_mode" | "nodelist.node.*.name" | "quorum.device.model" => Bad::Any,
        "logging.logfile" | "logging.logger_subsys.*.logfile" | "logging.logger_subsys.*.subsys" => Bad::Any,
        "system.state_dir" | "resources.watchdog_device" => Bad::Any,
        name if name.starts_with("resources.") && key.kind == Kind::Text => Bad::Any,
        _ => Bad::Value("nonsense", no_transport),
    }
}

/// A file with valid settings, of which a test changes one.
struct File {
    sections: Vec<(&'static str, Vec<(String, String)>)>,
}

impl File {
    fn new(totem: &[(&str, &str)]) -> Self {
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut file = Self {
            sections: vec![
                ("totem", own(&[("version", "2"), ("transport", "udpu"), ("cluster_name", "x")])),
                ("totem.interface", Vec::new()),
                ("nodelist.node", own(&[("ring0_addr", "127.0.0.1"), ("nodeid", "1")])),
                ("quorum", own(&[("provider", "corosync_votequorum"), ("auto_tie_breaker", "1")])),
                ("quorum.device", Vec::new()),
                ("logging", Vec::new()),
                ("logging.logger_subsys", Vec::new()),
                ("system", Vec::new()),
                ("resources", Vec::new()),
                ("resources.system.memory_used", Vec::new()),
                ("resources.system.load_15min", Vec::new()),
            ],
        };
        for (key, value) in totem {
            file.set("totem", key, value);
        }
        file
    }

    fn set(&mut self, section: &str, key: &str, value: &str) {
        let (_, items) = self.sections.iter_mut().find(|(name, _)| *name == section).unwrap();
        items.retain(|(own, _)| own != key);
        items.push((key.to_owned(), value.to_owned()));
    }

    /// Splits the name of a setting into its section and key.
    fn place(name: &str) -> (&str, &str) {
        let (path, key) = name.rsplit_once('.').unwrap();
        (path.strip_suffix(".*").unwrap_or(path), key)
    }

    fn write(&self, format: Format) -> String {
        let mut text = String::new();
        for (section, items) in self.sections.iter().filter(|(_, items)| !items.is_empty()) {
            let parts: Vec<&str> = section.split('.').collect();
            match format {
                Format::Conf => parts.iter().for_each(|part| text += &format!("{part} {{\n")),
                Format::Toml => {
                    text += &match *section {
                        "totem.interface" | "nodelist.node" => format!("[[{section}]]\n"),
                        "logging.logger_subsys" => "[logging.logger_subsys.CPG]\n".to_owned(),
                        section => format!("[{section}]\n"),
                    }
                }
            }
            if *section == "logging.logger_subsys" && format == Format::Conf {
                text += "subsys: CPG\n";
            }
            for (key, value) in items {
                let number = value.parse::<u32>().is_ok();
                text += &match format {
                    Format::Conf => format!("{key}: {value}\n"),
                    Format::Toml if number => format!("{key} = {value}\n"),
                    Format::Toml => format!("{key} = {value:?}\n"),
                };
            }
            if format == Format::Conf {
                text += &"}\n".repeat(parts.len());
            }
        }
        text
    }
}

#[test]
fn an_invalid_value_of_any_setting_is_reported_with_file_and_line() {
    let mut any = Vec::new();
    for key in KEYS {
        let Bad::Value(value, more) = bad(key) else {
            any.push(key.name);
            continue;
        };
        let (section, own) = File::place(key.name);
        let mut file = File::new(more);
        if key.name.ends_with("bindnetaddr") {
            // Otherwise the node list would override the setting.
            file.sections.retain(|(name, _)| *name != "nodelist.node");
        }
        file.set(section, own, value);
        for (format, name) in [(Format::Conf, "test.conf"), (Format::Toml, "test.toml")] {
            let text = file.write(format);
            let line =
                1 + text.lines().position(|line| line.starts_with(own) && line.contains(value)).unwrap();
            let said = said(&text, format);
            assert!(said.contains(&format!("{name}:{line}")), "{}, line {line}:\n{text}\n{said}", key.name);
        }
    }
    assert_eq!(any.len(), 13, "each of these is a text that may be anything: {any:?}");
}

/// Settings that the quorum service or the transport refuses are refused by a check, with their places.
#[test]
fn a_check_refuses_what_a_start_refuses_and_names_every_place() {
    let quorum = |more: &[(&str, &str)], device: &[(&str, &str)]| {
        let mut file = File::new(&[]);
        file.set("quorum", "auto_tie_breaker", "0");
        more.iter().for_each(|(key, value)| file.set("quorum", key, value));
        device.iter().for_each(|(key, value)| file.set("quorum.device", key, value));
        file
    };
    let totem = |more: &[(&str, &str)], link: &[(&str, &str)]| {
        let mut file = File::new(more);
        link.iter().for_each(|(key, value)| file.set("totem.interface", key, value));
        file
    };
    let net = &[("model", "net"), ("votes", "1")];
    for (file, kind, message, keys) in [
        (
            quorum(&[("two_node", "1")], net),
            ErrorKind::Quorum,
            "two_node and quorum device cannot be configured at the same time!",
            &["two_node", "model"][..],
        ),
        (
            quorum(&[("allow_downscale", "1")], net),
            ErrorKind::Quorum,
            "quorum.device is not compatible with allow_downscale",
            &["allow_downscale", "model"],
        ),
        (
            quorum(&[("expected_votes", "3")], &[("model", "net")]),
            ErrorKind::Quorum,
            "quorum.device.votes must be specified when quorum.expected_votes is set",
            &["expected_votes", "model"],
        ),
        (
            quorum(&[("expected_votes", "2")], &[("model", "net"), ("votes", "1")]),
            ErrorKind::Quorum,
            "quorum.device.votes is too high or expected_votes is too low",
            &["expected_votes", "votes"],
        ),
        (
            quorum(&[("provider", "corosync_ykd")], &[]),
            ErrorKind::Quorum,
            "Invalid quorum provider",
            &["provider"],
        ),
        (
            totem(&[("netmtu", "256")], &[]),
            ErrorKind::Rule,
            "netmtu refused: it is 256; give 576 to 65507",
            &["netmtu"],
        ),
        (totem(&[("netmtu", "66000")], &[]), ErrorKind::Rule, "netmtu refused", &["netmtu"]),
        (
            totem(&[("window_size", "100000")], &[]),
            ErrorKind::Rule,
            "window_size parameter (100000)",
            &["window_size"],
        ),
        (totem(&[("transport", "udp")], &[("ttl", "0")]), ErrorKind::Rule, "ttl refused: it is 0", &["ttl"]),
        (
            totem(&[("transport", "udp")], &[("mcastport", "1")]),
            ErrorKind::Rule,
            "mcastport refused: it is 1",
            &["mcastport"],
        ),
        (
            totem(&[("transport", "knet"), ("secauth", "off")], &[("knet_transport", "sctp")]),
            ErrorKind::Unsupported,
            "knet_transport sctp",
            &["knet_transport"],
        ),
    ] {
        for format in [Format::Conf, Format::Toml] {
            let text = file.write(format);
            let error = read(&text, format).and_then(|config| inspect(&config).map(drop)).unwrap_err();
            assert!(error.message.contains(message), "{error}");
            assert_eq!(error.kind, kind, "{error}");
            for key in keys {
                let line = 1 + text.lines().position(|line| line.starts_with(key)).unwrap();
                assert!(error.to_string().contains(&format!(":{line}")), "{key} in line {line}: {error}");
            }
        }
    }
}

#[test]
fn strict_mode_refuses_warnings() {
    let mut file = File::new(&[]);
    file.set("quorum", "auto_tie_breaker", "0");
    let plain = inspect(&read(&file.write(Format::Conf), Format::Conf).unwrap()).unwrap();
    let remarks = plain.remarks();
    assert!(remarks[0].starts_with("# note: the cluster runs unencrypted, as transport udpu"), "{remarks:?}");
    assert!(remarks[0].contains("totem.transport = udpu at test.conf:") && remarks.len() == 1, "{remarks:?}");
    plain.strictly().unwrap();
    // A rule with a drawback may be intended.
    file.set("quorum", "allow_downscale", "1");
    let priced = inspect(&read(&file.write(Format::Conf), Format::Conf).unwrap()).unwrap();
    assert!(priced.remarks()[0].starts_with("# note: quorum.allow_downscale is incomplete"), "{priced:?}");
    priced.strictly().unwrap();
    file.set("quorum", "two_node", "1");
    let wrong = inspect(&read(&file.write(Format::Conf), Format::Conf).unwrap()).unwrap();
    let error = wrong.strictly().unwrap_err();
    assert_eq!(error.exit_status(), 8);
    let told = error.to_string();
    let place = "quorum.two_node = 1 at test.conf:";
    assert!(
        told.starts_with("refused by --strict: quorum.two_node with 1 nodes") && told.contains(place),
        "{told}"
    );
}

#[test]
fn log_files_are_checked_and_none_is_created() {
    let dir = tempfile::tempdir().unwrap();
    let with = |file: &Path, used: &str| {
        let mut text = File::new(&[]);
        text.set("logging", "to_logfile", used);
        text.set("logging", "logfile", file.to_str().unwrap());
        text.set("totem.interface", "mcastport", "0");
        let config = read(&text.write(Format::Conf), Format::Conf).unwrap();
        let mut inspection = inspect(&config).unwrap();
        let outcome = inspection.look_at_host(&config, Some(dir.path()));
        outcome.map(|()| inspection)
    };
    let missing = dir.path().join("gone/log");
    let error = with(&missing, "yes").unwrap_err();
    assert_eq!(error.exit_status(), 7);
    assert_eq!(
        error.message,
        format!("Can't open logfile '{}' for reason: No such file or directory (2)", missing.display())
    );
    let unused = with(&missing, "no").unwrap();
    let told = unused.warnings.iter().find(|warning| warning.starts_with("the folder of the log file"));
    assert!(
        told.is_some_and(|told| told.contains("logging.logfile = ") && told.contains("test.conf:")),
        "{unused:?}"
    );
    assert_eq!(with(dir.path(), "yes").unwrap_err().exit_status(), 7, "a folder is no file");
    let fresh = dir.path().join("log");
    with(&fresh, "yes").unwrap();
    assert!(!fresh.exists());
    std::fs::write(&fresh, "one\n").unwrap();
    with(&fresh, "yes").unwrap();
    assert_eq!(std::fs::read_to_string(&fresh).unwrap(), "one\n");
}

/// Runs a ring of one node with these settings: it forms, and goes on for some rotations of the token.
fn forms(plan: &Plan) {
    let me = plan.options.me;
    let params = Params {
        me,
        timeouts: plan.timeouts.clone(),
        netmtu: plan.options.netmtu,
        ring_seq: 0,
        stored: RESERVE,
        life: 1,
        origin: Seq(0),
    };
    let mut now = Instant::ZERO;
    let mut totem = Totem::new(params, now);
    let (mut formed, mut stored, mut looped) = (false, Vec::new(), VecDeque::new());
    totem.handle_input(now, Input::Timeout);
    for _ in 0..400 {
        let wake = loop {
            match totem.poll_output() {
                Output::Send(Destination::Node(to), frame) if to == me => looped.push_back(frame),
                Output::Send(..) | Output::Deliver(_) | Output::TokenSent | Output::Probe(_) => {}
                Output::Store(up_to) => stored.push(up_to),
                Output::View(view) => formed |= view.kind == ViewKind::Regular && view.members == [me],
                Output::Wait(wake) => break wake,
            }
        };
        if let Some(up_to) = stored.pop() {
            totem.handle_input(now, Input::Stored(up_to));
        } else if let Some(frame) = looped.pop_front() {
            totem.handle_input(now, Input::Datagram(&frame));
        } else if let Some(at) = wake {
            now = now.max(at);
            totem.handle_input(now, Input::Timeout);
        } else {
            break;
        }
    }
    // With long timeouts that restart short ones, forming the ring takes more steps than these.
    let timeouts = &plan.timeouts;
    let soon = timeouts.consensus <= timeouts.join * 20 && timeouts.send_join <= timeouts.join;
    assert!(formed || !soon, "no ring of one node: {timeouts:?}");
}

/// Any number, with a preference for limits.
fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), 2u32..200, 200u32..20_000, any::<u32>(), Just(u32::MAX), Just(u32::MAX - 1)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 300 } else { 3000 }))]

    /// Whatever is accepted can be started: the daemon's parts, without sockets, accept it and a ring forms.
    #[test]
    fn an_accepted_configuration_can_be_started(
        numbers in proptest::collection::vec((0usize..KEYS.len(), numbers()), 0..5),
        words in proptest::collection::vec((0usize..KEYS.len(), any::<proptest::sample::Index>()), 0..4),
        transport in 0usize..3,
        others in 0usize..4,
    ) {
        let transport = ["udp", "udpu", "knet"][transport];
        let mut file = File::new(&[("transport", transport)]);
        let numeric: Vec<&Key> = KEYS.iter().filter(|key| key.kind != Kind::Text).collect();
        let worded: Vec<&Key> = KEYS.iter().filter(|key| !key.words.is_empty()).collect();
        for (index, number) in numbers {
            let key = numeric[index % numeric.len()];
            let (section, own) = File::place(key.name);
            let most = key.kind.range().map_or(0, |(_, most)| most);
            // Mostly within the setting's range.
            let number = i128::from(number).min(most).to_string();
            file.set(section, own, &number);
        }
        for (index, word) in words {
            let key = worded[index % worded.len()];
            if key.name == "totem.transport" { continue; }
            let (section, own) = File::place(key.name);
            file.set(section, own, key.words[word.index(key.words.len())]);
        }
        let mut text = file.write(Format::Conf) + "nodelist {\n";
        // This begins a second node list: its first node is the one above, with its settings.
        text += "node {\n}\n";
        for other in 0..others {
            text += &format!("node {{\nring0_addr: 127.0.0.{}\nnodeid: {}\n}}\n", other + 2, other + if transport == "knet" { 700 } else { 70_000 });
        }
        text += "}\n";
        let Ok(config) = read(&text, Format::Conf) else { return Ok(()) };
        let Ok(inspection) = inspect(&config) else { return Ok(()) };
        let plan = inspection.builder.clone().plan().unwrap();
        plan.options.check().unwrap();
        plan.try_stack().unwrap();
        forms(&plan);
        prop_assert!(NodeId::new(plan.options.me.get()).is_some());
    }
}

/// A host with the same link-local address on two interfaces.
struct TwoCards;

impl Host for TwoCards {
    fn name(&self) -> String {
        "n1".to_owned()
    }

    fn addresses(&self) -> Vec<LocalAddress> {
        let card = |interface: &str, index| LocalAddress {
            interface: interface.to_owned(),
            index,
            address: "fe80::1".parse().unwrap(),
            prefix: 64,
            up: true,
        };
        vec![card("eth0", 2), card("eth1", 3)]
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        name.parse().ok().into_iter().collect()
    }

    fn reverse(&self, _: IpAddr) -> Option<String> {
        None
    }

    fn user(&self, _: &str) -> Option<u32> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

#[test]
fn settings_of_links_reach_the_transport() {
    let mut file = File::new(&[("transport", "knet"), ("knet_mtu", "1400")]);
    file.set("nodelist.node", "ring1_addr", "127.0.1.1");
    file.set("nodelist.node", "name", "a");
    for format in [Format::Conf, Format::Toml] {
        if format == Format::Toml {
            file.set("totem", "crypto_cipher", "none");
        }
        let inspection = inspect(&read(&file.write(format), format).unwrap()).unwrap();
        assert!(inspection.warnings[0].starts_with("the cluster runs unencrypted"), "{inspection:?}");
        let crate::transport::Kind::Knet(knet) = &inspection.plan.options.kind else {
            panic!("{inspection:?}")
        };
        assert_eq!(knet.settings.links.iter().flatten().count(), 2);
        assert_eq!((knet.settings.mtu, knet.crypto.is_none()), (Some(1400), true));
        assert_eq!(inspection.plan.options.netmtu, 65_536);
        assert_eq!(inspection.plan.addresses[&inspection.plan.options.me].len(), 2);
    }
    // An address that no host can have is refused with its line, also on another link.
    for wrong in ["0.0.0.0", "239.1.1.1"] {
        file.set("nodelist.node", "ring1_addr", wrong);
        let text = file.write(Format::Conf);
        let line = 1 + text.lines().position(|line| line.contains("ring1_addr")).unwrap();
        let told = said(&text, Format::Conf);
        assert!(told.contains(&format!("ring1_addr refused: {wrong} of node 1")), "{told}");
        assert!(told.contains(&format!("test.conf:{line}")), "{told}");
        let config = read(&text, Format::Conf).unwrap();
        assert!(inspect_reload(&config).unwrap_err().to_string().contains("ring1_addr refused"));
    }
}

/// One link may be down at the start, as the other one works.
#[test]
fn a_link_whose_address_is_on_no_interface_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = File::new(&[("transport", "knet")]);
    file.set("nodelist.node", "ring1_addr", "192.0.2.1");
    file.set("nodelist.node", "name", "a");
    let text = file.write(Format::Conf);
    let config = read(&text, Format::Conf).unwrap();
    let mut inspection = inspect(&config).unwrap();
    inspection.look_at_host(&config, Some(dir.path())).unwrap();
    let line = 1 + text.lines().position(|line| line.contains("ring1_addr")).unwrap();
    let told = inspection.warnings.last().unwrap();
    assert!(told.starts_with("link 1 cannot be used now: address 192.0.2.1 is not on this host"), "{told}");
    assert!(told.contains(&format!("nodelist.node.0.ring1_addr at test.conf:{line}")), "{told}");
}

#[test]
fn the_interface_of_a_link_local_address_reaches_the_transport() {
    for own in ["fe80::1%eth1", "fe80::1%3"] {
        let mut file = File::new(&[]);
        file.set("nodelist.node", "ring0_addr", own);
        for (format, name) in [(Format::Conf, "test.conf"), (Format::Toml, "test.toml")] {
            let text = file.write(format);
            let config = match format {
                Format::Conf => Config::from_conf(text.as_bytes(), Path::new(name), &TwoCards),
                Format::Toml => Config::from_toml(text.as_bytes(), Path::new(name), &TwoCards),
            };
            let options = inspect(&config.unwrap()).unwrap().plan.options;
            assert_eq!(options.interface.as_deref(), Some("eth1"), "{own}");
            assert_eq!(options.address, "fe80::1".parse::<IpAddr>().unwrap());
        }
    }
}
