//! A replicated map on top of a process group: the same commands in the same order on all replicas, state
//! transfer to replicas that join, and no divergence after a partition. `replica.rs` describes the algorithm
//! and its guarantees.
//!
//! ```sh
//! cargo run --example replicated_kv                           # checks itself: nodes in this process
//! cargo run --example replicated_kv -- --daemon               # checks itself: members of the daemon here
//! cargo run --example replicated_kv -- --serve 3 [GROUP]      # one of three replicas; commands from stdin
//!     [--instance NAME]                                       # with the last two: of this instance
//! ```
//! The check runs several replicas in this process; one starts late, one is cut off (nodes only) and comes
//! back. It exits with 1 unless all replicas have equal digests at the end, and have every write that was
//! confirmed.

mod replica;
mod state;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use annulus::client::Client;
use annulus::config::timeouts::Given;
use annulus::cpg::JoinOptions;
use annulus::node::Node;
use replica::{Core, Refusal, Replica};
use state::{Machine, Op};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

const REPLICAS: usize = 3;
const WRITES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

enum Mode {
    CheckNodes,
    CheckDaemon,
    Serve { replicas: usize, group: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    let (mode, instance) = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!(
                "replicated_kv: {message}\nusage: replicated_kv [--daemon | --serve REPLICAS [GROUP]] [--instance NAME]"
            );
            return ExitCode::from(2);
        }
    };
    let done = match mode {
        Mode::CheckNodes => in_time(check_nodes()).await,
        Mode::CheckDaemon => in_time(check_daemon(instance)).await,
        Mode::Serve { replicas, group } => serve(instance, replicas, &group).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replicated_kv: {error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> std::result::Result<(Mode, Option<String>), String> {
    let (mut mode, mut instance) = (Mode::CheckNodes, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match (arg.as_str(), &mut mode) {
            ("--daemon", _) => mode = Mode::CheckDaemon,
            ("--instance", _) => instance = Some(args.next().ok_or("--instance needs a name")?),
            ("--serve", _) => {
                let replicas = args.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0);
                let replicas = replicas.ok_or("--serve needs the number of replicas")?;
                mode = Mode::Serve { replicas, group: "kv".to_owned() };
            }
            (name, Mode::Serve { group, .. }) if !name.starts_with('-') => *group = name.to_owned(),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok((mode, instance))
}

async fn in_time(check: impl Future<Output = Result<()>>) -> Result<()> {
    match tokio::time::timeout(PATIENCE, check).await {
        Ok(done) => done,
        Err(_) => Err(format!("not done after {} s", PATIENCE.as_secs()).into()),
    }
}

/// Checks replicas on nodes of this process, with a late joiner and a partition.
async fn check_nodes() -> Result<()> {
    let port = free_port()?;
    let mut nodes = BTreeMap::new();
    for id in 1..=REPLICAS as u32 {
        let timing = Given { token: Some(300), token_coefficient: Some(0), ..Given::default() };
        let peers = (1..=REPLICAS as u32).map(|id| (id, address(id)));
        nodes.insert(id, Node::builder().id(id).peers(peers).port(port).timing(timing).start().await?);
    }
    println!("{REPLICAS} nodes on 127.0.0.1-{REPLICAS}, UDP port {port}");

    let mut replicas = BTreeMap::new();
    for id in [1, 2] {
        replicas.insert(id, Replica::start(nodes[&id].join("kv").await?, REPLICAS));
    }
    wait(&replicas, "a primary of two", |core| core.is_primary() && core.members().len() == 2).await?;
    let mut confirmed = write_all(&replicas, &[1, 2], "early").await?;
    println!("{} writes with two of three replicas", confirmed.len());

    replicas.insert(3, Replica::start(nodes[&3].join("kv").await?, REPLICAS));
    wait(&replicas, "all three", |core| core.is_primary() && core.members().len() == 3).await?;
    compare(&replicas, &confirmed)?;
    println!("the third joined, and took the state over ({} snapshot)", replicas[&3].read(Core::adopted));
    confirmed.extend(write_all(&replicas, &[1, 2, 3], "all").await?);

    nodes[&1].cut([3]).await?;
    nodes[&2].cut([3]).await?;
    nodes[&3].cut([1, 2]).await?;
    wait_for(&replicas[&3], "the view of itself", |core| core.is_settled() && core.members().len() == 1)
        .await?;
    wait_for(&replicas[&1], "the view of two", |core| core.is_primary() && core.members().len() == 2).await?;
    wait_for(&replicas[&2], "the view of two", |core| core.is_primary() && core.members().len() == 2).await?;
    confirmed.extend(write_all(&replicas, &[1, 2], "cut").await?);
    if replicas[&3].put("lost", "write").await != Err(Refusal::ReadOnly) {
        return Err("the smaller part took a write".into());
    }
    println!("cut off, the third is read-only; the other two go on");

    for node in nodes.values() {
        node.heal().await?;
    }
    wait(&replicas, "all three again", |core| core.is_primary() && core.members().len() == 3).await?;
    compare(&replicas, &confirmed)?;
    println!("healed: the third adopted the primary's history");
    confirmed.extend(write_all(&replicas, &[1, 2, 3], "healed").await?);
    finish(&replicas, &confirmed).await?;
    drop(replicas); // their tasks end, and with them their membership
    for node in nodes.into_values() {
        node.leave().await?;
    }
    Ok(())
}

/// Checks replicas that are members of one daemon, distinguished by artificial process ids.
async fn check_daemon(instance: Option<String>) -> Result<()> {
    let client = connect(instance).await?;
    let name = format!("kv-check-{}", std::process::id());
    let seat = |n: u32| {
        let options = JoinOptions { pid: Some(std::process::id() * 8 + n), ..JoinOptions::default() };
        let (client, name) = (client.clone(), name.clone());
        async move { client.join_with(name, &options).await }
    };
    let mut replicas = BTreeMap::new();
    for id in [1, 2] {
        replicas.insert(id, Replica::start(seat(id).await?, REPLICAS));
    }
    wait(&replicas, "a primary of two", |core| core.is_primary() && core.members().len() == 2).await?;
    let mut confirmed = write_all(&replicas, &[1, 2], "early").await?;
    replicas.insert(3, Replica::start(seat(3).await?, REPLICAS));
    wait(&replicas, "all three", |core| core.is_primary() && core.members().len() == 3).await?;
    compare(&replicas, &confirmed)?;
    confirmed.extend(write_all(&replicas, &[1, 2, 3], "all").await?);
    replicas.remove(&1);
    wait(&replicas, "the two that are left", |core| core.is_primary() && core.members().len() == 2).await?;
    confirmed.extend(write_all(&replicas, &[2, 3], "rest").await?);
    finish(&replicas, &confirmed).await
}

/// Writes through all `writers` at once, partly to the same keys. Returns the confirmed writes: for each key,
/// the last number in the history, and the value.
async fn write_all(
    replicas: &BTreeMap<u32, Replica>,
    writers: &[u32],
    phase: &str,
) -> Result<BTreeMap<String, (u64, String)>> {
    let mut tasks = JoinSet::new();
    for id in writers {
        let (id, replica, phase) = (*id, replicas[id].clone(), phase.to_owned());
        tasks.spawn(async move {
            let mut written = Vec::new();
            for n in 0..WRITES {
                // Every third key is shared by all writers: the last write in the order wins.
                let key = if n % 3 == 0 { format!("{phase}-{n}") } else { format!("{phase}-{n}-of-{id}") };
                let value = format!("{n} of {id}");
                let number = replica.put(key.clone(), value.clone()).await;
                written.push((key, number.map_err(|why| format!("{why:?}"))?, value));
            }
            Ok::<_, String>(written)
        });
    }
    let mut confirmed = BTreeMap::new();
    while let Some(written) = tasks.join_next().await {
        for (key, number, value) in written?? {
            let last = confirmed.entry(key).or_insert((number, value.clone()));
            if last.0 < number {
                *last = (number, value);
            }
        }
    }
    Ok(confirmed)
}

async fn wait_for(replica: &Replica, what: &str, wanted: impl FnMut(&Core) -> bool) -> Result<()> {
    match tokio::time::timeout(PATIENCE / 3, replica.until(wanted)).await {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(format!("a replica stopped while it waited for {what}").into()),
        Err(_) => Err(format!(
            "a replica waited for {what} in vain; its members are {:?}",
            replica.read(|core| core.members().to_vec())
        )
        .into()),
    }
}

async fn wait(replicas: &BTreeMap<u32, Replica>, what: &str, wanted: impl Fn(&Core) -> bool) -> Result<()> {
    for replica in replicas.values() {
        wait_for(replica, what, &wanted).await?;
    }
    Ok(())
}

/// Checks that all replicas are equal and have everything that was confirmed.
fn compare(replicas: &BTreeMap<u32, Replica>, confirmed: &BTreeMap<String, (u64, String)>) -> Result<()> {
    let machines: BTreeMap<u32, Machine> =
        replicas.iter().map(|(id, replica)| (*id, replica.read(|core| core.machine().clone()))).collect();
    let first = machines.values().next().ok_or("no replicas")?;
    if machines.values().any(|machine| machine != first) {
        let digests: Vec<String> = machines
            .iter()
            .map(|(id, m)| format!("{id}: {:08x} after {} commands", m.digest(), m.applied))
            .collect();
        return Err(format!("the replicas differ: {}", digests.join(", ")).into());
    }
    for (key, (number, value)) in confirmed {
        if first.data.get(key) != Some(value) {
            return Err(format!("the write {number} of {key} was confirmed, and is not there").into());
        }
    }
    Ok(())
}

/// Writes once more through each replica, so that all have applied everything before; then compares the
/// digests.
async fn finish(
    replicas: &BTreeMap<u32, Replica>,
    confirmed: &BTreeMap<String, (u64, String)>,
) -> Result<()> {
    let mut last = 0;
    for replica in replicas.values() {
        let number = replica.put("last", "write").await.map_err(|why| format!("{why:?}"))?;
        last = last.max(number);
    }
    wait(replicas, "the last write", |core| core.machine().applied == last).await?;
    for (id, replica) in replicas {
        let machine = replica.read(|core| core.machine().clone());
        println!(
            "replica {id}: {} commands, {} keys, epoch {}, history {:08x}, digest {:08x}",
            machine.applied,
            machine.data.len(),
            machine.epoch,
            machine.history,
            machine.digest()
        );
    }
    compare(replicas, confirmed)?;
    println!("all replicas are equal, and no confirmed write of {} is missing", confirmed.len());
    Ok(())
}

/// Runs a replica with commands from stdin.
async fn serve(instance: Option<String>, replicas: usize, group: &str) -> Result<()> {
    let replica = Replica::start(connect(instance).await?.join(group).await?, replicas);
    println!("put KEY VALUE | get KEY | del KEY | show");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let op = match words[..] {
            ["put", key, value] => Op::Put { key: key.to_owned(), value: value.to_owned() },
            ["del", key] => Op::Delete { key: key.to_owned() },
            ["get", key] => {
                println!("{:?}", replica.read(|core| core.machine().data.get(key).cloned()));
                continue;
            }
            _ => {
                replica.read(|core| {
                    let members: Vec<String> = core.members().iter().map(ToString::to_string).collect();
                    let role = if core.is_primary() { "primary" } else { "read-only" };
                    let machine = core.machine();
                    println!("{role}, members {}, digest {:08x}", members.join(" "), machine.digest());
                    println!("{:?}", machine.data);
                });
                continue;
            }
        };
        match replica.submit(op).await {
            Ok(number) => println!("ok, command {number}"),
            Err(Refusal::ReadOnly) => println!("refused: this part of the cluster has no majority"),
            Err(Refusal::Stopped) => return Err("the replica has stopped".into()),
        }
    }
    Ok(())
}

async fn connect(instance: Option<String>) -> Result<Client> {
    Ok(match instance {
        None => Client::connect().await?,
        Some(name) => Client::instance(name).connect().await?,
    })
}

fn address(id: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, id as u8))
}

/// A port that is currently free on all addresses, so that two runs do not disturb each other.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = UdpSocket::bind((address(1), 0))?.local_addr()?.port();
        if (1..=REPLICAS as u32).all(|id| UdpSocket::bind((address(id), port)).is_ok()) {
            return Ok(port);
        }
    }
    Err("no UDP port is free on 127.0.0.1-3".into())
}
