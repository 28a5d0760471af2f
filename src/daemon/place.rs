//! Paths and names of a daemon on this host: lock file, state directory, socket names. They depend on the user (root
//! or not) and on the instance.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::exit::{Exit, Fatal};
use super::options::Instance;
use crate::config::system::STATE_DIR;
use crate::config::totem::DEFAULT_PORT;
use crate::node::inspect;

/// State directories of named instances of root.
const INSTANCE_STATE: &str = "/var/lib/annulus";
/// Lock files of daemons of root.
const RUN_DIR: &str = "/run";

/// The user who runs the daemon, and its instance.
#[derive(Clone, Debug)]
pub(super) struct Place {
    root: bool,
    uid: u32,
    /// `$XDG_RUNTIME_DIR`, if it is set.
    runtime: Option<PathBuf>,
    /// The system's directory for temporary files.
    temporary: PathBuf,
    instance: Option<Instance>,
}

impl Place {
    pub(super) fn of_process(instance: Option<Instance>) -> Self {
        let uid = rustix::process::geteuid();
        Self {
            root: uid.is_root(),
            uid: uid.as_raw(),
            runtime: std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from),
            temporary: std::env::temp_dir(),
            instance,
        }
    }

    /// The effective user id.
    pub(super) const fn uid(&self) -> u32 {
        self.uid
    }

    /// The name of a service's socket: Corosync's, or one with the instance's name.
    pub(super) fn socket(&self, service: &str) -> String {
        match &self.instance {
            None => service.to_owned(),
            Some(instance) => format!("annulus-{instance}-{service}"),
        }
    }

    /// The path of the lock file, which holds the process id.
    pub(super) fn lock_file(&self) -> PathBuf {
        let name = match &self.instance {
            None => "annulusd.pid".to_owned(),
            Some(instance) => format!("annulusd-{instance}.pid"),
        };
        if self.root { Path::new(RUN_DIR).join(name) } else { self.own_dir().join(name) }
    }

    /// Creates the directory of [`Place::lock_file`], if it is one of this user alone.
    ///
    /// # Errors
    /// It cannot be created, or other users could write to it.
    pub(super) fn prepare(&self) -> Result<(), Fatal> {
        if self.root { Ok(()) } else { self.make(&self.own_dir()) }
    }

    /// Returns the state directory, and creates it if it belongs to this user or instance. `configured` is the
    /// directory of the command line or, if not the default, of the configuration; it must exist.
    ///
    /// # Errors
    /// It does not exist, cannot be created, or other users could write to it.
    pub(super) fn state_dir(&self, configured: Option<&Path>) -> Result<PathBuf, Fatal> {
        if let Some(dir) = configured {
            return existing(dir);
        }
        match (&self.instance, self.root) {
            (None, true) => existing(Path::new(STATE_DIR)),
            (Some(instance), true) => {
                let dir = Path::new(INSTANCE_STATE).join(instance.as_str());
                self.make(Path::new(INSTANCE_STATE))?;
                self.make(&dir)?;
                Ok(dir)
            }
            (instance, false) => {
                let dir = self.own_dir().join(instance.as_ref().map_or("default", Instance::as_str));
                self.make(&self.own_dir())?;
                self.make(&dir)?;
                Ok(dir)
            }
        }
    }

    /// The state directory that must exist on the system; `None` if one is created for this user or instance.
    pub(super) fn systems_state_dir(&self) -> Option<PathBuf> {
        (self.root && self.instance.is_none()).then(|| STATE_DIR.into())
    }

    /// Returns the state directory of a node of `--dev`, created if it is missing: `given`, or one below the runtime
    /// directory, for any user.
    ///
    /// # Errors
    /// It cannot be created, or other users could write to it.
    pub(super) fn dev_state_dir(&self, given: Option<&Path>) -> Result<PathBuf, Fatal> {
        if let Some(dir) = given {
            DirBuilder::new().mode(0o700).recursive(true).create(dir).map_err(|error| {
                Fatal::new(Exit::StateDir, format!("Can't make state directory {}: {error}", dir.display()))
            })?;
            return existing(dir);
        }
        let own = match (&self.runtime, self.root) {
            (None, true) => Path::new(RUN_DIR).join("annulus"),
            (Some(_), _) | (None, false) => self.own_dir(),
        };
        let dir = own.join(match &self.instance {
            None => "dev".to_owned(),
            Some(instance) => format!("dev-{instance}"),
        });
        self.make(&own)?;
        self.make(&dir)?;
        Ok(dir)
    }

    /// UDP port of a node of `--dev`: the default, or one derived from the instance's name, so that several instances
    /// do not conflict. It lies below the range of ephemeral ports.
    pub(super) fn dev_port(&self) -> u16 {
        let Some(instance) = &self.instance else { return DEFAULT_PORT };
        // FNV-1a: any even distribution will do, and this one is the same in every build.
        let hash = instance
            .as_str()
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        10_000 + (hash % 20_000) as u16
    }

    /// The directory for a user other than root.
    fn own_dir(&self) -> PathBuf {
        match &self.runtime {
            Some(dir) => dir.join("annulus"),
            None => self.temporary.join(format!("annulus-{}", self.uid)),
        }
    }

    /// Creates a directory for this user alone. An existing one must belong to this user, as somebody else could have
    /// created it in a directory that all may write to.
    fn make(&self, dir: &Path) -> Result<(), Fatal> {
        let failed = |why: &dyn std::fmt::Display| {
            let dir = dir.display();
            let other = "Name another with --state-dir or XDG_RUNTIME_DIR";
            Fatal::new(Exit::StateDir, format!("Can't use directory {dir}: {why}. {other}"))
        };
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(&error)),
            _ => {}
        }
        let found = fs::symlink_metadata(dir).map_err(|error| failed(&error))?;
        if !found.is_dir() {
            return Err(failed(&"it is not a directory"));
        }
        if found.uid() != self.uid {
            return Err(failed(&format_args!("it belongs to user {}, not {}", found.uid(), self.uid)));
        }
        if found.mode() & 0o022 != 0 {
            return Err(failed(&"others may write to it"));
        }
        Ok(())
    }
}

fn existing(dir: &Path) -> Result<PathBuf, Fatal> {
    inspect::existing(dir).map_err(Fatal::with(Exit::StateDir))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn place(root: bool, temporary: &Path, instance: Option<&str>) -> Place {
        Place {
            root,
            uid: rustix::process::geteuid().as_raw(),
            runtime: None,
            temporary: temporary.to_owned(),
            instance: instance.map(|name| name.parse().unwrap()),
        }
    }

    #[test]
    fn root_uses_the_systems_directories() {
        let plain = place(true, Path::new("/nowhere"), None);
        assert_eq!(plain.lock_file(), PathBuf::from("/run/annulusd.pid"));
        assert_eq!(plain.socket("cpg"), "cpg");
        let named = place(true, Path::new("/nowhere"), Some("b"));
        assert_eq!(named.lock_file(), PathBuf::from("/run/annulusd-b.pid"));
        assert_eq!(named.socket("cpg"), "annulus-b-cpg");
    }

    #[test]
    fn other_users_have_their_own_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let plain = place(false, temporary.path(), None);
        let named = place(false, temporary.path(), Some("b"));
        plain.prepare().unwrap();
        let own = temporary.path().join(format!("annulus-{}", plain.uid()));
        assert_eq!(plain.lock_file(), own.join("annulusd.pid"));
        assert_eq!(plain.state_dir(None).unwrap(), own.join("default"));
        assert_eq!(named.state_dir(None).unwrap(), own.join("b"));
        assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_runtime_directory_is_preferred() {
        let runtime = tempfile::tempdir().unwrap();
        let place =
            Place { runtime: Some(runtime.path().to_owned()), ..place(false, Path::new("/nowhere"), None) };
        place.prepare().unwrap();
        assert_eq!(place.lock_file(), runtime.path().join("annulus/annulusd.pid"));
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let place = place(false, temporary.path(), None);
        let own = temporary.path().join(format!("annulus-{}", place.uid()));
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        let error = place.prepare().unwrap_err();
        assert_eq!(error.exit, Exit::StateDir);
        assert!(error.message.contains("others may write"), "{error}");
        fs::remove_dir(&own).unwrap();
        std::os::unix::fs::symlink("/", &own).unwrap();
        assert!(place.prepare().unwrap_err().message.contains("not a directory"));
    }

    #[test]
    fn a_configured_directory_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let place = place(true, dir.path(), None);
        assert_eq!(place.state_dir(Some(dir.path())).unwrap(), fs::canonicalize(dir.path()).unwrap());
        let error = place.state_dir(Some(&dir.path().join("gone"))).unwrap_err();
        assert_eq!(error.exit, Exit::StateDir);
        assert!(error.message.contains("gone") && error.message.contains("--state-dir"), "{error}");
    }

    #[test]
    fn the_dev_state_directory_is_created() {
        let temporary = tempfile::tempdir().unwrap();
        let plain = place(false, temporary.path(), None);
        let own = temporary.path().join(format!("annulus-{}", plain.uid()));
        for _ in 0..2 {
            assert_eq!(plain.dev_state_dir(None).unwrap(), own.join("dev"));
        }
        let given = temporary.path().join("a/b");
        assert_eq!(plain.dev_state_dir(Some(&given)).unwrap(), fs::canonicalize(&given).unwrap());
        let runtime = Some(temporary.path().to_owned());
        let root = Place { runtime, ..place(true, Path::new("/nowhere"), Some("x")) };
        assert_eq!(root.dev_state_dir(None).unwrap(), temporary.path().join("annulus/dev-x"));
        fs::write(temporary.path().join("file"), "").unwrap();
        let error = plain.dev_state_dir(Some(&temporary.path().join("file/x"))).unwrap_err();
        assert_eq!(error.exit, Exit::StateDir);
    }

    #[test]
    fn instances_have_their_own_ports() {
        let port = |name| place(false, Path::new("/"), name).dev_port();
        assert_eq!(port(None), DEFAULT_PORT);
        assert_ne!(port(Some("a")), port(Some("b")));
        assert!((10_000..30_000).contains(&port(Some("a"))));
    }
}
