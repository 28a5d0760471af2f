//! `corosync-keygen`: makes the key that the nodes of a cluster share.
//!
//! Source: corosync-keygen(8). Exit status: 0; 1 for an invalid option or lack of randomness; 2 if the file cannot be
//! written.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::c::whole;
use crate::cli::getopt::{Getopt, Grammar, Long};
use crate::cli::streams::Streams;
use crate::config::key;
use crate::config::reason;
use crate::config::totem::DEFAULT_KEYFILE;

/// Default path of the key.
pub(in crate::cli) const KEY_FILE: &str = DEFAULT_KEYFILE;
/// The source of randomness.
pub(in crate::cli) const RANDOM: &str = "/dev/urandom";
/// Default length of a key, in bytes.
pub(in crate::cli) const SIZE: usize = key::USUAL;
/// Allowed lengths of a key, in bytes.
pub(in crate::cli) const SIZES: std::ops::RangeInclusive<usize> = key::LEAST..=key::MOST;

const GRAMMAR: Grammar = Grammar {
    short: "k:r:s:lh",
    long: &[
        Long { name: "key-file", takes: true, letter: 'k' },
        Long { name: "random-file", takes: true, letter: 'r' },
        Long { name: "size", takes: true, letter: 's' },
        Long { name: "less-secure", takes: false, letter: 'l' },
        Long { name: "help", takes: false, letter: 'h' },
    ],
};

const USAGE: &str = "\
usage: corosync-keygen [-k FILE] [-s BYTES] [-r FILE] [-l] [-h]

  -k, --key-file FILE     write the key here [/etc/corosync/authkey]
  -s, --size BYTES        its length, 128 to 4096 [256]
  -r, --random-file FILE  read randomness here [/dev/urandom]
  -l, --less-secure       accepted, without effect
  -h, --help              this help
";

/// Runs the tool; `args` begin with the program's name.
pub(super) fn run(args: Vec<OsString>, streams: &mut Streams<'_>) -> u8 {
    let mut file = PathBuf::from(KEY_FILE);
    let mut random = PathBuf::from(RANDOM);
    let mut size = SIZE;
    for given in Getopt::new(args, GRAMMAR) {
        let given = match given {
            Ok(given) => given,
            Err(complaint) => {
                streams.err(complaint + "\n");
                streams.out("Error parsing command line options.\n");
                return 1;
            }
        };
        match given.letter {
            'k' => file = OsString::from_vec(given.value).into(),
            'r' => random = OsString::from_vec(given.value).into(),
            's' => match whole::<usize>(&given.value).filter(|size| SIZES.contains(size)) {
                Some(wanted) => size = wanted,
                None => {
                    streams.err("corosync-keygen: Unsupported key size (supported <128,4096>)\n\n");
                    return 1;
                }
            },
            'h' => {
                streams.out(USAGE);
                return 0;
            }
            _ => {} // 'l'
        }
    }
    streams.out("Corosync Cluster Engine Authentication key generator.\n");
    streams.out(format!("Gathering {} bits for key from {}.\n", size * 8, random.display()));
    let key = match gather(&random, size, streams) {
        Ok(key) => key,
        Err(complaint) => return streams.fail(1, format!("corosync-keygen: {complaint}")),
    };
    let mut created = match create(&file) {
        Ok(created) => created,
        Err(error) => {
            let (file, why) = (file.display(), reason(&error));
            return streams.fail(2, format!("corosync-keygen: Could not create {file}: {why}"));
        }
    };
    streams.out(format!("Writing corosync key to {}.\n", file.display()));
    if let Err(error) = created.write_all(&key) {
        let (file, why) = (file.display(), reason(&error));
        return streams.fail(2, format!("corosync-keygen: Could not write {file}: {why}"));
    }
    0
}

/// Reads a key from a source of randomness, which may return it in pieces.
fn gather(random: &Path, size: usize, streams: &mut Streams<'_>) -> Result<Vec<u8>, String> {
    let mut source =
        File::open(random).map_err(|error| format!("Failed to open random source: {}", reason(&error)))?;
    let mut key = vec![0; size];
    let mut filled = 0;
    loop {
        match source.read(&mut key[filled..]) {
            // Debian's tool would ask for key presses for ever here.
            Ok(0) => return Err(format!("{} ended after {filled} bytes", random.display())),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("Could not read {}: {}", random.display(), reason(&error))),
        }
        if filled == size {
            return Ok(key);
        }
        let needed = (size - filled) * 8;
        streams
            .out(format!("Press keys on your keyboard to generate entropy ({needed} bits still needed).\n"));
        streams.flush();
    }
}

/// Creates the file for the key, empty and readable only by its owner.
///
/// # Errors
/// Those of opening a file and changing its mode.
pub(in crate::cli) fn create(file: &Path) -> io::Result<File> {
    let created = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    created.set_permissions(Permissions::from_mode(0o400))?;
    Ok(created)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keygen(args: &[&str]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = std::iter::once(&"corosync-keygen").chain(args).map(OsString::from).collect();
        let status = run(args, &mut Streams::new(&mut out, &mut err));
        (status, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_key_is_readable_only_by_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let path = file.to_str().unwrap();
        let (status, out, err) = keygen(&["-l", "--size=128", "-k", path]);
        assert_eq!((status, err.as_str()), (0, ""));
        let expected = format!(
            "Corosync Cluster Engine Authentication key generator.\n\
                 Gathering 1024 bits for key from /dev/urandom.\nWriting corosync key to {path}.\n"
        );
        assert_eq!(out, expected);
        let about = std::fs::metadata(&file).unwrap();
        assert_eq!((about.len(), about.permissions().mode() & 0o7777), (128, 0o400));
        assert!(std::fs::read(&file).unwrap().iter().any(|byte| *byte != 0));
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        for size in ["127", "4097", "x", "200x", "-5", "", "99999999999999999999"] {
            let (status, out, err) = keygen(&["-s", size]);
            assert_eq!((status, out.as_str()), (1, ""), "{size:?}");
            assert_eq!(err, "corosync-keygen: Unsupported key size (supported <128,4096>)\n\n");
        }
    }

    #[test]
    fn errors_are_reported() {
        let (status, out, err) = keygen(&["-x"]);
        assert_eq!((status, out.as_str()), (1, "Error parsing command line options.\n"));
        assert_eq!(err, "corosync-keygen: invalid option -- 'x'\n");
        let (status, _, err) = keygen(&["-k", "/nonexistent/key"]);
        assert_eq!(status, 2);
        assert_eq!(err, "corosync-keygen: Could not create /nonexistent/key: No such file or directory\n");
        let (status, _, err) = keygen(&["-k", "/nonexistent/key", "-r", "/nonexistent/random"]);
        assert_eq!(status, 1);
        assert_eq!(err, "corosync-keygen: Failed to open random source: No such file or directory\n");
        let (status, _, err) = keygen(&["-r", "/dev/null"]);
        assert_eq!((status, err.as_str()), (1, "corosync-keygen: /dev/null ended after 0 bytes\n"));
        assert_eq!(keygen(&["-h", "-x"]), (0, USAGE.to_owned(), String::new()));
    }
}
