//! The longest time between two tokens of a host, as the next host's kernel received them.

use crate::lab::Lab;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Stdio};
use std::time::Duration;

/// A recording of the tokens that host 1 sends to host 2.
pub(super) struct Tokens {
    child: Child,
    heard: BufReader<ChildStderr>,
    file: PathBuf,
}

impl Tokens {
    /// Starts to record, in host 2.
    pub(super) fn record(lab: &Lab) -> Self {
        let file = lab.dir(2).join("tokens.pcap");
        let mut child = lab
            .command(2, "dumpcap")
            // The fourth byte of a ring datagram is its kind; that of a token is 0.
            .args(["-q", "-P", "-B", "64", "-s", "60", "-i", "eth0"])
            .args(["-f", "udp and src host 10.77.0.1 and udp[11] = 0", "-w"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter starts");
        let mut heard = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("File:") {
            line.clear();
            assert!(heard.read_line(&mut line).expect("read dumpcap's output") > 0, "dumpcap did not start");
        }
        Self { child, heard, file }
    }

    /// Ends the recording. Returns the number of tokens and the longest time between two.
    pub(super) fn longest(mut self) -> (usize, Duration) {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id()));
        let inside = children.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
        let pid = inside.unwrap_or_else(|| i32::try_from(self.child.id()).expect("a process id"));
        kill_process(Pid::from_raw(pid).expect("not 0"), Signal::INT).expect("it still records");
        let mut rest = String::new();
        let _ = self.heard.read_to_string(&mut rest);
        let _ = self.child.wait();
        let times = times(&self.file);
        let longest = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
        (times.len(), longest.unwrap_or(Duration::MAX))
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The arrival time of each packet of a recording. Source: `pcap-savefile(5)`.
fn times(file: &Path) -> Vec<Duration> {
    let bytes = std::fs::read(file).expect("the recording");
    let word = |at: usize| {
        let part: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(part))
    };
    let nanoseconds = match word(0) {
        Some(0xa1b2_c3d4) => 1000,
        Some(0xa1b2_3c4d) => 1,
        other => panic!("{}: {other:x?} begins no recording", file.display()),
    };
    let mut times = Vec::new();
    let mut at = 24;
    while let (Some(seconds), Some(part), Some(length)) = (word(at), word(at + 4), word(at + 8)) {
        times.push(Duration::new(seconds.into(), part * nanoseconds));
        at += 16 + length as usize;
    }
    times
}
