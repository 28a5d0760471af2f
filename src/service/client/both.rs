//! Calls that are a question and its answer, for the asynchronous and the blocking client of a service at once.

/// Defines methods of two clients with the same fields: the asynchronous one and its blocking twin. Each call says
/// behind `=` which [`Line`](super::Line) asks what, and behind `=>` what is made of the answer. If the fields are
/// given, each with the service that its line calls, `new` is defined too.
macro_rules! both {
    ($client:ty, $twin:ty $({ $($field:ident: $service:expr),+ })?: $(
        $(#[$about:meta])*
        fn $name:ident(&$me:ident $(, $given:ident: $type:ty)*) -> $answer:ty =
            $line:expr, $ask:expr $(=> $then:expr)?;
    )*) => {
        $(
            impl $client {
                /// A client whose connections are opened by `dial`. Opens no connection yet.
                pub fn new(dial: Arc<dyn Dial>) -> Self {
                    Self { $($field: Line::new(Arc::clone(&dial), $service)),+ }
                }
            }

            impl $twin {
                /// A client whose connections are opened by `dial`. Opens no connection yet.
                pub fn new(dial: Arc<dyn Dial>) -> Self {
                    Self { $($field: Line::new(Arc::clone(&dial), $service)),+ }
                }
            }
        )?

        impl $client {$(
            $(#[$about])*
            pub async fn $name(&$me $(, $given: $type)*) -> Result<$answer, Error> {
                let ask = $ask;
                let answer = $line.ask(ask).await;
                $(let answer = $then(answer);)?
                answer.map_err(Into::into)
            }
        )*}

        impl $twin {$(
            $(#[$about])*
            pub fn $name(&$me $(, $given: $type)*) -> Result<$answer, Error> {
                let answer = $line.ask_blocking(&$ask);
                $(let answer = $then(answer);)?
                answer.map_err(Into::into)
            }
        )*}
    };
}

pub(crate) use both;
