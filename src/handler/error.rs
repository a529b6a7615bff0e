//! Why an action failed, in a handler's words.

use std::error::Error;
use std::fmt;

use crate::base::ErrorChain;
use crate::event::{Failure, FailureKind};

/// Why an action failed. Becomes the [`Failure`] of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError(pub Failure);

impl StepError {
    /// A failure of a kind with a message.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self(Failure {
            sort: kind,
            error: ErrorChain::new(message),
            hint: None,
            log_tail: Vec::new(),
        })
    }

    /// A failure whose chain of causes is that of `source`, under `message`.
    pub fn caused(
        kind: FailureKind,
        message: impl Into<String>,
        source: &(dyn Error + 'static),
    ) -> Self {
        let mut failure = Self::new(kind, message);
        let chain = ErrorChain::from_error(source);
        failure.0.error.causes.push(chain.message);
        failure.0.error.causes.extend(chain.causes);
        failure
    }

    /// Adds what the operator may do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the last lines of a log.
    #[must_use]
    pub fn log_tail(mut self, lines: Vec<String>) -> Self {
        self.0.log_tail = lines;
        self
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl Error for StepError {}
