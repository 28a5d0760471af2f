//! The signals of the daemon and their meaning.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Fatal};

/// The meaning of a signal.
pub(super) enum Call {
    End(&'static str),
    Reload,
    Dump,
}

pub(super) struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
    usr2: Signal,
    /// Caught so that a broken pipe (standard error, syslog) only fails the write.
    _pipe: Signal,
}

impl Signals {
    pub(super) fn install() -> Result<Self, Fatal> {
        let catch =
            |kind| signal(kind).map_err(|e| Fatal::new(Exit::Totem, format!("Can't catch signals: {e}")));
        Ok(Self {
            term: catch(SignalKind::terminate())?,
            int: catch(SignalKind::interrupt())?,
            quit: catch(SignalKind::quit())?,
            hup: catch(SignalKind::hangup())?,
            usr2: catch(SignalKind::user_defined2())?,
            _pipe: catch(SignalKind::pipe())?,
        })
    }

    pub(super) async fn next(&mut self) -> Call {
        tokio::select! {
            _ = self.term.recv() => Call::End("SIGTERM"),
            _ = self.int.recv() => Call::End("SIGINT"),
            _ = self.quit.recv() => Call::End("SIGQUIT"),
            _ = self.hup.recv() => Call::Reload,
            _ = self.usr2.recv() => Call::Dump,
        }
    }
}
