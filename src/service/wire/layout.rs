//! How the layouts of all services' messages are written: structs of bytes whose size is checked when they are compiled.

use zerocopy::{ByteOrder, FromBytes, I32, Immutable, IntoBytes, KnownLayout, U32, Unaligned};

/// Defines structs of bytes without gaps, each with its size behind its name. `<O>` is the byte order of its numbers. A
/// type behind the size is that of its first field, `header`.
macro_rules! layout {
    ($(
        $(#[$about:meta])*
        $see:vis struct $name:ident $(<$order:ident>)?: $size:literal $(, $header:ident)? {
            $($(#[$about_field:meta])* $see_field:vis $field:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout)]
        #[derive(zerocopy::Immutable, zerocopy::Unaligned)]
        #[repr(C)]
        $see struct $name $(<$order: zerocopy::byteorder::ByteOrder>)? {
            $($see header: $header,)?
            $($(#[$about_field])* $see_field $field: $type,)*
        }
        const _: () = {
            $(type $order = zerocopy::byteorder::LittleEndian;)?
            assert!(size_of::<$name $(<$order>)?>() == $size);
        };
    )*};
}

/// Decodes an exec message in its sender's byte order, for which a type stands in the expression.
macro_rules! in_order {
    ($order:expr, $type:ident => $decode:expr) => {
        match $order {
            crate::ids::Endian::Little => {
                type $type = zerocopy::byteorder::LittleEndian;
                $decode
            }
            crate::ids::Endian::Big => {
                type $type = zerocopy::byteorder::BigEndian;
                $decode
            }
        }
    };
}

pub(crate) use {in_order, layout};

layout! {
    /// A number in a place of eight bytes, as `mar_uint32_t`. The padding is written as zeros and never read.
    pub(crate) struct PaddedU32<O>: 8 {
        value: U32<O>,
        pad: [u8; 4],
    }

    /// As [`PaddedU32`], with a sign.
    pub(crate) struct PaddedI32<O>: 8 {
        value: I32<O>,
        pad: [u8; 4],
    }
}

impl<O: ByteOrder> PaddedU32<O> {
    pub(crate) const fn new(value: u32) -> Self {
        Self { value: U32::new(value), pad: [0; 4] }
    }

    pub(crate) const fn get(&self) -> u32 {
        self.value.get()
    }
}

impl<O: ByteOrder> PaddedI32<O> {
    pub(crate) const fn new(value: i32) -> Self {
        Self { value: I32::new(value), pad: [0; 4] }
    }

    pub(crate) const fn get(&self) -> i32 {
        self.value.get()
    }
}

/// The layout `T` at the beginning of a message; `None`: the message is shorter.
pub(crate) fn head<T: FromBytes + KnownLayout + Immutable + Unaligned>(message: &[u8]) -> Option<&T> {
    Some(T::ref_from_prefix(message).ok()?.0)
}

/// A message, or a part of one, as a vector.
pub(crate) fn to_bytes(message: &(impl IntoBytes + Immutable)) -> Vec<u8> {
    message.as_bytes().to_vec()
}
