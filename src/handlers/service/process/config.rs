//! The keys of a service with `provider: process`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::{HumanDuration, Value};
use crate::event::FailureKind;
use crate::handler::{StepError, input_schema};
use crate::handlers::service::provider::Target;

/// A program on this machine. In `command`, `prepare`, `environment`, `health` and `drain`,
/// `${SERVICE_DIR}` stands for the service's own folder and `${SERVICE_NAME}` for its name; in
/// `health` and `drain`, `${SERVICE_ADDRESS}` stands for its `host:port`. The program finds the first
/// two in the variables of those names, a health command all three.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProcessConfig {
    /// Program and arguments. It must stay in the foreground.
    #[schemars(length(min = 1))]
    pub(super) command: Vec<String>,
    /// Working directory, relative to the repository's root. Default: the root.
    #[serde(default)]
    pub(super) directory: Option<String>,
    /// Variables beside the inherited ones and `SERVICE_DIR` and `SERVICE_NAME`.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// Program and arguments run to their end before each start, such as a build.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) prepare: Option<Vec<String>>,
    /// Signal that asks it to end. Default TERM.
    #[serde(default)]
    pub(super) stop_signal: StopSignal,
    /// How long it may take to end before it is killed. Default 10s.
    #[serde(default = "ten_seconds")]
    pub(super) grace: HumanDuration,
    /// `host:port` it listens on, when that is fixed.
    #[serde(default)]
    pub(super) address: Option<String>,
    /// File, relative to the service's own folder, that it writes its `host:port` to once it listens.
    #[serde(default)]
    pub(super) address_file: Option<String>,
    /// How to see whether it is healthy.
    #[serde(default)]
    pub(super) health: Option<HealthConfig>,
    /// How to drain it.
    #[serde(default)]
    pub(super) drain: Option<DrainConfig>,
    /// How long a start may take until the address file is written, or else the probe is content.
    /// Default 30s.
    #[serde(default = "half_a_minute")]
    pub(super) startup_timeout: HumanDuration,
    /// File, relative to the repository's root, that its output is appended to. Default:
    /// `service.log` in the service's own folder.
    #[serde(default)]
    pub(super) log: Option<String>,
}

/// Signals that may ask a program to end.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum StopSignal {
    #[default]
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
}

impl StopSignal {
    pub(super) fn signal(self) -> rustix::process::Signal {
        use rustix::process::Signal;
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Hup => Signal::HUP,
            Self::Usr1 => Signal::USR1,
            Self::Usr2 => Signal::USR2,
        }
    }
}

/// A health probe: exactly one of `http`, `tcp` and `command`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthConfig {
    /// Path at the service's address, or a whole URL; healthy on 200 to 299.
    #[serde(default)]
    pub(super) http: Option<String>,
    /// `host:port` that must accept a connection; `${SERVICE_ADDRESS}` stands for the service's.
    #[serde(default)]
    pub(super) tcp: Option<String>,
    /// Program and arguments; healthy on exit code 0.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(super) command: Option<Vec<String>>,
    /// Limit of one probe. Default 2s.
    #[serde(default = "two_seconds")]
    pub(super) timeout: HumanDuration,
    /// Pause between two probes during a start. Default 200ms.
    #[serde(default = "fifth_of_a_second")]
    pub(super) interval: HumanDuration,
}

/// What a probe asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum ProbeKind<'a> {
    Http(&'a str),
    Tcp(&'a str),
    Command(&'a [String]),
}

impl HealthConfig {
    /// The probe's one kind.
    pub(super) fn kind(&self) -> Result<ProbeKind<'_>, String> {
        match (&self.http, &self.tcp, &self.command) {
            (Some(url), None, None) => Ok(ProbeKind::Http(url)),
            (None, Some(address), None) => Ok(ProbeKind::Tcp(address)),
            (None, None, Some(command)) if !command.is_empty() => Ok(ProbeKind::Command(command)),
            _ => Err("`health` must have exactly one of `http`, `tcp` and `command`".to_owned()),
        }
    }
}

/// How to drain a service: POST, answered with JSON that counts the work in flight.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrainConfig {
    /// Path at the service's address, or a whole URL; repeated until nothing is in flight.
    pub(super) http: String,
    /// Path or URL for `service.resume`.
    #[serde(default)]
    pub(super) resume: Option<String>,
    /// Key of the answer that holds the number. Default `in_flight`.
    #[serde(default = "in_flight")]
    pub(super) in_flight: String,
    /// Pause between two questions. Default 100ms.
    #[serde(default = "tenth_of_a_second")]
    pub(super) interval: HumanDuration,
}

fn ten_seconds() -> HumanDuration {
    HumanDuration(Duration::from_secs(10))
}

fn half_a_minute() -> HumanDuration {
    HumanDuration(Duration::from_secs(30))
}

fn two_seconds() -> HumanDuration {
    HumanDuration(Duration::from_secs(2))
}

fn fifth_of_a_second() -> HumanDuration {
    HumanDuration(Duration::from_millis(200))
}

fn tenth_of_a_second() -> HumanDuration {
    HumanDuration(Duration::from_millis(100))
}

fn in_flight() -> String {
    "in_flight".to_owned()
}

impl ProcessConfig {
    /// Reads a service's keys.
    pub(super) fn of(target: &Target) -> Result<Self, StepError> {
        let config = Self::deserialize(&target.config).map_err(|error| error.to_string());
        config.and_then(Self::validated).map_err(|message| {
            StepError::new(
                FailureKind::Invalid,
                format!("service `{}`: {message}", target.name),
            )
            .hint("mend it in the environment's file, under `services`")
        })
    }

    fn validated(self) -> Result<Self, String> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err("`command` names no program".to_owned());
        }
        if self.prepare.as_ref().is_some_and(Vec::is_empty) {
            return Err("`prepare` names no program".to_owned());
        }
        if self.address.is_some() && self.address_file.is_some() {
            return Err("give `address` or `address_file`, not both".to_owned());
        }
        if let Some(health) = &self.health {
            health.kind()?;
        }
        Ok(self)
    }

    /// The keys' JSON Schema.
    pub(super) fn schema() -> Value {
        input_schema::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: Value) -> Result<ProcessConfig, String> {
        ProcessConfig::of(&Target {
            name: "api".to_owned(),
            config,
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn mistakes_are_named() {
        for (config, message) in [
            (json!({}), "missing field `command`"),
            (json!({"command": []}), "`command` names no program"),
            (json!({"command": ["a"], "prot": 1}), "unknown field `prot`"),
            (json!({"command": ["a"], "health": {}}), "exactly one of"),
            (
                json!({"command": ["a"], "health": {"http": "/", "tcp": "x:1"}}),
                "exactly one of",
            ),
            (
                json!({"command": ["a"], "address": "x:1", "address_file": "a"}),
                "not both",
            ),
            (
                json!({"command": ["a"], "stop_signal": "term"}),
                "unknown variant `term`",
            ),
        ] {
            let error = read(config.clone()).expect_err(&config.to_string());
            assert!(error.contains("service `api`"), "{error}");
            assert!(error.contains(message), "{config}: {error}");
        }
    }

    #[test]
    fn the_schema_is_closed_and_agrees_with_the_reader() {
        let schema = ProcessConfig::schema();
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let good = json!({
            "command": ["a"], "stop_signal": "INT", "grace": "3s",
            "health": {"http": "/health", "timeout": "1s"},
            "drain": {"http": "/drain"},
        });
        assert!(validator.is_valid(&good));
        assert!(read(good).is_ok());
        let bad = json!({"command": ["a"], "helth": {}});
        assert!(!validator.is_valid(&bad));
        assert!(read(bad).is_err());
    }
}
