//! `annulus check`, `convert` and `keygen`: commands on files, without a daemon.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use super::Outcome;
use super::options::{Format, Keygen};
use crate::cli::corosync::keygen::RANDOM;
use crate::cli::failure::{Failure, Kind};
use crate::cli::quorum::json::line;
use crate::cli::streams::Streams;
use crate::config::os::OsHost;
use crate::config::reason;
use crate::config::system::STATE_DIR;
use crate::config::{Config, ConfigError, FILE_LIMIT, convert};
use crate::node::inspect::inspect;

/// Does what `annulusd --check` does for this user, with the same exit status.
pub(super) fn check(
    file: &Path,
    quiet: bool,
    strict: bool,
    json: bool,
    streams: &mut Streams<'_>,
) -> Outcome {
    let checked = Config::load(file).and_then(|config| {
        let mut inspection = inspect(&config)?;
        let state_dir = &config.system.state_dir;
        // For a user other than root, the default directory is created at the start.
        let required = rustix::process::geteuid().is_root() || state_dir != Path::new(STATE_DIR);
        inspection.look_at_host(&config, Some(state_dir.as_path()).filter(|_| required))?;
        if strict {
            inspection.strictly()?;
        }
        Ok((config, inspection))
    });
    let (config, inspection) = checked.map_err(refused)?;
    if json {
        let setting = |setting: &crate::config::effective::Setting| json!({ "name": setting.name, "value": setting.value, "origin": setting.origin.to_string() });
        let settings: Vec<_> = config.effective().iter().map(setting).collect();
        let (warnings, notes) = (&inspection.warnings, &inspection.notes);
        streams.out(line(&json!({ "ok": true, "warnings": warnings, "notes": notes, "settings": settings })));
        return Ok(());
    }
    for remark in inspection.remarks() {
        streams.out(format!("{remark}\n"));
    }
    if !quiet {
        for setting in config.effective() {
            streams.out(format!("{setting}\n"));
        }
    }
    Ok(())
}

fn refused(error: ConfigError) -> Failure {
    let status = error.exit_status();
    Failure { status, kind: Kind::Config, message: error.message, hint: error.hint }
}

/// Converts a file to the other format than that of its name's ending, unless one is given.
pub(super) fn convert(
    file: &Path,
    output: Option<&Path>,
    to: Option<Format>,
    streams: &mut Streams<'_>,
) -> Outcome {
    let is_toml = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
    let to = to.unwrap_or(if is_toml { Format::Conf } else { Format::Toml });
    let text = read(file)?;
    let converted = match to {
        Format::Toml => convert::conf_file_to_toml(&text, file, &OsHost).map(String::into_bytes),
        Format::Conf => convert::toml_to_conf(&text, file, &OsHost),
    }
    .map_err(refused)?;
    let Some(output) = output else {
        streams.out(converted);
        return Ok(());
    };
    // The file may contain the key, so only its owner may read it, unless the owner changes that.
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(output);
    created.and_then(|mut created| created.write_all(&converted)).map_err(|error| failed(output, &error))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let opened = File::open(file).and_then(|opened| opened.take(FILE_LIMIT + 1).read_to_end(&mut text));
    opened.map_err(|error| failed(file, &error))?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(Failure::new(format!(
            "{}: a configuration file may have {FILE_LIMIT} bytes",
            file.display()
        )));
    }
    Ok(text)
}

fn failed(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {}", file.display(), reason(error)))
}

/// Makes a key that only its owner can read. The file gets its name when it is complete.
pub(super) fn keygen(keygen: &Keygen, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let file = &keygen.output;
    if !keygen.force && fs::symlink_metadata(file).is_ok() {
        return Err(Failure::new(format!(
            "{} is there already; nodes with another key cannot talk to each other. Use --force to replace it",
            file.display()
        )));
    }
    let mut key = vec![0; usize::from(keygen.size)];
    File::open(RANDOM)
        .and_then(|mut random| random.read_exact(&mut key))
        .map_err(|error| failed(Path::new(RANDOM), &error))?;
    let mut new = file.clone().into_os_string();
    new.push(".new");
    let new = Path::new(&new);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o400).open(new).and_then(|mut created| {
            created.write_all(&key)?;
            created.sync_all()
        });
    written.map_err(|error| failed(new, &error))?;
    if let Err(error) = fs::rename(new, file) {
        // The incomplete file is useless.
        let _ = fs::remove_file(new);
        return Err(failed(file, &error));
    }
    let bits = key.len() * 8;
    let text = format!("{}: {bits} bits. Copy it to all nodes of the cluster\n", file.display());
    streams.out(if json { line(&json!({ "file": file, "bits": bits })) } else { text });
    Ok(())
}
