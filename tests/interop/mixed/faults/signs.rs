//! Signs of trouble in the logs of the daemons.

use crate::lab::Lab;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Words that no log may contain, whatever faults happened.
const NEVER: [&str; 5] = ["FAILED TO RECEIVE", "panicked", "Assertion", "core dumped", "invalid digest"];

/// How far each host's log was read, and which warnings it contained.
#[derive(Debug)]
pub(crate) struct Signs {
    read: Vec<[u64; 2]>,
    /// Lines that are warnings or worse, with their numbers removed, and how often each occurred.
    pub(crate) noticed: BTreeMap<String, u64>,
}

impl Signs {
    pub(super) fn new(hosts: usize) -> Self {
        Self { read: vec![[0; 2]; hosts], noticed: BTreeMap::new() }
    }

    /// Reads the new lines in the logs of all hosts.
    pub(super) fn look(&mut self, lab: &Lab) -> Result<(), String> {
        for k in 1..=lab.len() {
            for (which, name) in ["log/daemon.log", "log/daemon.out"].into_iter().enumerate() {
                let mut bytes = Vec::new();
                let Ok(mut file) = File::open(lab.dir(k).join(name)) else { continue };
                let told = |error: std::io::Error| format!("host {k}: {name}: {error}");
                file.seek(SeekFrom::Start(self.read[k - 1][which])).map_err(told)?;
                file.read_to_end(&mut bytes).map_err(told)?;
                // An incomplete last line is read again later.
                bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
                self.read[k - 1][which] += bytes.len() as u64;
                for line in String::from_utf8_lossy(&bytes).lines() {
                    if NEVER.iter().any(|word| line.contains(word)) {
                        return Err(format!("host {k}: {line}"));
                    }
                    self.notice(line);
                }
            }
        }
        Ok(())
    }

    fn notice(&mut self, line: &str) {
        for who in [" corosync ", " annulusd "] {
            let Some((_, text)) = line.split_once(who) else { continue };
            if ["warning", "error", "crit", "alert", "emerg"].iter().any(|level| text.starts_with(level)) {
                let plain: Vec<&str> = text
                    .split_whitespace()
                    .filter(|word| {
                        !word.contains(|letter: char| letter.is_ascii_digit() || "=/".contains(letter))
                    })
                    .collect();
                *self.noticed.entry(format!("{}{}", &who[1..], plain.join(" "))).or_default() += 1;
            }
            return;
        }
    }
}
