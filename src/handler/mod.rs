//! Floor 3, the socket that every action plugs into.
//!
//! An author writes a [`TypedHandler`]; the registry keeps it as an erased [`StepHandler`].

mod context;
mod error;
mod preview;
mod registry;
#[cfg(test)]
pub(crate) mod testing;
mod typed;

pub use context::{
    EnvironmentView, LogSink, LogWriter, ServiceView, StepContext, Stop, StopSignal,
};
pub use error::StepError;
pub use preview::{Preview, PreviewContext};
pub use registry::{HandlerRegistry, RegistryError};
pub use typed::{BoxFuture, StepHandler, TypedHandler, input_schema, typed};
