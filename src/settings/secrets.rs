//! What this process knows of where secrets are to be had.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use super::variables::variable;
use crate::secrets::{SecretAccess, VaultSettings};

/// Address of Vault, as its own command line reads it.
const VAULT_ADDR: &str = "VAULT_ADDR";
/// Token for Vault.
const VAULT_TOKEN: &str = "VAULT_TOKEN";
/// A file with the token for Vault, such as its agent writes.
const VAULT_TOKEN_FILE: &str = "VAULT_TOKEN_FILE";
/// Namespace of Vault (its enterprise edition).
const VAULT_NAMESPACE: &str = "VAULT_NAMESPACE";
/// A PEM file with certificates to trust when Vault is asked.
const VAULT_CACERT: &str = "VAULT_CACERT";
/// Where `vault login` leaves the token: a file in the home folder.
const LOGIN_TOKEN: &str = ".vault-token";

/// Access to secrets from a repository, with this process's environment variables. A variable is read
/// when a secret is, so nothing is copied for runs that have none.
pub fn secret_access(root: &Path) -> SecretAccess {
    SecretAccess::new(
        root.to_owned(),
        Arc::new(|name| variable(name).and_then(|value| value.into_string().ok())),
        vault(variable),
    )
}

fn vault(lookup: impl Fn(&str) -> Option<OsString>) -> VaultSettings {
    let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
    let login = || set("HOME").map(|home| PathBuf::from(home).join(LOGIN_TOKEN));
    VaultSettings {
        address: text(VAULT_ADDR),
        token: text(VAULT_TOKEN).map(SecretString::from),
        token_file: set(VAULT_TOKEN_FILE).map(PathBuf::from).or_else(login),
        namespace: text(VAULT_NAMESPACE),
        ca_file: set(VAULT_CACERT).map(PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_is_found_as_its_own_command_line_finds_it() {
        let given = |names: &'static [(&'static str, &'static str)]| {
            vault(move |name| {
                let mut names = names.iter();
                names.find(|(n, _)| *n == name).map(|(_, v)| (*v).into())
            })
        };
        let settings = given(&[
            ("VAULT_ADDR", "https://vault:8200"),
            ("VAULT_NAMESPACE", "team"),
            ("VAULT_CACERT", ""),
            ("HOME", "/home/ada"),
        ]);
        assert_eq!(settings.address.as_deref(), Some("https://vault:8200"));
        assert_eq!(settings.namespace.as_deref(), Some("team"));
        assert_eq!(settings.ca_file, None);
        assert!(settings.token.is_none());
        assert_eq!(
            settings.token_file,
            Some(PathBuf::from("/home/ada/.vault-token"))
        );
        let settings = given(&[("VAULT_TOKEN_FILE", "/run/token"), ("VAULT_TOKEN", "s.1")]);
        assert_eq!(settings.token_file, Some(PathBuf::from("/run/token")));
        assert!(settings.token.is_some());
        assert!(!format!("{settings:?}").contains("s.1"));
    }
}
