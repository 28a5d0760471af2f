//! The TOML format, compared with `corosync.conf` and alone.

use super::super::keys::KEYS;
use super::super::map::{Origin, Value};
use super::*;

const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/corosync.toml.example"));

const NODES: &str = "[[node]]\nring0_addr = \"10.0.0.1\"\nnodeid = 1\nname = \"n1\"\n\
                     [[node]]\nring0_addr = \"10.0.0.2\"\nnodeid = 2\nname = \"n2\"\n";

#[test]
fn both_formats_have_the_same_meaning() {
    let more = "token: 1000\nblock_unlisted_ips: no\ninterface {\nttl: 3\n}";
    let rest = "quorum {\nprovider: corosync_votequorum\ntwo_node: 1\ndevice {\nmodel: net\nnet {\nhost: q\n}\n}\n}\n\
                logging {\nto_syslog: no\nlogger_subsys {\nsubsys: CPG\ndebug: trace\n}\n}\n\
                uidgid {\nuid: hacluster\ngid: 12\n}\nsystem {\nsched_rr: no\npriority: -5\n}\n\
                resources {\nsystem {\nmemory_used {\nmax: 90\n}\n}\n}\n";
    let one = conf(two_nodes("udp", more) + rest).unwrap();
    let other = toml(format!(
        "[totem]\ncluster_name = \"test\"\ntransport = \"udp\"\ntoken = 1_000\nversion = 2\n\
         block_unlisted_ips = false\n[[totem.interface]]\nttl = 3\n{NODES}\
         [quorum]\nprovider = \"corosync_votequorum\"\ntwo_node = true\n[quorum.device]\nmodel = \"net\"\n\
         [quorum.device.net]\nhost = \"q\"\n[logging]\nto_syslog = false\n\
         logger_subsys.CPG.debug = \"trace\"\n[uidgid]\nuid = \"hacluster\"\ngid = [12]\n\
         [system]\nsched_rr = false\npriority = -5\n[resources.system.memory_used]\nmax = 90\n",
    ))
    .unwrap();
    let values = |config: &Config| -> Vec<(String, Value)> {
        config.map.iter().map(|(name, entry)| (name.to_owned(), entry.value.clone())).collect()
    };
    assert_eq!(values(&one), values(&other));
    assert_eq!(one.totem, other.totem);
    assert_eq!(one.nodes, other.nodes);
    assert_eq!(one.logging, other.logging);
    assert_eq!(one.quorum, other.quorum);
    assert_eq!(one.system.priority().unwrap(), Some(super::super::system::SchedPriority::Nice(-5)));
}

#[test]
fn toml_errors_name_the_place_and_the_allowed_values() {
    let cases = r#"
        [totem\n | 1 |  |
        x = \n | 1 |  |
        [totem]\ntokn = 1\n | 2 | unknown name "tokn" in totem | did you mean token?
        [totm]\ntoken = 1\n | 1 | unknown name "totm" | did you mean totem?
        [totem]\ntoken = "1s"\n | 2 | totem.token: expected a whole number 0..4294967295, found a text | ms
        [totem]\ntoken = -1\n | 2 | totem.token: expected a whole number 0..4294967295, found -1 | ms
        [totem]\n\ntransport = "upd"\n | 3 | totem.transport: "upd" is not allowed | allowed: knet, udpu, udp\ndid you mean "udp"?
        [totem]\nsecauth = 1\n | 2 | totem.secauth: expected a text, found a whole number | allowed: on, off, true, false
        totem = 1\n | 1 | totem: expected [totem], found a whole number |
        [totem.interface]\nttl = 1\n | 1 | totem.interface: expected [[totem.interface]], found a table |
        [[totem.interface]]\nlinknumber = 8\n | 2 | totem.interface.linknumber: expected 0 to 7 |
        [[totem.interface]]\n[[totem.interface]]\n | 2 | totem.interface: link 0 is described twice | linknumber
        [[totem.interface]]\nmcastprot = 1\n | 2 | unknown name "mcastprot" in totem.interface.0 | did you mean mcastport?
        [[node]]\nnodeid = 1\n | 1 | node 0 has no ring0_addr | ring0_addr =
        [[node]]\nring0_addr = "10.0.0.1"\nvotes = 1\n | 3 | unknown name "votes" in nodelist.node.0 | quorum_votes
        [uidgid]\nuid = ["hacluster", "who"]\n | 2 | uidgid.uid: no such user | number
        [uidgid]\npid = 1\n | 2 | unknown name "pid" in uidgid | allowed: uid, gid
        [logging]\ndebug = "loud"\n | 2 | logging.debug: "loud" is not allowed | allowed: on, off, trace
        [quorum]\ntwo_node = 256\n | 2 | quorum.two_node: expected a whole number 0..255, or true or false, found 256 |
    "#;
    for [text, line, message, hint] in rows(cases) {
        let error = toml(&text).unwrap_err();
        let wanted = format!("parser error: test.toml:{line}: {message}");
        assert!(error.message.starts_with(&wanted), "{text:?}: {error}");
        assert!(wanted.ends_with(": ") || error.message == wanted, "{text:?}: {error}");
        assert!(error.hint.clone().unwrap_or_default().contains(&hint), "{text:?}: {error}");
    }
}

#[test]
fn a_missing_section_is_named() {
    let error = toml("[totem]\ntransport = \"udpu\"\n").unwrap_err();
    assert_eq!(error.message, "parse error in config: No interfaces defined");
    assert!(error.hint.unwrap().contains("nodelist"));
}

#[test]
fn the_example_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, [7; 256]).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    // Its own key file is the one at the default path.
    let (from, to) = ("#keyfile = \"/etc/corosync/authkey\"", format!("keyfile = \"{}\"", key.display()));
    assert!(EXAMPLE.contains(from));
    let config = toml(EXAMPLE.replace(from, &to)).unwrap();
    config.check_runnable().unwrap();
    assert_eq!(config.me().get(), 1);
    assert_eq!(config.members().count(), 2);
    assert_eq!(config.totem.crypto.cipher, "aes256");
    assert!(config.warnings.is_empty());
}

/// The example with every setting that it only mentions in comments.
fn whole_example() -> String {
    let is_setting = |rest: &str| {
        rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '))
    };
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if is_setting(rest) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn the_example_has_every_setting_and_its_default() {
    let map = super::super::toml::parse(whole_example().as_bytes(), Path::new("example"), &MadeUp::default())
        .unwrap();
    for key in KEYS {
        let found = map.iter().find(|(name, _)| super::super::keys::find(name) == Some(key));
        let (name, entry) = found.unwrap_or_else(|| panic!("the example lacks {}", key.name));
        let plain = !key.default.is_empty() && !key.default.contains(' ');
        if plain {
            assert_eq!(entry.value.to_string(), key.default, "{name}");
        }
    }
}

#[test]
fn every_setting_in_effect_is_listed_with_its_origin() {
    let config = conf(two_nodes("udp", "token: 1000\nhold: 0")).unwrap();
    let all = config.effective();
    let find = |name: &str| all.iter().find(|setting| setting.name == name).map(ToString::to_string);
    for line in [
        "totem.token = 1000 (test.conf:5)",
        "totem.token_retransmit = 238 (derived)",
        "totem.hold = 180 (test.conf:6)",
        "totem.consensus = 1200 (derived)",
        "totem.join = 50 (default)",
        "totem.transport = udp (test.conf:4)",
        "totem.ip_version = ipv4 (derived)",
        "totem.netmtu = 1500 (derived)",
        "totem.interface.0.mcastport = 5405 (derived)",
        "totem.interface.0.bindnetaddr = 10.0.0.1 (derived from nodelist.node.0.ring0_addr at test.conf:10)",
        "totem.interface.0.ttl = 1 (default)",
        "nodelist.local_node_pos = 0 (derived)",
        "nodelist.node.1.nodeid = 2 (test.conf:16)",
        "nodelist.node.1.quorum_votes = 1 (default)",
        "logging.debug = off (default)",
        "system.state_dir = /var/lib/corosync (default)",
    ] {
        let (name, _) = line.split_once(' ').unwrap();
        assert_eq!(find(name).as_deref(), Some(line));
    }
    assert!(all.is_sorted_by(|a, b| a.name < b.name), "each name once, in order");
    // Every setting with a default is listed.
    for key in KEYS.iter().filter(|key| !key.default.is_empty() && !key.name.contains("logger_subsys")) {
        let listed = all.iter().any(|setting| super::super::keys::find(&setting.name) == Some(key));
        assert!(listed, "{} is not listed", key.name);
    }
}

#[test]
fn the_key_is_not_shown() {
    let config = conf(two_nodes("udpu", "key: secret")).unwrap();
    assert!(config.effective().iter().any(|setting| setting.to_string().starts_with("totem.key = (hidden)")));
}

#[test]
fn toml_items_have_their_line_as_origin() {
    let config = toml(format!("[totem]\ntransport = \"udpu\"\n{NODES}")).unwrap();
    match &config.map.entry("nodelist.node.1.nodeid").unwrap().origin {
        Origin::File { path, line } => assert_eq!((path.as_path(), *line), (Path::new("test.toml"), 9)),
        other => panic!("{other:?}"),
    }
    assert_eq!(config.map.entry("totem.version").unwrap().origin, Origin::Derived);
}
