//! Public SSH keys as they stand in a policy: one line of OpenSSH's form (`ssh-ed25519 AAAA... comment`).

use ssh_key::public::KeyData;
use ssh_key::{EcdsaCurve, PublicKey};

/// Why a text is no public key that signatures can be checked with.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InvalidSshKey {
    /// It is a private key, which others may have read by now.
    #[error("this is a private key")]
    Private,
    /// It is no key in OpenSSH's form.
    #[error("this is no public key in OpenSSH form")]
    NotAKey(#[source] ssh_key::Error),
    /// It is a key whose signatures are not checked here.
    #[error("keys of the kind `{0}` are not known here")]
    UnknownKind(String),
}

/// Reads a public key. Its kind is ed25519 or ecdsa-p256, in a file or on a hardware token.
///
/// # Errors
/// [`InvalidSshKey`] when it is none, or of a kind whose signatures this program cannot check.
pub fn parse_ssh_key(text: &str) -> Result<PublicKey, InvalidSshKey> {
    if text.contains("PRIVATE KEY") {
        return Err(InvalidSshKey::Private);
    }
    let key = PublicKey::from_openssh(text.trim()).map_err(InvalidSshKey::NotAKey)?;
    let known = match key.key_data() {
        KeyData::Ed25519(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => true,
        KeyData::Ecdsa(key) => key.curve() == EcdsaCurve::NistP256,
        _ => false,
    };
    match known {
        true => Ok(key),
        false => Err(InvalidSshKey::UnknownKind(key.algorithm().to_string())),
    }
}

/// A public key without its comment: two spellings of one key give one text.
///
/// # Errors
/// As of [`parse_ssh_key`].
pub fn bare_ssh_key(text: &str) -> Result<String, InvalidSshKey> {
    let mut key = parse_ssh_key(text)?;
    key.set_comment("");
    key.to_openssh().map_err(InvalidSshKey::NotAKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBC1yZG0kvU0uS9gNLxcwuqKEfTCsPwRJJpKRpiRfDIrDrqpDKvv8aMjnuc2JMYxWXFNN1QSuH8a0ytMlFhnE+RMEBZKKLMfVL8JRqpQg6JvHzbRj4nJ+BpMjWSbWhhKWVA==";

    #[test]
    fn a_key_is_the_same_with_another_comment() {
        let bare = bare_ssh_key(ED25519).expect("a key");
        assert_eq!(bare, ED25519);
        let told = format!("  {ED25519} ada@laptop of the office\n");
        assert_eq!(bare_ssh_key(&told).expect("a key"), bare);
    }

    #[test]
    fn what_is_no_key_of_use_is_told_apart() {
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-ed25519 !",
            "{{ x }}",
            "ä",
        ] {
            assert!(
                matches!(parse_ssh_key(text), Err(InvalidSshKey::NotAKey(_))),
                "{text}"
            );
        }
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==";
        assert!(matches!(
            parse_ssh_key(private),
            Err(InvalidSshKey::Private)
        ));
        let other = parse_ssh_key(P384);
        assert!(
            matches!(
                other,
                Err(InvalidSshKey::UnknownKind(_) | InvalidSshKey::NotAKey(_))
            ),
            "{other:?}"
        );
    }
}
