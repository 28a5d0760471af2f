//! Runs tests side by side, and understands those arguments of libtest that are in use: a part of a name, `--exact`,
//! `--skip`, `--list`.

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test: its name, and a function that panics if the test fails.
pub(crate) type Test = (&'static str, fn());

/// Runs the tests that the arguments select.
pub(crate) fn run(words: &[String], tests: &[Test]) -> ExitCode {
    let (mut filters, mut skipped) = (Vec::new(), Vec::new());
    let (mut exact, mut list) = (false, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--exact" => exact = true,
            "--list" => list = true,
            "--skip" => skipped.extend(words.next()),
            "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => drop(words.next()),
            option if option.starts_with('-') => {}
            _ => filters.push(word),
        }
    }
    let fits = |name: &str, part: &str| if exact { name == part } else { name.contains(part) };
    let chosen: Vec<Test> = tests
        .iter()
        .filter(|(name, _)| filters.is_empty() || filters.iter().any(|part| fits(name, part)))
        .filter(|(name, _)| !skipped.iter().any(|part| fits(name, part)))
        .copied()
        .collect();
    if list {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let threads: Vec<_> = chosen
        .iter()
        .map(|&(name, test)| {
            let thread = std::thread::Builder::new().name(name.into());
            (name, thread.spawn(move || catch_unwind(test)))
        })
        .collect();
    let mut failed = 0;
    for (name, thread) in threads {
        let passed = matches!(thread.unwrap().join(), Ok(Ok(())));
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    let (passed, left_out) = (chosen.len() - failed, tests.len() - chosen.len());
    println!(
        "\ntest result: {result}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {left_out} filtered out\n"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
