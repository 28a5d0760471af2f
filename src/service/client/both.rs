//! Calls that are a question and its answer, for the asynchronous and the blocking client of a service at once.

/// Defines methods of two clients with the same fields: the asynchronous one and its blocking twin. Each call says
/// behind `=` which [`Line`](super::Line) asks what.
macro_rules! both {
    ($client:ty, $twin:ty: $(
        $(#[$about:meta])*
        fn $name:ident(&$me:ident $(, $given:ident: $type:ty)*) -> $answer:ty = $line:expr, $ask:expr;
    )*) => {
        impl $client {$(
            $(#[$about])*
            pub async fn $name(&$me $(, $given: $type)*) -> Result<$answer, Error> {
                $line.ask($ask).await
            }
        )*}

        impl $twin {$(
            $(#[$about])*
            pub fn $name(&$me $(, $given: $type)*) -> Result<$answer, Error> {
                $line.ask_blocking(&$ask)
            }
        )*}
    };
}

pub(crate) use both;
