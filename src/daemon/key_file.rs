//! Stores a new key on disk: first beside the key file, then in its place. Whatever fails in between, the daemon
//! finds a complete key file, the new one or the old one, or both.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::config::Config;
use crate::config::key::{Key, MOST};
use crate::config::totem::DEFAULT_KEYFILE;

/// The path of the key file of a configuration.
///
/// # Errors
/// The key is written in the configuration itself.
pub(super) fn of(config: &Config) -> Result<PathBuf, String> {
    if let Some(file) = &config.totem.crypto.keyfile {
        return Ok(file.into());
    }
    match config.map.entry("totem.key") {
        Some(entry) => Err(format!(
            "its key stands in the configuration, where no new one can be put: totem.key at {}. Put it into a file, and \
             name that as totem.keyfile",
            entry.origin
        )),
        None => Ok(DEFAULT_KEYFILE.into()),
    }
}

/// Stores a key beside the key file, readable by its owner only.
///
/// # Errors
/// A text with the path.
pub(super) fn store(file: &Path, key: &Key) -> Result<(), String> {
    let next = beside(file, ".next");
    let unfinished = beside(file, ".next.part");
    let write = || -> io::Result<()> {
        remove(&unfinished)?;
        let mut created = OpenOptions::new().write(true).create_new(true).mode(0o400).open(&unfinished)?;
        created.write_all(key.bytes())?;
        created.sync_all()?;
        fs::rename(&unfinished, &next)?;
        sync_directory(&next)
    };
    write().map_err(|error| {
        // The incomplete file is useless.
        let _ = remove(&unfinished);
        format!("cannot store the new key in {}: {error}", next.display())
    })
}

/// Replaces the key file by the stored key.
///
/// # Errors
/// A text with the path.
pub(super) fn keep(file: &Path) -> Result<(), String> {
    let next = beside(file, ".next");
    let target = target(file);
    fs::rename(&next, &target).and_then(|()| sync_directory(&target)).map_err(|error| {
        format!(
            "cannot put the new key, which is in use, into the place of {}: {error}. Move {} there by hand",
            target.display(),
            next.display()
        )
    })
}

/// Removes a stored key, if there is one.
///
/// # Errors
/// A text with the path.
pub(super) fn discard(file: &Path) -> Result<(), String> {
    let next = beside(file, ".next");
    remove(&next)
        .and_then(|()| sync_directory(&next))
        .map_err(|error| format!("cannot remove {}, which nobody uses: {error}", next.display()))
}

/// The key that an unfinished key change left beside the key file.
pub(super) fn stored(file: &Path) -> Option<Key> {
    let next = File::open(beside(file, ".next")).ok()?;
    if next.metadata().ok()?.mode() & 0o077 != 0 {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST));
    next.take(MOST as u64).read_to_end(&mut bytes).ok()?;
    Key::new(&bytes).ok()
}

/// The real path of the key file, so that a symbolic link is kept.
fn target(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = target(file).into_os_string();
    name.push(ending);
    name.into()
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(file: &Path) -> u32 {
        fs::metadata(file).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_key_is_stored_beside_the_old_one_and_then_replaces_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("authkey");
        fs::write(&file, [1; 128]).unwrap();
        let key = Key::new(&[2; 256]).unwrap();
        store(&file, &key).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [1; 128]);
        assert_eq!(stored(&file), Some(key.clone()));
        assert_eq!(mode(&beside(&file, ".next")), 0o400);
        // Storing another key replaces it, even after a crash while storing.
        fs::write(beside(&file, ".next.part"), "x").unwrap();
        let other = Key::new(&[3; 256]).unwrap();
        store(&file, &other).unwrap();
        assert_eq!(stored(&file), Some(other));
        keep(&file).unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (vec![3; 256], 0o400));
        assert_eq!(stored(&file), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_discarded_key_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("authkey");
        store(&file, &Key::new(&[2; 256]).unwrap()).unwrap();
        discard(&file).unwrap();
        discard(&file).unwrap();
        assert_eq!((stored(&file), fs::read_dir(dir.path()).unwrap().count()), (None, 0));
        assert!(keep(&file).unwrap_err().contains("authkey.next"));
    }

    #[test]
    fn a_symbolic_link_to_the_key_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (link, file) = (dir.path().join("link"), dir.path().join("real"));
        fs::write(&file, [1; 128]).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        store(&link, &Key::new(&[2; 256]).unwrap()).unwrap();
        keep(&link).unwrap();
        assert_eq!(fs::read(&file).unwrap(), [2; 256]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_failure_to_store_names_the_file() {
        let why = store(Path::new("/nonexistent/authkey"), &Key::new(&[2; 256]).unwrap()).unwrap_err();
        assert!(why.contains("/nonexistent/authkey.next") && why.contains("No such file"), "{why}");
    }
}
