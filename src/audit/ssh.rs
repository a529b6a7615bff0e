//! SSH signatures (OpenSSH PROTOCOL.sshsig): what `ssh-keygen -Y sign` makes and `-Y verify` checks.

use std::path::{Path, PathBuf};

use crate::base::{InvalidSshKey, bare_ssh_key, parse_ssh_key};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

/// The namespace in which Git signs commits (`gpg.format = ssh`).
pub const GIT_NAMESPACE: &str = "git";

/// Why a text could not be signed, or a signature not be believed.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// A key file cannot be read.
    #[error("cannot read the key `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is no key that this program knows.
    #[error("{what} is no OpenSSH key of a kind that is known here (ed25519 or ecdsa-p256)")]
    BadKey {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: ssh_key::Error,
    },
    /// The text is no public key that this program knows.
    #[error("{what} is no public key that is known here (ed25519 or ecdsa-p256)")]
    BadPublicKey {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: InvalidSshKey,
    },
    /// The private key is locked with a passphrase.
    #[error("the key `{0}` is locked with a passphrase")]
    Locked(PathBuf),
    /// The text is no armoured SSH signature.
    #[error("this is no SSH signature")]
    BadSignature(#[source] ssh_key::Error),
    /// The signature is not one of these keys over this text in this namespace.
    #[error("the signature does not belong to this text and {0}")]
    Mismatch(String),
    /// The key refused to sign.
    #[error("the key could not sign")]
    Refused(#[source] ssh_key::Error),
}

/// A private key that signs in this process.
#[derive(Debug, Clone)]
pub struct SigningKey(PrivateKey);

impl SigningKey {
    /// Reads a private key file in OpenSSH form.
    ///
    /// # Errors
    /// [`SshError::Unreadable`], [`SshError::BadKey`], or [`SshError::Locked`] when it has a passphrase.
    pub fn read(path: &Path) -> Result<Self, SshError> {
        let text = std::fs::read(path).map_err(|source| SshError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let key = PrivateKey::from_openssh(text).map_err(|source| SshError::BadKey {
            what: format!("`{}`", path.display()),
            source,
        })?;
        if key.is_encrypted() {
            return Err(SshError::Locked(path.to_owned()));
        }
        Ok(Self(key))
    }

    /// Its public key in OpenSSH form, without a comment.
    ///
    /// # Errors
    /// [`SshError::BadKey`]: never for a key that could be read.
    pub fn public(&self) -> Result<String, SshError> {
        bare(&self.0.public_key().clone())
    }

    /// An armoured signature of a text.
    ///
    /// # Errors
    /// [`SshError::Refused`] when the key cannot sign, such as one that only names a hardware token.
    pub fn sign(&self, namespace: &str, text: &[u8]) -> Result<String, SshError> {
        self.0
            .sign(namespace, HashAlg::Sha512, text)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(SshError::Refused)
    }
}

/// A public key of OpenSSH form without its comment: two spellings of one key give one text.
///
/// # Errors
/// [`SshError::BadPublicKey`] when it is none.
pub fn public_key(text: &str) -> Result<String, SshError> {
    bare_ssh_key(text).map_err(|source| not_a_key(text, source))
}

/// Checks an armoured signature of a text against public keys, and says which of them made it.
///
/// # Errors
/// [`SshError::BadSignature`] when it is none, [`SshError::Mismatch`] when none of the keys made it,
/// or when it is of another text or namespace. Keys that cannot be understood made nothing.
pub fn verify(
    keys: &[String],
    namespace: &str,
    text: &[u8],
    armoured: &str,
) -> Result<usize, SshError> {
    let signature = SshSig::from_pem(armoured).map_err(SshError::BadSignature)?;
    keys.iter()
        .position(|key| parse(key).is_ok_and(|key| key.verify(namespace, text, &signature).is_ok()))
        .ok_or_else(|| match keys.len() {
            1 => SshError::Mismatch("the key that is named".to_owned()),
            n => SshError::Mismatch(format!("none of {n} keys")),
        })
}

fn parse(text: &str) -> Result<PublicKey, SshError> {
    parse_ssh_key(text).map_err(|source| not_a_key(text, source))
}

fn not_a_key(text: &str, source: InvalidSshKey) -> SshError {
    SshError::BadPublicKey {
        what: format!("`{}`", text.chars().take(40).collect::<String>()),
        source,
    }
}

fn bare(key: &PublicKey) -> Result<String, SshError> {
    let mut key = key.clone();
    key.set_comment("");
    key.to_openssh().map_err(|source| SshError::BadKey {
        what: "the key".to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn keygen(dir: &Path, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let path = dir.join(name);
        let made = Command::new("ssh-keygen")
            .args([
                "-q",
                "-t",
                kind,
                "-N",
                passphrase,
                "-C",
                "ada@example",
                "-f",
            ])
            .arg(&path)
            .status()
            .expect("ssh-keygen starts");
        assert!(made.success());
        path
    }

    fn read_public(path: &Path) -> String {
        std::fs::read_to_string(path.with_extension("pub")).expect("a public key")
    }

    #[test]
    fn stock_ssh_keygen_and_we_believe_each_other() {
        let dir = tempfile::tempdir().expect("a folder");
        for kind in ["ed25519", "ecdsa"] {
            let path = keygen(dir.path(), kind, kind, "");
            let public = read_public(&path);
            let key = SigningKey::read(&path).expect("a key");
            assert_eq!(
                key.public().expect("one"),
                public_key(&public).expect("one")
            );
            let signed = key.sign("runbook-approval", b"text\n").expect("signs");
            let keys = [public.clone()];
            assert_eq!(
                verify(&keys, "runbook-approval", b"text\n", &signed).expect("good"),
                0
            );
            assert!(verify(&keys, "runbook-approval", b"other\n", &signed).is_err());
            assert!(verify(&keys, "git", b"text\n", &signed).is_err());

            let allowed = dir.path().join("allowed");
            std::fs::write(&allowed, format!("ada {public}")).expect("writes");
            let signature = dir.path().join("signature");
            std::fs::write(&signature, &signed).expect("writes");
            let mut stock = Command::new("ssh-keygen")
                .args(["-Y", "verify", "-I", "ada", "-n", "runbook-approval", "-f"])
                .arg(&allowed)
                .arg("-s")
                .arg(&signature)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("starts");
            std::io::Write::write_all(&mut stock.stdin.take().expect("piped"), b"text\n")
                .expect("writes");
            assert!(stock.wait().expect("ends").success());
        }
    }

    #[test]
    fn what_is_no_key_or_no_signature_is_said() {
        let dir = tempfile::tempdir().expect("a folder");
        let locked = keygen(dir.path(), "locked", "ed25519", "secret");
        assert!(matches!(
            SigningKey::read(&locked),
            Err(SshError::Locked(_))
        ));
        let missing = SigningKey::read(&dir.path().join("none"));
        assert!(matches!(missing, Err(SshError::Unreadable { .. })));
        assert!(matches!(
            public_key("ssh-ed25519 AAAA"),
            Err(SshError::BadPublicKey { .. })
        ));
        let keys = ["ssh-ed25519 AAAA".to_owned()];
        assert!(matches!(
            verify(&keys, "git", b"", "nonsense"),
            Err(SshError::BadSignature(_))
        ));
    }
}
