//! The secrets of one run in one process: read when they are needed, forgotten with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::{ExposeSecret as _, SecretString};

use super::access::SecretAccess;
use super::error::SecretError;
use super::redactor::Redactor;
use crate::base::Value;
use crate::language::substitute;
use crate::model::SecretSource;

/// Holds the values that a run has needed so far; they are overwritten when it is dropped.
#[derive(Debug)]
pub struct SecretKeeper {
    access: Arc<SecretAccess>,
    sources: BTreeMap<String, SecretSource>,
    /// Only one reader at a time: a command is not to be run twice because two steps want it.
    values: tokio::sync::Mutex<Values>,
    redactor: RwLock<Arc<Redactor>>,
}

#[derive(Debug, Default)]
struct Values {
    known: BTreeMap<String, SecretString>,
    /// Whether what is at hand was read for the redactor.
    looked: bool,
}

impl SecretKeeper {
    /// The keeper of a plan's secrets; reads nothing yet.
    pub fn new(access: Arc<SecretAccess>, sources: BTreeMap<String, SecretSource>) -> Self {
        Self {
            access,
            sources,
            values: tokio::sync::Mutex::default(),
            redactor: RwLock::default(),
        }
    }

    /// Whether the plan has no secrets at all.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// What takes the values that are known so far out of a step's output.
    pub fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&self.redactor.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts the values of the named secrets in the place of their markers, reading them first where
    /// that has not been done. Variables and files are read for the redactor even before they are
    /// needed, since any program may print what its environment holds.
    ///
    /// # Errors
    /// [`SecretError`] with the name of the secret.
    pub async fn fill(
        &self,
        names: &BTreeSet<String>,
        values: &mut [&mut Value],
    ) -> Result<(), (String, SecretError)> {
        if self.is_empty() && names.is_empty() {
            return Ok(());
        }
        let mut held = self.values.lock().await;
        let before = held.known.len();
        let first = !held.looked;
        let read = self.read(names, &mut held).await;
        if held.known.len() > before || first {
            // Not among the known: no marker may name it.
            let token = self.access.vault_token();
            let mut all = held.known.clone();
            all.extend(token.map(|token| ("VAULT_TOKEN".to_owned(), token)));
            let redactor = Arc::new(Redactor::new(&all));
            *self
                .redactor
                .write()
                .unwrap_or_else(PoisonError::into_inner) = redactor;
        }
        read?;
        let lookup = |name: &str| held.known.get(name).map(|value| value.expose_secret());
        for value in values {
            substitute(value, &lookup).map_err(|why| (String::new(), SecretError::Unfit(why)))?;
        }
        Ok(())
    }

    async fn read(
        &self,
        names: &BTreeSet<String>,
        held: &mut Values,
    ) -> Result<(), (String, SecretError)> {
        if !std::mem::replace(&mut held.looked, true) {
            for (name, source) in &self.sources {
                if let Some(value) = self.access.read_at_hand(source).await {
                    held.known.insert(name.clone(), value);
                }
            }
        }
        for name in names {
            if held.known.contains_key(name) {
                continue;
            }
            let with_name = |error| (name.clone(), error);
            let source = self
                .sources
                .get(name)
                .ok_or_else(|| with_name(SecretError::Unknown(name.clone())))?;
            let value = self.access.read(source).await.map_err(with_name)?;
            held.known.insert(name.clone(), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::language::{marker, secret_names};
    use crate::secrets::VaultSettings;

    fn keeper(root: &std::path::Path, sources: &[(&str, &str)]) -> SecretKeeper {
        let access = SecretAccess::new(
            root.to_owned(),
            Arc::new(|name| (name == "TOKEN").then(|| "hunter2".to_owned())),
            VaultSettings {
                token: Some(SecretString::from("token-of-vault")),
                ..VaultSettings::default()
            },
        );
        let sources = sources
            .iter()
            .map(|(name, source)| ((*name).to_owned(), source.parse().expect("a source")));
        SecretKeeper::new(Arc::new(access), sources.collect())
    }

    #[tokio::test]
    async fn values_are_put_in_and_known_to_the_redactor_from_then_on() {
        let root = tempfile::tempdir().expect("a folder");
        let keeper = keeper(
            root.path(),
            &[
                ("token", "env:TOKEN"),
                ("made", "command:echo x >> count; echo made-up"),
                ("other", "env:NOT_SET"),
            ],
        );
        let mut inputs = json!({ "a": format!("{}!", marker("made")) });
        for _ in 0..2 {
            let names = secret_names(&inputs);
            keeper.fill(&names, &mut [&mut inputs]).await.expect("read");
        }
        assert_eq!(inputs, json!({ "a": "made-up!" }));
        // What is at hand is known although nobody asked for it.
        assert_eq!(
            keeper.redactor().text("hunter2 made-up token-of-vault"),
            "[redacted token] [redacted made] [redacted VAULT_TOKEN]"
        );
        // No marker reaches the token itself.
        let mut value = json!(marker("VAULT_TOKEN"));
        let names = secret_names(&value);
        assert!(keeper.fill(&names, &mut [&mut value]).await.is_err());
        let mut again = json!(marker("made"));
        let names = secret_names(&again);
        keeper.fill(&names, &mut [&mut again]).await.expect("known");
        let runs = std::fs::read_to_string(root.path().join("count")).expect("there");
        assert_eq!(runs, "x\n");
    }

    #[tokio::test]
    async fn what_cannot_be_read_names_the_secret() {
        let root = tempfile::tempdir().expect("a folder");
        let keeper = keeper(root.path(), &[("other", "env:NOT_SET")]);
        for (name, words) in [("other", "NOT_SET"), ("none", "no secret `none`")] {
            let mut value = json!(marker(name));
            let names = secret_names(&value);
            let (which, error) = keeper
                .fill(&names, &mut [&mut value])
                .await
                .expect_err("not to be had");
            assert_eq!(which, name);
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
