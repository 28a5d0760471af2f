//! `annulus man` and `annulus completions`: generated from the definitions of the command lines and the table of
//! settings, so that they always agree with them.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::Roff;

use super::Outcome;
use super::options::Options;
use super::{manual, settings};
use crate::cli::failure::Failure;
use crate::cli::quorum;
use crate::cli::streams::Streams;

/// Section of the manual: programs for administrators.
const SECTION: &str = "8";

/// The roff lines with which each generated part begins.
const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// The command lines of all programs.
fn programs(others: Vec<Command>) -> Vec<Command> {
    let own = [Options::command(), quorum::options::Options::command()];
    own.into_iter().chain(others).collect()
}

pub(super) fn completions(
    shell: Shell,
    program: &str,
    others: Vec<Command>,
    streams: &mut Streams<'_>,
) -> Outcome {
    let mut all = programs(others);
    let names: Vec<String> = all.iter().map(|command| command.get_name().to_owned()).collect();
    let Some(command) = all.iter_mut().find(|command| command.get_name() == program) else {
        return Err(Failure::new(format!("no program {program:?}; there are {}", names.join(", "))));
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, command, program, &mut script);
    streams.out(script);
    Ok(())
}

/// Writes all pages to `man8` and `man5` in the directory if these exist, otherwise to the directory itself.
pub(super) fn man(dir: &Path, others: Vec<Command>, streams: &mut Streams<'_>) -> Outcome {
    let mut all = Vec::new();
    for command in programs(others) {
        all.extend(pages(command)?.into_iter().map(|(name, page)| (name, SECTION, page)));
    }
    let mut roff = Roff::new();
    settings::page(&mut roff);
    all.push((settings::NAME.to_owned(), settings::SECTION, roff.render().into_bytes()));
    for (name, section, page) in all {
        let own = dir.join(format!("man{section}"));
        let place = if own.is_dir() { own.as_path() } else { dir };
        let file = place.join(format!("{name}.{section}"));
        fs::write(&file, page).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        streams.out(format!("{}\n", file.display()));
    }
    Ok(())
}

/// The pages of a program and its subcommands, by name.
fn pages(command: Command) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut command = without_help(command);
    command.build();
    let mut pages = Vec::new();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        left.extend(inner(&command).cloned());
        let name = name(&command);
        let has_commands = inner(&command).next().is_some();
        let man = Man::new(command)
            .section(SECTION)
            .manual("annulus")
            .source(format!("annulus {}", env!("CARGO_PKG_VERSION")));
        let mut page = Vec::new();
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if has_commands {
            man.render_subcommands_section(&mut page)?;
        }
        let mut roff = Roff::new();
        manual::add(&name, &mut roff);
        page.extend(roff.render().into_bytes());
        // Each part defines the apostrophe; one definition is enough.
        let page = String::from_utf8_lossy(&page);
        let rest = page.replace(APOSTROPHE, "");
        pages.push((name, format!("{APOSTROPHE}{rest}").into_bytes()));
    }
    Ok(pages)
}

/// The command without its subcommand `help`, which has no page.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

/// The name of a command's page, such as `annulus-confdb-get`.
fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn inner(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| inner.get_name() != "help" && !inner.is_hide_set())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_option_is_in_its_page() {
        Options::command().debug_assert();
        let mut count = 0;
        for program in programs(Vec::new()) {
            let pages: BTreeMap<_, _> = pages(program.clone()).unwrap().into_iter().collect();
            let mut left = vec![program];
            left[0].build();
            while let Some(command) = left.pop() {
                let name = name(&command);
                let page = String::from_utf8(pages[&name].clone()).unwrap().replace('\\', "");
                for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                    if let Some(long) = argument.get_long() {
                        assert!(page.contains(&format!("--{long}")), "{name} lacks --{long}");
                        count += 1;
                    }
                    if let Some(short) = argument.get_short() {
                        assert!(page.contains(&format!("-{short}")), "{name} lacks -{short}");
                    }
                }
                left.extend(inner(&command).cloned());
            }
        }
        assert!(count > 40, "{count} options");
    }
}
