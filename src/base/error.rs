//! Error chains as data, so that a cause survives the journal and a process boundary.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A message and the messages of its causes, outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorChain {
    /// What failed.
    pub message: String,
    /// Why, each caused by the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
}

impl ErrorChain {
    /// A chain of one message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
        }
    }

    /// The chain of an error and its sources; a cause that its parent's text already ends in is not repeated.
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut chain = Self::new(error.to_string());
        let mut last = chain.message.clone();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !last.ends_with(&text) {
                chain.causes.push(text.clone());
                last = text;
            }
            source = cause.source();
        }
        chain
    }
}

impl fmt::Display for ErrorChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn keeps_every_cause() {
        let error = Outer(std::io::Error::other("disk on fire"));
        let chain = ErrorChain::from_error(&error);
        assert_eq!(chain.to_string(), "cannot read the file: disk on fire");
    }
}
