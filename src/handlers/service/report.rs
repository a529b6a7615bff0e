//! What providers report: at once the outputs of the actions, so that every provider gives the same.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{HumanDuration, Timestamp};

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct StatusReport {
    /// Whether it is up.
    pub(crate) running: bool,
    /// Process id, when it is up.
    pub(crate) pid: Option<u32>,
    /// When it was started, when it is up.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) started_at: Option<Timestamp>,
    /// How long it has been up.
    pub(crate) uptime: Option<HumanDuration>,
    /// `host:port` it listens on, when that is known.
    pub(crate) address: Option<String>,
    /// What its health probe says; null when it is not up or has no probe.
    pub(crate) healthy: Option<bool>,
}

/// A start.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct StartReport {
    /// False when it was up already.
    pub(crate) changed: bool,
    /// Process id.
    pub(crate) pid: u32,
    /// When it was started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(crate) started_at: Timestamp,
    /// `host:port` it listens on, when that is known.
    pub(crate) address: Option<String>,
}

/// A stop.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct StopReport {
    /// False when it was not up.
    pub(crate) changed: bool,
    /// The process id it had, when it was up.
    pub(crate) previous_pid: Option<u32>,
    /// Whether it had to be killed.
    pub(crate) forced: bool,
}

/// A restart.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct RestartReport {
    /// Always true.
    pub(crate) changed: bool,
    /// Process id now.
    pub(crate) pid: u32,
    /// Process id before; null when it was not up.
    pub(crate) previous_pid: Option<u32>,
    /// When it was started.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub(crate) started_at: Timestamp,
    /// `host:port` it listens on, when that is known.
    pub(crate) address: Option<String>,
    /// Whether the old one had to be killed.
    pub(crate) forced: bool,
}

/// An answer of a health probe.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct HealthReport {
    /// Whether it is up and its probe says so.
    pub(crate) healthy: bool,
    /// How long the probe took.
    pub(crate) latency: HumanDuration,
    /// HTTP status, when the probe is HTTP and got an answer.
    pub(crate) status: Option<u16>,
    /// What was found, in words.
    pub(crate) detail: String,
}

/// Lines of a log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LogReport {
    /// From when on; null when no start is on record and the whole log was read.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub(crate) since: Option<Timestamp>,
    /// Lines since then.
    pub(crate) lines: u64,
    /// Lines that match the pattern (all of them without a pattern).
    pub(crate) matched: u64,
    /// The last matching lines.
    pub(crate) sample: Vec<String>,
}

/// A drain.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct DrainReport {
    /// Whether nothing is in flight any more.
    pub(crate) drained: bool,
    /// Requests still in flight.
    pub(crate) in_flight: u64,
    /// How long it took.
    pub(crate) waited: HumanDuration,
}

/// The end of a drain.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct ResumeReport {
    /// False when the service is not up, so that there was nothing to do.
    pub(crate) changed: bool,
}
