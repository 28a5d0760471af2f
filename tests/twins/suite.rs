//! The stories. Each gets a new site and opens the nodes that it needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use annulus::ids::Destination;
use annulus::transport::{Options, Received, Shows, Stats, Transport};
use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tokio::time::{Instant, timeout, timeout_at};

use crate::site::{NODES, Site, node};

/// Time limit for something that must arrive.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Time without a datagram after which none is expected any more.
const SILENCE: Duration = Duration::from_millis(100);

/// Time to wait for a greeting before every node greets again.
const ROUND: Duration = Duration::from_millis(300);

/// A node: its transport and the datagrams received so far.
pub(crate) struct Node {
    pub(crate) transport: Transport,
    batch: Received,
}

/// A waker that remembers whether it was called.
#[derive(Default)]
pub(crate) struct Woken(AtomicBool);

impl Woken {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Node {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, batch: Received::new() }
    }

    pub(crate) fn send(&mut self, to: Destination, payload: impl Into<Bytes>) {
        self.transport.send(&mut vec![(to, payload.into())]);
    }

    /// The next `count` datagrams.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        let mut taken = Vec::new();
        while taken.len() < count {
            match timeout_at(deadline, self.transport.recv(&mut self.batch)).await {
                Ok(received) => received.expect("the runtime is up"),
                Err(_) => panic!("{} of {count} datagrams came; {:#?}", taken.len(), self.stats()),
            }
            assert!(!self.batch.is_empty(), "woken for nothing");
            taken.extend(self.batch.iter().map(<[u8]>::to_vec));
        }
        assert_eq!(taken.len(), count, "more came than was sent");
        taken
    }

    /// The next `count` datagrams; none may follow them.
    pub(crate) async fn take_only(&mut self, count: usize) -> Vec<Vec<u8>> {
        let taken = self.take(count).await;
        let more = self.take_rest().await;
        assert!(more.is_empty(), "more came than was sent: {more:?} after {taken:?}");
        taken
    }

    /// Registers a waker for the next datagram without borrowing the transport; no datagram may be there yet.
    pub(crate) fn wait_once(&mut self) -> Arc<Woken> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let poll = self.transport.poll_recv(&mut Context::from_waker(&waker), &mut self.batch);
        assert!(poll.is_pending(), "there is a datagram already");
        woken
    }

    /// All datagrams until none comes for a while.
    pub(crate) async fn take_rest(&mut self) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        while let Ok(received) = timeout(SILENCE, self.transport.recv(&mut self.batch)).await {
            received.expect("the runtime is up");
            taken.extend(self.batch.iter().map(<[u8]>::to_vec));
        }
        taken
    }

    pub(crate) fn stats(&self) -> &Stats {
        self.transport.stats()
    }
}

/// Opens a node, with retries as in a daemon, and panics if it fails.
///
/// A port that has just been closed may still be in use: a program that another test starts holds copies of all
/// sockets of this process between fork and exec.
pub(crate) fn open(site: &Site, id: u32, options: &Options) -> Node {
    for attempt in 1..10 {
        match site.open(id, options) {
            Ok(transport) => return Node::new(transport),
            Err(error) if error.may_pass() => std::thread::sleep(Duration::from_millis(100) * attempt),
            Err(error) => panic!("node {id}: {error}"),
        }
    }
    Node::new(site.open(id, options).unwrap_or_else(|error| panic!("node {id}: {error}")))
}

/// Opens all nodes of the site and waits until each has heard each other, as new links of a bridge take a moment.
pub(crate) async fn ring(site: &Site) -> Vec<Node> {
    let mut nodes: Vec<_> = (1..=NODES).map(|id| open(site, id, &site.options(id))).collect();
    greet(&mut nodes).await;
    nodes
}

/// First byte of a greeting; a datagram with another first byte is left over from before.
const GREETING: u8 = b'g';

/// Waits until each node hears each other, by unicast and multicast, and until no earlier datagram is still under
/// way.
pub(crate) async fn greet(nodes: &mut [Node]) {
    let deadline = Instant::now() + PATIENCE;
    let count = nodes.len();
    let mut complete = false;
    // One sender's datagrams of one kind stay in order: once each node has heard all greetings of the round after the
    // first complete one, nothing older can arrive.
    // first complete one, nothing older can come.
    for round in 0..=u8::MAX {
        let last = complete;
        for (from, sender) in nodes.iter_mut().enumerate() {
            sender.send(Destination::All, vec![GREETING, from as u8, 0, round]);
            for to in (1..=count as u32).filter(|to| *to != from as u32 + 1) {
                sender.send(Destination::Node(node(to)), vec![GREETING, from as u8, 1, round]);
            }
        }
        complete = true;
        for (to, receiver) in nodes.iter_mut().enumerate() {
            complete &= receiver.hear(to, round, count).await;
        }
        if complete && last {
            return;
        }
        assert!(Instant::now() < deadline, "the nodes do not hear each other");
    }
    panic!("the nodes do not hear each other");
}

impl Node {
    /// Reads datagrams until both greetings of this round from each other node are there; gives up after a while
    /// without any.
    async fn hear(&mut self, me: usize, round: u8, count: usize) -> bool {
        let mut missing = 2 * (count - 1);
        while missing > 0 {
            let Ok(received) = timeout(ROUND, self.transport.recv(&mut self.batch)).await else {
                return false;
            };
            received.expect("the runtime is up");
            for greeting in self.batch.iter() {
                let [GREETING, from, _, of] = *greeting else { continue };
                assert_ne!(usize::from(from), me, "a node heard itself");
                missing -= usize::from(of == round);
            }
        }
        true
    }
}

/// A frame that contains its sender and number, filled with noise.
fn frame(from: u8, number: u32, len: usize, noise: &mut Pcg64Mcg) -> Bytes {
    let mut bytes = vec![0; len.max(5)];
    noise.fill_bytes(&mut bytes);
    bytes[0] = from;
    bytes[1..5].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[1..5].try_into().expect("long enough"))
}

/// Frames of the sizes that a ring uses, in batches as a token visit sends them, reach both other nodes unchanged and
/// in order.
pub(crate) async fn arrives_bit_exact_and_in_order(site: &Site) {
    let mut nodes = ring(site).await;
    let mut noise = Pcg64Mcg::seed_from_u64(1);
    // System calls that the best batch took: on a busy machine any other batch may arrive in single datagrams.
    let (mut sent_in, mut received_in) = (u64::MAX, u64::MAX);
    for batch in 0..20 {
        let sent: Vec<_> = (0..50)
            .map(|n| {
                let len = noise.random_range(5..1529);
                frame(0, batch * 50 + n, len, &mut noise)
            })
            .collect();
        let calls = (nodes[0].stats().send_calls, nodes[1].stats().recv_calls);
        nodes[0].transport.send(&mut sent.iter().map(|frame| (Destination::All, frame.clone())).collect());
        for receiver in &mut nodes[1..] {
            assert!(receiver.take(50).await == sent, "batch {batch} came changed or in another order");
        }
        sent_in = sent_in.min(nodes[0].stats().send_calls - calls.0);
        received_in = received_in.min(nodes[1].stats().recv_calls - calls.1);
    }
    let stats = nodes[1].stats();
    assert_eq!(stats.dropped_in.kernel + stats.dropped_in.truncated + stats.dropped_in.unlisted, 0);
    assert!(stats.peers[0].received.datagrams >= 1000, "{stats:?}");
    assert!(received_in <= 10, "receiving is not batched: {received_in} calls for 50 datagrams");
    assert!(sent_in <= 10, "sending is not batched: {sent_in} calls for 50 frames");
}

/// Frames of one length go through the network as one message, which is cut on the way: each arrives by itself and is
/// counted by itself, whether the interface can cut them or, as they are longer than its MTU, cannot.
pub(crate) async fn frames_of_one_length_arrive_one_by_one(site: &Site) {
    let mut nodes = ring(site).await;
    let mut noise = Pcg64Mcg::seed_from_u64(12);
    for (round, lens) in [
        vec![1400; 40],
        [vec![1400; 17], vec![300, 1400, 1400, 1200, 1200, 0, 7, 7, 7]].concat(),
        vec![9000; 5],
        vec![1400; 40],
    ]
    .into_iter()
    .enumerate()
    {
        let sent: Vec<Bytes> = (0..)
            .zip(&lens)
            .map(|(n, len)| if *len < 5 { Bytes::new() } else { frame(round as u8, n, *len, &mut noise) })
            .collect();
        let (out, counted) = (nodes[0].stats().sent.datagrams, nodes[2].stats().received.datagrams);
        let mut batch: Vec<_> = sent.iter().map(|frame| (Destination::All, frame.clone())).collect();
        batch.push((Destination::Node(node(2)), Bytes::from_static(b"token")));
        nodes[0].transport.send(&mut batch);
        let came = nodes[1].take(sent.len() + 1).await;
        assert!(came[..sent.len()] == sent, "round {round}: changed or in another order");
        assert_eq!(came[sent.len()], b"token");
        assert!(nodes[2].take_only(sent.len()).await == sent, "round {round}: changed or in another order");
        let copies = if site.is_udpu() { 2 } else { 1 };
        assert_eq!(nodes[0].stats().sent.datagrams - out, sent.len() as u64 * copies + 1);
        assert_eq!(nodes[2].stats().received.datagrams - counted, sent.len() as u64);
    }
    let dropped = nodes[0].stats().dropped_out;
    assert_eq!((dropped.failed, dropped.buffer_full), (0, 0));
}

/// All sizes arrive: nothing at all, one byte, the largest frame, one that IP must fragment, and the largest UDP
/// payload. One more byte is refused and counted, and what follows it is still sent.
pub(crate) async fn every_size_arrives(site: &Site) {
    let mut nodes = ring(site).await;
    let mut noise = Pcg64Mcg::seed_from_u64(2);
    for len in [0, 1, 1455, 1472, 1528, 9000, 40_000, site.largest() - 1, site.largest()] {
        let mut payload = vec![0; len];
        noise.fill_bytes(&mut payload);
        nodes[1].send(Destination::All, payload.clone());
        nodes[1].send(Destination::Node(node(3)), payload.clone());
        assert!(nodes[0].take(1).await == [payload.clone()], "{len} bytes to all");
        assert!(nodes[2].take(2).await == [payload.clone(), payload], "{len} bytes to one");
    }
    let too_long = vec![0; site.largest() + 1];
    let mut batch =
        vec![(Destination::All, too_long.into()), (Destination::All, Bytes::from_static(b"next"))];
    nodes[1].transport.send(&mut batch);
    assert!(batch.is_empty());
    assert_eq!(nodes[0].take(1).await, [b"next"]);
    let stats = nodes[1].stats();
    let refused = stats.group_errors.count(libc::EMSGSIZE)
        + stats.peers.iter().map(|peer| peer.errors.count(libc::EMSGSIZE)).sum::<u64>();
    assert_eq!(refused, if site.is_udpu() { 2 } else { 1 });
    assert_eq!(stats.dropped_out.failed, refused);
}

/// Nobody reads while as many datagrams arrive as the buffer must hold by the rule for its size; then all of them are
/// there.
pub(crate) async fn bursts_arrive_whole(site: &Site) {
    let mut nodes = ring(site).await;
    let mut noise = Pcg64Mcg::seed_from_u64(3);
    // The kernel accounts less than this for one frame of 1455 bytes.
    let burst = (nodes[1].stats().recv_buffer / 4608).min(900) as u32;
    assert!(burst >= 40, "the receive buffer holds {burst} frames only");
    let mut total = 0;
    let mut received_in = u64::MAX;
    while total < 4000 {
        let calls = nodes[1].stats().recv_calls;
        let sent: Vec<_> = (0..burst).map(|n| frame(0, total + n, 1455, &mut noise)).collect();
        nodes[0].transport.send(&mut sent.iter().map(|frame| (Destination::All, frame.clone())).collect());
        for receiver in &mut nodes[1..] {
            assert!(receiver.take(burst as usize).await == sent, "a burst of {burst} after {total}");
        }
        total += burst;
        received_in = received_in.min(nodes[1].stats().recv_calls - calls);
    }
    let stats = nodes[0].stats();
    assert_eq!((stats.dropped_out.buffer_full, stats.dropped_out.failed), (0, 0));
    // The best burst counts: on a busy machine any other one may arrive in single datagrams.
    assert!(received_in * 8 < u64::from(burst), "receiving is not batched: {received_in} calls for {burst}");
}

/// A token visit: frames to all nodes, then the token to one. Whenever the receiver reads, it gets the frames first.
pub(crate) async fn a_token_never_overtakes_its_senders_data(site: &Site) {
    let mut nodes = ring(site).await;
    let mut noise = Pcg64Mcg::seed_from_u64(4);
    let (sender, others) = nodes.split_at_mut(1);
    let (sender, receiver) = (&mut sender[0], &mut others[0]);
    let mut next = 0;
    for visit in 0..300 {
        // Frames and token in one batch and in two, so that a read can happen between them.
        let count = noise.random_range(0..70);
        let mut batch: Vec<_> =
            (0..count).map(|n| (Destination::All, frame(0, next + n, 200, &mut noise))).collect();
        if visit % 2 == 0 {
            sender.transport.send(&mut batch);
        }
        batch.push((Destination::Node(node(2)), frame(0, next + count, 60, &mut noise)));
        sender.transport.send(&mut batch);
        // Sometimes several visits wait in the sockets at once; each token must follow its own frames.
        if visit % 3 == 0 {
            next += count + 1;
            let got = receiver.take_until(next).await;
            assert!(got.is_sorted(), "visit {visit}: {got:?}");
        } else {
            let got = receiver.take_until(next + count + 1).await;
            next += count + 1;
            assert!(got.is_sorted(), "visit {visit}: {got:?}");
        }
    }
}

impl Node {
    /// The numbers of the frames that arrive, until the one before `end` has come.
    async fn take_until(&mut self, end: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&(end - 1)) {
            timeout(PATIENCE, self.transport.recv(&mut self.batch))
                .await
                .expect("frames come")
                .expect("runtime");
            numbers.extend(self.batch.iter().map(number));
        }
        numbers
    }
}

/// `All` means all other nodes; a datagram to the sender itself comes back to it, and to it alone.
pub(crate) async fn all_excludes_the_sender_and_a_node_reaches_itself(site: &Site) {
    let mut nodes = ring(site).await;
    let mut batch = vec![
        (Destination::All, Bytes::from_static(b"all")),
        (Destination::Node(node(2)), Bytes::from_static(b"me")),
        (Destination::Node(node(3)), Bytes::from_static(b"three")),
    ];
    nodes[1].transport.send(&mut batch);
    assert_eq!(nodes[1].take_only(1).await, [b"me"]);
    assert_eq!(nodes[0].take_only(1).await, [b"all"]);
    assert_eq!(nodes[2].take_only(2).await, [&b"all"[..], b"three"]);
    let stats = nodes[1].stats();
    assert_eq!(stats.looped.datagrams, 1);
    // On loopback the network itself returns multicasts to the sender.
    assert_eq!(
        stats.dropped_in.own > 0,
        site.is_multicast() && site.is_loopback() || stats.dropped_in.own > 0
    );
    if site.is_multicast() && site.is_loopback() {
        assert!(stats.dropped_in.own > 0, "{stats:?}");
    }
    // A receiver that waits for datagrams wakes up when the node sends one to itself.
    let woken = nodes[1].wait_once();
    assert!(!woken.is_set());
    nodes[1].send(Destination::Node(node(2)), &b"again"[..]);
    assert!(woken.is_set());
    assert_eq!(nodes[1].take(1).await, [b"again"]);
}

/// A sender outside the node list is refused and counted; without the filter it is heard.
pub(crate) async fn an_unlisted_sender_is_refused_and_counted(site: &Site) {
    let mut nodes = ring(site).await;
    let without_three: Vec<_> = site.peers().into_iter().filter(|peer| peer.id != node(3)).collect();
    nodes[0].transport.set_peers(&without_three).unwrap();
    for n in 0..200u32 {
        nodes[2].send(Destination::All, n.to_be_bytes().to_vec());
    }
    nodes[2].send(Destination::Node(node(1)), &b"token"[..]);
    nodes[1].send(Destination::All, &b"listed"[..]);
    assert_eq!(nodes[0].take_only(1).await, [b"listed"]);
    let deadline = Instant::now() + PATIENCE;
    while nodes[0].stats().dropped_in.unlisted < 201 && Instant::now() < deadline {
        assert_eq!(nodes[0].take_rest().await, [b""; 0]);
    }
    assert_eq!(nodes[0].stats().dropped_in.unlisted, 201);
    assert_eq!(nodes[0].stats().peers.len(), 2);

    drop(nodes.remove(0));
    let open_door = Options { block_unlisted: false, peers: without_three, ..site.options(1) };
    let mut heard = open(site, 1, &open_door);
    nodes[1].send(Destination::Node(node(1)), &b"token"[..]);
    assert_eq!(heard.take(1).await, [b"token"]);
    assert_eq!(heard.stats().dropped_in.unlisted, 0);
}

/// What the first byte of a datagram shows: some values are sent only by this implementation, from the ring's port.
fn first_byte_shows(datagram: &[u8]) -> Shows {
    match datagram.first() {
        Some(b'1') => Shows::OnePort,
        Some(b'L') => Shows::Leaving,
        Some(_) | None => Shows::Nothing,
    }
}

/// Another program on a peer's host, which can use any port but the daemon's, cannot send in the peer's name: on udp
/// never; on udpu from the moment when the peer has shown that it sends from one port, until the peer leaves.
pub(crate) async fn another_program_on_a_peers_host_is_refused_and_counted(site: &Site) {
    let mut nodes = ring(site).await;
    let (mut receiver, mut local) = (nodes[0].transport.local(), nodes[1].transport.local());
    local.set_port(0);
    if let (SocketAddr::V6(to), SocketAddr::V6(from)) = (&mut receiver, &local) {
        // The interface has another index on another host.
        to.set_scope_id(from.scope_id());
    }
    let stranger = site.bind(2, local);
    nodes[0].transport.recognise(first_byte_shows);
    let mut refused = 0;
    if site.is_udpu() {
        stranger.send_to(b"forged", receiver).unwrap();
        assert_eq!(nodes[0].take_only(1).await, [b"forged"], "nothing is known of the peer");
        nodes[1].send(Destination::Node(node(1)), &b"token"[..]);
        assert_eq!(nodes[0].take_only(1).await, [b"token"]);
        stranger.send_to(b"forged", receiver).unwrap();
        assert_eq!(nodes[0].take_only(1).await, [b"forged"], "a token shows nothing");
        nodes[1].send(Destination::Node(node(1)), &b"1 data"[..]);
        assert_eq!(nodes[0].take_only(1).await, [b"1 data"]);
    }
    for _ in 0..3 {
        stranger.send_to(b"forged", receiver).unwrap();
        refused += 1;
        nodes[1].send(Destination::Node(node(1)), &b"true"[..]);
        assert_eq!(nodes[0].take_only(1).await, [b"true"]);
        assert_eq!(nodes[0].stats().dropped_in.port, refused);
    }
    if site.is_udpu() {
        // A new node list changes nothing for a peer that stays.
        nodes[0].transport.set_peers(&site.peers()).unwrap();
        stranger.send_to(b"forged", receiver).unwrap();
        nodes[1].send(Destination::Node(node(1)), &b"Leaving"[..]);
        assert_eq!(nodes[0].take_only(1).await, [b"Leaving"]);
        assert_eq!(nodes[0].stats().dropped_in.port, refused + 1);
        stranger.send_to(b"another", receiver).unwrap();
        assert_eq!(
            nodes[0].take_only(1).await,
            [b"another"],
            "another implementation follows at its address"
        );
    }
}

/// When the node list is loaded again, no node receives datagrams twice.
pub(crate) async fn loading_the_node_list_again_duplicates_nothing(site: &Site) {
    let mut nodes = ring(site).await;
    let before = nodes[0].stats().peers[1].sent;
    for _ in 0..3 {
        nodes[0].transport.set_peers(&site.peers()).unwrap();
    }
    assert_eq!(nodes[0].stats().peers[1].sent, before, "statistics of a node that stays are kept");
    nodes[0].send(Destination::All, &b"once"[..]);
    assert_eq!(nodes[1].take_only(1).await, [b"once"]);
    assert_eq!(nodes[2].take_only(1).await, [b"once"]);

    let twice = [&site.peers()[..], &site.peers()[..1]].concat();
    let refusal = nodes[0].transport.set_peers(&twice).unwrap_err().to_string();
    assert!(refusal.contains("nodeid refused: 1 is given to both"), "{refusal}");
    nodes[0].send(Destination::All, &b"still"[..]);
    assert_eq!(nodes[1].take(1).await, [b"still"]);
}

/// Datagrams to an unknown node and to an unreachable network are counted, and the rest of the batch is sent.
pub(crate) async fn datagrams_that_cannot_be_sent_are_counted(site: &Site) {
    let mut nodes = ring(site).await;
    let mut peers = site.peers();
    let nowhere = if site.addr(1).is_ipv4() { "203.0.113.9" } else { "2001:db8::9" };
    peers.insert(1, annulus::transport::Peer { id: node(9), addr: nowhere.parse().unwrap() });
    nodes[0].transport.set_peers(&peers).unwrap();
    let mut batch = vec![
        (Destination::Node(node(77)), Bytes::from_static(b"nobody")),
        (Destination::Node(node(9)), Bytes::from_static(b"nowhere")),
        (Destination::All, Bytes::from_static(b"somebody")),
        (Destination::Node(node(2)), Bytes::from_static(b"token")),
    ];
    nodes[0].transport.send(&mut batch);
    assert_eq!(nodes[1].take(2).await, [&b"somebody"[..], b"token"]);
    assert_eq!(nodes[2].take(1).await, [b"somebody"]);
    let stats = nodes[0].stats();
    assert_eq!(stats.dropped_out.unknown_node, 1);
    // 127.0.0.0/8 may not send elsewhere (EINVAL); the namespaces, and some hosts, have no route elsewhere
    // (ENETUNREACH).
    let expected = if site.is_udpu() { 2 } else { 1 };
    let count = |errno| stats.peers[1].errors.count(errno);
    let failed = count(libc::ENETUNREACH) + if site.is_loopback() { count(libc::EINVAL) } else { 0 };
    assert_eq!((stats.peers[1].id, failed), (node(9), expected), "{stats:?}");
    assert_eq!(stats.dropped_out.failed, expected);
}

/// More datagrams than the receive buffer holds arrive unread: those that the kernel dropped are counted, where it had
/// combined some of them as one.
pub(crate) async fn datagrams_lost_in_a_full_receive_buffer_are_counted(site: &Site) {
    /// Frames of 1400 bytes in the largest message of UDP.
    const COMBINED: usize = 65_507 / 1400;
    let mut nodes = ring(site).await;
    let buffer = nodes[1].stats().recv_buffer;
    let sent = buffer / 1400 + 100;
    let frame = Bytes::from(vec![7; 1400]);
    for _ in 0..sent.div_ceil(50) {
        nodes[0].transport.send(&mut vec![(Destination::All, frame.clone()); 50]);
    }
    let sent = sent.div_ceil(50) * 50;
    let came = nodes[1].take_rest().await.len();
    site.check_interface(2, &mut nodes[1].transport);
    let dropped = nodes[1].stats().dropped_in.kernel as usize;
    assert!(came < sent, "{sent} frames of 1400 bytes fit in {buffer} bytes");
    let lost = sent - came;
    assert!(
        (lost.div_ceil(COMBINED)..=lost).contains(&dropped),
        "{lost} of {sent} frames lost, {dropped} counted"
    );
}

/// All three nodes send at full speed; each receiver sees each sender's frames in order and unchanged.
pub(crate) async fn everybody_at_once_keeps_each_senders_order(site: &Site) {
    let mut nodes = ring(site).await;
    let mut noise = Pcg64Mcg::seed_from_u64(5);
    let frames: Vec<Vec<Bytes>> = (0..3)
        .map(|from| (0..2000).map(|n| frame(from, n, noise.random_range(5..1456), &mut noise)).collect())
        .collect();
    let mut seen = [[0usize; 3]; 3];
    for visit in 0..2000 / 20 {
        for (sender, frames) in nodes.iter_mut().zip(&frames) {
            let frames = &frames[visit * 20..][..20];
            sender
                .transport
                .send(&mut frames.iter().map(|frame| (Destination::All, frame.clone())).collect());
        }
        for (to, receiver) in nodes.iter_mut().enumerate() {
            for got in receiver.take(40).await {
                let from = usize::from(got[0]);
                assert_ne!(from, to);
                assert!(got == frames[from][seen[to][from]], "{to} missed a frame of {from}");
                seen[to][from] += 1;
            }
        }
    }
    assert_eq!(seen, [[0, 2000, 2000], [2000, 0, 2000], [2000, 2000, 0]]);
}
