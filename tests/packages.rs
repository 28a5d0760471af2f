//! Everything that the tests and scripts start, include and link is in a Debian package that
//! `scripts/install-peers.sh` installs.
//!
//! On a machine where somebody once installed a package by hand, every test that needs it passes; on a fresh one it
//! fails. Therefore this test extracts the programs from the sources and asks dpkg which packages own them. Each
//! package must be in the script's list or part of every Debian system (Essential, or of priority "required").

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Words in the place of a program's name that need no package, each with the reason.
const NOT_NEEDED: &[(&str, &str)] = &[
    ("awk", "every Debian system has mawk, whichever of its kind the name leads to"),
    ("as", "a word of a sentence"),
    ("bridge", "a type of network link"),
    ("file", "an option of a test agent"),
    ("free", "a word of a sentence"),
    ("init", "an option of a test client"),
    ("kill", "a builtin of the shell"),
    ("look", "a word of a sentence"),
    ("make", "a word of a sentence"),
    ("node", "a section of the configuration"),
    ("ping", "a message of a test"),
    ("route", "a subcommand of ip"),
    ("shutdown", "a kind of answer"),
    ("size", "a word of a sentence"),
    ("systemd", "a package's name"),
    ("time", "a room of the source"),
    ("view", "a room of the source"),
    ("watch", "a subcommand of annulus"),
    ("write", "a word of a sentence"),
];

/// Shell words that are followed by a program's name.
const BEFORE_A_PROGRAM: &[&str] = &[
    "!", "command", "do", "elif", "else", "env", "exec", "if", "nice", "nsenter", "setsid", "sudo", "then",
    "timeout", "trap", "unshare", "until", "while",
];

/// The packages that the script installs.
fn installed() -> BTreeSet<String> {
    let script = fs::read_to_string("scripts/install-peers.sh").expect("the script is read");
    let list = script.split_once("packages=(").expect("it has a list").1;
    let list = list.split_once("\n)").expect("the list ends").0;
    let words = list.lines().flat_map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    words.map(str::to_owned).collect()
}

/// Files below a folder whose names end in `ending`.
fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files(&path, ending, found);
            }
        } else if path.extension().is_some_and(|is| is == ending) {
            found.push(path);
        }
    }
}

/// A source text without lines that consist only of a comment.
fn without_comments(text: &str, mark: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with(mark));
    code.collect::<Vec<_>>().join("\n")
}

/// The string literals of Rust code. Escapes are kept, except line ends, which separate commands.
fn literals(code: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find('"') {
        // The character literal '"' begins no string.
        if rest[..at].ends_with('\'') && rest[at + 1..].starts_with('\'') {
            rest = &rest[at + 1..];
            continue;
        }
        let text = &rest[at + 1..];
        let mut escaped = false;
        let end = text.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { break };
        found.push(text[..end].replace("\\n", "\n"));
        rest = &text[end + 1..];
    }
    found
}

/// The words of a text that are in a place where the shell expects a program.
fn programs(text: &str) -> BTreeSet<String> {
    let assignment =
        |word: &str| word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains('/'));
    let skipped = |word: &&str| {
        BEFORE_A_PROGRAM.contains(word)
            || assignment(word)
            || word.starts_with('-')
            || word.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let mut found = BTreeSet::new();
    for command in text.split(['|', ';', '&', '(', ')', '{', '}', '`', '\n', '\'', '"']) {
        let words = || command.split_whitespace();
        found.extend(
            words().take_while(skipped).filter(|word| BEFORE_A_PROGRAM.contains(word)).map(str::to_owned),
        );
        let Some(word) = words().find(|word| !skipped(word)) else { continue };
        let name = word.rsplit('/').next().unwrap_or_default();
        let named = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.+".contains(c));
        let system = word == name
            || word.starts_with("/usr/")
            || word.starts_with("/bin/")
            || word.starts_with("/sbin/");
        if named && system {
            found.insert(name.to_owned());
        }
    }
    found
}

/// Each program that the sources may start, with a file that does so.
fn started() -> BTreeMap<String, PathBuf> {
    let mut sources = Vec::new();
    files(Path::new("tests"), "rs", &mut sources);
    let mut scripts = vec![PathBuf::from(".ci/run")];
    files(Path::new("scripts"), "sh", &mut scripts);
    let mut found = BTreeMap::new();
    let mut note = |file: &Path, text: &str| {
        for program in programs(text) {
            found.entry(program).or_insert_with(|| file.to_owned());
        }
    };
    for file in sources.iter().filter(|file| !file.ends_with("tests/packages.rs")) {
        let text = fs::read_to_string(file).expect("a source is read");
        for literal in literals(&without_comments(&text, "//")) {
            note(file, &literal);
        }
    }
    for file in &scripts {
        note(file, &without_comments(&fs::read_to_string(file).expect("a script is read"), "#"));
    }
    found
}

fn output_of(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What dpkg knows: the packages of files, and which packages every Debian system has. It is asked once for all
/// files.
struct Dpkg {
    owners: BTreeMap<PathBuf, String>,
    required: BTreeSet<String>,
}

impl Dpkg {
    /// Asks dpkg about these files.
    fn about(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let named: Vec<PathBuf> = files.into_iter().flat_map(|file| names(&file)).collect();
        let words = named.iter().map(|name| name.to_string_lossy().into_owned());
        // The exit status is an error if one file has no package; the other results are printed all the same.
        let output = Command::new("dpkg-query").arg("-S").args(words).output();
        let said =
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let mut owners = BTreeMap::new();
        for line in said.lines().filter(|line| !line.starts_with("diversion ")) {
            if let Some((packages, file)) = line.split_once(": ") {
                let package = packages.split([':', ',']).next().unwrap_or_default();
                owners.insert(PathBuf::from(file), package.to_owned());
            }
        }
        let all = output_of("dpkg-query", &["-W", "-f", "${Package} ${Essential} ${Priority}\\n"])
            .unwrap_or_default();
        let required = all.lines().filter(|line| line.contains(" yes ") || line.ends_with(" required"));
        let required = required.filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect();
        Self { owners, required }
    }

    /// The package that owns a file; `None` if dpkg knows none.
    fn owner(&self, file: &Path) -> Option<&str> {
        names(file).iter().find_map(|name| self.owners.get(name)).map(String::as_str)
    }
}

/// The names under which dpkg may know a file: with and without `/usr`, and the target of a link of Debian's
/// alternatives.
fn names(file: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let merged = |file: &Path| file.strip_prefix("/usr").map(|rest| Path::new("/").join(rest)).ok();
    [Some(file.to_owned()), merged(file), Some(real.clone()), merged(&real)].into_iter().flatten().collect()
}

/// Whether this is a Debian system; elsewhere no such packages can be asked about.
fn is_debian() -> bool {
    if output_of("dpkg-query", &["--version"]).is_some() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must run where packages can be asked about");
    println!("skipped: no dpkg-query on this system");
    false
}

#[test]
fn programs_that_are_started_are_in_installed_packages() {
    if !is_debian() {
        return;
    }
    let listed = installed();
    // Programs that are absent here are skipped: the test that needs one fails with a message.
    let here = |program: &str| {
        ["/usr/sbin", "/usr/bin"]
            .map(|dir| Path::new(dir).join(program))
            .into_iter()
            .find(|path| path.exists())
    };
    let started: Vec<_> = started()
        .into_iter()
        .filter(|(program, _)| NOT_NEEDED.iter().all(|(word, _)| word != program))
        .filter_map(|(program, file)| Some((here(&program)?, file)))
        .collect();
    assert!(started.len() > 50, "programs are found: {started:?}");
    let dpkg = Dpkg::about(started.iter().map(|(program, _)| program.clone()));
    let mut faults = Vec::new();
    for (program, file) in started {
        let Some(package) = dpkg.owner(&program) else { continue };
        if !listed.contains(package) && !dpkg.required.contains(package) {
            faults.push(format!("{}, of {package}, is started by {}", program.display(), file.display()));
        }
    }
    assert!(faults.is_empty(), "not in scripts/install-peers.sh:\n{}", faults.join("\n"));
}

/// Tests name the package of each file that they look for, for example `("/usr/sbin/sbd", "sbd")`.
#[test]
fn files_that_tests_look_for_are_in_the_packages_that_they_name() {
    let listed = installed();
    let mut sources = Vec::new();
    files(Path::new("tests"), "rs", &mut sources);
    let mut pairs = Vec::new();
    for file in &sources {
        let text = fs::read_to_string(file).expect("a source is read");
        for pair in text.split("(\"/").skip(1).filter_map(|rest| rest.split_once("\")").map(|(pair, _)| pair))
        {
            let Some((path, package)) = pair.split_once("\", \"") else { continue };
            let system = ["usr/", "lib/", "bin/", "sbin/"].iter().any(|start| path.starts_with(start));
            if system && !package.contains('/') {
                pairs.push((Path::new("/").join(path), package.to_owned(), file));
            }
        }
    }
    assert!(pairs.len() > 20, "the pairs are found: {pairs:?}");
    let dpkg = Dpkg::about(pairs.iter().map(|(path, ..)| path.clone()));
    let mut faults = Vec::new();
    for (path, package, file) in &pairs {
        if !listed.contains(package) {
            faults.push(format!("{}: {package} is not in the list", file.display()));
        } else if path.exists() && dpkg.owner(path).is_some_and(|is| is != package) {
            faults.push(format!("{}: {} is not in {package}", file.display(), path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn headers_that_c_programs_include_are_in_installed_packages() {
    if !is_debian() {
        return;
    }
    let listed = installed();
    let mut sources = Vec::new();
    for ending in ["c", "h"] {
        files(Path::new("tests"), ending, &mut sources);
    }
    let mut included = Vec::new();
    for file in &sources {
        let text = fs::read_to_string(file).expect("a source is read");
        let headers = text.lines().filter_map(|line| line.strip_prefix("#include <")?.split('>').next());
        included.extend(headers.map(|header| (Path::new("/usr/include").join(header), file)));
    }
    let dpkg = Dpkg::about(included.iter().map(|(header, _)| header.clone()));
    let mut faults = Vec::new();
    for (header, file) in included {
        let package = dpkg.owner(&header).filter(|package| !listed.contains(*package));
        if let Some(package) = package {
            faults.push(format!("{}, of {package}, is included by {}", header.display(), file.display()));
        }
    }
    assert!(faults.is_empty(), "not in scripts/install-peers.sh:\n{}", faults.join("\n"));
}
