//! The line: the supervisor's end of the socket to its worker. It never blocks, neither when a worker stops within a
//! command nor when one does not read its answers.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::wire::{Answer, COMMAND, Command};

/// Bytes read at once. Longer data is read in pieces of this size, and timers are checked between them.
const PIECE: usize = 64 * 1024;

/// What was read from the worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A complete command, with its data.
    Command(Command, Vec<u8>),
    /// A part of a command that is not complete yet.
    Part,
    /// Nothing now; try again when the line is ready.
    Nothing,
    /// Nothing more will come: the line is closed, or the worker sent invalid bytes.
    Closed,
}

/// The supervisor's end of the socket. At most one answer is unsent at a time; until it is sent, no command is read.
#[derive(Debug)]
pub(super) struct Line {
    socket: UnixStream,
    head: [u8; COMMAND],
    have: usize,
    /// The command whose data is being read, and how many bytes are missing.
    rest: Option<(Command, usize)>,
    data: Vec<u8>,
    unsent: [Bytes; 2],
    closed: bool,
}

impl Line {
    /// Makes a line over this socket.
    ///
    /// # Errors
    /// The socket cannot be made non-blocking.
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            head: [0; COMMAND],
            have: 0,
            rest: None,
            data: Vec::new(),
            unsent: [Bytes::new(), Bytes::new()],
            closed: false,
        })
    }

    /// The events to poll for.
    pub(super) fn wants(&self) -> PollFlags {
        match (self.closed, self.is_answering()) {
            (true, _) => PollFlags::empty(),
            (false, true) => PollFlags::OUT,
            (false, false) => PollFlags::IN,
        }
    }

    /// Whether the line is open. A closed socket is always ready, so polling it would spin.
    pub(super) fn is_open(&self) -> bool {
        !self.closed
    }

    /// Sends the rest of the last answer, then reads what has arrived, up to one command.
    pub(super) fn hear(&mut self) -> Heard {
        if self.closed || !self.flush() {
            return if std::mem::replace(&mut self.closed, true) { Heard::Nothing } else { Heard::Closed };
        }
        if self.is_answering() {
            return Heard::Nothing;
        }
        let heard = self.take();
        self.closed |= heard == Heard::Closed;
        heard
    }

    /// Answers the last command.
    pub(super) fn answer(&mut self, answer: Answer, data: &Bytes) {
        let head = Bytes::copy_from_slice(&answer.to_bytes(data.len()));
        self.unsent = [head, data.clone()];
        // If it fails, the next `hear` finds the line closed.
        let _ = self.flush();
    }

    fn is_answering(&self) -> bool {
        self.unsent.iter().any(|piece| !piece.is_empty())
    }

    /// Sends as much as the socket takes. Returns `false` if the other end is gone.
    fn flush(&mut self) -> bool {
        for piece in &mut self.unsent {
            while !piece.is_empty() {
                match rustix::net::send(&self.socket, piece, SendFlags::NOSIGNAL) {
                    Ok(sent) => drop(piece.split_to(sent)),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => return true,
                    Err(_) => return false,
                }
            }
        }
        true
    }

    fn take(&mut self) -> Heard {
        loop {
            if let Some((command, 0)) = self.rest {
                self.rest = None;
                return Heard::Command(command, std::mem::take(&mut self.data));
            }
            let filled = self.data.len();
            let target = match self.rest {
                None => &mut self.head[self.have..],
                Some((_, missing)) => {
                    self.data.resize(filled + missing.min(PIECE), 0);
                    &mut self.data[filled..]
                }
            };
            let got = match (&self.socket).read(target) {
                Ok(0) => return Heard::Closed,
                Ok(got) => got,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    self.data.truncate(filled);
                    return Heard::Nothing;
                }
                Err(_) => return Heard::Closed,
            };
            match &mut self.rest {
                Some((_, missing)) => {
                    self.data.truncate(filled + got);
                    *missing -= got;
                    if *missing > 0 {
                        return Heard::Part;
                    }
                }
                None => {
                    self.have += got;
                    if self.have == COMMAND {
                        self.have = 0;
                        let Some(read) = Command::read(&self.head) else { return Heard::Closed };
                        self.rest = Some(read);
                    }
                }
            }
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::sam::wire::ANSWER;
    use std::io::Write;

    fn pair() -> (Line, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Line::new(ours).unwrap(), theirs)
    }

    #[test]
    fn commands_are_reassembled_from_any_fragments() {
        let (mut line, mut worker) = pair();
        let data: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let mut bytes = Command::Heartbeat.to_bytes(0).to_vec();
        bytes.extend(Command::Store.to_bytes(data.len()));
        bytes.extend(&data);
        bytes.extend(Command::Stop.to_bytes(0));
        let mut heard = Vec::new();
        for piece in bytes.chunks(1021) {
            worker.write_all(piece).unwrap();
            loop {
                match line.hear() {
                    Heard::Nothing => break,
                    Heard::Part => {}
                    other => heard.push(other),
                }
            }
        }
        let expected = [
            Heard::Command(Command::Heartbeat, vec![]),
            Heard::Command(Command::Store, data),
            Heard::Command(Command::Stop, vec![]),
        ];
        assert_eq!(heard, expected);
        drop(worker);
        assert_eq!(line.hear(), Heard::Closed);
        assert_eq!(line.hear(), Heard::Nothing, "told once");
    }

    #[test]
    fn invalid_bytes_close_the_line() {
        let (mut line, mut worker) = pair();
        worker.write_all(&[0xff; COMMAND]).unwrap();
        assert_eq!(line.hear(), Heard::Closed);
        assert!(!line.is_open());
    }

    /// A worker that does not read its answers gets no further command served until it does.
    #[test]
    fn an_unread_answer_holds_back_the_next_command() {
        let (mut line, mut worker) = pair();
        let data = Bytes::from(vec![7; 4 * 1024 * 1024]);
        let answer = Answer { status: Status::Ok, instance: 1, interval_ms: 0 };
        line.answer(answer, &data);
        worker.write_all(&Command::Start.to_bytes(0)).unwrap();
        assert_eq!(line.hear(), Heard::Nothing);
        assert_eq!(line.wants(), PollFlags::OUT);
        let mut read = vec![0; ANSWER + data.len()];
        let reader = std::thread::spawn(move || {
            worker.read_exact(&mut read).unwrap();
            (read, worker)
        });
        let command = loop {
            match line.hear() {
                Heard::Nothing => std::thread::yield_now(),
                other => break other,
            }
        };
        assert_eq!(command, Heard::Command(Command::Start, vec![]));
        let (read, _worker) = reader.join().unwrap();
        assert_eq!(Answer::read(read.first_chunk().unwrap()), Some((answer, data.len())));
        assert!(read[ANSWER..].iter().all(|byte| *byte == 7));
    }
}
