//! Key rotation of a running cluster: daemons on knet over loopback, encrypted, each with a key file of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use annulus::client::Client;
use annulus::config::key::Key;
use annulus::ids::RingId;
use rustix::process::Signal;

use crate::child::{Daemon, Site, wait_until};
use crate::loopback;
use crate::tools::{ANNULUS, run};

/// The daemons of one cluster, each with files as on a host of its own.
struct Cluster {
    hosts: Vec<Host>,
}

struct Host {
    site: Site,
    conf: String,
    daemon: Option<Daemon>,
}

impl Host {
    fn key_file(&self) -> PathBuf {
        self.site.path("authkey")
    }

    fn key(&self) -> Vec<u8> {
        fs::read(self.key_file()).unwrap()
    }

    fn next(&self) -> PathBuf {
        self.site.path("authkey.next")
    }

    fn start(&mut self) {
        let state = self.site.path("state");
        let words = ["-f", "-c", self.conf.as_str(), "--state-dir", state.to_str().unwrap()];
        self.daemon = Some(self.site.start(&words));
    }

    fn stop(&mut self) {
        let (status, log) = self.daemon.take().unwrap().end(Signal::TERM);
        assert_eq!(status, Some(0), "{log}");
    }

    fn log(&self) -> String {
        self.daemon.as_ref().map_or_else(String::new, Daemon::log)
    }

    fn annulus(&self, words: &[&str]) -> (i32, String, String) {
        run(ANNULUS, &self.site.instance, words)
    }

    /// The ring id, and the number of members.
    fn ring(&self) -> Option<(RingId, usize)> {
        let client = Client::instance(self.site.instance.as_str()).connect_blocking().ok()?;
        let info = client.quorum().info().ok()?;
        Some((info.ring, info.members.len()))
    }
}

fn put_key(file: PathBuf, byte: u8) {
    fs::write(&file, [byte; 256]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
}

impl Cluster {
    /// Prepares hosts without starting them; the bytes of their keys are 0x5a. `network` selects one of this
    /// process's two networks.
    fn new(hosts: u8, network: bool) -> Self {
        let sites: Vec<Site> = (0..hosts).map(|_| Site::new()).collect();
        let port = sites[0].port;
        // Each daemon finds itself in the node list by the host's name.
        let uname = rustix::system::uname();
        let here = uname.nodename().to_str().unwrap();
        let list = |own: u8| -> String {
            (1..=hosts)
                .map(|id| {
                    let (address, other) = (loopback::address(network, id), format!("n{id}"));
                    let name = if id == own { here } else { &other };
                    format!(" node {{\n  nodeid: {id}\n  name: {name}\n  ring0_addr: {address}\n }}\n")
                })
                .collect()
        };
        let hosts = (1..=hosts).zip(sites).map(|(id, site)| {
            let conf = site.path("corosync.conf");
            let text = format!(
                "totem {{\n version: 2\n transport: knet\n cluster_name: test\n token: 5000\n \
                 crypto_cipher: aes256\n crypto_hash: sha256\n keyfile: {}\n interface {{\n  linknumber: 0\n  \
                 mcastport: {port}\n }}\n}}\n\
                 nodelist {{\n{}}}\nquorum {{\n provider: corosync_votequorum\n}}\n\
                 system {{\n sched_rr: no\n allow_knet_handle_fallback: yes\n}}\n\
                 logging {{\n to_syslog: no\n to_stderr: yes\n}}\n",
                site.path("authkey").display(),
                list(id),
            );
            fs::write(&conf, text).unwrap();
            put_key(site.path("authkey"), 0x5a);
            Host { site, conf: conf.to_str().unwrap().to_owned(), daemon: None }
        });
        Self { hosts: hosts.collect() }
    }

    fn start(&mut self) {
        self.hosts.iter_mut().for_each(Host::start);
        self.wait();
    }

    /// Waits until all daemons are on one ring, and returns its id.
    fn wait(&self) -> RingId {
        let all = self.hosts.len();
        let ring = || {
            let first = self.hosts[0].ring()?;
            (first.1 == all && self.hosts.iter().all(|host| host.ring() == Some(first))).then_some(first.0)
        };
        wait_until("one ring", || ring().is_some(), || self.logs());
        ring().unwrap()
    }

    fn logs(&self) -> String {
        self.hosts.iter().map(|host| host.log() + "\n---\n").collect()
    }

    /// Runs `annulus key rotate` on one host and checks that the ring stays, and that every host has only the same
    /// new key.
    fn rotates(&self, host: usize) {
        let (ring, old) = (self.wait(), self.hosts[0].key());
        let (status, out, err) = self.hosts[host].annulus(&["key", "rotate"]);
        assert_eq!(status, 0, "{out}{err}\n{}", self.logs());
        assert!(out.ends_with("all nodes use the new key\n"), "{out}");
        let new = self.hosts[0].key();
        let print = Key::new(&new).unwrap().fingerprint().to_string();
        assert_eq!(out.matches(&print).count(), self.hosts.len(), "{out}");
        assert_ne!(new, old);
        for host in &self.hosts {
            assert_eq!(host.key(), new);
            assert_eq!(fs::metadata(host.key_file()).unwrap().permissions().mode() & 0o7777, 0o400);
            assert!(!host.next().exists());
        }
        assert_eq!(self.wait(), ring, "{}", self.logs());
        let start: String = new[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!(self.logs() + &out + &err).contains(&start), "{}", self.logs());
    }
}

#[test]
fn keys_are_rotated_repeatedly_without_a_change_of_the_ring() {
    let mut cluster = Cluster::new(3, false);
    cluster.start();
    let (status, out, err) = cluster.hosts[0].annulus(&["key", "status"]);
    let print = Key::new(&[0x5a; 256]).unwrap().fingerprint().to_string();
    assert_eq!((status, out.matches(&print).count()), (0, 3), "{out}{err}");
    cluster.rotates(0);
    // A daemon that starts now reads the new key from its file.
    cluster.hosts[2].stop();
    cluster.hosts[2].start();
    cluster.wait();
    cluster.rotates(1);
    // A daemon that is down would come back with the old key, so the rotation is refused.
    cluster.hosts[2].stop();
    let two = || cluster.hosts[0].ring().is_some_and(|(_, members)| members == 2);
    wait_until("a ring of two", two, || cluster.logs());
    let key = cluster.hosts[0].key();
    let (status, out, err) = cluster.hosts[0].annulus(&["key", "rotate"]);
    assert!(status != 0 && err.contains("left with the old key: 3. Start them"), "{out}{err}");
    let (status, out, err) = cluster.hosts[0].annulus(&["--json", "key", "status"]);
    assert_eq!(status, 0, "{err}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["nodes"][2], serde_json::json!({ "node": 3, "state": "away" }), "{out}");
    assert!(cluster.hosts[..2].iter().all(|host| host.key() == key && !host.next().exists()));
    cluster.hosts[2].start();
    cluster.wait();
}

/// The daemon was down when the others replaced their key files, but it had stored the new key before.
#[test]
fn a_daemon_that_missed_the_end_of_a_rotation_adopts_its_stored_key() {
    let mut cluster = Cluster::new(2, true);
    put_key(cluster.hosts[1].next(), 0xa5);
    fs::remove_file(cluster.hosts[0].key_file()).unwrap();
    put_key(cluster.hosts[0].key_file(), 0xa5);
    cluster.start();
    let late = &cluster.hosts[1];
    let kept = || late.key() == [0xa5; 256] && !late.next().exists();
    wait_until("the new key in the place of the old one", kept, || cluster.logs());
    assert!(late.log().contains("a change of the key was not finished"), "{}", late.log());
    cluster.rotates(1);
}

#[test]
fn no_key_is_sent_in_the_clear() {
    let site = Site::new();
    let conf = site.configure("logging {\n to_syslog: no\n to_stderr: yes\n}\n");
    let state = site.path("state");
    let daemon = site.start(&["-f", "-c", &conf, "--state-dir", state.to_str().unwrap()]);
    let (status, out, err) = run(ANNULUS, &site.instance, &["key", "rotate"]);
    assert!(status != 0 && err.contains("packets are not encrypted"), "{out}{err}");
    let (status, out, err) = run(ANNULUS, &site.instance, &["key", "status"]);
    assert!(status == 0 && out.contains("none"), "{out}{err}");
    drop(daemon);
}
