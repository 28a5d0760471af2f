//! The thread of an embedded node: the ring does not wait for the tasks of the application.
//!
//! A node that is late with the token is taken for dead by the others. Were it a task of the application's runtime,
//! each task there that blocks would stop it. So it gets a thread and a runtime of its own.

use std::future::Future;
use std::{io, thread};

use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;

use super::command::Handle;
use super::driver::Driver;
use super::error::NodeError;

/// The event loop for a driver, in the thread that calls this.
///
/// # Errors
/// The system has no descriptors or memory for it.
pub(crate) fn runtime() -> io::Result<Runtime> {
    runtime::Builder::new_current_thread()
        .enable_all()
        // The runtime looks at the ring's sockets whenever the driver yields and no other task can run, and at the latest
        // after so many tasks. With 1 it would also look between the driver's last turn and its sleep, in vain.
        .event_interval(2)
        .build()
}

/// The thread in which a node runs. Dropping it stops the node at once, without a leave message to the other nodes.
#[derive(Debug)]
pub(super) struct RingThread {
    /// Dropped to stop the node.
    _stop: oneshot::Sender<()>,
    /// Completes when the node has ended and its sockets are closed.
    ended: oneshot::Receiver<()>,
}

impl RingThread {
    /// Starts a thread that assembles a node and runs it. Log lines go where those of the calling thread go.
    ///
    /// # Errors
    /// Those of `assemble`; the system starts no thread, or no runtime in it.
    pub(super) async fn start<F>(
        name: String,
        assemble: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(Handle, Self), NodeError>
    where
        F: Future<Output = Result<(Handle, Driver), NodeError>>,
    {
        let failed = |error: io::Error| NodeError::Runtime(error.to_string());
        let (started, start) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ending, ended) = oneshot::channel();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let run = async move |started: oneshot::Sender<_>| {
            let (answer, driver) = match assemble().await {
                Ok((handle, driver)) => (Ok(handle), Some(driver)),
                Err(error) => (Err(error), None),
            };
            // Fails if nobody waits for the start any more; then nobody needs the node.
            let (Ok(()), Some(driver)) = (started.send(answer), driver) else { return };
            tokio::select! {
                () = driver.run() => {}
                _ = stopped => {}
            }
        };
        let body = move || {
            match runtime() {
                Ok(runtime) => {
                    tracing::dispatcher::with_default(&log, || runtime.block_on(run(started)));
                    // A keeper of numbers may wait for its disk, and nobody here waits for it.
                    runtime.shutdown_background();
                }
                // Fails if nobody waits for the start any more.
                Err(error) => drop(started.send(Err(failed(error)))),
            }
            // Fails if nobody waits for the end.
            let _ = ending.send(());
        };
        thread::Builder::new().name(name).spawn(body).map_err(failed)?;
        let panicked =
            |_| NodeError::Runtime("the thread of the node ended before the node had started".to_owned());
        let handle = start.await.map_err(panicked)??;
        Ok((handle, Self { _stop: stop, ended }))
    }

    /// Waits until the node has ended, by itself or because all handles to it are gone.
    pub(super) async fn join(self) {
        let Self { _stop, ended } = self;
        // An error is a panic of the node, which has ended as well.
        let _ = ended.await;
    }
}
