//! Transport knet: its links, its key, and where annulus' verdicts differ from Corosync's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::super::reload;
use super::corosync::Referee;
use super::*;
use crate::config::ErrorKind;
use crate::config::map::Origin;
use crate::ids::NodeId;

const NODES: &str = "[[node]]\nring0_addr = \"10.0.0.1\"\nnodeid = 1\nname = \"n1\"\n\
                     [[node]]\nring0_addr = \"10.0.0.2\"\nnodeid = 2\nname = \"n2\"\n";

/// A directory with keys.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Creates a key of this length in a file with this mode.
    fn make(&self, bytes: usize, mode: u32) -> PathBuf {
        let path = self.0.path().join(format!("key.{bytes}.{mode:o}"));
        let key: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
        fs::write(&path, key).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

/// A file with two links, and `totem` in section totem.
fn two_links(totem: &str) -> String {
    two_nodes("knet", totem)
        .replace("nodeid: 1\n", "nodeid: 1\nring1_addr: fd00::1\n")
        .replace("nodeid: 2\n", "nodeid: 2\nring1_addr: fd00::2\n")
}

#[test]
fn links_derive_their_ports_and_timers() {
    let config = conf(two_links(
        "token: 4000\nlink_mode: rr\ninterface {\nlinknumber: 1\nknet_pong_count: 5\nknet_link_priority: 7\n}",
    ))
    .unwrap();
    config.check_runnable().unwrap();
    assert_eq!(config.totem.netmtu, 65536);
    assert_eq!(config.totem.knet.link_mode, "rr");
    let links: Vec<_> = config
        .totem
        .interfaces
        .iter()
        .map(|link| {
            let ms = [link.knet_ping_timeout, link.knet_ping_interval].map(|time| time.as_millis());
            (link.link, link.port, link.bind_address.unwrap().to_string(), ms, link.knet_priority)
        })
        .collect();
    let expected =
        [(0, 5405, "10.0.0.1".to_owned(), [2000, 1000], 1), (1, 5406, "fd00::1".to_owned(), [800, 400], 7)];
    assert_eq!(links, expected);
    let members: Vec<String> = config.members().map(|(id, address)| format!("{id} {address}")).collect();
    assert_eq!(members, ["1 10.0.0.1", "2 10.0.0.2"]);
}

#[test]
fn the_default_transport_is_knet() {
    let absent = conf(two_nodes("x", "").replace("transport: x\n", "")).unwrap();
    assert_eq!(absent.totem.transport, super::super::totem::TransportKind::Knet);
    absent.check_runnable().unwrap();
}

#[test]
fn unsupported_settings_are_refused_with_file_and_line() {
    let sctp = "interface {\nlinknumber: 0\nknet_transport: sctp\n}";
    for (totem, message, line) in [
        (sctp, "knet_transport sctp is not available in this version", 7),
        ("knet_compression_model: lzma", "knet_compression_model lzma is not available in this version", 5),
        ("knet_mtu: 575", "parse error in config: The knet_mtu parameter (575) must be between", 5),
        ("knet_mtu: 65536", "parse error in config: The knet_mtu parameter (65536) must be between", 5),
    ] {
        let error = conf(two_nodes("knet", totem)).unwrap().check_runnable().unwrap_err();
        assert!(error.message.starts_with(message), "{error}");
        assert!(error.to_string().contains(&format!("test.conf:{line}")), "{error}");
        assert_eq!(error.kind == ErrorKind::Unsupported, message.contains("not available"), "{error}");
    }
    for good in ["knet_mtu: 0", "knet_mtu: 576", "knet_compression_model: lz4hc", "block_unlisted_ips: no"] {
        conf(two_nodes("knet", good)).unwrap().check_runnable().unwrap();
    }
}

#[test]
fn a_key_is_read_and_shown_nowhere() {
    let keys = Keys::new();
    let file = keys.make(5000, 0o400);
    let text = two_nodes("knet", &format!("secauth: on\nkeyfile: {}", file.display()));
    let config = conf(&text).unwrap();
    let crypto = &config.totem.crypto;
    assert_eq!((crypto.cipher.as_str(), crypto.hash.as_str()), ("aes256", "sha256"));
    // More than 4096 bytes are not used.
    let expected: Vec<u8> = (0..4096).map(|n| n as u8).collect();
    assert_eq!(crypto.key.as_ref().unwrap().bytes(), expected);

    let inline = "k".repeat(127);
    let config = conf(two_nodes("knet", &format!("secauth: on\nkey: {inline}"))).unwrap();
    // The terminating NUL is part of the key.
    assert_eq!(config.totem.crypto.key.as_ref().unwrap().bytes(), format!("{inline}\0").as_bytes());
    let shown = format!("{config:?}{:?}", config.effective());
    assert!(!shown.contains("kkkk") && shown.contains("hidden"));
    // A key file takes precedence.
    let both = format!("secauth: on\nkey: {inline}\nkeyfile: {}", file.display());
    let config = conf(two_nodes("knet", &both)).unwrap();
    assert_eq!(config.totem.crypto.key.as_ref().unwrap().bytes().len(), 4096);
    // The key file is not read while nothing is encrypted.
    let config = conf(two_nodes("knet", "keyfile: /nonexistent/key")).unwrap();
    assert_eq!(config.totem.crypto.key, None);
}

#[test]
fn an_unusable_key_is_refused_with_a_remedy() {
    let keys = Keys::new();
    let short = keys.make(127, 0o400);
    let open = keys.make(256, 0o604);
    let pipe = keys.0.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let with = |file: &Path| two_nodes("knet", &format!("crypto_hash: sha256\nkeyfile: {}", file.display()));
    let made = "annulus keygen --force --output FILE";
    for (file, message, remedy) in [
        (
            Path::new("/nonexistent/key"),
            "Could not open FILE: No such file or directory",
            "annulus keygen --output FILE",
        ),
        (keys.0.path(), "Could not read FILE: Is a directory", ""),
        (&short, "Could only read 1016 bits of minimum 1024 bits from FILE.", made),
        (&pipe, "Could only read 0 bits of minimum 1024 bits from FILE.", made),
        (
            &open,
            "Every user of this host can read or change the key file FILE (mode 0604).",
            "chmod 400 FILE",
        ),
    ] {
        let [message, remedy] = [message, remedy].map(|text| text.replace("FILE", file.to_str().unwrap()));
        let error = conf(with(file)).unwrap_err();
        assert_eq!(error.message, message);
        let hint = error.hint.unwrap();
        assert!(hint.contains("totem.keyfile = ") && hint.contains("test.conf:6"), "{hint}");
        assert!(hint.contains("totem.crypto_hash = sha256 at test.conf:5"), "{hint}");
        assert!(hint.contains(&remedy), "{hint}");
    }
    for (bytes, message) in [(126, "key is too short"), (127, ""), (4095, ""), (4096, "key is too long")] {
        let text = format!("[totem]\ncrypto_hash = \"sha256\"\nkey = \"{}\"\n{NODES}", "k".repeat(bytes));
        let said = toml(text).map_or_else(|error| error.message, |_| String::new());
        assert_eq!(said, message, "{bytes}");
    }
}

#[test]
fn a_toml_file_without_encryption_settings_is_encrypted() {
    let keys = Keys::new();
    let file = keys.make(128, 0o440);
    let with = |lines: &str| format!("[totem]\nkeyfile = \"{}\"\n{lines}{NODES}", file.display());
    let crypto = |lines: &str| {
        let config = toml(with(lines)).unwrap();
        (config.totem.crypto.cipher.clone(), config.totem.crypto.hash.clone(), config)
    };
    let (cipher, hash, config) = crypto("");
    assert_eq!((cipher.as_str(), hash.as_str()), ("aes256", "sha256"));
    assert_eq!(config.map.entry("totem.crypto_cipher").unwrap().origin, Origin::Default);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let shown: Vec<String> = config.effective().iter().map(ToString::to_string).collect();
    assert!(shown.contains(&"totem.crypto_cipher = aes256 (default)".to_owned()), "{shown:?}");
    for (lines, cipher, hash) in [
        ("crypto_model = \"openssl\"\n", "aes256", "sha256"),
        ("transport = \"knet\"\n", "aes256", "sha256"),
        ("crypto_cipher = \"none\"\n", "none", "none"),
        ("crypto_hash = \"sha512\"\n", "none", "sha512"),
        ("secauth = false\n", "none", "none"),
        ("transport = \"udpu\"\n", "none", "none"),
    ] {
        let found = crypto(lines);
        assert_eq!((found.0.as_str(), found.1.as_str()), (cipher, hash), "{lines}");
    }
    // Without a key, the error names how to make one and how to run without encryption.
    let error = toml(with("").replace(file.to_str().unwrap(), "/nonexistent/key")).unwrap_err();
    assert_eq!(error.message, "Could not open /nonexistent/key: No such file or directory");
    let hint = error.hint.unwrap();
    for part in ["annulus keygen", "test.toml:2", "crypto_cipher = \"none\" switches it off"] {
        assert!(hint.contains(part), "{hint}");
    }
    // In corosync.conf, as in Corosync, the same means that nothing is encrypted.
    let config = conf(two_nodes("knet", "")).unwrap();
    assert!(config.totem.crypto.is_off());
    assert!(config.warnings[0].starts_with("the cluster runs unencrypted: "), "{:?}", config.warnings);
}

#[test]
fn probable_mistakes_in_link_settings_are_warned_of() {
    let keys = Keys::new();
    let file = keys.make(128, 0o400);
    let secured = format!("crypto_cipher: aes128\ncrypto_hash: sha256\nkeyfile: {}", file.display());
    let warnings = |text: String| conf(text).unwrap().warnings;
    assert!(warnings(two_links(&secured)).is_empty());
    let old = two_links(&secured.replace("sha256", "md5"));
    let one_way = two_links(&secured.replace("crypto_cipher: aes128\n", ""));
    let pings = |link: &str, timeout: &str| {
        two_links(&format!("{secured}\ninterface {{\nlinknumber: {link}\nknet_ping_timeout: {timeout}\n}}"))
    };
    let warned = |text: String, begin: &str, place: &str| {
        let all = warnings(text);
        assert_eq!(all.len(), 1, "{begin}\n{all:#?}");
        assert!(all[0].starts_with(begin) && all[0].contains(place), "{begin}\n{all:#?}");
    };
    let no_key = "(crypto_cipher and crypto_hash are not given; totem.transport = knet at test.conf:4)";
    warned(two_links(""), "the cluster runs unencrypted: whoever reaches", no_key);
    warned(one_way, "the cluster runs unencrypted: its messages are authenticated", "test.conf:5");
    warned(old, "crypto_hash md5 is old", "totem.crypto_hash = md5 at test.conf:6");
    let alone = two_nodes("knet", &format!("{secured}\nlink_mode: active"));
    warned(alone, "totem.link_mode = active at test.conf:8 has no effect: there is one link", "");
    let packed = two_links(&format!("{secured}\nknet_compression_model: zstd"));
    warned(packed, "totem.knet_compression_model = zstd at test.conf:8: a node with Corosync", "");
    let slow = "totem.interface.1.knet_ping_timeout = 3001 at test.conf:10";
    warned(pings("1", "3001"), slow, " is longer than the token time-out, 3000 ms");
    let rare = "totem.interface.0.knet_ping_timeout = 500 at test.conf:10: pings are 750 ms apart";
    warned(pings("0", "500"), rare, "");
    let twice = two_links(&secured).replace("fd00::1", "10.0.0.1").replace("fd00::2", "10.0.0.2");
    let both = "links 0 and 1 of this node go over the same address, 10.0.0.1, and fail together";
    warned(twice, both, "nodelist.node.0.ring1_addr = 10.0.0.1 at test.conf:");
    let nozzle = two_links(&secured) + "nozzle {\nname: noz0\n}\n";
    warned(nozzle, "nozzle.name = noz0 at test.conf:", "has no effect: this version makes no nozzle device");
    // Other transports have no such warnings.
    assert!(warnings(two_nodes("udpu", "link_mode: active")).is_empty());
}

/// While a ring runs over them, links may be added, removed and changed, as long as one of this node's and one to
/// each member stays.
#[test]
fn a_reload_may_change_links_while_another_stays() {
    let old = conf(two_links("")).unwrap();
    let one = conf(two_nodes("knet", "")).unwrap();
    let moved = |link: &str, from: &str, to: &str| {
        conf(two_links("").replace(&format!("{link}: {from}\n"), &format!("{link}: {to}\n"))).unwrap()
    };
    for (old, new) in [
        (&old, &one),
        (&one, &old),
        (&old, &moved("ring1_addr", "fd00::1", "fd00::9")),
        (&old, &moved("ring0_addr", "10.0.0.1", "10.0.0.8")),
    ] {
        reload::check_links(old, new).unwrap();
    }
    // The only link cannot change its address under the ring.
    let text = two_nodes("knet", "").replace("10.0.0.1", "10.0.0.8");
    let error = reload::check_links(&one, &conf(text).unwrap()).unwrap_err();
    assert_eq!(error.message, "No link of this node stays as it is");
    assert!(error.hint.unwrap().contains("nodelist.node.0.ring0_addr = 10.0.0.8 at test.conf:9"));
    // A ring on knet cannot change to another transport either, which would end its encryption.
    let error = reload::check_links(&old, &conf(two_nodes("udpu", "")).unwrap()).unwrap_err();
    assert!(error.message.starts_with("The transport changed from knet to udpu"), "{error}");
    assert!(error.hint.unwrap().contains("totem.transport = udpu at test.conf:4"));
    let sctp = conf(two_nodes("knet", "interface {\nlinknumber: 0\nknet_transport: sctp\n}")).unwrap();
    let error = reload::check_links(&one, &sctp).unwrap_err();
    let expected = "New config has different knet transport for link 0. Internal value was NOT changed.";
    assert_eq!(error.message, expected);

    let node = |id| NodeId::new(id).unwrap();
    let known = |config: &Config| -> Vec<(NodeId, Vec<(u8, IpAddr)>)> {
        let addresses = |node: &super::super::nodelist::Node| {
            node.addresses.iter().map(|own| (own.link, own.address)).collect()
        };
        config.nodes.iter().map(|node| (node.id.unwrap(), addresses(node))).collect()
    };
    let both = [node(1), node(2)];
    let check =
        |new: &Config| reload::check_hosts(&known(&old), &both, new).map_err(|error| error.to_string());
    check(&moved("ring1_addr", "fd00::2", "fd00::9")).unwrap();
    check(&moved("ring0_addr", "10.0.0.2", "10.0.0.9")).unwrap();
    check(&one).unwrap();
    let text = two_links("").replace("10.0.0.2", "10.0.0.9").replace("fd00::2", "fd00::9");
    let told = check(&conf(&text).unwrap()).unwrap_err();
    let none_stays = "No link to node 2 stays as it is (nodelist.node.1.ring0_addr = 10.0.0.9";
    assert!(told.starts_with(none_stays), "{told}");
    // A node that is not on the ring may change.
    reload::check_hosts(&known(&old), &both[..1], &conf(&text).unwrap()).unwrap();
    let told = check(&conf(two_links("").replace("nodeid: 2", "nodeid: 7")).unwrap()).unwrap_err();
    assert!(told.starts_with("The id of the node at 10.0.0.2 changed from 2 to 7 (test.conf:"), "{told}");
    // A node that is not in the new list at all is removed.
    let (list, _) = text.split_once("node {\nring0_addr: 10.0.0.9").unwrap();
    check(&conf(format!("{list}}}\n")).unwrap()).unwrap();
}

/// Each file gets Corosync's verdict with Corosync's text, and annulus adds the place and a remedy.
#[test]
fn refusals_are_those_of_corosync() {
    let Some(referee) = Referee::find() else { return };
    let keys = Keys::new();
    let (good, short, open) = (keys.make(256, 0o400), keys.make(127, 0o400), keys.make(256, 0o644));
    let key = |file: &Path| format!("crypto_hash: sha256\nkeyfile: {}\n", file.display());
    let file = |totem: &str, nodes: &[&str]| {
        let nodes: String = nodes.iter().map(|node| format!("node {{\n{node}\n}}\n")).collect();
        format!("totem {{\nversion: 2\ncluster_name: x\n{totem}\n}}\nnodelist {{\n{nodes}}}\n")
    };
    let (a, b) = ("ring0_addr: 127.0.0.1\nnodeid: 1\nname: a", "ring0_addr: 127.0.0.2\nnodeid: 2\nname: b");
    let plus = |node: &str, more: &str| format!("{node}\n{more}");
    let (a1, b1) = (plus(a, "ring1_addr: 127.0.1.1"), plus(b, "ring1_addr: 127.0.1.2"));
    for (text, refused) in [
        (file("", &[a, b]), ""),
        (file("", &[&a1, &b1]), ""),
        // Neither Corosync nor annulus refuses a gap in the numbers of links.
        (file("", &[&plus(a, "ring2_addr: 127.0.1.1"), &plus(b, "ring2_addr: 127.0.1.2")]), ""),
        (
            file("", &[&a.replace("nodeid: 1\n", ""), b]),
            "Knet requires an explicit nodeid for the local node",
        ),
        (file("", &[a, &b.replace("nodeid: 2\n", "")]), "Knet requires an explicit nodeid to be specified"),
        (file("", &[a, &b.replace("nodeid: 2", "nodeid: 65535")]), ""),
        (
            file("", &[a, &b.replace("nodeid: 2", "nodeid: 65536")]),
            "Knet requires nodeid to be less than 65536",
        ),
        (file("", &[&a1, b]), "Not all nodes have the same number of links"),
        (file("", &[a, &b1]), "No multicast port specified for interface 1"),
        (file("", &[&a1, &plus(b, "ring1_addr: ::1")]), "Nodes for link 1 have different IP families"),
        (file("", &[&a1, &b1.replace("name: b\n", "")]), "all nodes must have a 'name' attribute"),
        (file("interface {\nlinknumber: 3\nknet_link_priority: 2\n}", &[a, b]), "same number of links"),
        (file("", &[&plus(a, "ring8_addr: 127.0.1.1"), b]), "interface ring number 8 is bigger"),
        (file("link_mode: fancy", &[&a1, &b1]), "The Knet link mode \"fancy\" specified is invalid."),
        (file("link_mode: rr", &[&a1, &b1]), ""),
        (file("crypto_cipher: aes512", &[a, b]), "Invalid cipher type."),
        (file("crypto_cipher: aes256", &[a, b]), "crypto_cipher requires crypto_hash with value other"),
        (file("crypto_hash: crc32", &[a, b]), "Invalid hash type."),
        (file("crypto_model: botan", &[a, b]), "Invalid crypto model."),
        (file(&key(&good), &[a, b]), ""),
        (file(&key(Path::new("/nonexistent")), &[a, b]), "Could not open /nonexistent: No such file"),
        (file(&key(&short), &[a, b]), "Could only read 1016 bits of minimum 1024 bits"),
        (file(&key(keys.0.path()), &[a, b]), ": Is a directory"),
        (file(&format!("secauth: on\nkey: {}", "k".repeat(126)), &[a, b]), "key is too short"),
        (file(&format!("secauth: on\nkey: {}", "k".repeat(127)), &[a, b]), ""),
    ] {
        referee.compare(text.as_bytes()).unwrap_or_else(|why| panic!("{why}"));
        let error = Config::from_conf(text.as_bytes(), Path::new("test.conf"), &REAL).err();
        let told = error.map(|error| error.to_string()).unwrap_or_default();
        let agrees = if refused.is_empty() { told.is_empty() } else { told.contains(refused) };
        assert!(agrees, "{refused}\n{told}");
        assert!(told.is_empty() || told.contains("test.conf:"), "{told}");
    }
    // annulus is stricter here, because whoever can read the key can forge messages.
    let text = file(&key(&open), &[a, b]);
    let path = keys.0.path().join("open.conf");
    fs::write(&path, &text).unwrap();
    assert_eq!(referee.ask(&path).0, Some(0));
    let told = Config::load_on(&path, &REAL).unwrap_err().to_string();
    assert!(told.starts_with("Every user of this host can read or change the key file"), "{told}");
}
