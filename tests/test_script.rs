//! What `scripts/test.sh` does when a test program fails, and what `scripts/interop.sh` and `scripts/check.sh` run, with
//! a replacement for cargo.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs three test programs, of which the first fails; like cargo, it stops there without `--no-fail-fast`.
const CARGO: &str = r#"#!/bin/bash
case " $* " in
*" --no-run "* | *" build "*) exit 0 ;;
esac
echo "     Running tests/one.rs (one)"
echo "test one ... FAILED"
[[ " $* " == *" --no-fail-fast "* ]] || exit 101
for program in two three; do
    printf '     Running tests/%s.rs (%s)\ntest %s ... ok\n' "$program" "$program" "$program"
done
exit 101
"#;

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs one of the scripts in a folder of its own, in which no package is missing, with a program in the place of cargo.
fn run(name: &str, cargo: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let (scripts, programs) = (dir.path().join("scripts"), dir.path().join("bin"));
    fs::create_dir(&scripts).unwrap();
    fs::create_dir(&programs).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    program(&scripts.join(name), &fs::read_to_string(script).unwrap());
    program(&scripts.join("install-peers.sh"), "#!/bin/bash\nexit 0\n");
    program(&programs.join("cargo"), cargo);
    for text in ["Cargo.toml", "CONTRIBUTING.md"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(text), dir.path().join(text)).unwrap();
    }

    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(scripts.join(name));
    command.args(arguments).env("PATH", path).env_remove("CI").env("CARGO_TARGET_DIR", "/built");
    for variable in ["ANNULUSD", "ANNULUS_INTEROP_FULL", "ANNULUS_IDLE_SECONDS"] {
        command.env_remove(variable);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn the_test_script_runs_all_programs_and_fails_if_one_fails() {
    let output = run("test.sh", CARGO, &[], &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{said}");
    for line in ["test one ... FAILED", "test two ... ok", "test three ... ok"] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    // The heading of each section and of each program gives the time since the start.
    for heading in ["== packages that the tests need (0:0", "== tests (0:0", "== 0:0"] {
        assert!(said.lines().any(|said| said.starts_with(heading)), "{heading}: {said}");
    }
}

/// Prints what it is to do with the environment that counts, instead of doing it.
const PRINTS: &str = r#"#!/bin/bash
echo "cargo $* [${ANNULUSD:-} ${ANNULUS_INTEROP_FULL:-} ${ANNULUS_IDLE_SECONDS:-}]"
"#;

/// The test programs that `scripts/interop.sh` runs, without what is the same in all of them.
fn tests_of(arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let output = run("interop.sh", PRINTS, arguments, variables);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said} {}", String::from_utf8_lossy(&output.stderr));
    let mut tests = Vec::new();
    for line in said.lines().filter(|line| !line.starts_with("cargo build --release --quiet")) {
        let line = line.strip_prefix("cargo test --quiet --test interop -- ").expect(line);
        tests.push(line.replace(" --nocapture --test-threads=1", ""));
    }
    tests
}

#[test]
fn the_interop_script_runs_the_tests_of_a_name() {
    for (arguments, tests) in [
        (vec!["confdb-load"], vec!["--ignored --exact database::many_keys_and_trackers"]),
        (vec!["handover"], vec!["--ignored mixed::handover::"]),
        (vec!["handover", "two_hosts"], vec!["--ignored mixed::handover::two_hosts"]),
        (vec!["hostile"], vec!["hostile::mutated"]),
        (
            vec!["knet"],
            vec![
                "--ignored mixed::stream::",
                "--ignored mixed::links::",
                "--ignored mixed::rekey::",
                "--ignored pcs::",
            ],
        ),
        (vec!["knet", "pcs"], vec!["--ignored pcs::"]),
        (
            vec!["bad-network"],
            vec!["--ignored --exact bad_network::a_loaded_ring_stays_together_on_bad_networks"],
        ),
        (
            vec!["failover"],
            vec![
                "--ignored --exact pacemaker::failover::a_resource_runs_elsewhere_soon_after_its_host_failed",
            ],
        ),
        (vec!["neighbours"], vec!["--ignored --exact mixed::neighbours::throughput_of_mixed_rings"]),
        (vec!["pacemaker"], vec!["--ignored --exact pacemaker::pacemaker_side_by_side"]),
        (vec!["side-by-side"], vec!["--ignored --exact side_by_side::side_by_side"]),
        (vec!["side-by-side", "knet"], vec!["--ignored --exact knet_bench::knet_side_by_side"]),
        (vec!["size"], vec!["--ignored --exact size::many_hosts_start_at_once"]),
        (vec!["soak"], vec!["--ignored --exact mixed::soak::a_long_run"]),
        (vec!["stalls"], vec!["--ignored hostile::stalls::table"]),
        (
            vec!["steady"],
            vec!["--ignored --exact steady::members_that_run_stay_and_dead_ones_are_out_in_time"],
        ),
    ] {
        let expected: Vec<_> =
            tests.iter().map(|test| format!("{test} [/built/release/annulusd  ]")).collect();
        assert_eq!(tests_of(&arguments, &[]), expected, "{arguments:?}");
    }
}

#[test]
fn the_interop_script_gives_its_tests_the_counts_of_a_name() {
    let full = |topic| format!("--include-ignored mixed::{topic}:: [/built/release/annulusd 1 ]");
    assert_eq!(tests_of(&["mixed"], &[]), ["votes", "tools", "groups"].map(full));
    assert_eq!(tests_of(&["mixed", "tools"], &[]), ["tools"].map(full));
    let idle = |rest| [format!("--exact idle::an_idle_daemon_costs_little {rest}")];
    assert_eq!(tests_of(&["idle"], &[]), idle("[/built/release/annulusd  60]"));
    let given = [("ANNULUS_IDLE_SECONDS", "5"), ("ANNULUSD", "/other")];
    assert_eq!(tests_of(&["idle"], &given), idle("[/other  5]"));
}

#[test]
fn the_interop_script_refuses_what_it_does_not_know() {
    for (arguments, why) in [
        (vec!["nope"], "interop: there is no nope"),
        (vec!["idle|-"], "interop: there is no idle|-"),
        (vec!["mixed", "nope"], "interop: mixed has no part nope; it has: votes tools groups"),
        (vec!["idle", "nope"], "interop: idle has no parts"),
        (vec!["knet", "pcs", "links"], "interop: one NAME and at most one PART"),
        (vec![], "Runs the long tests"),
    ] {
        let output = run("interop.sh", PRINTS, &arguments, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(said.starts_with(why) && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}

/// A test that is left out for its length names the script that runs it; that script must know the name.
#[test]
fn every_name_that_a_test_refers_to_is_one_of_the_interop_script() {
    let output = run("interop.sh", PRINTS, &["--list"], &[]);
    let list = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = list
        .lines()
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_once(": ").map(|(name, _)| name))
        .collect();
    assert_eq!(names.len(), 16, "{list}");
    let found = Command::new("grep")
        .args(["-rhoE", "scripts/interop\\.sh [a-z-]+"])
        .args(["tests/interop", "docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert!(found.lines().count() > names.len(), "{found}");
    for line in found.lines() {
        let name = line.rsplit(' ').next().unwrap_or_default();
        assert!(names.contains(&name) || name == "--list", "{line}: {list}");
    }
}

/// A cargo that prints what it is to lint and installs nothing; of the lints, those of the feature `tools` fail.
const LINTS: &str = r#"#!/bin/bash
echo "cargo $*"
[ "$1" = clippy ] || exit 1
[[ " $* " != *" --features tools "* ]]
"#;

#[test]
fn the_check_script_lints_each_feature_alone_and_fails_if_one_fails() {
    let lint = "cargo clippy --quiet --locked --lib --bins --no-default-features";
    let output = run("check.sh", LINTS, &[], &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in [
        &format!("{lint} -- -D warnings"),
        "ok: the library without features",
        &format!("{lint} --features daemon -- -D warnings"),
        "ok: the feature daemon alone",
        &format!("{lint} --features tools -- -D warnings"),
        "wrong: the feature tools alone",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert!(said.lines().any(|said| said.starts_with("ok: 1.") && said.contains(" is declared, ")), "{said}");
}

#[test]
fn a_check_that_cannot_be_made_is_skipped_and_fails_in_ci() {
    let cargo = LINTS.replace("--features tools", "--features none");
    let skipped = "skipped: cargo-deny cannot be installed";
    for (variables, status) in [(vec![], 0), (vec![("CI", "true")], 1)] {
        let output = run("check.sh", &cargo, &["--release"], &variables);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.lines().any(|said| said == skipped), "{said}");
        // Nothing is installed without being asked for.
        let output = run("check.sh", &cargo, &[], &variables);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains("skipped") && !said.contains("cargo install"), "{said}");
    }
}
