//! What a step would do, asked of its handler without doing it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::context::EnvironmentView;

/// What a step would do, for `plan` and `exec --dry-run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "label", content = "text", rename_all = "snake_case")]
pub enum Preview {
    /// Exactly this command or request.
    Exact(String),
    /// Probably this; depends on the state of the world.
    Predicted(String),
    /// Cannot be said, and why.
    Unknown(String),
}

impl Preview {
    /// How sure it is: `exact`, `predicted` or `unknown`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Predicted(_) => "predicted",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The command or request in words, or why it cannot be said.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Predicted(text) | Self::Unknown(text) => text,
        }
    }
}

/// What a handler may look at for a preview. It changes nothing, asks nothing over a network and starts
/// no program; it may read files. Secrets in inputs are markers, never values.
#[derive(Debug, Clone)]
pub struct PreviewContext {
    /// Where the step would act.
    pub environment: Arc<EnvironmentView>,
    /// Root of the runbook repository; relative paths are relative to it.
    pub root: Arc<PathBuf>,
    /// State directory of this program.
    pub state_dir: Arc<PathBuf>,
    /// How long children may take to end after TERM.
    pub grace: Duration,
}

impl PreviewContext {
    /// A path as written in a runbook, relative to the repository's root.
    pub fn path(&self, written: &str) -> PathBuf {
        self.root.join(written)
    }
}
