//! Floor 3: where events are appended durably, and the index of runs.

#[cfg(test)]
mod contract;
mod layout;
mod lookup;
mod memory;
#[cfg(test)]
pub(crate) mod samples;
mod sqlite;
mod traits;

pub use layout::StateLayout;
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use traits::{
    EngineOwner, FindRunError, Journal, NewRun, Obligation, Request, RequestKind, RunFilter,
    RunRecord, RunStore, StoreError,
};
