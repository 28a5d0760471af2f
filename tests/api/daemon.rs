//! The same API through a separate daemon: `annulusd --dev`, found by the name of its instance.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use annulus::client::Client;
use annulus::cpg::{Error, Event, JoinOptions, UNFRAGMENTED_LIMIT, blocking};
use annulus::ids::Guarantee;
use annulus::service::channel::{ChannelError, End};
use annulus::value::Value;
use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::{Listener, PATIENCE};

/// A daemon that is killed when the test ends, however it ends.
struct Daemon {
    instance: String,
    process: Child,
}

impl Daemon {
    fn start(test: &str) -> Self {
        Self::start_instance(format!("api-{test}-{}", std::process::id()))
    }

    fn start_instance(instance: String) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_annulusd"))
            .args(["--dev", "--instance", &instance])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { instance, process }
    }

    async fn client(&self) -> Client {
        let start = Instant::now();
        loop {
            match Client::instance(&self.instance).connect().await {
                Ok(client) => return client,
                Err(_) if start.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Ends the daemon. Once it has been waited for, its process id may belong to another process.
    fn stop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
            self.process.wait().unwrap();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Connections for requests are reopened after a restart of the daemon. Subscriptions end with the daemon, and report
/// that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_outlives_its_daemon() {
    let mut daemon = Daemon::start("outlives");
    let client = daemon.client().await;
    let me = client.local_id().await.unwrap();
    let info = client.quorum().info().await.unwrap();
    assert_eq!((info.quorate, info.members), (true, vec![me]));
    let mut quorum = client.quorum().changes().await.unwrap();
    assert!(quorum.next().await.unwrap().unwrap().quorate);
    client.confdb().set("test.key", "first").await.unwrap();
    let mut keys = client.confdb().watch("test.").await.unwrap();
    client.confdb().set("test.key", "second").await.unwrap();
    assert_eq!(keys.next().await.unwrap().unwrap().old, Some(Value::text("first")));

    daemon.stop();
    assert_eq!(quorum.next().await, Some(Err(End::Lost.into())));
    assert_eq!(keys.next().await, Some(Err(End::Lost.into())));
    assert_eq!(keys.next().await, None);
    let gone = client.confdb().get_value("test.key").await.unwrap_err().to_string();
    assert!(gone.contains("is not running"), "{gone}");

    let again = Daemon::start_instance(daemon.instance.clone());
    again.client().await; // it is connected
    assert_eq!(
        client.confdb().get_value("test.key").await.unwrap(),
        None,
        "another one, with a database of its own"
    );
    assert!(client.quorum().is_quorate().await.unwrap());
    let blocking = Client::instance(&again.instance);
    let asked = tokio::task::spawn_blocking(move || {
        let client = blocking.connect_blocking().unwrap();
        client.confdb().set("test.key", 5u8).unwrap();
        let entries: Vec<_> = client.confdb().list("test.").unwrap().map(Result::unwrap).collect();
        (client.quorum().info().unwrap(), entries[0].value.clone())
    });
    let (info, value) = asked.await.unwrap();
    assert_eq!((info.members, value), (vec![me], Value::U8(5)));
}

fn pid(pid: u32) -> JoinOptions {
    JoinOptions { pid: Some(pid), ..JoinOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_daemon_have_the_same_api() {
    const COUNT: usize = 2000;
    let mut daemon = Daemon::start("same");
    let client = daemon.client().await;
    let one = client.join_with("grp", &pid(1)).await.unwrap();
    let two = client.join_with("grp", &pid(2)).await.unwrap();
    assert!(matches!(client.join_with("grp", &pid(2)).await.unwrap_err(), Error::Exists { pid: 2, .. }));
    assert_eq!(client.membership("grp").await.unwrap(), [one.me(), two.me()]);
    assert_eq!(client.groups().await.unwrap().len(), 1);

    let senders = [one.clone(), two.clone()].map(|group| {
        tokio::spawn(async move {
            for n in 1..COUNT {
                group.multicast(format!("{}.{n}", group.me().pid)).await.unwrap();
            }
            group.multicast_delivered("last", Guarantee::Safe).await.unwrap();
        })
    });
    let (mut first, mut second) = (Listener::new(&one), Listener::new(&two));
    let (a, b) = tokio::join!(first.messages(2 * COUNT), second.messages(2 * COUNT));
    assert_eq!(a, b);
    for sender in senders {
        sender.await.unwrap();
    }
    let long = Bytes::from(vec![3; 2 * UNFRAGMENTED_LIMIT + 5]);
    one.multicast_delivered(long.clone(), Guarantee::Agreed).await.unwrap();
    assert!(second.messages(1).await[0] == long);
    assert!(first.messages(1).await[0] == long);

    drop((one, first)); // a stream of events keeps the membership alive as well
    assert_eq!(second.view().await.left.len(), 1);
    daemon.stop();
    assert_eq!(second.next().await, Some(Event::Disconnected { reason: End::Lost }));
    assert_eq!(second.next().await, None);
    assert!(matches!(two.multicast("late").await, Err(Error::Channel(ChannelError::Ended(_)))));
    assert!(matches!(client.join("grp").await, Err(Error::Channel(ChannelError::NoDaemon { .. }))));
}

/// A member reads only after it has sent everything, although this is more than the limit for waiting whole messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_60_mb_needs_no_reader_meanwhile() {
    let daemon = Daemon::start("long");
    let client = daemon.client().await;
    let one = client.join_with("grp", &pid(1)).await.unwrap();
    let two = client.join_with("grp", &pid(2)).await.unwrap();
    let long: Bytes = (0..60_000_000_u32).map(|i| (i % 251) as u8).collect::<Vec<_>>().into();
    tokio::time::timeout(PATIENCE, one.multicast(long.clone())).await.expect("in time").unwrap();
    for group in [&one, &two] {
        assert!(Listener::new(group).messages(1).await[0] == long);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_program_can_be_a_member_of_a_daemon() {
    let daemon = Daemon::start("plain");
    let other = daemon.client().await.join_with("grp", &pid(9)).await.unwrap();
    let instance = daemon.instance.clone();
    let thread = std::thread::spawn(move || {
        let group = blocking::Client::connect_instance(&instance).unwrap().join("grp").unwrap();
        group.multicast("ping").unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 {
            if let Some(Event::Message { payload, .. }) = group.next(Some(PATIENCE)).unwrap() {
                heard.push(payload);
            }
        }
        heard
    });
    let mut listener = Listener::new(&other);
    assert_eq!(listener.messages(1).await, ["ping"]);
    other.multicast("pong").await.unwrap();
    let heard = tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
    assert_eq!(heard, ["ping", "pong"]);
}
