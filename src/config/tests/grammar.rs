//! The grammar of `corosync.conf`: the exact text of every error.

use super::*;

fn first_line(text: impl AsRef<[u8]>) -> String {
    conf(text).unwrap_err().message
}

/// Source: corosync `exec/coroparse.c`; all but the one on unsigned numbers were observed with 3.1.7.
#[test]
fn errors_have_corosyncs_text() {
    let refused = |text: &str, message: &str| {
        assert_eq!(first_line(text), format!("parser error: test.conf:{message}"), "{text:?}");
    };
    refused(&format!("abc: {}\n", "x".repeat(506)), "1: Line too long");
    refused("  {\n", "1: Missing section name before opening bracket '{'");
    let cases = r#"
        {\n}\n | 1: Missing section name before opening bracket '{'
        totem { version: 2\n | 1: Extra characters after opening bracket '{'
        abc: {x}\n | 1: Extra characters after opening bracket '{'
        totem {\n} # end\n | 2: Extra characters before or after closing bracket '}'
        \n# comment\n}\n | 3: Unexpected closing brace
        totem {\nversion: 2\n | 2: Missing closing brace
        totem {\nversion: 2 | 2: Missing closing brace
        totem\n{\n | 1: Line is not opening or closing section or key value
        totem {\nconfig_version: x\n}\n | 2: Value of key "totem.config_version" is expected to be unsigned integer, but "x" was given
        ab: c\n | 1: Can't store key "ab" into icmap, returned error is CS_ERR_NAME_TOO_LONG
        totem {\na b: c\n}\n | 2: Can't store key "totem.a b" into icmap, returned error is CS_ERR_NAME_TOO_LONG
        totem {\nip_version: 4\n}\n | 2: Invalid ip_version type
        totem {\ncrypto_hash: sha\n}\n | 2: Invalid hash type. Should be none, md5, sha1, sha256, sha384 or sha512
        totem {\ninterface {\nmember {\nfoo: bar\n}\n}\n}\n | 4: Only memberaddr is allowed in member section
        logging {\nlogger_subsys {\ndebug: on\n}\n}\n | 4: No subsys key in logger_subsys directive
        logging {\nlogging_daemon {\ndebug: on\n}\n}\n | 4: No name key in logging_daemon directive
        uidgid {\nuid: nobody-here\n}\n | 2: The 'nobody-here' user is not found in /etc/passwd, please read the documentation.
        uidgid {\ngid: nobody-here\n}\n | 2: The 'nobody-here' group is not found in /etc/group, please read the documentation.
        uidgid {\npid: 1\n}\n | 2: uidgid: Only uid and gid are allowed items
        system {\nsched_rr: 1\n}\n | 2: Invalid system.sched_rr value
    "#;
    for [text, message] in rows(cases) {
        refused(&text, &message);
    }
    let numbers = r#"
        totem {\ntoken: 1s\n}\n | 2 | totem.token | 0..4294967295 | 1s
        totem {\ninterface {\nmcastport: 65536\n}\n}\n | 3 | totem.interface.mcastport | 0..65535 | 65536
        totem {\ninterface {\nlinknumber: -1\n}\n}\n | 3 | totem.interface.linknumber | 0..255 | -1
        nodelist {\nnode {\n}\nnode {\nnodeid: x\n}\n}\n | 5 | nodelist.node.1.nodeid | 0..4294967295 | x
        totem {\nknet_compression_level: 2147483648\n}\n | 2 | totem.knet_compression_level | -2147483648..2147483647 | 2147483648
    "#;
    for [text, line, key, range, given] in rows(numbers) {
        let message = format!("is expected to be integer in range ({range}), but \"{given}\" was given");
        let wanted = format!("parser error: test.conf:{line}: Value of key \"{key}\" {message}");
        assert_eq!(first_line(&text), wanted, "{text:?}");
    }
    assert_eq!(first_line("logging {\ndebug: yes\n}\n"), "parse error in config: unknown value for debug.");
}

#[test]
fn names_may_grow_to_254_bytes() {
    let section = "s".repeat(253);
    let refused = first_line(format!("{section}s {{\n}}\n"));
    assert!(refused.ends_with(":1: Start of section makes total cmap path too long"), "{refused}");
    let refused = first_line(format!("{} {{\n{}: x\n}}\n", "s".repeat(200), "k".repeat(54)));
    assert!(refused.ends_with(":2: New key makes total cmap path too long"), "{refused}");
    // Names that are one byte shorter are accepted, and the file then fails for a missing section.
    assert!(first_line(format!("{section} {{\n}}\n")).ends_with("No interfaces defined"));
    let refused = first_line(format!("{} {{\n{}: x\n}}\n", "s".repeat(200), "k".repeat(53)));
    assert!(refused.ends_with("No interfaces defined"), "{refused}");
}

#[test]
fn the_longest_line_is_taken() {
    let fits = format!("abc: {}\n", "x".repeat(505));
    assert_eq!(fits.len(), 511);
    let config = conf(fits + &two_nodes("udpu", "")).unwrap();
    assert_eq!(config.map.text("abc").unwrap().len(), 505);
}

#[test]
fn blanks_comments_and_line_ends_do_not_matter() {
    let text = two_nodes("udpu", "# comment {").replace("totem {", "\ttotem : {  ").replace('\n', "\r\n");
    let config = conf(text).unwrap();
    assert_eq!(config.totem, conf(two_nodes("udpu", "")).unwrap().totem);
}

#[test]
fn later_items_override_earlier_ones_except_in_logger_subsys() {
    let text = two_nodes("udpu", "token: 1000\ntoken: 2000")
        + "logging {\nlogger_subsys {\nsubsys: A\nsubsys: CPG\ndebug: on\ndebug: off\n}\n}\n";
    let config = conf(text).unwrap();
    assert_eq!(config.totem.timeouts.token.as_millis(), 2000);
    assert_eq!(config.map.text("logging.logger_subsys.CPG.debug").unwrap(), "on");
    assert_eq!(config.logging.target("CPG").debug, super::super::logging::Debug::On);
    assert_eq!(config.logging.target("TOTEM").debug, super::super::logging::Debug::Off);
}

#[test]
fn logging_daemon_names_follow_the_daemon() {
    let text = two_nodes("udpu", "")
        + "logging {\nlogging_daemon {\nname: corosync\ndebug: on\n}\n\
           logging_daemon {\nname: corosync\nsubsys: CPG\ndebug: trace\n}\n\
           logging_daemon {\nname: qdevice\nsubsys: X\ndebug: off\n}\n}\n";
    let map = conf(text).unwrap().map;
    for (name, value) in [
        ("logging.debug", "on"),
        ("logging.logger_subsys.CPG.debug", "trace"),
        ("logging.logger_subsys.CPG.subsys", "CPG"),
        ("logging.logging_daemon.qdevice.X.debug", "off"),
        ("logging.logging_daemon.qdevice.X.name", "qdevice"),
        ("logging.logging_daemon.qdevice.X.subsys", "X"),
    ] {
        assert_eq!(map.text(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn links_are_stored_under_their_number() {
    let text = two_nodes(
        "udpu",
        "interface {\nmcastport: 6000\nlinknumber: 0\nfoo: bar\n\
         member {\nmemberaddr: 10.0.0.1\n}\nmember {\nmemberaddr: 10.0.0.2\n}\n}",
    );
    let config = conf(text).unwrap();
    assert_eq!(config.port(), 6000);
    assert_eq!(config.map.u32("totem.interface.0.mcastport"), Some(6000));
    assert_eq!(config.map.text("totem.interface.foo").unwrap(), "bar");
    assert_eq!(config.map.text("totem.interface.0.member.0").unwrap(), "10.0.0.2");
    assert_eq!(config.map.text("totem.interface.0.member.1").unwrap(), "10.0.0.1");
    assert_eq!(config.map.entry("totem.interface.0.linknumber"), None);
    let expected = [
        "member section is used together with nodelist. Members ignored.",
        "Please migrate config file to nodelist.",
    ];
    assert_eq!(config.warnings, expected);
}

#[test]
fn a_missing_file_is_reported_with_its_path() {
    let error = Config::load(Path::new("/nonexistent/corosync.conf")).unwrap_err();
    assert_eq!(error.message, "Can't read file /nonexistent/corosync.conf: No such file or directory");
    assert_eq!(error.exit_status(), 8);
}

#[test]
fn a_hint_names_the_allowed_words_and_the_nearest() {
    let error = conf("totem {\ncrypto_cipher: aes255\n}\n").unwrap_err().to_string();
    assert!(error.contains("did you mean aes256?"), "{error}");
    assert!(error.starts_with("parser error: test.conf:2: Invalid cipher type."), "{error}");
}
