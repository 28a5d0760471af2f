//! Where a tool writes: what was asked for, and what went wrong.

use std::io::{self, IsTerminal, Write};

/// A tool's two outputs.
pub(super) struct Streams<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Whether the first goes to a person who may like colours.
    pub(super) colour: bool,
    closed: bool,
}

impl<'a> Streams<'a> {
    /// Over any two writers, without colours.
    pub(super) fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, colour: false, closed: false }
    }

    /// Writes text or bytes to the first.
    pub(super) fn out(&mut self, text: impl AsRef<[u8]>) {
        if !self.closed && self.out.write_all(text.as_ref()).is_err() {
            self.closed = true;
        }
    }

    /// Writes text to the second. What has been written to the first comes before it.
    pub(super) fn err(&mut self, text: impl AsRef<[u8]>) {
        self.flush();
        // Nobody is left to be told of a failure here.
        let _ = self.err.write_all(text.as_ref());
        let _ = self.err.flush();
    }

    /// Hands on what has been written so far.
    pub(super) fn flush(&mut self) {
        if !self.closed && self.out.flush().is_err() {
            self.closed = true;
        }
    }

    /// Whether nobody reads the first any more; then there is no point in going on.
    pub(super) const fn closed(&self) -> bool {
        self.closed
    }
}

/// Holds back what is written until it is flushed: an answer is written when all of it is there, so that whoever reads
/// it slowly does not hold up the questions.
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

/// Whether standard output goes to a terminal whose user has nothing against colours.
///
/// Source: no-color.org.
pub(super) fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !refused && !dumb && io::stdout().is_terminal()
}
