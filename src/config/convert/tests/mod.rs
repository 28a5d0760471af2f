//! Nothing is lost in a conversion from one format to the other.

use std::path::Path;

mod kept;

use proptest::prelude::*;

use super::*;
use crate::config::map::Value;
use crate::config::tests::MadeUp;

fn values(map: &Map) -> BTreeMap<String, Value> {
    map.iter().map(|(name, entry)| (name.to_owned(), entry.value.clone())).collect()
}

fn of_conf(text: &[u8]) -> Result<BTreeMap<String, Value>, ConfigError> {
    let mut map = Map::default();
    parse_conf(text, Path::new("a.conf"), &MadeUp::default(), &mut map, false)?;
    Ok(values(&map))
}

/// The settings of a text, with encryption as `corosync.toml` expresses the default of `corosync.conf`.
fn meant(text: &[u8]) -> Result<BTreeMap<String, Value>, ConfigError> {
    let mut map = Map::default();
    parse_conf(text, Path::new("a.conf"), &MadeUp::default(), &mut map, false)?;
    if toml::is_silent_on_encryption(&map) {
        map.derive("totem.crypto_cipher", Value::text("none"));
    }
    Ok(values(&map))
}

fn to_toml(text: &[u8]) -> Result<String, ConfigError> {
    conf_to_toml(text, Path::new("a.conf"), &MadeUp::default())
}

fn to_conf(text: &str) -> Result<Vec<u8>, ConfigError> {
    toml_to_conf(text.as_bytes(), Path::new("a.toml"), &MadeUp::default())
}

/// Converts to TOML and back; all three texts have the same meaning.
fn there_and_back(text: &[u8]) -> (String, String) {
    let toml = to_toml(text).unwrap_or_else(|error| panic!("{error}"));
    let read = toml::parse(toml.as_bytes(), Path::new("a.toml"), &MadeUp::default()).unwrap();
    assert_eq!(values(&read), meant(text).unwrap(), "{toml}");
    let back = to_conf(&toml).unwrap_or_else(|error| panic!("{error}\n{toml}"));
    assert_eq!(of_conf(&back).unwrap(), meant(text).unwrap(), "{toml}");
    (toml, String::from_utf8_lossy(&back).into_owned())
}

const USUAL: &str = "\
# The cluster of the lab.

totem {
  version: 2
  # its name
  cluster_name: lab
  transport: udpu
  token: 1000
  interface {
    linknumber: 0
    mcastport: 5405
  }
}
logging {
  to_syslog: no
  logger_subsys {
    subsys: TOTEM
    # much
    debug: on
  }
}
nodelist {
  # the first
  node {
    ring0_addr: 10.77.0.1
    name: n1
    nodeid: 1
  }
  node {
    ring0_addr: 10.77.0.2
    nodeid: 2
  }
}
uidgid {
  uid: hacluster
  uid: 1000
  gid: 189
}
# the end
";

#[test]
fn a_typical_file_is_converted_to_toml() {
    let (toml, back) = there_and_back(USUAL.as_bytes());
    let expected = "# The cluster of the lab.\n[totem]\nversion = 2\n# its name\ncluster_name = \"lab\"\n\
         transport = \"udpu\"\ntoken = 1000\n\n[[totem.interface]]\nlinknumber = 0\nmcastport = 5405\n\n\
         [logging]\nto_syslog = \"no\"\n\n[logging.logger_subsys.TOTEM]\n# much\ndebug = \"on\"\n\n\
         # the first\n[[nodelist.node]]\nring0_addr = \"10.77.0.1\"\nname = \"n1\"\nnodeid = 1\n\n\
         [[nodelist.node]]\nring0_addr = \"10.77.0.2\"\nnodeid = 2\n\n\
         [uidgid]\nuid = [1000, \"hacluster\"]\ngid = [189]\n\n# the end\n";
    assert_eq!(toml, expected);
    for comment in ["# The cluster of the lab.", "# its name", "# much", "# the first", "# the end"] {
        assert!(back.contains(comment), "{comment}\n{back}");
    }
}

#[test]
fn settings_without_a_place_in_toml_are_kept() {
    let odd = "totem {\n version: 2\n future: yes\n config_version: 18446744073709551615\n secauth: maybe\n}\n\
               totem {\n token: 500\n token: 600\n interface {\n linknumber: 200\n ttl: 3\n odd: 1\n\
               member {\n memberaddr: 1.2.3.4\n }\n }\n}\n\
               nodelist {\n node {\n nodeid: 1\n }\n node {\n }\n node {\n ring0_addr: a\n extra: b\n }\n}\n\
               logging {\n logging_daemon {\n name: qdevice\n subsys: NET\n debug: on\n }\n\
               logger_subsys {\n subsys: A.B\n debug: on\n own: x\n }\n}\n\
               resources {\n process {\n a.b {\n c: d\n }\n }\n}\n\
               quorum {\n device {\n model: net\n net {\n host: h\n algorithm: ffsplit\n }\n }\n}\n\
               unknown {\n deep {\n er: \"quoted\" \\ back\ttab\n }\n}\ntop-level: 5\n";
    let (toml, _) = there_and_back(odd.as_bytes());
    assert!(toml.contains("\"totem.future\" = \"yes\""), "{toml}");
    assert!(toml.contains("[quorum.device.net]\n"), "{toml}");
    let again = to_toml(&to_conf(&toml).unwrap()).unwrap();
    assert_eq!(again.matches("no place of their own").count(), 1, "{again}");
}

#[test]
fn texts_that_are_not_utf8_are_kept() {
    let odd = b"totem {\n version: 2\n cluster_name: a\xffb\n x: a\rb\n}\n";
    let (toml, _) = there_and_back(odd);
    assert!(toml.contains("\"totem.cluster_name\" = [97, 255, 98]"), "{toml}");
}

#[test]
fn settings_that_conf_cannot_express_are_refused() {
    assert!(to_toml(b"totem {\n token: 5\n}\n").unwrap_err().message.contains("totem.version is missing"));
    for odd in [
        "[totem]\ncluster_name = \"a{b\"\n",
        "[totem]\ncluster_name = \" a\"\n",
        "[other]\n\"a.b:\" = \"c\"\n",
    ] {
        let error = to_conf(odd).unwrap_err();
        assert!(error.message.contains("not everything"), "{error}");
    }
    let twice = "[totem]\ntoken = 5\n[other]\n\"totem.token\" = \"6\"\n";
    assert!(to_conf(twice).unwrap_err().message.contains("set twice"));
    for bad in ["[other]\nab = 5\n", "[other]\nabc = [300]\n", "[other]\nabc = \"a\\nb\"\n", "other = 5\n"] {
        assert!(to_conf(bad).is_err(), "{bad}");
    }
}

#[test]
fn files_of_uidgid_d_are_included() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corosync.conf");
    std::fs::create_dir(dir.path().join("uidgid.d")).unwrap();
    std::fs::write(dir.path().join("uidgid.d/pacemaker"), "uidgid {\n gid: haclient\n}\n").unwrap();
    let toml =
        conf_file_to_toml(b"totem {\n version: 2\n transport: udp\n}\n", &file, &MadeUp::default()).unwrap();
    assert_eq!(toml, "[totem]\nversion = 2\ntransport = \"udp\"\n\n[uidgid]\ngid = [\"haclient\"]\n");
}

#[test]
fn the_example_survives_both_conversions() {
    let text = include_str!("../../../../corosync.toml.example");
    let conf = to_conf(text).unwrap();
    let (toml, _) = there_and_back(&conf);
    let wanted = toml::parse(text.as_bytes(), Path::new("a.toml"), &MadeUp::default()).unwrap();
    let got = toml::parse(toml.as_bytes(), Path::new("a.toml"), &MadeUp::default()).unwrap();
    assert_eq!(values(&got), values(&wanted));
}

/// The default encryption differs between the formats.
#[test]
fn encryption_is_the_same_in_both_formats() {
    let crypto = |text: &[u8]| {
        let map = |text: &[u8]| {
            let mut map = Map::default();
            parse_conf(text, Path::new("a.conf"), &MadeUp::default(), &mut map, false).unwrap();
            let crypto = crate::config::totem::crypto(&map).unwrap();
            (crypto.cipher, crypto.hash)
        };
        let there = to_toml(text).unwrap();
        let read = toml::parse(there.as_bytes(), Path::new("a.toml"), &MadeUp::default()).unwrap();
        let read = crate::config::totem::crypto(&read).unwrap();
        let back = to_conf(&there).unwrap();
        assert_eq!(map(text), (read.cipher, read.hash), "{there}");
        assert_eq!(map(text), map(&back), "{there}");
        (map(text), there)
    };
    for (lines, cipher, hash, written) in [
        ("", "none", "none", "crypto_cipher = \"none\""),
        ("transport: knet", "none", "none", "crypto_cipher = \"none\""),
        ("crypto_model: nss", "none", "none", "crypto_cipher = \"none\""),
        ("secauth: off", "none", "none", "secauth = \"off\""),
        ("secauth: on", "aes256", "sha256", "secauth = \"on\""),
        ("crypto_hash: sha1", "none", "sha1", "crypto_hash = \"sha1\""),
        ("crypto_cipher: aes128\ncrypto_hash: sha512", "aes128", "sha512", "crypto_cipher = \"aes128\""),
    ] {
        let ((has_cipher, has_hash), toml) =
            crypto(format!("totem {{\nversion: 2\n{lines}\n}}\n").as_bytes());
        assert_eq!((has_cipher.as_str(), has_hash.as_str()), (cipher, hash), "{lines}");
        assert!(toml.contains(written), "{toml}");
        assert_eq!(toml.matches("crypto_cipher").count(), usize::from(written.contains("cipher")), "{toml}");
    }
    let udpu = to_toml(b"totem {\nversion: 2\ntransport: udpu\n}\n").unwrap();
    assert!(!udpu.contains("crypto"), "{udpu}");
    let silent = "[totem]\ncluster_name = \"x\"\n";
    let conf = String::from_utf8(to_conf(silent).unwrap()).unwrap();
    assert!(conf.contains("crypto_cipher: aes256") && conf.contains("crypto_hash: sha256"), "{conf}");
}

/// The name of a section or key: a known one or any other.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "totem", "interface", "nodelist", "node", "logging", "logger_subsys", "logging_daemon", "quorum",
            "device", "net", "uidgid", "resources", "process", "member", "nozzle",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9._/-]{1,8}",
    ]
}

fn item() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        6 => prop::sample::select(vec![
            "token", "transport", "cluster_name", "config_version", "linknumber", "mcastport", "ttl", "nodeid",
            "ring0_addr", "name", "debug", "subsys", "to_syslog", "provider", "expected_votes", "two_node",
            "uid", "gid", "memberaddr", "host", "priority", "max", "auto_tie_breaker_node", "secauth",
        ]).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9._/-]{1,8}",
    ];
    let value = prop_oneof![
        4 => prop::sample::select(vec!["yes", "no", "on", "1", "7", "udpu", "hacluster", "", "A", "18446744073709551615"])
            .prop_map(str::to_owned),
        1 => "[ -z|~äß\t]{0,12}",
    ];
    (key, value).prop_map(|(key, value)| format!("{key}: {value}\n"))
}

fn block() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![4 => item(), 1 => "#[ -~]{0,12}".prop_map(|text| text + "\n")];
    leaf.prop_recursive(4, 40, 8, |inner| {
        (word(), prop::collection::vec(inner, 0..8))
            .prop_map(|(name, inner)| format!("{name} {{\n{}}}\n", inner.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The meaning of any file is kept, and what the parser refuses is refused.
    #[test]
    fn any_file_keeps_its_meaning(blocks in prop::collection::vec(block(), 0..10)) {
        let text = format!("totem {{\nversion: 2\n}}\n{}", blocks.concat());
        let Ok(meant) = meant(text.as_bytes()) else {
            prop_assert!(to_toml(text.as_bytes()).is_err());
            return Ok(());
        };
        let toml = to_toml(text.as_bytes()).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let read = toml::parse(toml.as_bytes(), Path::new("a.toml"), &MadeUp::default()).unwrap();
        prop_assert_eq!(values(&read), meant.clone(), "{}\n{}", text, toml);
        // The conversion back may be refused, but never changes anything.
        if let Ok(back) = to_conf(&toml) {
            prop_assert_eq!(of_conf(&back).unwrap(), meant);
        }
    }

    /// Hostile files are refused or converted; nothing panics.
    #[test]
    fn any_bytes_are_converted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = to_toml(&bytes);
        let _ = toml_to_conf(&bytes, Path::new("a.toml"), &MadeUp::default());
        let mut outline = Outline::new();
        outline.add_toml(&bytes, 0);
        outline.add_conf(&bytes, 1);
        outline.end();
    }
}
