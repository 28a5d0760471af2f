//! The supervisor's end of the line to its worker. Never waits: neither for a worker that stops within a
//! command, nor for one that does not read its answers.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::wire::{Answer, COMMAND, Command};

/// Bytes read at once. What is stored is read in pieces of this size, with looks at the time between them.
const PIECE: usize = 64 * 1024;

/// What came from the worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// A command, with its data.
    Command(Command, Vec<u8>),
    /// More of a command that is not complete yet.
    Part,
    /// Nothing; try again when the line is ready.
    Nothing,
    /// Nothing ever again. The line is closed, or what came makes no sense.
    Closed,
}

/// One end of the socket. At most one answer is unread at a time: while it is, no command is taken.
#[derive(Debug)]
pub(super) struct Line {
    socket: UnixStream,
    head: [u8; COMMAND],
    have: usize,
    /// The command whose data is being read, and how much is missing.
    rest: Option<(Command, usize)>,
    data: Vec<u8>,
    unsent: [Bytes; 2],
    closed: bool,
}

impl Line {
    /// The line over this socket.
    ///
    /// # Errors
    /// The socket cannot be made not to block.
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

    /// What to wait for.
    pub(super) fn wants(&self) -> PollFlags {
        match (self.closed, self.is_answering()) {
            (true, _) => PollFlags::empty(),
            (false, true) => PollFlags::OUT,
            (false, false) => PollFlags::IN,
        }
    }

    /// Whether the line can still say anything; a closed one is always ready and not worth waiting for.
    pub(super) fn is_open(&self) -> bool {
        !self.closed
    }

    /// Sends what is left of the last answer, then takes what has come, up to one command.
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

    /// Sends as much as there is room for. `false`: the other end is gone.
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
    fn commands_come_whole_however_they_are_cut() {
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
        assert_eq!(
            heard,
            [
                Heard::Command(Command::Heartbeat, vec![]),
                Heard::Command(Command::Store, data),
                Heard::Command(Command::Stop, vec![])
            ]
        );
        drop(worker);
        assert_eq!(line.hear(), Heard::Closed);
        assert_eq!(line.hear(), Heard::Nothing, "told once");
    }

    #[test]
    fn nonsense_closes_the_line() {
        let (mut line, mut worker) = pair();
        worker.write_all(&[0xff; COMMAND]).unwrap();
        assert_eq!(line.hear(), Heard::Closed);
        assert!(!line.is_open());
    }

    /// A worker that asks and does not read is not listened to until it reads.
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
