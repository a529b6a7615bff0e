//! A key file, as far as it tells without a passphrase.

use std::path::{Path, PathBuf};

use ssh_key::PrivateKey;

use super::ssh::{SigningKey, SshError, public_key};

/// A private or public key file of OpenSSH.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// The public key in OpenSSH form, without a comment.
    pub public: String,
    /// What signs in this process; `None` when it is locked with a passphrase, or the file holds the
    /// public key only.
    pub signing: Option<SigningKey>,
}

impl KeyFile {
    /// Reads a key file. Of a locked key the public part is not locked.
    ///
    /// # Errors
    /// [`SshError::Unreadable`], or [`SshError::BadKey`] when it is neither kind of key.
    pub fn read(path: &Path) -> Result<Self, SshError> {
        match SigningKey::read(path) {
            Ok(key) => Ok(Self {
                public: key.public()?,
                signing: Some(key),
            }),
            Err(SshError::Locked(_)) => {
                let bad = |source| SshError::BadKey {
                    what: format!("`{}`", path.display()),
                    source,
                };
                let key = PrivateKey::from_openssh(read(path)?).map_err(bad)?;
                let text = key.public_key().to_openssh().map_err(bad)?;
                Self::of_public(&text)
            }
            Err(problem @ SshError::BadKey { .. }) => {
                let text = String::from_utf8(read(path)?).unwrap_or_default();
                // What is no public key either is told of as what it was taken for first.
                Self::of_public(&text).map_err(|_| problem)
            }
            Err(other) => Err(other),
        }
    }

    fn of_public(text: &str) -> Result<Self, SshError> {
        Ok(Self {
            public: public_key(text)?,
            signing: None,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SshError> {
    std::fs::read(path).map_err(|source| SshError::Unreadable {
        path: PathBuf::from(path),
        source,
    })
}
