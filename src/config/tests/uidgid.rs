//! Who may connect: section `uidgid` and the files of `uidgid.d`.

use std::fs;

use super::corosync::Referee;
use super::*;

#[test]
fn uidgid_directory_adds_users_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("corosync.conf");
    fs::write(&path, two_nodes("udpu", "") + "uidgid {\nuid: hacluster\n}\n").unwrap();
    let more = directory.path().join("uidgid.d");
    fs::create_dir(&more).unwrap();
    fs::create_dir(more.join("not-a-file")).unwrap();
    fs::write(more.join("a"), "uidgid {\ngid: haclient\nuid: 7\n}\n").unwrap();
    let config = Config::load_on(&path, &MadeUp::default()).unwrap();
    assert_eq!(config.access.uids.iter().copied().collect::<Vec<_>>(), [7, 189]);
    assert_eq!(config.access.gids.iter().copied().collect::<Vec<_>>(), [190]);

    fs::write(more.join("a"), "totem {\ntoken: 1\n}\n").unwrap();
    let error = Config::load_on(&path, &MadeUp::default()).unwrap_err();
    let wanted = "uidgid: Can't add subsection different than uidgid";
    assert_eq!(error.message, format!("parser error: {}:1: {wanted}", more.join("a").display()));
}

/// Corosync skips such a file silently.
#[test]
fn an_unreadable_file_is_skipped_with_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("corosync.conf");
    fs::write(&path, two_nodes("udpu", "")).unwrap();
    let large = directory.path().join("uidgid.d/large");
    fs::create_dir(large.parent().unwrap()).unwrap();
    fs::File::create(&large).unwrap().set_len(crate::config::FILE_LIMIT + 1).unwrap();
    let config = Config::load_on(&path, &MadeUp::default()).unwrap();
    let told =
        format!("Can't read file {}: File too large; who is named there may not connect.", large.display());
    assert_eq!(config.warnings, [told]);
}

/// A file of `uidgid.d`, its error (empty: none), and the line of the error.
const FILES: &[(&str, &str, u32)] = &[
    ("", "", 0),
    ("# nothing\n", "", 0),
    ("uidgid {\n uid: root\n gid: root\n}\n", "", 0),
    ("uidgid {\n uid: 0\n}\nuidgid {\n gid: 7\n}\n", "", 0),
    ("uidgid {\n uid: 4294967294\n}\n", "", 0),
    ("uidgid {\n uid: 2147483648\n}\n", "", 0),
    ("uidgid {\n uid:  +7 \n}\n", "", 0),
    ("uidgid.uid: root\n", "", 0),
    ("uid: root\n", "uidgid: Only uid and gid are allowed items", 1),
    ("gid: root\n", "uidgid: Only uid and gid are allowed items", 1),
    ("\nuidgid: root\n", "uidgid: Only uid and gid are allowed items", 2),
    ("totem: root\n", "uidgid: Only uid and gid are allowed items", 1),
    ("uidgid {\n uid: root\n}\nuid: root\n", "uidgid: Only uid and gid are allowed items", 4),
    ("uidgid {\n pid: 1\n}\n", "uidgid: Only uid and gid are allowed items", 2),
    ("uidgid {\n UID: 7\n}\n", "uidgid: Only uid and gid are allowed items", 2),
    ("totem {\n}\n", "uidgid: Can't add subsection different than uidgid", 1),
    ("uidgid {\n uidgid {\n  uid: root\n }\n}\n", "uidgid: Can't add subsection different than uidgid", 2),
    ("uidgid {\n uid: root\n sub {\n }\n}\n", "uidgid: Can't add subsection different than uidgid", 3),
    ("uidgid {\n uid: root\n", "Missing closing brace", 2),
    ("uidgid {\n uid\n}\n", "Line is not opening or closing section or key value", 2),
    ("uidgid {\n uid:\n}\n", "The '' user is not found in /etc/passwd", 2),
    ("uidgid {\n uid: no-such-user\n}\n", "The 'no-such-user' user is not found in /etc/passwd", 2),
    ("uidgid {\n gid: no-such-group\n}\n", "The 'no-such-group' group is not found in /etc/group", 2),
    ("uidgid {\n uid: -1\n}\n", "The '-1' user is not found", 2),
    ("uidgid {\n uid: 12x\n}\n", "The '12x' user is not found", 2),
    ("uidgid {\n uid: 0x10\n}\n", "The '0x10' user is not found", 2),
    ("uidgid {\n uid: 4294967296\n}\n", "The '4294967296' user is not found", 2),
    ("uidgid {\n gid: 99999999999999999999\n}\n", "The '99999999999999999999' group is not found", 2),
    ("uidgid {\n uid: 4294967295\n}\n", "uidgid: uid 4294967295 is no user", 2),
    ("uidgid {\n uid: 7\n gid: 4294967295\n}\n", "uidgid: gid 4294967295 is no group", 3),
];

#[test]
fn a_file_of_uidgid_d_is_refused_with_its_line_as_corosync_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("corosync.conf");
    fs::write(&path, two_nodes("udpu", "").replace("10.0.0.1", "127.0.0.1")).unwrap();
    let file = directory.path().join("uidgid.d/more");
    fs::create_dir(file.parent().unwrap()).unwrap();
    let referee = Referee::find();
    for (text, wrong, line) in FILES {
        fs::write(&file, text).unwrap();
        let ours = Config::load_on(&path, &REAL);
        match ours {
            Ok(_) => assert_eq!(*wrong, "", "{text:?} is accepted"),
            Err(error) => {
                let wanted = format!("parser error: {}:{line}: {wrong}", file.display());
                assert!(!wrong.is_empty() && error.message.starts_with(&wanted), "{text:?}: {error}");
            }
        }
        if let Some(referee) = &referee {
            let (status, said) = referee.ask(&path);
            assert_eq!(status == Some(0), wrong.is_empty(), "{text:?}: corosync says {said}");
        }
    }
}

#[test]
fn the_invalid_id_is_refused_in_the_main_file_too() {
    for (section, name, account) in [("uid", "uid", "user"), ("gid", "gid", "group")] {
        let text = two_nodes("udpu", "") + &format!("uidgid {{\n{section}: 4294967295\n}}\n");
        let line = text.lines().count() - 1;
        let said = format!("uidgid: {name} 4294967295 is no {account}");
        let error = conf(&text).unwrap_err().message;
        assert!(error.starts_with(&format!("parser error: test.conf:{line}: {said}")), "{error}");
        let error = toml(format!("[uidgid]\n{section} = [7, 4294967295]\n")).unwrap_err().message;
        assert!(error.contains(&format!("test.toml:2: {said}")), "{error}");
    }
}
