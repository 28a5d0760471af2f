//! Every refusal and warning names the key, the file and the line of its cause, even for a setting derived from
//! another.

use super::*;

/// A host with the same link-local address on two interfaces, whose own name is a loopback address.
fn host(name: &'static str) -> MadeUp {
    MadeUp {
        name,
        addresses: vec![
            local("lo", 1, "127.0.0.1", 8),
            local("eth0", 2, "10.0.0.1", 24),
            local("eth0", 2, "fe80::1", 64),
            local("eth1", 3, "fe80::1", 64),
        ],
        ..MadeUp::default()
    }
}

fn on(host: &MadeUp, text: &str) -> Result<Config, ConfigError> {
    Config::from_conf(text.as_bytes(), Path::new("test.conf"), host)
}

fn refused(text: impl AsRef<[u8]>) -> String {
    conf(text).unwrap_err().to_string()
}

/// Number, from 1, of the first line that contains a text.
fn line(text: &str, part: &str) -> usize {
    1 + text.lines().position(|line| line.contains(part)).unwrap()
}

#[test]
fn an_unresolvable_name_is_reported_with_its_line_in_the_node_list() {
    for ((transport, other), own) in [("udpu", "host-b"), ("udp", "host-b")].into_iter().zip(["host-a", "n1"])
    {
        let text = two_nodes(transport, "").replace("10.0.0.1", own).replace("10.0.0.2", other);
        for (text, key, value) in [
            (text.clone(), "nodelist.node.0.ring0_addr", own),
            (
                text.replace(&format!("ring0_addr: {own}"), "ring0_addr: 10.0.0.1"),
                "nodelist.node.1.ring0_addr",
                other,
            ),
        ] {
            let told = refused(&text);
            let place = format!("{key} at test.conf:{}", line(&text, value));
            let direct = format!("{key} = {value} at test.conf:{}", line(&text, value));
            assert!(told.contains(&place) || told.contains(&direct), "{told}");
            assert!(told.contains(&format!("{value} does not resolve on this host")), "{told}");
        }
    }
    let text =
        "[totem]\ntransport = \"udpu\"\n\n[[node]]\nnodeid = 1\nring0_addr = \"host-a\"\nname = \"n1\"\n";
    let told = toml(text).unwrap_err().to_string();
    assert!(told.contains("nodelist.node.0.ring0_addr at test.toml:6"), "{told}");
}

#[test]
fn invisible_bytes_are_reported() {
    let good = two_nodes("udpu", "interface {\nmcastport: 5405\n}");
    for (from, to, line_of, said) in [
        (
            "10.0.0.1",
            "10.0.0.1\u{a0}",
            "10.0.0.1",
            "the value ends in a no-break space, U+00A0 (bytes c2 a0)",
        ),
        ("10.0.0.2", "\u{feff}10.0.0.2", "10.0.0.2", "the value begins with a byte order mark"),
        ("10.0.0.2", "10.0.0\u{ff0e}2", "10.0.0\u{ff0e}2", "a full-width character, U+FF0E"),
        ("nodeid: 2", "\u{a0}nodeid: 2", "nodeid: 2", "the name begins with a no-break space"),
        ("nodeid: 2", "nodeid: 2\u{200b}", "nodeid: 2", "the value ends in an invisible character"),
        ("transport: udpu", "transport: udpu\u{a0}", "transport", "the value ends in a no-break space"),
        ("mcastport: 5405", "mcastport: \u{2212}1", "mcastport", "a dash other than '-'"),
        ("totem {", "\u{feff}totem {", "version", "the name begins with a byte order mark"),
        ("nodelist {", "nodelist {\n\u{a0}", "\u{a0}", "the line is a no-break space"),
        ("nodelist {", "nodelist {\u{a0}", "nodelist", "the line ends in a no-break space"),
    ] {
        let bad = good.replace(from, to);
        let Err(error) = conf(&bad) else { panic!("accepted: {bad}") };
        let told = error.to_string();
        assert!(told.contains(said), "{told}");
        assert!(told.contains(&format!("test.conf:{}", line(&bad, line_of))), "{told}");
    }
    // In Latin-1, as an old editor writes it.
    let at = good.find("10.0.0.1").unwrap() + "10.0.0.1".len();
    let bytes = [&good.as_bytes()[..at], b"\xa0", &good.as_bytes()[at..]].concat();
    let told = refused(bytes);
    assert!(told.contains("the value ends in a no-break space of Latin-1 (bytes a0)"), "{told}");
    assert!(told.contains(&format!("test.conf:{}", line(&good, "10.0.0.1"))), "{told}");
    let told = toml(
        "[totem]\ntransport = \"udpu\"\n[[node]]\nname = \"n1\"\nring0_addr = \"10.0.0.1\u{a0}\"\nnodeid = 1\n",
    );
    let told = told.unwrap_err().to_string();
    assert!(told.contains("test.toml:5") && told.contains("no-break space"), "{told}");
}

#[test]
fn unsupported_encryption_is_reported_with_the_setting_that_asks_for_it() {
    for (transport, asks) in [
        ("udpu", "secauth: on"),
        ("udp", "secauth: on"),
        ("udpu", "crypto_hash: sha1"),
        ("udpu", "secauth: on\nkeyfile: /nonexistent/authkey"),
        ("udpu", "crypto_cipher: aes256\ncrypto_hash: sha256"),
    ] {
        let text = two_nodes(transport, asks);
        let told = refused(&text);
        let (key, value) = asks.lines().next().unwrap().split_once(": ").unwrap();
        assert!(told.contains(&format!("totem.{key} = {value} at test.conf:5")), "{told}");
        assert!(told.contains(&format!("totem.transport = {transport} at test.conf:4")), "{told}");
        assert!(told.contains(&format!("transport {transport} has no encryption")), "{told}");
        assert!(!told.contains("authkey"), "no key helps: {told}");
    }
    let told = toml("[totem]\ntransport = \"udpu\"\nsecauth = true\n").unwrap_err().to_string();
    assert!(told.contains("totem.secauth = on at test.toml:3"), "{told}");
    // On a transport with encryption the key is missing, and the setting that asks for encryption is named too.
    let told = refused(two_nodes("knet", "secauth: on\nkeyfile: /nonexistent/authkey"));
    assert!(told.starts_with("Could not open /nonexistent/authkey: No such file"), "{told}");
    assert!(told.contains("totem.keyfile = /nonexistent/authkey at test.conf:6"), "{told}");
    assert!(told.contains("totem.secauth = on at test.conf:5"), "{told}");
    let told = refused(two_nodes("knet", "crypto_cipher: aes256"));
    assert!(told.contains("totem.crypto_cipher = aes256 at test.conf:5"), "{told}");
}

/// Rules across settings, each with the lines that it must name.
#[test]
fn rules_across_settings_name_every_line_involved() {
    let good = two_nodes("udpu", "");
    for (text, lines) in [
        (two_nodes("udpu", "token: 100"), &["totem.token = 100 at test.conf:5"][..]),
        (
            two_nodes("udpu", "token: 1000\ntoken_retransmits_before_loss_const: 100"),
            &[
                "totem.token = 1000 at test.conf:5",
                "totem.token_retransmits_before_loss_const = 100 at test.conf:6",
            ],
        ),
        (two_nodes("udpu", "hold: 13"), &["totem.hold = 13 at test.conf:5"]),
        (
            two_nodes("udpu", "token: 1000\njoin: 5000"),
            &["totem.token = 1000 at test.conf:5", "totem.join = 5000 at test.conf:6"],
        ),
        (
            good.replace("10.0.0.2", "fd00::2"),
            &[
                "nodelist.node.1.ring0_addr = fd00::2 at test.conf:14",
                "nodelist.node.0.ring0_addr = 10.0.0.1 at test.conf:9",
            ],
        ),
        (
            good.replace("nodeid: 2\n", "").replace("nodeid: 1", "nodeid: 167772162"),
            &[
                "nodelist.node.0.nodeid = 167772162 at test.conf:10",
                "nodelist.node.1.ring0_addr at test.conf:14",
            ],
        ),
        (good.replace("nodeid: 2", "nodeid: 1"), &["test.conf:10", "test.conf:15"]),
        (
            good.replace("10.0.0.1", "10.0.9.1").replace("name: n1", "name: n9"),
            &["nodelist.node.0.name = n9 at test.conf:11"],
        ),
        (good.replace("version: 2", "version: 3"), &["totem.version = 3 at test.conf:2"]),
        (
            good.replace("nodeid: 2", "nodeid: 2\nring1_addr: 10.1.0.2"),
            &["has no ring1_addr", "nodelist.node.0.name = n1 at test.conf:11"],
        ),
        (
            good.replace("nodeid: 2", "nodeid: 2\nring1_addr: 10.1.0.2")
                .replace("nodeid: 1", "nodeid: 1\nring1_addr: 10.1.0.1"),
            &["nodelist.node.0.ring1_addr = 10.1.0.1 at test.conf:11"],
        ),
        (
            two_nodes("udp", "interface {\nmcastaddr: ff15::1\n}"),
            &["totem.interface.0.mcastaddr = ff15::1 at test.conf:6"],
        ),
        (two_nodes("udpu", "link_mode: best"), &["totem.link_mode = best at test.conf:5"]),
    ] {
        let told = refused(&text);
        for line in lines {
            assert!(told.contains(line), "{line}:\n{told}");
        }
    }
}

#[test]
fn derived_settings_are_listed_with_the_place_of_their_source() {
    let listed = |config: &Config, name: &str| {
        let all = config.effective();
        all.iter().find(|setting| setting.name == name).unwrap_or_else(|| panic!("{name}")).to_string()
    };
    let config = conf(two_nodes("udp", "").replace("nodeid: 1\n", "")).unwrap();
    let expected =
        "totem.interface.0.bindnetaddr = 10.0.0.1 (derived from nodelist.node.0.ring0_addr at test.conf:9)";
    assert_eq!(listed(&config, "totem.interface.0.bindnetaddr"), expected);
    let expected =
        "nodelist.node.0.nodeid = 167772161 (derived from nodelist.node.0.ring0_addr at test.conf:9)";
    assert_eq!(listed(&config, "nodelist.node.0.nodeid"), expected);
    let expected =
        "totem.interface.0.mcastaddr = 239.192.6.148 (derived from totem.cluster_name at test.conf:3)";
    assert_eq!(listed(&config, "totem.interface.0.mcastaddr"), expected);
}

#[test]
fn the_interface_of_a_link_local_address_is_kept() {
    let text = two_nodes("udpu", "").replace("10.0.0.1", "fe80::1%eth1").replace("10.0.0.2", "fe80::2%eth1");
    let table = "[totem]\ntransport = \"udpu\"\n[[node]]\nnodeid = 1\nring0_addr = \"fe80::1%eth1\"\n\
                 [[node]]\nnodeid = 2\nring0_addr = \"fe80::2%eth1\"\n";
    let as_toml =
        |text: &str, host: &MadeUp| Config::from_toml(text.as_bytes(), Path::new("test.toml"), host);
    // The entry is found by its name, and by its address alone.
    for host in [host("n1"), host("elsewhere")] {
        for config in [on(&host, &text).unwrap(), as_toml(table, &host).unwrap()] {
            assert_eq!(config.local_position, 0);
            assert_eq!(config.bind_address(), Some("fe80::1".parse().unwrap()));
            assert_eq!(config.bind_interface(), Some("eth1"));
            assert_eq!(config.select_local(&host).unwrap().interface, "eth1");
            assert_eq!(config.nodes[1].on(0).unwrap().interface.as_deref(), Some("eth1"));
        }
        // Given by number; only the addresses of the other nodes name it.
        let numbered = on(&host, &text.replace("%eth1", "%3")).unwrap();
        assert_eq!(numbered.bind_interface(), Some("eth1"));
        let others = on(&host, &text.replace("fe80::1%eth1", "fe80::1")).unwrap();
        assert_eq!(others.bind_interface(), Some("eth1"));
    }
    let unscoped = on(&host("n1"), &text.replace("%eth1", "")).unwrap();
    assert_eq!(unscoped.bind_interface(), None);
    let link = "interface {\nlinknumber: 0\nbindnetaddr: fe80::%eth1\n}";
    let bound = two_nodes("udp", &format!("ip_version: ipv6\n{link}")).replace("10.0.0.2", "fe80::2%eth1");
    let bound = bound.replace("ring0_addr: 10.0.0.1\n", "");
    let bound = on(&host("n1"), &bound).unwrap();
    let expected = (Some("eth1"), Some("fe80::".parse().unwrap()));
    assert_eq!((bound.bind_interface(), bound.bind_address()), expected);

    for (text, place, said) in [
        (text.replace("fe80::1%eth1", "fe80::1%eth7"), "test.conf:9", "no interface \"eth7\""),
        (text.replace("fe80::2%eth1", "fe80::2%eth7"), "test.conf:14", "no interface \"eth7\""),
        (text.replace("fe80::2%eth1", "fe80::2%7"), "test.conf:14", "it has lo (1), eth0 (2), eth1 (3)"),
        (text.replace("fe80::2%eth1", "fe80::2%"), "test.conf:14", "no interface \"\""),
        (
            text.replace("fe80::2%eth1", "fe80::2%eth0"),
            "test.conf:14",
            "on different interfaces (fe80::2%eth0 is on eth0",
        ),
        (text.replace("version: 2", "version: 2\nip_version: ipv4"), "test.conf:10", "it must be IPv4"),
    ] {
        let told = on(&host("n1"), &text).unwrap_err().to_string();
        assert!(told.contains(said) && told.contains(place), "{told}");
    }
    let told = as_toml(&table.replace("fe80::2%eth1", "fe80::2%eth7"), &host("n1")).unwrap_err().to_string();
    assert!(told.contains("test.toml:8") && told.contains("no interface \"eth7\""), "{told}");
}
