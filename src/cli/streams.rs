//! The outputs of a tool: standard output for answers, standard error for errors.

use std::io::{self, IsTerminal, Write};

/// The two outputs of a tool.
pub(super) struct Streams<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Whether answers go to a person who may want colours.
    pub(super) colour: bool,
    closed: bool,
}

impl<'a> Streams<'a> {
    /// Makes the outputs of any two writers, without colours.
    pub(super) fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, colour: false, closed: false }
    }

    /// Writes text or bytes of the answer.
    pub(super) fn out(&mut self, text: impl AsRef<[u8]>) {
        if !self.closed && self.out.write_all(text.as_ref()).is_err() {
            self.closed = true;
        }
    }

    /// Writes the text of an error, after everything that was written to the answer before.
    pub(super) fn err(&mut self, text: impl AsRef<[u8]>) {
        self.flush();
        // A failure here cannot be reported.
        let _ = self.err.write_all(text.as_ref());
        let _ = self.err.flush();
    }

    /// As `err`, for a complaint that ends the tool; returns its exit status.
    pub(super) fn fail(&mut self, status: u8, complaint: impl std::fmt::Display) -> u8 {
        self.err(format!("{complaint}\n"));
        status
    }

    /// Passes on everything that was written so far.
    pub(super) fn flush(&mut self) {
        if !self.closed && self.out.flush().is_err() {
            self.closed = true;
        }
    }

    /// Whether the reader of the answer is gone, so that going on is pointless.
    pub(super) const fn closed(&self) -> bool {
        self.closed
    }
}

/// Buffers output until it is flushed: an answer is written when it is complete, so that a slow reader does not delay
/// the queries.
pub(super) struct Held<W> {
    to: W,
    text: Vec<u8>,
}

impl<W: Write> Held<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to, text: Vec::new() }
    }
}

impl<W: Write> Write for Held<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let text = std::mem::take(&mut self.text);
        self.to.write_all(&text)?;
        self.to.flush()
    }
}

/// Whether standard output is a terminal and the user does not refuse colours.
///
/// Source: no-color.org.
pub(super) fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !refused && !dumb && io::stdout().is_terminal()
}
