//! Hostile files may be refused, but must not cause a panic or take long.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{FILE_LIMIT, map};
use super::*;

/// Limit of the time for one file. It is far above what the longest file takes, as tests run on busy machines.
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads a text in both formats. A refusal must have one error with a text.
fn read_both(text: &[u8]) -> [Result<Config, ConfigError>; 2] {
    let begin = Instant::now();
    let both = [conf(text), toml(text)];
    assert!(begin.elapsed() < PATIENCE, "took {:?}", begin.elapsed());
    for error in both.iter().filter_map(|result| result.as_ref().err()) {
        assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error:?}");
    }
    both
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read_both(&bytes);
    }

    #[test]
    fn any_lines_are_read_or_refused(
        text in "([a-z.\\[\\]]{0,8}(\\{|\\}|: ?[0-9a-z:.]{0,9}| = (\"[a-z]{0,5}\"|-?[0-9]{1,20}|true)| *)\r?\n){0,40}",
    ) {
        let _ = read_both(text.as_bytes());
    }

    #[test]
    fn any_value_of_any_setting_is_read_or_refused(
        index in 0..super::super::keys::KEYS.len(),
        value in "(\"[ -~]{0,20}\"|-?[0-9]{1,19}|[0-9]{1,5}\\.[0-9]{1,3}|true|false|\\[1, \"a\"\\]|\\{a = 1\\}|1979-05-27)",
    ) {
        // As a dotted name, which reaches every table that is not a list.
        let name = super::super::keys::KEYS[index].name.replace('*', "0");
        let _ = read_both(format!("{name} = {value}\n").as_bytes());
    }

    /// A file that is read from one format and written in the other keeps its meaning.
    #[test]
    fn settings_survive_conversion_to_the_other_format(
        token in 1000u32..100_000, join in 30u32..1000, port in 1024u16.., window in 1u32..300, unlisted: bool,
    ) {
        let word = if unlisted { "yes" } else { "no" };
        let one = conf(two_nodes("udpu", &format!(
            "token: {token}\njoin: {join}\nwindow_size: {window}\nblock_unlisted_ips: {word}\n\
             interface {{\nmcastport: {port}\n}}"
        ))).unwrap();
        let mut text = String::from("[totem]\n");
        for key in ["cluster_name", "transport", "token", "join", "window_size", "block_unlisted_ips"] {
            match &one.map.entry(&format!("totem.{key}")).unwrap().value {
                map::Value::Text(_) => text += &format!("{key} = \"{}\"\n", one.map.text(&format!("totem.{key}")).unwrap()),
                number => text += &format!("{key} = {number}\n"),
            }
        }
        text += &format!("[[totem.interface]]\nmcastport = {}\n", one.port());
        for node in &one.nodes {
            text += &format!(
                "[[node]]\nnodeid = {}\nname = \"{}\"\nring0_addr = \"{}\"\n",
                node.id.unwrap(), node.name.as_ref().unwrap(), node.addresses[0].text
            );
        }
        let other = toml(text).unwrap();
        prop_assert_eq!(&one.totem, &other.totem);
        prop_assert_eq!(&one.nodes, &other.nodes);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let many = FILE_LIMIT as usize / 2;
    for text in ["a.", "[", "{", "[a.", "a{\n", "x = [", "x={x=", "{}", "[[", "a.b.", "\"a\"."] {
        let text = text.repeat(many / text.len());
        for result in read_both(text.as_bytes()) {
            result.unwrap_err();
        }
    }
    let dotted = format!("{}a = 1\n", "a.".repeat(many / 2));
    toml(&dotted).unwrap_err();
    toml(format!("[{}a]\nb = 1\n", "a.".repeat(many / 2))).unwrap_err();
    toml(format!("quorum.device.net.{}a = 1\n", "a.".repeat(many / 2))).unwrap_err();
    toml(format!("[quorum.device.net.{}a]\nb = 1\n", "a.".repeat(40))).unwrap_err();
}

#[test]
fn a_huge_file_is_refused_without_reading_it() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["big.conf", "big.toml"] {
        let path = directory.path().join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(1 << 40).unwrap();
        let error = Config::load(&path).unwrap_err();
        assert_eq!(error.message, format!("Can't read file {}: File too large", path.display()));
    }
}

#[test]
fn items_and_nodes_are_bounded() {
    let mut text = String::from("x {\n");
    for n in 0..=map::ITEM_LIMIT {
        text += &format!("k{n}:\n");
    }
    let [refused, _] = read_both(text.as_bytes());
    let message = refused.unwrap_err().message;
    assert!(message.ends_with("returned error is CS_ERR_NO_MEMORY"), "{message}");

    let mut text = String::from("nodelist {\n");
    for n in 1..=385 {
        text += &format!("node {{\nnodeid: {n}\nring0_addr: 10.0.{}.{}\n}}\n", n / 256, n % 256);
    }
    let message = conf(text + "}\n").unwrap_err().message;
    assert_eq!(message, "385 nodes are too many, a cluster may have 384");
}

#[test]
fn a_nul_does_not_hide_the_following_text() {
    let text = two_nodes("udpu", "token: 10\x0000");
    let error = conf(text).unwrap_err();
    assert_eq!(error.message, "parser error: test.conf:5: Line too long");
    assert_eq!(error.hint.unwrap(), "the line contains a NUL byte");
    let error = toml("[totem]\ncluster_name = \"a\\u0000b\"\n").unwrap_err();
    assert!(error.message.ends_with(":2: totem.cluster_name: a text may not contain a line break or a NUL"));
}
