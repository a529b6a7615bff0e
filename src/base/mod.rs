//! Floor 0, the words: ids, values, digests, durations, time, error chains, diagnostics.
//!
//! Everything here is plain data and pure functions. No room below it, so it may be
//! imported from everywhere.

mod canonical;
mod diagnostic;
mod digest;
mod duration;
mod error;
mod graph;
mod id;
mod matching;
mod size;
mod ssh;
mod suggest;
mod time;
mod value;

pub use canonical::{Omit, canonical_text};
pub use diagnostic::{
    Code, CodePage, Diagnostic, Diagnostics, Label, Severity, SourceFile, Span, Spanned,
};
pub use digest::Digest;
pub use duration::{HumanDuration, format_duration, parse_duration};
pub use error::ErrorChain;
pub use graph::{Cycle, Dag};
pub use id::{AttemptNo, EventSeq, InvalidId, RunId, StepId};
pub use matching::can_fill;
pub use size::{ByteSize, format_size, parse_size};
pub use ssh::{InvalidSshKey, bare_ssh_key, parse_ssh_key};
pub use suggest::did_you_mean;
pub use time::{Clock, Timestamp};
pub use value::{Map, Value, canonical_json};
