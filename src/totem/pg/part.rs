//! Splits a queued frame on a new ring: the rest of a fragmented message is separated from the messages
//! behind it.
//!
//! Messages continue from frame to frame. A member that is new to the ring has not received the beginning of
//! the first message. It drops the frame that ends that message, with all messages that begin in the same
//! frame, hence also the next frame, and so on until a frame ends together with a message. After the split it
//! drops only the message that it cannot know, and all members deliver the same messages from there on.
//!
//! Source: docs/protocol/ring.md, "Reassembly" (what receivers do). Corosync's own nodes do not split their
//! frames.

use bytes::{BufMut, BytesMut};

use crate::ids::Endian;
use crate::totem::srp::outbox::{Outbox, Outgoing, Queue};
use crate::totem::wire::mcast;
use crate::totem::wire::pack::{self, Packet};

/// Splits the first frame that contains both the rest of a fragmented message and the beginning of another
/// one. Frames before it, if any, contain only the middle of that message; a queue that begins otherwise stays
/// as it is. The queue has at most one frame more afterwards.
pub(crate) fn part(outbox: &mut Outbox, queue: Queue) {
    let mut at = 0;
    while let Some(first) = outbox.get(queue, at) {
        let Some(packet) = packet(first) else { return }; // own frames can always be parsed
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
        at += 1; // contains only the middle of a long message
    }
}

fn packet(outgoing: &Outgoing) -> Option<Packet> {
    let payload = outgoing.frame.get(mcast::FIXED..)?;
    Packet::parse(payload.to_vec().into(), Endian::Little)
}

/// Builds a frame of these pieces, with space in front for the fixed part.
fn frame(fragmented: u8, continuation: u8, pieces: &[bytes::Bytes]) -> BytesMut {
    // The pieces were taken from a frame, so their lengths fit into length words.
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
    fn the_rest_of_a_message_is_split_from_the_messages_behind_it() {
        let frames = parted(&[(2, 1, &["rest", "whole", "head"]), (0, 2, &["tail", "next"])]);
        let expected =
            [(0, 1, texts(&["rest"])), (2, 0, texts(&["whole", "head"])), (0, 2, texts(&["tail", "next"]))];
        assert_eq!(frames, expected);
    }

    #[test]
    fn frames_with_only_the_middle_of_a_message_are_skipped() {
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
    fn frames_that_begin_or_end_at_a_message_boundary_stay() {
        for frames in
            [&[(1, 0, &["a", "b"][..]), (0, 1, &["c", "d"])][..], &[(0, 4, &["end"]), (0, 0, &["x"])]]
        {
            let same: Vec<_> = frames.iter().map(|(f, c, pieces)| (*f, *c, texts(pieces))).collect();
            assert_eq!(parted(frames), same);
        }
        assert_eq!(parted(&[]), []);
    }
}
