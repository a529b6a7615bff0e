//! What the policy says of the audit trail, and the key of this host.

use std::collections::BTreeMap;
use std::path::Path;

use super::context::Context;
use super::error::{CliError, ErrorKind};
use crate::audit::{Signer, SigningKey, public_key};
use crate::base::Diagnostics;
use crate::language::{Limits, decode_policy, source_from_bytes};
use crate::settings::Repository;

/// What the policy says of the audit trail.
#[derive(Debug, Clone, Default)]
pub(super) struct AuditPolicy {
    /// Whose signatures of commits count.
    pub(super) signers: Vec<Signer>,
    /// Whether no run is started without a signer's key.
    pub(super) require_signatures: bool,
    /// The remote, as the policy writes it.
    pub(super) remote: Option<String>,
    /// Public keys of all people, by login name.
    pub(super) people: BTreeMap<String, Vec<String>>,
}

impl AuditPolicy {
    /// Reads a policy file. `None`: there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or has mistakes.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CliError> {
        let shown = path.display().to_string();
        let bytes = match Repository::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(
                    CliError::new(ErrorKind::Invalid, format!("cannot read {shown}"))
                        .because(&error)
                        .next(format!("ls -la {shown}")),
                );
            }
        };
        let mut diags = Diagnostics::new();
        let source = source_from_bytes(&shown, bytes, &Limits::default())
            .map_err(|finding| CliError::invalid(vec![(*finding).clone()]))?;
        let policy = decode_policy(&source, &mut diags);
        let (Some(policy), false) = (policy, diags.has_errors()) else {
            return Err(CliError::invalid(diags.into_sorted()));
        };
        let keys = |keys: &[crate::base::Spanned<String>]| -> Vec<String> {
            keys.iter()
                .filter_map(|key| public_key(&key.value).ok())
                .collect()
        };
        Ok(Some(Self {
            signers: policy
                .audit
                .signers
                .iter()
                .map(|(name, of)| Signer {
                    name: name.clone(),
                    keys: keys(of),
                })
                .collect(),
            require_signatures: policy.audit.require_signatures,
            remote: policy.audit.remote.map(|remote| remote.value),
            people: policy
                .people
                .iter()
                .map(|(name, person)| (name.clone(), keys(&person.ssh_keys)))
                .collect(),
        }))
    }

    /// The key that signs the commits of this host, as the policy wants it.
    ///
    /// # Errors
    /// When a key is named that cannot be used, or signatures are required and there is no key of a
    /// signer: nothing may run then.
    pub(super) fn host_key(&self, context: &Context) -> Result<Option<SigningKey>, CliError> {
        let Some(path) = &context.settings.audit_key else {
            return match self.require_signatures {
                false => Ok(None),
                true => Err(CliError::new(
                    ErrorKind::Record,
                    "the policy requires a signed audit trail, and this host has no key to sign with",
                )
                .next("RUNBOOK_AUDIT_KEY=/path/to/key runbook exec …")
                .next("its public key belongs to audit.signers in runbooks/policy.yaml")),
            };
        };
        let unusable = |error: &(dyn std::error::Error + 'static)| {
            CliError::new(
                ErrorKind::Record,
                "RUNBOOK_AUDIT_KEY names no key that can sign",
            )
            .because(error)
            .next(format!("ssh-keygen -y -P '' -f {}", path.display()))
        };
        let key = SigningKey::read(path).map_err(|error| unusable(&error))?;
        let public = key.public().map_err(|error| unusable(&error))?;
        let known = self.signers.iter().flat_map(|signer| &signer.keys);
        if self.require_signatures && !known.into_iter().any(|known| *known == public) {
            return Err(CliError::new(
                ErrorKind::Record,
                "the policy requires a signed audit trail, and the key of this host is not one of its signers",
            )
            .next(format!("add it to audit.signers in runbooks/policy.yaml: {public}")));
        }
        Ok(Some(key))
    }
}

/// Who may sign, from a file in the form of `ssh-keygen -Y verify -f`: signers of commits, and people
/// who sign votes. A line without namespaces is for both.
///
/// # Errors
/// When it cannot be read, or a line names no key.
pub(super) fn allowed_signers(path: &Path) -> Result<Vec<Signer>, CliError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::new(ErrorKind::Usage, format!("cannot read {shown}"))
            .because(&error)
            .next(format!("ls -la {shown}"))
    })?;
    let mut signers: Vec<Signer> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let key = words
            .windows(2)
            .skip(1)
            .find_map(|two| public_key(&two.join(" ")).ok());
        let (Some(name), Some(key)) = (words.first(), key) else {
            return Err(CliError::new(
                ErrorKind::Usage,
                format!("line {number} of {shown} names no key that is known here"),
            )
            .next("write it as: NAME ssh-ed25519 AAAA..."));
        };
        let namespaces = words
            .iter()
            .find_map(|word| word.strip_prefix("namespaces="));
        let for_commits = namespaces.is_none_or(|names| {
            names
                .trim_matches('"')
                .split(',')
                .any(|name| name == crate::audit::GIT_NAMESPACE)
        });
        if for_commits {
            signers.push(Signer {
                name: (*name).to_owned(),
                keys: vec![key],
            });
        }
    }
    Ok(signers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_file_of_signers_is_read_as_ssh_reads_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("allowed_signers");
        let text = format!(
            "# who may sign\n\nbox {KEY} host@box\nada namespaces=\"runbook-approval\" {KEY}\n\
             both namespaces=\"git,file\" {KEY}\n"
        );
        std::fs::write(&path, text).expect("writes");
        let signers = allowed_signers(&path).expect("reads");
        let names: Vec<&str> = signers.iter().map(|signer| signer.name.as_str()).collect();
        assert_eq!(names, ["box", "both"]);
        assert_eq!(signers[0].keys, [KEY]);
        std::fs::write(&path, "box ssh-ed25519 nonsense\n").expect("writes");
        let error = allowed_signers(&path).expect_err("no key");
        assert!(error.text().contains("line 1 of"), "{}", error.text());
    }
}
