//! Where a secret is to be had. The value itself is never part of a model, a plan or an event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A source of a secret, as written: `env:NAME`, `file:PATH`, `command:LINE` or `vault:PATH#FIELD`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretSource {
    /// A variable of this program's environment.
    Env(String),
    /// A file that only its owner and group may read; a path from the root of the repository.
    File(String),
    /// The output of a program, without the last line end.
    Command(String),
    /// A field of a secret in HashiCorp Vault's key-value engine, version 2.
    Vault {
        /// `MOUNT/PATH`, such as `secret/stock/db`.
        path: String,
        /// The field.
        field: String,
    },
}

/// A text that names no source of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}; a secret comes from `env:NAME`, `file:PATH`, `command:LINE` or `vault:MOUNT/PATH#FIELD`"
)]
pub struct InvalidSource {
    /// Why. Never shows the text, which may be a secret written in the wrong place.
    pub reason: &'static str,
}

impl FromStr for SecretSource {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let invalid = |reason| Err(InvalidSource { reason });
        let Some((kind, rest)) = text.split_once(':') else {
            return invalid("this names no source, and a secret is never written down itself");
        };
        let rest = rest.trim();
        if rest.is_empty() {
            return invalid("nothing follows the colon");
        }
        match kind {
            "env" => {
                let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if rest.starts_with(|c: char| c.is_ascii_digit()) || !rest.chars().all(good) {
                    return invalid("this is no name of an environment variable");
                }
                Ok(Self::Env(rest.to_owned()))
            }
            "file" => Ok(Self::File(rest.to_owned())),
            "command" => Ok(Self::Command(rest.to_owned())),
            "vault" => match rest.split_once('#') {
                Some((path, field))
                    if !field.is_empty()
                        && path.split('/').count() >= 2
                        && path.split('/').all(|part| !matches!(part, "" | "." | "..")) =>
                {
                    Ok(Self::Vault {
                        path: path.to_owned(),
                        field: field.to_owned(),
                    })
                }
                _ => invalid("this is no `MOUNT/PATH#FIELD`"),
            },
            _ => invalid("this kind of source is not known"),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Command(line) => write!(f, "command:{line}"),
            Self::Vault { path, field } => write!(f, "vault:{path}#{field}"),
        }
    }
}

impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_and_written_alike() {
        for text in [
            "env:DB_PASSWORD",
            "file:secrets/db",
            "command:pass show db",
            "vault:secret/stock/db#password",
        ] {
            let source: SecretSource = text.parse().expect(text);
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_source_is_refused_without_being_shown() {
        for text in [
            "hunter2",
            "env:",
            "env:9A",
            "env:A B",
            "vault:secret#x",
            "vault:secret/a/../b#x",
            "vault:secret/a#",
            "s3:bucket",
        ] {
            let error = text.parse::<SecretSource>().expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
