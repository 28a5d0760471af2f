//! On a new ring, a frame that begins with the rest of a message is parted behind that rest.
//!
//! Messages run on from frame to frame. A member that is new to the ring has not heard the beginning of the
//! first one; it drops the frame with the rest of it and with all that begins in that frame, hence the next
//! frame too, and so on until one ends with a message. Parted, it drops only what it cannot know, and all
//! members hand up the same messages from there on.
//!
//! Source: totem.md 13.4 (what receivers do); Corosync's own nodes do not part their frames.

use bytes::{BufMut, BytesMut};

use crate::ids::Endian;
use crate::totem::srp::outbox::{Outbox, Outgoing, Queue};
use crate::totem::wire::mcast;
use crate::totem::wire::pack::{self, Packet};

/// Parts the first frame in which anything begins, if there are frames before it or it begins with a rest.
/// There may be one frame more afterwards.
pub(crate) fn part(outbox: &mut Outbox, queue: Queue) {
    let mut at = 0;
    while let Some(first) = outbox.get(queue, at) {
        let Some(packet) = packet(first) else { return }; // own frames can be read
        if packet.continuation == 0 {
            return;
        }
        let pieces: Vec<_> = packet.pieces().collect();
        let [rest, begun @ ..] = &pieces[..] else { return };
        if !begun.is_empty() {
            let guarantee = first.guarantee;
            let rest = frame(0, packet.continuation, std::slice::from_ref(rest));
            let begun = frame(packet.fragmented, 0, begun);
            outbox.replace(queue, at, [rest, begun].map(|frame| Outgoing { frame, guarantee }));
            return;
        }
        if packet.fragmented == 0 {
            return;
        }
        at += 1; // the middle of a long message
    }
}

fn packet(outgoing: &Outgoing) -> Option<Packet> {
    let payload = outgoing.frame.get(mcast::FIXED..)?;
    Packet::parse(payload.to_vec().into(), Endian::Little)
}

/// A frame of these pieces, with room in front for the fixed part.
fn frame(fragmented: u8, continuation: u8, pieces: &[bytes::Bytes]) -> BytesMut {
    // They came out of a frame, whose length words had room for them.
    let lengths: Vec<u16> = pieces.iter().map(|piece| piece.len() as u16).collect();
    let data: usize = pieces.iter().map(bytes::Bytes::len).sum();
    let mut frame = BytesMut::with_capacity(mcast::FIXED + pack::FIXED + 2 * lengths.len() + data);
    frame.put_bytes(0, mcast::FIXED);
    pack::write_head(&mut frame, fragmented, continuation, &lengths);
    for piece in pieces {
        frame.put_slice(piece);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Guarantee;

    /// Fragment id, continuation and pieces of each frame in the queue.
    fn contents(outbox: &Outbox) -> Vec<(u8, u8, Vec<String>)> {
        (0..outbox.len(Queue::Normal))
            .map(|at| {
                let packet = packet(outbox.get(Queue::Normal, at).unwrap()).unwrap();
                let pieces = packet.pieces().map(|piece| String::from_utf8_lossy(&piece).into_owned());
                (packet.fragmented, packet.continuation, pieces.collect())
            })
            .collect()
    }

    fn parted(frames: &[(u8, u8, &[&'static str])]) -> Vec<(u8, u8, Vec<String>)> {
        let mut outbox = Outbox::new(1500);
        for (fragmented, continuation, pieces) in frames {
            let pieces: Vec<_> =
                pieces.iter().map(|piece| bytes::Bytes::from_static(piece.as_bytes())).collect();
            let frame = frame(*fragmented, *continuation, &pieces);
            outbox.push(Queue::Normal, Outgoing { frame, guarantee: Guarantee::Safe });
        }
        let before = outbox.len(Queue::Normal);
        part(&mut outbox, Queue::Normal);
        let frames = contents(&outbox);
        assert!(frames.len() <= before + 1);
        for at in 0..frames.len() {
            assert_eq!(outbox.get(Queue::Normal, at).unwrap().guarantee, Guarantee::Safe);
        }
        frames
    }

    fn texts(pieces: &[&str]) -> Vec<String> {
        pieces.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rest_is_parted_from_what_begins_behind_it() {
        let frames = parted(&[(2, 1, &["rest", "whole", "head"]), (0, 2, &["tail", "next"])]);
        let expected =
            [(0, 1, texts(&["rest"])), (2, 0, texts(&["whole", "head"])), (0, 2, texts(&["tail", "next"]))];
        assert_eq!(frames, expected);
    }

    #[test]
    fn the_middle_of_a_long_message_is_passed_over() {
        let frames = parted(&[(2, 1, &["middle"]), (3, 2, &["end", "head"]), (0, 3, &["tail"])]);
        let expected = [
            (2, 1, texts(&["middle"])),
            (0, 2, texts(&["end"])),
            (3, 0, texts(&["head"])),
            (0, 3, texts(&["tail"])),
        ];
        assert_eq!(frames, expected);
    }

    #[test]
    fn what_begins_cleanly_stays() {
        for frames in
            [&[(1, 0, &["a", "b"][..]), (0, 1, &["c", "d"])][..], &[(0, 4, &["end"]), (0, 0, &["x"])]]
        {
            let same: Vec<_> = frames.iter().map(|(f, c, pieces)| (*f, *c, texts(pieces))).collect();
            assert_eq!(parted(frames), same);
        }
        assert_eq!(parted(&[]), []);
    }
}
