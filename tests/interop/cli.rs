//! `annulus` under the names of Corosync's tools, compared with Debian's tools: the same command to the same daemon
//! must give the same output, errors and exit status, byte for byte.

use std::fs;
use std::path::PathBuf;

use crate::lab::{Kind, Lab, PATIENCE, Peer, Transport, wait_until};
use crate::ready;

const TOOLS: [&str; 5] =
    ["corosync-quorumtool", "corosync-cmapctl", "corosync-cfgtool", "corosync-cpgtool", "corosync-keygen"];

/// Commands that only ask, or that fail before they ask. Those with `-h` are absent, as the help texts differ.
const QUESTIONS: &[&str] = &[
    "corosync-quorumtool",
    "corosync-quorumtool -s",
    "corosync-quorumtool -l",
    "corosync-quorumtool -p",
    "corosync-quorumtool -sl",
    "corosync-quorumtool -lsH",
    "corosync-quorumtool -lHp",
    "corosync-quorumtool -i",
    "corosync-quorumtool -lai",
    "corosync-quorumtool stray -l",
    "corosync-quorumtool -V -x",
    "corosync-quorumtool -o x",
    "corosync-quorumtool -on -l",
    "corosync-quorumtool -oi -l",
    "corosync-quorumtool -v -1",
    "corosync-quorumtool -v 1x",
    "corosync-quorumtool -n 0",
    "corosync-quorumtool -n 4294967296",
    "corosync-quorumtool -e 0",
    "corosync-quorumtool -e 3x",
    "corosync-quorumtool -v 1 -n 99",
    "corosync-quorumtool -e 100000",
    "corosync-quorumtool -f",
    "corosync-quorumtool -v 1 -l",
    "corosync-cfgtool -s",
    "corosync-cfgtool -sb",
    "corosync-cfgtool --stat -i 10.77.0.1",
    "corosync-cfgtool -n",
    "corosync-cfgtool -s -n",
    "corosync-cfgtool --re",
    "corosync-cfgtool --re=1",
    "corosync-cfgtool --foo=1",
    "corosync-cfgtool --status=1",
    "corosync-cfgtool --kill",
    "corosync-cfgtool -x",
    "corosync-cfgtool -i",
    "corosync-cfgtool -k 0",
    "corosync-cfgtool -k 99",
    "corosync-cfgtool -a 1",
    "corosync-cfgtool -a 9",
    "corosync-cfgtool -a x",
    "corosync-cfgtool -L",
    "corosync-cmapctl totem.",
    "corosync-cmapctl totem.v nope totem.t",
    "corosync-cmapctl nope",
    "corosync-cmapctl nodelist. quorum. runtime.members. runtime.config.",
    "corosync-cmapctl -q totem.",
    "corosync-cmapctl -g",
    "corosync-cmapctl -g totem.token nope.a totem.version",
    "corosync-cmapctl -qg totem.token totem.version",
    "corosync-cmapctl -g ab",
    "corosync-cmapctl -g 'bad key'",
    "corosync-cmapctl -g $(printf 'y%.0s' $(seq 300))",
    "corosync-cmapctl $(printf 'y%.0s' $(seq 300))",
    "corosync-cmapctl 'bad key'",
    "corosync-cmapctl -x",
    "corosync-cmapctl --help",
    "corosync-cmapctl -m",
    "corosync-cmapctl -m foo",
    "corosync-cmapctl -C foo",
    "corosync-cmapctl -m default totem.version",
    "corosync-cmapctl -m stats -g stats.nope",
    "corosync-cmapctl -m stats -s stats.x.y u8 1",
    "corosync-cmapctl -d totem.version",
    "corosync-cmapctl -d my.nope",
    "corosync-cmapctl -D nope",
    "corosync-cmapctl -p /nonexistent",
    "corosync-cmapctl -t nope.key",
    "corosync-cmapctl -T nope. more.",
    "corosync-cmapctl -t",
    "corosync-cpgtool",
    "corosync-cpgtool -d ',;'",
    "corosync-cpgtool -n",
    "corosync-cpgtool -n -d ,",
    "corosync-cpgtool -e",
    "corosync-cpgtool -d ''",
    "corosync-cpgtool -x",
    "corosync-cpgtool -d",
    "corosync-keygen -x",
    "corosync-keygen -s 127",
    "corosync-keygen -s 200x",
    "corosync-keygen -k",
    "corosync-keygen -k /nonexistent/key",
    "corosync-keygen -k /nonexistent/key -r /nonexistent/random",
    "corosync-keygen --foo",
];

/// Commands that change something; they must give the same answer when they are repeated.
const ORDERS: &[&str] = &[
    "corosync-quorumtool -v 1 -n 2",
    "corosync-quorumtool -e 2",
    "corosync-cfgtool -R",
    "corosync-cmapctl -s my.key str",
    "corosync-cmapctl -s my.key foo bar",
    "corosync-cmapctl -s my.key u8 256",
    "corosync-cmapctl -s my.key u8 x",
    "corosync-cmapctl -s my.key u8 -1",
    "corosync-cmapctl -s my.key i8 -- -128 && corosync-cmapctl -g my.key",
    "corosync-cmapctl -s my.key u64 18446744073709551616 && corosync-cmapctl -g my.key",
    "corosync-cmapctl -s my.key u8 0x10 && corosync-cmapctl -g my.key",
    "corosync-cmapctl -s my.key flt 1e && corosync-cmapctl -g my.key",
    "corosync-cmapctl -s my.key dbl -- -nan && corosync-cmapctl -g my.key",
    "corosync-cmapctl -s my.key flt 1e300 && corosync-cmapctl -g my.key",
    "corosync-cmapctl -s my.key flt x",
    "corosync-cmapctl -s my.key str 'a b' && corosync-cmapctl -q my.",
    "corosync-cmapctl -s my.key str '' && corosync-cmapctl my.",
    "corosync-cmapctl -s my.key bin /nonexistent",
    "corosync-cmapctl -s my.key bin /dev/null",
    "printf 'a\\\\b\\377\\t~' | corosync-cmapctl -s my.key bin - && corosync-cmapctl -bg my.key && corosync-cmapctl -qb my.",
    "corosync-cmapctl -s ab u8 1",
    "corosync-cmapctl -s 'bad key' u8 1",
    "corosync-cmapctl -s totem.version u32 2",
    "corosync-cmapctl -s my.a u8 1; corosync-cmapctl -s my.b u8 1; corosync-cmapctl -d my.a my.nope my.b; corosync-cmapctl my.",
    "corosync-cmapctl -D totem.v my.; corosync-cmapctl my.",
    "printf '# c\\n\\nmy.f1  u8 1\\n  my.f2 str hello world\\n^my.f1\\n^nope.x\\nmy.f3 u8\\n' >settings; corosync-cmapctl -p settings; corosync-cmapctl my.",
    "printf '^^my.\\n^totem.version\\nmy.f4 u8 300\\nmy.f5 u8 5\\n' >settings; corosync-cmapctl -p settings; corosync-cmapctl my.",
    "corosync-cmapctl -Call",
    "corosync-keygen -s 128 -lk key && stat -c '%s %a %U' key",
];

/// A lab where each host has a folder with this project's tools under Corosync's names.
struct Tools {
    lab: Lab,
    ours: PathBuf,
}

impl Tools {
    fn new(hosts: usize) -> Self {
        let lab = Lab::new(hosts);
        lab.configure(Transport::Udpu, "token: 3000");
        let ours = lab.dir(1).join("tools");
        fs::create_dir_all(&ours).unwrap();
        for tool in TOOLS {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_annulus"), ours.join(tool)).unwrap();
        }
        Self { lab, ours }
    }

    /// Runs a command of one of the two tool sets. Returns output, errors and exit status, without the date.
    fn run(&self, ours: bool, command: &str) -> String {
        let path = if ours { format!("{}:/usr/sbin", self.ours.display()) } else { "/usr/sbin".to_owned() };
        let script = format!(
            "cd {}; export PATH={path}:/usr/bin:/bin; exec 2>errors; {command}; status=$?; cat errors; echo \"exit status $status\"",
            self.lab.dir(1).display()
        );
        let (_, text) = self.lab.run(1, &["sh", "-c", &script]);
        let line = |line: &str| if line.starts_with("Date: ") { "Date:" } else { line }.to_owned();
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// All commands whose answers differ between the two tool sets, with both answers.
    fn differing(&self, commands: &[&str]) -> Vec<String> {
        commands
            .iter()
            .filter_map(|command| {
                let theirs = self.run(false, command);
                let own = self.run(true, command);
                (own != theirs).then(|| format!("$ {command}\n--- Debian's\n{theirs}\n--- ours\n{own}\n"))
            })
            .collect()
    }
}

fn compare(kind: Kind) {
    let mut tools = Tools::new(3);
    // The third host stays down, so that a node is missing.
    for k in [1, 2] {
        tools.lab.start(k, kind);
    }
    let both = || tools.lab.run(1, &["corosync-cpgtool"]).0.success();
    assert!(wait_until(PATIENCE, both).is_ok(), "{kind:?} does not serve\n{}", tools.lab.log_tail(1));
    let mut peers: Vec<Peer> = [(1, "alpha"), (2, "alpha"), (1, "be\\ta\u{1}")]
        .iter()
        .enumerate()
        .map(|(index, (k, group))| {
            let options = ["--group", group, "--finish", "no"];
            let mut peer = tools.lab.peer(*k, &format!("member{index}"), "order", &options);
            peer.wait_for("joined ", PATIENCE);
            peer
        })
        .collect();
    let listed = || tools.lab.run(1, &["corosync-cpgtool"]).1.matches("10.77.0.").count() == 3;
    assert!(wait_until(PATIENCE, listed).is_ok(), "{kind:?}: not all members are listed");

    let mut differing = tools.differing(QUESTIONS);
    differing.extend(tools.differing(ORDERS));
    assert!(differing.is_empty(), "{kind:?}: {} answers differ\n{}", differing.len(), differing.join("\n"));

    for peer in &mut peers {
        peer.tell("stop");
        peer.succeed(PATIENCE);
    }
}

#[test]
fn tools_answer_as_debians_on_corosync() {
    if ready() {
        compare(Kind::Corosync);
    }
}

#[test]
fn tools_answer_as_debians_on_annulusd() {
    if ready() {
        compare(Kind::Annulus);
    }
}

#[test]
fn tools_answer_as_debians_without_a_daemon() {
    if !ready() {
        return;
    }
    let tools = Tools::new(1);
    let commands: Vec<&str> = QUESTIONS.iter().chain(ORDERS).copied().collect();
    let differing = tools.differing(&commands);
    assert!(differing.is_empty(), "{} answers differ\n{}", differing.len(), differing.join("\n"));
}
