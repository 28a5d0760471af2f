//! What `scripts/test.sh` does when a test program fails, with a replacement for cargo.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

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

#[test]
fn the_test_script_runs_all_programs_and_fails_if_one_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (scripts, programs) = (dir.path().join("scripts"), dir.path().join("bin"));
    fs::create_dir(&scripts).unwrap();
    fs::create_dir(&programs).unwrap();
    let script = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/test.sh")).unwrap();
    program(&scripts.join("test.sh"), &script);
    program(&scripts.join("install-peers.sh"), "#!/bin/bash\nexit 0\n");
    program(&programs.join("cargo"), CARGO);

    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new(scripts.join("test.sh")).env("PATH", path).env_remove("CI").output().unwrap();
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
