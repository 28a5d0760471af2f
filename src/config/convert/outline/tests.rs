//! Which setting or section a comment belongs to.

use super::*;

fn of_toml(text: &[u8]) -> Outline {
    let mut outline = Outline::new();
    outline.add_toml(text, 0);
    outline.end();
    outline
}

fn comments(outline: &Outline) -> Vec<(Next, &str)> {
    outline.comments.iter().map(|(next, text)| (*next, text.as_str())).collect()
}

#[test]
fn hashes_in_toml_strings_are_not_comments() {
    let text = b"# one\n[a] # two\nb = \"x # y\" # three\nc = '''\n# no\n''' # four\nd = \"\\\"#\"\n  # five";
    let outline = of_toml(text);
    let wanted = [
        (Next::Open(1), " one"),
        (Next::Key(0), " two"),
        (Next::Key(0), " three"),
        (Next::Key(1), " four"),
        (Next::Close(1), " five"),
    ];
    assert_eq!(comments(&outline), wanted);
    let keys: Vec<_> = outline.keys.iter().map(|key| (key.at, key.name.as_str())).collect();
    assert_eq!(keys, [(3, "b"), (4, "c"), (7, "d")]);
}

#[test]
fn empty_lines_separate_comments() {
    let outline = of_toml(b"[a]\na = 1\n# of the first\n\n# of b\nb = 1\n# of a\n\n# of a too\n\n# of c\n[c]\nd = [\n  # of d\n  1,\n]\n\n# end\n");
    let wanted = [
        (Next::After(0), " of the first"),
        (Next::Key(1), " of b"),
        (Next::Close(1), " of a"),
        (Next::Close(1), " of a too"),
        (Next::Open(2), " of c"),
        (Next::Key(3), " of d"),
        (Next::End, " end"),
    ];
    assert_eq!(comments(&outline), wanted);
    assert_eq!(outline.keys[3].name, "d");
}

#[test]
fn comments_of_conf_belong_to_what_follows_them() {
    let mut outline = Outline::new();
    outline.add_conf(b"# file\n\ntotem {\n  # first\n  version: 2\n#last\n}\n#end", 0);
    outline.end();
    let wanted =
        [(Next::Open(1), " file"), (Next::Key(0), " first"), (Next::Close(1), "last"), (Next::End, "end")];
    assert_eq!(comments(&outline), wanted);
    assert_eq!(outline.sibling(5, "version"), Some(5));
    assert_eq!(outline.sibling(9, "version"), None);
}

#[test]
fn unclosed_strings_end_with_the_file() {
    for text in ["\"", "'''", "\"\\", "a = \"\"\"x\"", "[", "]", "a = [", "[[\n]", "a\n#"] {
        of_toml(text.as_bytes());
    }
}
