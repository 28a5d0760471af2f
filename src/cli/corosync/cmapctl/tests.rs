//! Command lines, files of settings, and output as of Debian's tool.

use super::*;

fn parsed(args: &[&str]) -> Result<Option<Request>, String> {
    parse(std::iter::once(&"corosync-cmapctl").chain(args).map(OsString::from).collect())
}

#[test]
fn the_last_action_counts() {
    let request = parsed(&["-g", "totem.version", "-d"]).unwrap().unwrap();
    assert_eq!((request.action, request.operands.len()), (Action::Delete, 1));
    let request = parsed(&["-C", "knet", "-qbg", "stats.x"]).unwrap().unwrap();
    assert_eq!((request.action, request.map), (Action::Get, Map::Statistics));
    assert!(request.style.quiet && request.style.binary);
    let request = parsed(&["-g", "-p", "file"]).unwrap().unwrap();
    assert_eq!(request.action, Action::Load("file".into()));
    assert!(parsed(&["-h", "-x"]).unwrap().is_none());
}

#[test]
fn errors_have_debians_text() {
    for (args, complaint) in [
        (&["-g"][..], "Expected key after options"),
        (&["-b", "-t"], "Expected key after options"),
        (&["-m", "foo"], "invalid map name, must be 'default', 'icmap' or 'stats'"),
        (&["-C", "foo"], "argument to -C should be 'knet', 'totem', 'ipc', 'schedmiss' or 'all'"),
        (&["-x", "-m", "foo"], "corosync-cmapctl: invalid option -- 'x'"),
        (&["--help"], "corosync-cmapctl: invalid option -- '-'"),
        (&["-s", "my.key", "u8", "-1"], "corosync-cmapctl: invalid option -- '1'"),
    ] {
        assert_eq!(parsed(args).unwrap_err(), complaint, "{args:?}");
    }
}

#[test]
fn lines_of_files_are_split_into_words() {
    let read = |line: &'static str| read_line(line.as_bytes());
    let set = |key: &'static str, kind: &'static str, value: &'static str| {
        let [key, kind, value] = [key, kind, value].map(str::as_bytes);
        Ok(Some(Order::Set { key, kind, value }))
    };
    assert_eq!(read("my.key str hello world"), set("my.key", "str", "hello"));
    assert_eq!(read("  my.key  u32    77 "), set("my.key", "u32", "77"));
    assert_eq!(read("  # comment"), Ok(None));
    assert_eq!(read("   "), Ok(None));
    assert_eq!(read("^my.key u8"), Ok(Some(Order::Delete(b"my.key"))));
    assert_eq!(read("^^my."), Ok(Some(Order::DeletePrefix(b"my."))));
    assert_eq!(read("^ my.key"), Ok(Some(Order::Delete(b""))));
    let expected = Err("Both type and value for key my.key\tu8\t3 are required".to_owned());
    assert_eq!(read("my.key\tu8\t3"), expected);
    assert_eq!(read("my.key u8 "), Err("Both type and value for key my.key are required".to_owned()));
}

#[test]
fn changes_are_printed_as_by_debians_tool() {
    let change = |kind, old: Option<u8>, new: Option<u8>| Change {
        key: "my.t1".to_owned(),
        kind,
        old: old.map(Value::U8),
        new: new.map(Value::U8),
    };
    let told =
        |change: Change, quiet| String::from_utf8(told(&change, Style { quiet, binary: false })).unwrap();
    assert_eq!(told(change(ChangeKind::Added, None, Some(1)), false), "create> my.t1 (u8) = 1\n");
    assert_eq!(told(change(ChangeKind::Modified, Some(1), Some(2)), true), "modify> 2\n");
    assert_eq!(told(change(ChangeKind::Removed, Some(2), None), false), "delete> my.t1 (u8) = 2\n");
}
