//! Probable mistakes: like Corosync, annulus starts with them, but it logs a warning.

use super::*;

fn warnings(text: impl AsRef<[u8]>) -> Vec<String> {
    conf(text).unwrap().warnings
}

#[test]
fn an_unknown_name_is_reported_with_the_known_one_it_resembles() {
    let slips = r#"
        tokn: 5000 | totem.tokn = 5000 at test.conf:5 | totem.token
        tokne: 5000 | totem.tokne = 5000 at test.conf:5 | totem.token
        Token: 5000 | totem.Token = 5000 at test.conf:5 | totem.token
        clustername: x | totem.clustername = x at test.conf:5 | totem.cluster_name
        net_mtu: 1400 | totem.net_mtu = 1400 at test.conf:5 | totem.netmtu
        token-coefficient: 1 | totem.token-coefficient = 1 at test.conf:5 | totem.token_coefficient
        two_node: 1 | totem.two_node = 1 at test.conf:5 | quorum.two_node
        interface {\nmcast_port: 5405\n} | totem.interface.mcast_port = 5405 at test.conf:6 | totem.interface.mcastport
        interface {\nringnumber: 0\n} | totem.interface.ringnumber = 0 at test.conf:6 | totem.interface.linknumber
        }\nquorum {\ntwo_nodes: 1 | quorum.two_nodes = 1 at test.conf:7 | quorum.two_node
        }\nquorum {\nexpected_vote: 1 | quorum.expected_vote = 1 at test.conf:7 | quorum.expected_votes
        }\nquorum {\ndevice {\nmodl: net\n} | quorum.device.modl = net at test.conf:8 | quorum.device.model
        }\nqourum {\ntwo_node: 1 | qourum.two_node = 1 at test.conf:7 | quorum.two_node
        }\nlogging {\nto_logfiles: no | logging.to_logfiles = no at test.conf:7 | logging.to_logfile
        }\nlogging {\nlogger_subsys {\nsubsys: CPG\ndebgu: on\n} | logging.logger_subsys.CPG.debgu = on at test.conf:9 | logging.logger_subsys.CPG.debug
        }\nsystem {\nstatedir: /x | system.statedir = /x at test.conf:7 | system.state_dir
        }\nnodelist {\nnode {\nringO_addr: 10.0.0.1\nname: n1\n} | nodelist.node.0.ringO_addr = 10.0.0.1 at test.conf:8 | nodelist.node.0.ring0_addr
        }\nuidgdi {\nuid: root | uidgdi.uid = root at test.conf:7 | uidgid.uid
        }\nnodelist {\nnode {\nvotes: 2\nname: n1\n} | nodelist.node.0.votes = 2 at test.conf:8 | nodelist.node.0.quorum_votes
    "#;
    for [slip, place, meant] in rows(slips) {
        let given = warnings(two_nodes("udpu", &slip));
        let wanted = format!("{place} has no effect: the name is unknown; did you mean {meant}?");
        assert!(given.contains(&wanted), "{wanted}:\n{given:#?}");
    }
}

/// Names of other programs, other versions and old files are not reported.
#[test]
fn unknown_names_that_resemble_nothing_are_not_reported() {
    let text = two_nodes(
        "udpu",
        "cluster_uuid: 001122\nvsftype: none\nip_dscp: 46\nfuture: yes\ninterface {\nfoo: bar\nmember {\nmemberaddr: 10.0.0.1\n}\n}",
    ) + "compatibility: whitetank\namf {\nmode: disabled\n}\naisexec {\nuser: root\ngroup: root\n}\nmy_app {\ntoken: 5\nname: x\n}\n\
         quorum {\nprovider: corosync_votequorum\ndevice {\nmodel: net\nvotes: 1\nnet {\nhost: q\nalgorithm: ffsplit\ntls: on\n}\n\
         heuristics {\nmode: on\nexec_ping: /bin/ping\n}\n}\n}\nnozzle {\nname: noz\nipaddr: 10.9.0.0\n}\npload {\nmode: x\n}\n\
         resources {\nprocess {\ncpu_used {\nmax: 9\n}\n}\n}\nlogging {\nlogging_daemon {\nname: pacemaker\nsubsys: A\ndebgu: on\n}\n\
         logger_subsys {\nsubsys: AMF\ntags: enter\n}\n}\nuidgid {\nuid: 7\n}\n";
    let given = warnings(text);
    let expected = [
        "member section is used together with nodelist. Members ignored.",
        "Please migrate config file to nodelist.",
    ];
    assert_eq!(given, expected);
}

#[test]
fn many_misspelt_names_are_only_counted() {
    let slips: String = (0..30).map(|n| format!("}}\nquorum {{\ndevice {{\nmodel{n}: x\n}}\n")).collect();
    let given = warnings(two_nodes("udpu", &slips));
    assert!(given.len() < 25, "{given:#?}");
    let rest = "10 more names are unknown and resemble known ones.";
    assert!(given.iter().any(|line| line == rest), "{given:#?}");
}

#[test]
fn unknown_words_that_mean_the_default_are_reported() {
    let words = r#"
        secauth: yes | totem.secauth = yes at test.conf:5 is unknown and counts as off; allowed: on, off
        block_unlisted_ips: off | totem.block_unlisted_ips = off at test.conf:5 is unknown and counts as yes
        clear_node_high_bit: on | totem.clear_node_high_bit = on at test.conf:5 is unknown and counts as no
        cancel_token_hold_on_retransmit: true | totem.cancel_token_hold_on_retransmit = true at test.conf:5
        interface {\nbroadcast: on\n} | totem.interface.0.broadcast = on at test.conf:6 is unknown and counts as no
    "#;
    for [said, wanted] in rows(words) {
        let given = warnings(two_nodes("udpu", &said));
        assert!(given.iter().any(|line| line.starts_with(&wanted)), "{wanted}:\n{given:#?}");
    }
}

#[test]
fn settings_without_effect_are_reported() {
    let cases = r#"
        two_node: 1 | quorum.two_node = 1 at test.conf:20 has no effect: without quorum.provider
        provider: corosync_votequorum\ndevice {\nvotes: 1\n} | quorum.device.votes = 1 at test.conf:22 has no effect: quorum.device.model is not given.
    "#;
    for [more, wanted] in rows(cases) {
        let given = warnings(two_nodes("udpu", "") + &format!("quorum {{\n{more}\n}}\n"));
        assert!(given.iter().any(|line| line.starts_with(&wanted)), "{wanted}:\n{given:#?}");
    }
    let zero = warnings(two_nodes("udpu", "").replace("nodeid: 2", "nodeid: 0"));
    let none = "nodelist.node.1.nodeid = 0 at test.conf:15 counts as no node id";
    assert!(zero[0].starts_with(none), "{zero:?}");
}

#[test]
fn an_address_of_two_nodes_is_reported_with_both_lines() {
    let given = warnings(two_nodes("udpu", "").replace("10.0.0.2", "alias.example.org"));
    assert_eq!(given.len(), 1, "{given:?}");
    let both = "nodelist.node.0.ring0_addr = 10.0.0.1 at test.conf:9 and nodelist.node.1.ring0_addr = alias.example.org \
                at test.conf:14 are the same address, 10.0.0.1:";
    assert!(given[0].starts_with(both), "{given:?}");
}

#[test]
fn a_loopback_address_beside_network_addresses_is_reported() {
    // A host with /etc/hosts as Debian's installer writes it.
    let names: Vec<(_, &[_])> = vec![("loc1", &["127.0.1.1"]), ("loc2", &["10.0.0.2"])];
    let debian = MadeUp { name: "loc1", names, ..MadeUp::default() };
    let given = |own: &str, other: &str| {
        let text = two_nodes("udpu", "").replace("10.0.0.1", own).replace("10.0.0.2", other);
        Config::from_conf(text.as_bytes(), Path::new("test.conf"), &debian).unwrap().warnings
    };
    let warnings = given("loc1", "loc2");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    for part in [
        "own address is loopback, see /etc/hosts",
        "nodelist.node.0.ring0_addr = loc1 at test.conf:9 is 127.0.1.1",
        "nodelist.node.1.ring0_addr = loc2 at test.conf:14 is 10.0.0.2",
    ] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }
    let other = given("10.0.0.1", "127.0.1.1");
    for part in ["the address of another node is loopback", "test.conf:14"] {
        assert!(other[0].contains(part), "{other:?}");
    }
    assert!(given("10.0.0.1", "loc2").is_empty());
    assert!(given("loc1", "127.0.0.2").is_empty(), "a cluster on one host");
}
