//! Makes connections from code in this process usable as [`Channel`]s, so that the client libraries work on them as
//! over IPC.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::command::{Event, Handle, Local, REQUEST_MAX, Refused};
use super::queue::Closed;
use crate::error::Status;
use crate::ids::ServiceId;
use crate::service::channel::{Answer, Channel, ChannelError, Dial, End, Incoming, Outgoing, block_on};

impl Channel for Local {
    fn call(&self, request: Outgoing) -> Answer<'_, Bytes> {
        Box::pin(async move { Ok(self.call(request.head, request.payload).await?) })
    }

    fn call_blocking(&self, request: Outgoing) -> Result<Bytes, ChannelError> {
        Ok(block_on(self.call(request.head, request.payload))?)
    }

    fn try_post(&self, request: &Outgoing) -> Result<(), ChannelError> {
        Ok(self.try_post(request.head.clone(), request.payload.clone())?)
    }

    fn post(&self, request: Outgoing) -> Answer<'_, ()> {
        Box::pin(async move { Ok(self.post(request.head, request.payload).await?) })
    }

    fn post_blocking(&self, request: Outgoing) -> Result<(), ChannelError> {
        Ok(block_on(self.post(request.head, request.payload))?)
    }

    fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Result<Incoming, ChannelError>> {
        self.events().poll_next(cx).map_ok(Incoming::from).map_err(ChannelError::from)
    }

    fn try_event(&self) -> Result<Option<Incoming>, ChannelError> {
        Ok(self.events().try_next()?.map(Incoming::from))
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        self.events().descriptor()
    }
}

impl Dial for Handle {
    fn dial(&self, service: ServiceId) -> Answer<'_, Arc<dyn Channel>> {
        Box::pin(async move {
            let channel: Arc<dyn Channel> = Arc::new(self.connect(service).await?);
            Ok(channel)
        })
    }

    fn dial_blocking(&self, service: ServiceId) -> Result<Arc<dyn Channel>, ChannelError> {
        block_on(self.dial(service))
    }
}

impl From<Event> for Incoming {
    fn from(event: Event) -> Self {
        Self { head: event.head, payload: event.payload }
    }
}

impl From<Closed> for ChannelError {
    fn from(closed: Closed) -> Self {
        Self::Ended(match closed {
            Closed::Stopped => End::Stopped,
            Closed::Overflow { items, bytes } => End::Evicted { events: items, bytes },
            Closed::Evicted => End::Lost,
        })
    }
}

impl From<Refused> for ChannelError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Stopped | Refused::Killed(_) => Self::Ended(End::Stopped),
            Refused::Full => Self::TryAgain,
            Refused::TooLong(got) => Self::TooLong { got, limit: REQUEST_MAX },
            Refused::TooShort(_) => Self::Ended(End::Protocol { what: "request (shorter than its header)" }),
            Refused::TooManyConnections => Self::Refused {
                socket: "the node in this process".to_owned(),
                status: Status::NoResources,
                hint: "Close groups and clients that are no longer used",
            },
            Refused::NoService(_) => Self::Refused {
                socket: "the node in this process".to_owned(),
                status: Status::NotSupported,
                hint: "It does not run this service",
            },
            Refused::Closed | Refused::NotUnicast => Self::Ended(End::Lost),
        }
    }
}
