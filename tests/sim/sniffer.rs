//! Finds out on which ring each message was multicast: no process reports it, but the datagrams show it.

use std::collections::BTreeMap;

use annulus::ids::{Endian, RingId, Seq};
use annulus::totem::wire::pack::{Packet, groups};
use annulus::totem::wire::{self, Encapsulated, Frame};
use bytes::Bytes;

use crate::application::Register;
use crate::trace::{Process, Trace};

/// A message of which some packets have not been sent yet.
struct Unfinished {
    bytes: Vec<u8>,
    fragment: u8,
    row_began_on: RingId,
}

/// Reads the senders' own packets as they go out for the first time.
#[derive(Default)]
pub(crate) struct Sniffer {
    last: BTreeMap<Process, (RingId, Seq)>,
    /// By sender and queue (`true` for the queue of the synchronisation).
    unfinished: BTreeMap<(Process, bool), Unfinished>,
}

impl Sniffer {
    /// Looks at a datagram that a process sends; `syncing` says whether its synchronisation is under way.
    pub(crate) fn look_at(
        &mut self,
        by: Process,
        syncing: bool,
        datagram: &Bytes,
        register: &Register,
        trace: &mut Trace,
    ) {
        let Ok((Frame::Mcast(mcast), Endian::Little)) = wire::parse(datagram) else { return };
        if mcast.encapsulated != Encapsulated::Plain || mcast.from.get() != by.node {
            return;
        }
        if self.last.get(&by).is_some_and(|(ring, seq)| *ring == mcast.ring && !seq.is_before(mcast.seq)) {
            return; // a retransmission
        }
        self.last.insert(by, (mcast.ring, mcast.seq));
        let payload = Bytes::copy_from_slice(mcast.payload);
        let packet = Packet::parse(payload, Endian::Little).expect("the core sends no malformed packet");

        let open = self.unfinished.remove(&(by, syncing));
        let expected = open.as_ref().map_or(0, |open| open.fragment);
        assert_eq!(packet.continuation, expected, "{by:?} continues wrongly on {} {}", mcast.ring, mcast.seq);
        let (mut bytes, row_began_on) =
            open.map_or_else(|| (Vec::new(), mcast.ring), |open| (open.bytes, open.row_began_on));
        let mut pieces = packet.pieces().peekable();
        while let Some(piece) = pieces.next() {
            bytes.extend_from_slice(&piece);
            if pieces.peek().is_none() && packet.fragmented != 0 {
                let fragment = packet.fragmented;
                self.unfinished.insert((by, syncing), Unfinished { bytes, fragment, row_began_on });
                return;
            }
            let (named, body) = groups(&bytes, Endian::Little).expect("the core writes the group header");
            if named.app {
                let msg = register.identify(by.node, &bytes[body..]).expect("nobody else submits here");
                trace.sent[msg].on = Some(mcast.ring);
                trace.sent[msg].row_began_on = Some(row_began_on);
            }
            bytes.clear();
        }
    }
}
