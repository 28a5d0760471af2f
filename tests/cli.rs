//! The command-line programs as processes: files, manual pages, completions, and their output without a daemon.

#![cfg(all(feature = "tools", feature = "daemon"))]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// An instance name that no daemon has.
const NOBODY: &str = "no-such-instance";

fn run(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> (i32, String, String) {
    let output: Output =
        Command::new(program).args(args).stdin(Stdio::null()).env_remove("NO_COLOR").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().expect("no signal ended it"), text(&output.stdout), text(&output.stderr))
}

fn annulus(args: &[&str]) -> (i32, String, String) {
    run(env!("CARGO_BIN_EXE_annulus"), args)
}

const CONF: &str = "# The lab.\ntotem {\n  version: 2\n  cluster_name: lab\n  transport: udpu\n  future: yes\n}\n\
                    nodelist {\n  node {\n    ring0_addr: 127.0.0.1\n    nodeid: 1\n  }\n}\n";

#[test]
fn a_valid_configuration_is_listed_as_by_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corosync.conf");
    fs::write(&file, CONF).unwrap();
    let path = file.to_str().unwrap();
    let (status, listed, err) = annulus(&["check", path]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(listed.contains(&format!("totem.cluster_name = lab ({path}:4)\n")), "{listed}");
    let (status, by_daemon, _) = run(env!("CARGO_BIN_EXE_annulusd"), &["--check", "-c", path]);
    assert_eq!((status, by_daemon), (0, listed));
    assert_eq!(annulus(&["check", "-q", path]).0, 0);
    let (_, json, _) = annulus(&["check", "--json", path]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["ok"], true);
    assert!(json["settings"].as_array().unwrap().iter().any(|setting| setting["name"] == "totem.token"));
}

#[test]
fn a_bad_configuration_gives_the_message_and_status_of_the_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corosync.conf");
    fs::write(&file, "totem {\n  version: 2\n  token: soon\n}\n").unwrap();
    let path = file.to_str().unwrap();
    let (status, out, err) = annulus(&["check", path]);
    assert_eq!((status, out.as_str()), (8, ""));
    assert!(err.contains(&format!("parser error: {path}:3: Value of key \"totem.token\"")), "{err}");
    let (status, json, err) = annulus(&["--json", "check", path]);
    assert_eq!((status, err.as_str()), (8, ""));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["ok"], &json["error"]["kind"]), (&false.into(), &"config".into()), "{json}");
    assert_eq!(json["error"]["exit_status"], 8);
    assert!(json["error"]["message"].as_str().unwrap().contains(&format!("{path}:3: ")), "{json}");
    assert_eq!(annulus(&["check", "/nonexistent/corosync.conf"]).0, 8);
}

#[test]
fn configurations_are_converted_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let [conf, toml, back] = ["a.conf", "b.toml", "c.conf"].map(|name| dir.path().join(name));
    let [conf, toml, back] = [&conf, &toml, &back].map(|file| file.to_str().unwrap());
    fs::write(conf, CONF).unwrap();
    assert_eq!(annulus(&["convert", conf, "-o", toml]).0, 0);
    let text = fs::read_to_string(toml).unwrap();
    assert_eq!(
        text,
        "# The lab.\n[totem]\nversion = 2\ncluster_name = \"lab\"\ntransport = \"udpu\"\n\n\
         [[nodelist.node]]\nring0_addr = \"127.0.0.1\"\nnodeid = 1\n\n\
         # Settings that have no place of their own, as corosync.conf had them.\n[other]\n\
         \"totem.future\" = \"yes\"\n"
    );
    assert_eq!(annulus(&["convert", toml, "-o", back]).0, 0);
    // The three files give the same settings.
    let amounts = |path: &str| {
        let (status, listed, err) = annulus(&["check", path]);
        assert_eq!((status, err.as_str()), (0, ""), "{path}");
        let value = |line: &str| line.rsplit_once(" (").map(|(setting, _)| setting.to_owned());
        listed.lines().map(|line| value(line).unwrap()).collect::<Vec<_>>()
    };
    let wanted = amounts(conf);
    assert!(wanted.contains(&"totem.future = yes".to_owned()), "{wanted:?}");
    assert_eq!(amounts(toml), wanted);
    assert_eq!(amounts(back), wanted);
    // An existing file is not overwritten.
    let (status, _, err) = annulus(&["convert", conf, "-o", toml]);
    assert_eq!(status, 1);
    assert!(err.contains("File exists"), "{err}");
    assert_eq!(annulus(&["convert", conf]).1, text);
}

#[test]
fn a_key_is_not_replaced_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let path = file.to_str().unwrap();
    assert_eq!(annulus(&["keygen", "-o", path]).0, 0);
    let key = fs::read(&file).unwrap();
    assert_eq!((key.len(), fs::metadata(&file).unwrap().permissions().mode() & 0o7777), (256, 0o400));
    let (status, _, err) = annulus(&["keygen", "-o", path]);
    assert_eq!(status, 1);
    assert!(err.contains("--force"), "{err}");
    assert_eq!(fs::read(&file).unwrap(), key);
    assert_eq!(annulus(&["keygen", "-o", path, "--force", "-s", "1024"]).0, 0);
    assert_eq!(fs::read(&file).unwrap().len(), 1024);
    assert_eq!(annulus(&["keygen", "-o", path, "--force", "-s", "100"]).0, 1);
}

#[test]
fn tools_report_that_no_daemon_runs() {
    for args in [
        &["status"][..],
        &["ring"],
        &["groups"],
        &["quorum"],
        &["quorum", "-l"],
        &["confdb", "list"],
        &["confdb", "get", "totem.version"],
        &["confdb", "set", "my.key", "u8", "1"],
        &["confdb", "delete", "my.key"],
        &["confdb", "watch"],
        &["reload"],
        &["reopen-logs"],
        &["key", "status"],
        &["key", "rotate"],
        &["shutdown"],
        &["kill", "1"],
    ] {
        let all = [&["--instance", NOBODY], args].concat();
        let (status, out, err) = annulus(&all);
        assert_eq!((status, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains("is not running") && err.contains(NOBODY), "{args:?}: {err}");
        let (status, out, err) = annulus(&[all.as_slice(), &["--json"]].concat());
        assert_eq!((status, err.as_str()), (1, ""), "{args:?}");
        assert_is_error(&out, "unreachable", "is not running");
    }
    let tool = env!("CARGO_BIN_EXE_quorum-tool");
    for args in [&["-s"][..], &["-l"], &["-m"], &["-e", "1"], &["-v", "1"], &["-f"]] {
        let all = [args, &["--instance", NOBODY]].concat();
        let (status, out, err) = run(tool, &all);
        assert_eq!((status, out.as_str()), (1, ""), "{args:?}");
        assert!(err.contains("is not running"), "{args:?}: {err}");
        let (status, out, err) = run(tool, &[all.as_slice(), &["--json"]].concat());
        assert_eq!((status, err.as_str()), (1, ""), "{args:?}");
        assert_is_error(&out, "unreachable", "is not running");
    }
    let (status, out, err) = annulus(&["health", "--instance", NOBODY]);
    assert_eq!((status, err.as_str(), out.lines().count()), (1, "", 1));
    assert!(out.starts_with("not reachable: ") && out.contains(NOBODY), "{out}");
    let (status, out, err) = annulus(&["health", "--instance", NOBODY, "--json"]);
    assert_eq!((status, err.as_str()), (1, ""));
    assert_is_error(&out, "unreachable", NOBODY);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["health"], "not reachable");
}

/// Checks that standard output is one JSON object with an error of this kind, whose message contains `words`.
fn assert_is_error(out: &str, kind: &str, words: &str) {
    let json: serde_json::Value =
        serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out:?}"));
    let error = &json["error"];
    assert_eq!(error["kind"], kind, "{json}");
    assert!(error["message"].as_str().unwrap().contains(words), "{json}");
    assert!(error["exit_status"].as_u64().unwrap() > 0, "{json}");
}

/// Whatever fails, with any command: with `--json` the error is JSON, and the exit status is the same as without.
#[test]
fn errors_are_json_where_json_is_asked_for() {
    let tool = env!("CARGO_BIN_EXE_quorum-tool");
    let program = env!("CARGO_BIN_EXE_annulus");
    for (program, args, kind, words) in [
        (program, &["bogus"][..], "usage", "bogus"),
        (program, &["confdb", "get"], "usage", "KEY"),
        (program, &["status", "--timeout", "x"], "usage", "--timeout"),
        (program, &["confdb", "set", "my.key", "u8", "300"], "failed", "not valid u8"),
        (program, &["convert", "/nonexistent/corosync.conf"], "failed", "/nonexistent/corosync.conf"),
        (program, &["check", "/nonexistent/corosync.conf"], "config", "/nonexistent/corosync.conf"),
        (program, &["keygen", "-o", "/nonexistent/key"], "failed", "/nonexistent/key"),
        (program, &["man", "/nonexistent"], "failed", "/nonexistent"),
        (program, &["completions", "bash", "--program", "x"], "failed", "annulusd"),
        (tool, &["-x"], "usage", "-x"),
        (tool, &["-e", "0"], "usage", "0"),
    ] {
        let (status, out, err) = run(program, args);
        assert!(status > 0 && out.is_empty() && err.contains(words), "{args:?}: {out}{err}");
        let (with_json, out, err) = run(program, &[args, &["--json"]].concat());
        assert_eq!((with_json, err.as_str()), (status, ""), "{args:?}");
        assert_is_error(&out, kind, words);
    }
}

#[test]
fn a_wrong_command_line_exits_with_1() {
    for args in [&["bogus"][..], &[], &["confdb", "get"], &["kill", "0"], &["shutdown", "--force", "--now"]] {
        let (status, _, err) = annulus(args);
        assert_eq!(status, 1, "{args:?}");
        assert!(err.contains("--help") || err.contains("Usage"), "{args:?}: {err}");
    }
    assert_eq!(run(env!("CARGO_BIN_EXE_quorum-tool"), &["-x"]).0, 1);
    assert_eq!(annulus(&["--help"]).0, 0);
    assert_eq!(
        annulus(&["confdb", "set", "my.key", "u8", "300"]).2,
        "annulus: 300 is not valid u8 integer\n"
    );
    let (status, out, _) = run(env!("CARGO_BIN_EXE_quorum-tool"), &["-V"]);
    assert_eq!((status, out), (0, format!("quorum-tool {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn links_with_corosyncs_names_behave_as_corosyncs_tools() {
    let dir = tempfile::tempdir().unwrap();
    let call = |name: &str, args: &[&str]| {
        let link = dir.path().join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_annulus"), &link).unwrap();
        }
        run(link, args)
    };
    assert_eq!(call("corosync-quorumtool", &["-V"]).1, "corosync-quorumtool version: 3.1.7\n");
    assert_eq!(
        call("corosync-quorumtool", &["-e", "0"]),
        (1, String::new(), "New expected votes value was not valid, try a positive number\n".to_owned())
    );
    assert_eq!(
        call("corosync-cmapctl", &["-t"]),
        (1, String::new(), "Expected key after options\n".to_owned())
    );
    assert_eq!(
        call("corosync-cfgtool", &["-k", "x"]),
        (1, String::new(), "The nodeid was not valid, try a positive number\n".to_owned())
    );
    assert_eq!(call("corosync-cpgtool", &["-h"]).0, 0);
    assert_eq!(
        call("corosync-keygen", &["-s", "1"]),
        (1, String::new(), "corosync-keygen: Unsupported key size (supported <128,4096>)\n\n".to_owned())
    );
}

/// Collects all options that `--help` of a program and of its subcommands names.
fn options(program: &str, path: &[&str], found: &mut Vec<(String, String)>) {
    let (status, help, _) = run(program, &[path, &["--help"]].concat());
    assert_eq!(status, 0, "{path:?}");
    let name = Path::new(program).file_name().unwrap().to_str().unwrap();
    let page = std::iter::once(name).chain(path.iter().copied()).collect::<Vec<_>>().join("-");
    let mut commands = false;
    for line in help.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            commands = line == "Commands:";
        } else if commands && line.starts_with("  ") && !line.starts_with("   ") {
            if words[0] != "help" {
                options(program, &[path, &[words[0]]].concat(), found);
            }
        } else if words.first().is_some_and(|word| word.starts_with('-')) {
            let named = words.iter().take_while(|word| word.starts_with('-'));
            found.extend(named.map(|word| (page.clone(), word.trim_end_matches(',').to_owned())));
        }
    }
}

#[test]
fn manual_pages_have_every_option() {
    let dir = tempfile::tempdir().unwrap();
    let (status, out, err) = annulus(&["man", dir.path().to_str().unwrap()]);
    assert_eq!((status, err.as_str()), (0, ""));
    let written: BTreeSet<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(out.lines().count(), written.len());
    for page in ["annulus.8", "annulus-confdb-set.8", "annulus-health.8", "annulusd.8", "corosync.toml.5"] {
        assert!(written.contains(page), "{page} is not among {written:?}");
    }
    let mut found = Vec::new();
    for program in
        [env!("CARGO_BIN_EXE_annulus"), env!("CARGO_BIN_EXE_annulusd"), env!("CARGO_BIN_EXE_quorum-tool")]
    {
        options(program, &[], &mut found);
    }
    assert!(found.len() > 100, "{found:?}");
    for (page, option) in found {
        let text = fs::read_to_string(dir.path().join(format!("{page}.8")))
            .unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.replace('\\', "").contains(&option), "{page}.8 lacks {option}");
    }
    assert_eq!(annulus(&["man", "/nonexistent"]).0, 1);
}

/// All manual pages, by name and section.
fn all_pages(dir: &Path) -> Vec<(String, String)> {
    let (status, out, err) = annulus(&["man", dir.to_str().unwrap()]);
    assert_eq!((status, err.as_str()), (0, ""));
    let name = |file: &str| Path::new(file).file_name().unwrap().to_str().unwrap().to_owned();
    out.lines().map(|file| (name(file), fs::read_to_string(file).unwrap())).collect()
}

#[test]
fn the_manual_page_of_the_configuration_has_every_setting() {
    let dir = tempfile::tempdir().unwrap();
    let pages = all_pages(dir.path());
    let (_, page) = pages.iter().find(|(name, _)| name == "corosync.toml.5").expect("a page of section 5");
    let page = page.replace("\\*(Aq", "'").replace('\\', "");
    for key in annulus::config::keys::KEYS {
        let at = page
            .find(&format!(".TP\nfB{}fR\n", key.name))
            .unwrap_or_else(|| panic!("{} is missing", key.name));
        let entry = page[at + 4..].split("\n.TP").next().unwrap();
        for fact in ["Type: ", "efault", "Reload: ", "Source: "] {
            assert!(entry.contains(fact), "{}: no {fact} in {entry}", key.name);
        }
        for word in key.words.iter().chain(&[key.default]) {
            assert!(entry.contains(word), "{}: no {word} in {entry}", key.name);
        }
    }
    assert!(page.contains("Unit: milliseconds. Default: auto (3000)."), "{page}");
}

/// Each page that a manual page refers to exists: it is one of these, or of Debian's package corosync.
#[test]
fn manual_pages_point_to_pages_that_exist() {
    let dir = tempfile::tempdir().unwrap();
    let pages = all_pages(dir.path());
    let debians = [
        "corosync.conf(5)",
        "votequorum(5)",
        "corosync_overview(7)",
        "cmap_keys(7)",
        "corosync-quorumtool(8)",
        "corosync-cfgtool(8)",
        "corosync-cmapctl(8)",
        "corosync-keygen(8)",
    ];
    let place = |page: &str| {
        let (name, section) = page.trim_end_matches(')').split_once('(').unwrap();
        format!("/usr/share/man/man{section}/{name}.{section}.gz")
    };
    let installed = Path::new(&place("corosync-cfgtool(8)")).exists();
    if !installed {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the manual pages of corosync must be there in CI"
        );
        println!(
            "skipped: whether Debian's pages exist; the package corosync is not installed with its pages"
        );
    }
    let mut found = 0;
    for (name, page) in &pages {
        let plain = page.replace("\\fB", "").replace("\\fR", "").replace("\\fI", "").replace('\\', "");
        let word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        for (at, _) in plain.match_indices('(') {
            let rest = &plain[at..];
            if !matches!(rest.as_bytes(), [b'(', b'1'..=b'9', b')', ..]) {
                continue;
            }
            let start = plain[..at].rfind(|c| !word(c)).map_or(0, |before| before + 1);
            let reference = format!("{}{}", &plain[start..at], &rest[..3]);
            let own = reference.replace('(', ".").replace(')', "");
            let known = pages.iter().any(|(page, _)| *page == own) || debians.contains(&reference.as_str());
            assert!(known, "{name} points to {reference}");
            found += 1;
        }
        assert!(page.contains(".SH \"SEE ALSO\"") || page.contains(".SH SEE ALSO"), "{name}");
    }
    assert!(found > 60, "{found} references");
    for page in debians.iter().filter(|_| installed) {
        assert!(Path::new(&place(page)).exists(), "{page} is not installed");
    }
}

/// No description of an argument ends with a fragment of a sentence.
#[test]
fn manual_pages_describe_options_in_sentences() {
    let dir = tempfile::tempdir().unwrap();
    for (name, page) in all_pages(dir.path()) {
        for line in page.lines() {
            assert!(!line.starts_with("Which") && !line.starts_with("Of which"), "{name}: {line}");
        }
        if name.ends_with(".8") {
            assert!(page.contains("EXIT STATUS"), "{name}");
            assert!(!page.contains(".SH EXTRA"), "{name}");
        }
    }
}

/// The formatter reports no problem in the pages.
#[test]
fn manual_pages_are_formatted_without_warnings() {
    let dir = tempfile::tempdir().unwrap();
    let mut formatter = "man";
    for (name, _) in all_pages(dir.path()) {
        let file = dir.path().join(&name);
        let run = |formatter: &str| {
            let mut command = Command::new(formatter);
            match formatter {
                "man" => command.args(["--warnings", "-E", "UTF-8", "-Tutf8", "-l"]),
                _ => command.args(["-man", "-ww", "-z", "-Tutf8"]),
            };
            command.arg(&file).env("MANROFFSEQ", "").env("MANWIDTH", "80").output()
        };
        let output = match run(formatter) {
            Err(_) if formatter == "man" => {
                formatter = "groff";
                run(formatter)
            }
            output => output,
        };
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "man or groff must run in CI: {error}");
                println!("skipped: neither man nor groff can be run ({error})");
                return;
            }
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{name}: {said}");
    }
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        for program in ["annulus", "annulusd", "quorum-tool"] {
            let (status, script, err) = annulus(&["completions", shell, "--program", program]);
            assert_eq!((status, err.as_str()), (0, ""), "{shell} {program}");
            assert!(script.contains(program) && script.contains("instance"), "{shell} {program}");
        }
    }
    let (status, _, err) = annulus(&["completions", "bash", "--program", "corosync"]);
    assert_eq!(status, 1);
    assert!(err.contains("annulusd"), "{err}");
}

/// systemd accepts the unit, as far as that can be checked on a machine without its programs.
#[test]
fn the_systemd_unit_is_valid() {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/annulusd.service")).unwrap();
    let reload = "ExecReload=/usr/bin/annulus reload";
    for line in ["Type=notify", "Alias=corosync.service", reload, "OOMScoreAdjust=-900"] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // Clients find the daemon by sockets and files in folders that all processes share.
    for hidden in ["PrivateTmp", "PrivateIPC", "PrivateNetwork"] {
        assert!(!unit.lines().any(|line| line.starts_with(hidden)), "{hidden}");
    }
    // A new key replaces the default key file, in a folder that `ProtectSystem=full` would make read-only.
    assert!(unit.lines().any(|line| line == "ReadWritePaths=-/etc/corosync"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("annulusd.service");
    let local = unit.replace("/usr/sbin/annulusd", "/bin/true").replace("/usr/bin/annulus", "/bin/true");
    let without_pages: Vec<&str> = local.lines().filter(|line| !line.starts_with("Documentation=")).collect();
    fs::write(&file, without_pages.join("\n")).unwrap();
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "systemd-analyze must run in CI: {error}");
            println!("skipped: systemd-analyze cannot be run ({error})");
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let about_it: Vec<&str> = said.lines().filter(|line| line.contains("annulusd.service")).collect();
            assert!(about_it.is_empty(), "{about_it:?}");
        }
    }
}
