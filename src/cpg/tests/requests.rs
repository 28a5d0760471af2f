//! Requests of clients as bytes: where their fields are, and which are refused.

use crate::cpg::iterate::Scope;
use crate::cpg::name::NameTooLong;
use crate::cpg::wire::request::{COUNT, ITERATION_INITIALIZE, JOIN, LEAVE, MEMBERSHIP, ZC_ALLOC};
use crate::cpg::wire::{Fragment, Message, Place, Request};
use crate::error::Status;
use crate::ids::Guarantee;

/// A request of `size` bytes with these 32-bit numbers at the offsets of docs/protocol/services.md, and the group
/// name "g", whose length is at 16.
fn request(size: usize, numbers: &[(usize, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; size.max(25)];
    bytes[24] = b'g';
    for (at, number) in numbers {
        bytes[*at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn decode(function: u16, bytes: &[u8]) -> Option<Request<'_>> {
    Request::decode(function, [bytes, b""])
}

fn with_number(size: usize, at: usize, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    bytes[at..at + 8].copy_from_slice(&number.to_ne_bytes());
    bytes
}

#[test]
fn fields_are_at_the_offsets_of_c_and_short_requests_are_refused() {
    let group = Ok(&b"g"[..]);
    let mut path = with_number(152, 16, 4096);
    path[24..27].copy_from_slice(b"/a\0");
    path[27..].fill(0xee);
    let message = Message { guarantee: Guarantee::Safe, payload: Some([b"", b""]) };
    let (place, payload) = (Place::Continued, Some([&b""[..], b""]));
    let fragment = Fragment { guarantee: Guarantee::Agreed, total: 7, place, payload };
    let all = [
        (request(168, &[(16, 1), (152, 5), (160, 3)]), Request::Join { group, pid: 5, totem_conf: true }),
        (request(160, &[(16, 1), (152, 5)]), Request::Leave { group }),
        (request(40, &[(24, 3)]), Request::Mcast(message)),
        (request(152, &[(16, 1)]), Request::Membership { group }),
        (request(16, &[]), Request::LocalGet),
        (request(160, &[(152, 3)]), Request::IterationInitialize { scope: Ok(Scope::All) }),
        (with_number(24, 16, u64::MAX), Request::IterationNext { handle: u64::MAX }),
        (with_number(24, 16, 1 << 40), Request::IterationFinalize { handle: 1 << 40 }),
        (request(16, &[]), Request::Finalize),
        (path, Request::ZcAlloc { path: b"/a", size: 4096 }),
        (with_number(32, 24, 8), Request::ZcFree { token: 8 }),
        (with_number(24, 16, 8), Request::ZcExecute { token: 8 }),
        (request(56, &[(24, 2), (32, 7), (48, 2)]), Request::PartialMcast(fragment)),
    ];
    assert_eq!(all.len(), usize::from(COUNT));
    for (function, (bytes, expected)) in all.into_iter().enumerate() {
        assert_eq!(decode(function as u16, &bytes), Some(expected), "request {function}");
        for length in 16..bytes.len() {
            // The rest of a request is not looked for in its second part.
            let cut = Request::decode(function as u16, [&bytes[..length], &bytes[length..]]);
            assert_eq!(cut, None, "request {function} of {length} bytes");
        }
    }
    assert_eq!(decode(COUNT, &[0; 2000]), None);
}

#[test]
fn a_name_of_invalid_length_is_an_error_of_its_own() {
    let group = Err(NameTooLong { got: 129 });
    let bytes = request(168, &[(16, 129)]);
    assert_eq!(decode(JOIN, &bytes), Some(Request::Join { group, pid: 0, totem_conf: false }));
    assert_eq!(decode(LEAVE, &bytes), Some(Request::Leave { group }));
    assert_eq!(decode(MEMBERSHIP, &bytes), Some(Request::Membership { group }));
    let longest = request(168, &[(16, 128)]);
    let Some(Request::Membership { group: Ok(group) }) = decode(MEMBERSHIP, &longest) else { panic!() };
    assert_eq!(group.len(), 128);
}

/// The name counts only where it is used.
#[test]
fn kinds_of_iterations() {
    for (kind, length, expected) in [
        (0, 1, Err(Status::InvalidParam)),
        (1, 129, Ok(Scope::Names)),
        (2, 1, Ok(Scope::Group(&b"g"[..]))),
        (2, 129, Err(Status::NameTooLong)),
        (3, 129, Ok(Scope::All)),
        (4, 129, Err(Status::InvalidParam)),
    ] {
        let bytes = request(160, &[(16, length), (152, kind)]);
        let expected = Request::IterationInitialize { scope: expected };
        assert_eq!(decode(ITERATION_INITIALIZE, &bytes), Some(expected), "kind {kind}");
    }
}

#[test]
fn a_path_must_end() {
    let mut bytes = vec![b'a'; 152];
    assert_eq!(decode(ZC_ALLOC, &bytes), None);
    bytes[151] = 0;
    let Some(Request::ZcAlloc { path, .. }) = decode(ZC_ALLOC, &bytes) else { panic!() };
    assert_eq!(path, [b'a'; 127]);
}
