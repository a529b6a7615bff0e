//! Floor 3: where events are appended durably, and the index of runs.

mod traits;

pub use traits::{
    EngineOwner, FindRunError, Journal, NewRun, Request, RequestKind, RunFilter, RunRecord,
    RunStore, StoreError,
};
