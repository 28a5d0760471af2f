//! Every comment appears once after each conversion, together with what it belongs to.

use std::ops::Range;

use proptest::prelude::*;

use super::{there_and_back, to_conf, to_toml};

/// A file like Debian's, with a comment at every place where one can stand.
const EVERYWHERE: &str = "\
# file

# totem
totem {
\t# version
\tversion: 2
  # token, first
  token: 1000
 # token, again
  token: 2000
  # end of totem, before interface
  interface {
    # linknumber
    linknumber: 0
    # mcastport
    mcastport: 5405
    # member
    member {
      # memberaddr
      memberaddr: 10.0.0.1
      # end of member
    }
    # end of interface
  }
  # end of totem
}
# logging
logging {
  # to_syslog
  to_syslog: no
  #timestamp: hires

  # logger_subsys
  logger_subsys {
    # debug
    debug: on
    # subsys
    subsys: QUORUM
    # end of logger_subsys
  }
  # logger_subsys with a name alone
  logger_subsys {
    # subsys alone
    subsys: TOTEM
  }
  # logging_daemon
  logging_daemon {
    # name
    name: qdevice
    # subsys of the daemon
    subsys: NET
    # debug of the daemon
    debug: on
  }
  # own daemon
  logging_daemon {
    # name of the own daemon
    name: corosync
    # fileline
    fileline: on
    # end of logging_daemon
  }
}
# empty section
quorum {
  # in the empty section
}
# nodelist
nodelist {
  # node

  node {
    # ring0_addr
    ring0_addr: 10.0.0.1
    # unknown
    rack: 7
  }
  # end of nodelist
}
uidgid {
  # uid
  uid: 1000
  # second uid
  uid: 1001
  # gid
  gid: 189
  # end of uidgid
}
unknown {
  deep {
    # deepest
    key: value
    # end of deep
  }
}
# end of file
";

/// A list on one line becomes several keys.
#[test]
fn a_comment_after_a_list_follows_its_last_key() {
    let text = "totem {\n  version: 2\n}\nuidgid {\n  uid: 1\n  uid: 2\n  gid: 3\n}\nuidgid {\n  uid: 4\n  # last\n}\n";
    let (toml, back) = there_and_back(text.as_bytes());
    assert!(toml.contains("uid = [1, 2, 4]\n# last\n"), "{toml}");
    assert!(back.contains("  uid: 1\n  uid: 2\n  uid: 4\n  # last\n  gid: 3\n"), "{back}");
}

#[test]
fn comments_at_every_place_are_kept() {
    let (toml, back) = there_and_back(EVERYWHERE.as_bytes());
    assert_once(EVERYWHERE, &toml);
    assert_once(EVERYWHERE, &back);
    for beside in [
        "# version\nversion = 2\n# token, first\n# token, again\ntoken = 2000\n",
        "[other]\n# memberaddr\n\"totem.interface.0.member.0\" = \"10.0.0.1\"\n# end of member\n",
        "# end of totem, before interface\n[[totem.interface]]\n# linknumber\nlinknumber = 0\n# mcastport\nmcastport = 5405\n",
        "#timestamp: hires\n# logger_subsys\n[logging.logger_subsys.QUORUM]\n# subsys\nsubsys = \"QUORUM\"\n# debug\ndebug = \"on\"\n",
        "# logger_subsys with a name alone\n[logging.logger_subsys.TOTEM]\n# subsys alone\nsubsys = \"TOTEM\"\n",
        "# nodelist\n# node\n[[nodelist.node]]\n# ring0_addr\n",
        "[uidgid]\n# uid\nuid = [\n    1000,\n# second uid\n    1001,\n]\n# gid\ngid = [189]\n# end of uidgid\n",
        "\n\n# end of file\n",
    ] {
        assert!(toml.contains(beside), "{beside}\nis not in\n{toml}");
    }
    for beside in [
        "  # logger_subsys\n  logger_subsys {\n    # subsys\n    subsys: QUORUM\n    # debug\n    debug: on\n",
        "  # logger_subsys with a name alone\n  logger_subsys {\n    # subsys alone\n    subsys: TOTEM\n",
        "  interface {\n    # linknumber\n    linknumber: 0\n    # mcastport\n    mcastport: 5405\n",
        "  # second uid\n",
        "  # gid\n  gid: 189\n  # end of uidgid\n}\n",
        "}\n# end of file\n",
    ] {
        assert!(back.contains(beside), "{beside}\nis not in\n{back}");
    }
}

#[test]
fn comments_of_files_beside_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corosync.conf");
    std::fs::create_dir(dir.path().join("uidgid.d")).unwrap();
    std::fs::write(dir.path().join("uidgid.d/pacemaker"), "# whose\nuidgid {\n # group\n gid: haclient\n}\n")
        .unwrap();
    let text = "totem {\n version: 2\n transport: udp\n}\n# end\n";
    let toml = super::super::conf_file_to_toml(text.as_bytes(), &file, &super::MadeUp::default()).unwrap();
    let wanted = "[totem]\nversion = 2\ntransport = \"udp\"\n\n# end\n# whose\n[uidgid]\n# group\ngid = [\"haclient\"]\n";
    assert_eq!(toml, wanted);
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix('#')).collect()
}

fn assert_once(wanted: &str, got: &str) {
    let sorted = |text| {
        let mut all = comments(text);
        all.retain(|comment| *comment != super::super::outline::OTHER_REMARK);
        all.sort_unstable();
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(sorted(wanted), sorted(got), "{wanted}\nbecame\n{got}");
}

/// A part of a generated file.
#[derive(Clone, Debug)]
enum Part {
    Comment,
    Empty,
    /// A key whose value is a number that occurs only once in the file.
    Own(&'static str),
    /// A key and its value.
    Fixed(&'static str, &'static str),
    Section(&'static str, Vec<Self>),
}

/// Identifies the setting that a comment belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    /// The only key with this value.
    Own(usize),
    /// A key with a value that other keys may have too.
    Fixed(&'static str, &'static str),
}

impl Mark {
    /// Whether a line sets it, in either format.
    fn is_in(&self, line: &str) -> bool {
        let sets = line.contains([':', '=']) || line.starts_with("[logging.logger_subsys.");
        !line.starts_with('#')
            && sets
            && match self {
                Self::Own(value) => line.contains(&value.to_string()),
                Self::Fixed(key, value) => line.contains(key) && line.contains(value),
            }
    }
}

/// A generated file.
#[derive(Debug, Default)]
struct Made {
    text: String,
    marks: Vec<Mark>,
    /// For each comment the marks of what follows it or of the section that it ends, and whether it ends the section.
    beside: Vec<(Range<usize>, bool)>,
    /// Comments that nothing has followed yet.
    pending: Vec<usize>,
}

/// Values from here on occur only once.
const FIRST: usize = 1_000_000;

impl Made {
    fn part(&mut self, part: &Part, random: &mut impl FnMut() -> usize) {
        let blanks = ["", " ", "\t", "    ", " \t "][random() % 5];
        match part {
            Part::Comment => {
                let number = self.beside.len();
                self.text += &format!("{blanks}#{} c{number}\n", ["", " ", "#"][random() % 3]);
                self.pending.push(number);
                self.beside.push((0..0, false));
            }
            Part::Empty => self.text += &format!("{blanks}\n"),
            Part::Own(key) => {
                let value = FIRST + self.marks.len();
                self.key(&format!("{blanks}{key}: {value}\n"), Mark::Own(value));
            }
            Part::Fixed(key, value) => {
                self.key(&format!("{blanks}{key}: {value}{blanks}\n"), Mark::Fixed(key, value));
            }
            Part::Section(name, parts) => {
                self.text += &format!("{blanks}{name} {{{blanks}\n");
                let (before, first) = (std::mem::take(&mut self.pending), self.marks.len());
                for part in parts {
                    self.part(part, random);
                }
                let all = first..self.marks.len();
                self.settle(all.clone(), true);
                self.pending = before;
                self.settle(all, false);
                self.text += &format!("{blanks}}}\n");
            }
        }
    }

    fn key(&mut self, line: &str, mark: Mark) {
        self.text += line;
        self.marks.push(mark);
        self.settle(self.marks.len() - 1..self.marks.len(), false);
    }

    fn settle(&mut self, marks: Range<usize>, is_end: bool) {
        for comment in self.pending.drain(..) {
            self.beside[comment] = (marks.clone(), is_end);
        }
    }
}

/// Parts, drawn at random.
type Drawn = BoxedStrategy<Part>;

/// The content of a section, with comments and empty lines before each line and at its end.
fn inside(parts: Vec<Drawn>, count: Range<usize>) -> impl Strategy<Value = Vec<Part>> {
    let between = prop::collection::vec(prop_oneof![3 => Just(Part::Comment), 1 => Just(Part::Empty)], 0..3);
    let one = (between.clone(), proptest::strategy::Union::new(parts));
    (prop::collection::vec(one, count), between).prop_map(|(parts, last)| {
        let parts = parts.into_iter().flat_map(|(before, part)| before.into_iter().chain([part]));
        parts.chain(last).collect()
    })
}

fn own(keys: &[&'static str]) -> Drawn {
    prop::sample::select(keys.to_vec()).prop_map(Part::Own).boxed()
}

fn fixed(key: &'static str, values: &[&'static str]) -> Drawn {
    prop::sample::select(values.to_vec()).prop_map(move |value| Part::Fixed(key, value)).boxed()
}

fn section(name: &'static str, parts: Vec<Drawn>) -> Drawn {
    inside(parts, 0..5).prop_map(move |parts| Part::Section(name, parts)).boxed()
}

/// A section that is invalid without this key.
fn with(name: &'static str, needed: Drawn, parts: Vec<Drawn>) -> Drawn {
    (inside(vec![needed], 1..2), inside(parts, 0..4), any::<bool>())
        .prop_map(move |(needed, others, first)| {
            let parts = if first { [needed, others] } else { [others, needed] };
            Part::Section(name, parts.concat())
        })
        .boxed()
}

fn any_section() -> Drawn {
    let member = section("member", vec![own(&["memberaddr"])]);
    let interface = section(
        "interface",
        vec![fixed("linknumber", &["0", "1", "7"]), fixed("ttl", &["3"]), own(&["mcastaddr", "odd"]), member],
    );
    let totem = section(
        "totem",
        vec![own(&["token", "consensus", "cluster_name", "future"]), fixed("secauth", &["off"]), interface],
    );
    let subsystem = with(
        "logger_subsys",
        prop_oneof![own(&["subsys"]), fixed("subsys", &["QUORUM", "A.B"])].boxed(),
        vec![fixed("debug", &["on", "off"]), own(&["logfile", "odd"])],
    );
    let daemon = with(
        "logging_daemon",
        prop_oneof![own(&["name"]), fixed("name", &["corosync", "qdevice"])].boxed(),
        vec![fixed("debug", &["on"]), own(&["logfile", "subsys"])],
    );
    let logging =
        section("logging", vec![fixed("to_syslog", &["no"]), own(&["logfile", "odd"]), subsystem, daemon]);
    let node = section("node", vec![own(&["ring0_addr", "nodeid", "name", "rack"])]);
    let nodelist = section("nodelist", vec![node]);
    let net = section("net", vec![own(&["host", "algorithm"])]);
    let device = section("device", vec![own(&["model", "timeout"]), net]);
    let quorum = section("quorum", vec![own(&["expected_votes", "odd"]), fixed("two_node", &["1"]), device]);
    let uidgid = section("uidgid", vec![own(&["uid", "gid"])]);
    let deep = section("deep", vec![own(&["a.b", "key"])]);
    let unknown = section("unknown", vec![own(&["key", "other"]), deep]);
    prop_oneof![totem, logging, nodelist, quorum, uidgid, unknown].boxed()
}

fn any_file() -> impl Strategy<Value = Made> {
    let parts = inside(vec![any_section(), own(&["top-level"])], 0..8);
    (parts, prop::collection::vec(any::<usize>(), 32)).prop_map(|(parts, random)| {
        let mut made = Made::default();
        let mut turn = 0;
        let mut random = || {
            turn += 1;
            random[turn % random.len()]
        };
        made.part(&Part::Section("totem", vec![Part::Comment, Part::Fixed("version", "2")]), &mut random);
        for part in &parts {
            made.part(part, &mut random);
        }
        made.settle(0..0, false);
        made
    })
}

/// Checks that each comment appears once, together with what it belongs to.
fn check_places(made: &Made, got: &str) -> Result<(), String> {
    let lines: Vec<&str> = got.lines().map(str::trim).collect();
    for (number, (range, is_end)) in made.beside.iter().enumerate() {
        let name = format!(" c{number}");
        let is_it = |at: &usize| lines[*at].starts_with('#') && lines[*at].ends_with(&name);
        let at: Vec<usize> = (0..lines.len()).filter(is_it).collect();
        let [at] = at[..] else { return Err(format!("comment{name} is there {} times", at.len())) };
        let wanted = &made.marks[range.clone()];
        let own: Vec<&Mark> = wanted.iter().filter(|mark| matches!(mark, Mark::Own(_))).collect();
        // A setting that is set again elsewhere is dropped with its value, and its comments move to the new one.
        if own.is_empty() || own.iter().any(|mark| !lines.iter().any(|line| mark.is_in(line))) {
            continue;
        }
        let is_wanted =
            |line: Option<&&str>| line.is_some_and(|line| wanted.iter().any(|mark| mark.is_in(line)));
        // The link's number may be set in another section.
        let sets = |line: &&&str| {
            made.marks.iter().any(|mark| mark.is_in(line))
                && (!line.starts_with("linknumber") || is_wanted(Some(line)))
        };
        let before = is_wanted(lines[..at].iter().rev().find(sets));
        // If a header contains the setting that the comment stood before, that is directly below. The values of a
        // list become lines again, and a comment at the list's end stands before the last of them.
        let next = lines[at..].iter().find(sets);
        let in_list = next.is_some_and(|line| line.starts_with("uid:") || line.starts_with("gid:"));
        let behind = (!is_end || in_list) && is_wanted(next);
        if !before && !behind {
            return Err(format!("comment{name} is not with {wanted:?}"));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// For any sections, however nested and repeated.
    #[test]
    fn every_comment_is_kept_with_its_setting(made in any_file()) {
        let toml = to_toml(made.text.as_bytes()).map_err(|error| TestCaseError::fail(format!("{error}\n{}", made.text)))?;
        let placed = check_places(&made, &toml);
        prop_assert!(placed.is_ok(), "{:?}\n{}\nbecame\n{}", placed, made.text, toml);
        // The conversion back may be refused, as not every name can be written.
        if let Ok(back) = to_conf(&toml) {
            let back = String::from_utf8(back).unwrap();
            prop_assert_eq!(super::of_conf(back.as_bytes()).unwrap(), super::meant(made.text.as_bytes()).unwrap());
            let placed = check_places(&made, &back);
            prop_assert!(placed.is_ok(), "{:?}\n{}\nbecame\n{}\nand\n{}", placed, made.text, toml, back);
            // A second conversion moves no comment.
            prop_assert_eq!(comments(&to_toml(back.as_bytes()).unwrap()).len(), comments(&toml).len());
        }
    }
}
