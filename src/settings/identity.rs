//! Who votes: by the SSH key that signs, else by the operating system's word.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use super::error::SettingsError;
use super::resolve::Settings;
use super::variables::variable;
use crate::audit::{KeyFile, SigningKey, SshError, public_key};
use crate::event::{Actor, VOTE_NAMESPACE};
use crate::plan::PlanPerson;

/// The key file that votes are signed with when `--key` does not say.
const SIGNING_KEY: &str = "RUNBOOK_SIGNING_KEY";
/// The home folder, whose `.ssh` holds keys.
const HOME: &str = "HOME";
/// The keys of `~/.ssh` that are looked at, in this order; the last two are of hardware tokens.
const FILES: [&str; 4] = ["id_ed25519", "id_ecdsa", "id_ed25519_sk", "id_ecdsa_sk"];

/// A key that a vote may be signed with.
#[derive(Debug, Clone)]
pub struct VotingKey {
    /// The public key in OpenSSH form, without a comment.
    pub public: String,
    /// Where it is, for people: a path, or `NAME (ssh-agent)`.
    pub shown: String,
    way: Way,
}

/// How a key signs.
#[derive(Debug, Clone)]
enum Way {
    /// In this process.
    Here(Box<SigningKey>),
    /// By `ssh-keygen`, which asks for the passphrase, the agent or the token.
    Keygen(PathBuf),
    /// By `ssh-keygen` and the agent; there is no file of it.
    Agent,
}

/// The keys of the person at the terminal.
#[derive(Debug, Clone, Default)]
pub struct VotingKeys {
    keys: Vec<VotingKey>,
    /// Whether the person named one, and wants no other.
    named: bool,
}

/// Who votes.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The voter, under the policy's name if a key says who it is. Verified only by a signature.
    pub actor: Actor,
    /// What signs; `None`: the vote is not signed.
    pub key: Option<VotingKey>,
    /// The operating system's user.
    pub login: String,
}

impl Settings {
    /// The keys that a vote may be signed with: the one that is named by `key` or
    /// `RUNBOOK_SIGNING_KEY`, else those of `~/.ssh` and of the SSH agent.
    ///
    /// # Errors
    /// [`SettingsError::Key`] when the named key cannot be used. Keys that nobody named and that
    /// cannot be read are left out.
    pub fn voting_keys(&self, key: Option<&Path>) -> Result<VotingKeys, SettingsError> {
        keys(key, &variable, agent_keys)
    }
}

fn keys(
    key: Option<&Path>,
    lookup: &dyn Fn(&str) -> Option<OsString>,
    agent: impl FnOnce() -> Vec<VotingKey>,
) -> Result<VotingKeys, SettingsError> {
    let set = |name: &str| lookup(name).filter(|value| !value.is_empty());
    let named = key.map(Path::to_path_buf);
    if let Some(path) = named.or_else(|| set(SIGNING_KEY).map(PathBuf::from)) {
        let key = VotingKey::of_file(&path).map_err(|source| SettingsError::Key {
            path: path.clone(),
            source,
        })?;
        return Ok(VotingKeys {
            keys: vec![key],
            named: true,
        });
    }
    let listed = || User::from_uid(Uid::current()).ok().flatten();
    let home = set(HOME).map(PathBuf::from);
    let home = home.or_else(|| listed().map(|user| user.dir));
    let files = home.into_iter().flat_map(|home| {
        let folder = home.join(".ssh");
        FILES.into_iter().filter_map(move |name| {
            let path = folder.join(name);
            path.exists().then(|| VotingKey::of_file(&path).ok())?
        })
    });
    let mut keys: Vec<VotingKey> = files.collect();
    keys.extend(agent());
    Ok(VotingKeys { keys, named: false })
}

impl VotingKeys {
    /// Who votes on a run whose policy names these people: the person of the first key that is listed
    /// there, else the operating system's user, unsigned. Where a policy names nobody, nothing is signed.
    ///
    /// # Errors
    /// [`SettingsError::UnlistedKey`] when a key was named that is nobody's there.
    pub fn identify(
        &self,
        os: &Actor,
        people: Option<&BTreeMap<String, PlanPerson>>,
    ) -> Result<Identity, SettingsError> {
        let unsigned = || Identity {
            actor: os.clone(),
            key: None,
            login: os.name.clone(),
        };
        let Some(people) = people else {
            return Ok(unsigned());
        };
        let found = self.keys.iter().find_map(|key| {
            let name = owner(people, &key.public, &os.name)?;
            Some((key, name))
        });
        match found {
            Some((key, name)) => Ok(Identity {
                actor: Actor {
                    name: name.to_owned(),
                    host: os.host.clone(),
                    verified: true,
                },
                key: Some(key.clone()),
                login: os.name.clone(),
            }),
            None => match self.keys.first().filter(|_| self.named) {
                Some(key) => Err(SettingsError::UnlistedKey {
                    key: key.shown.clone(),
                    public: key.public.clone(),
                }),
                None => Ok(unsigned()),
            },
        }
    }
}

/// Whose key it is. A key that several people list is the operating system's user's, if it is one of
/// them.
fn owner<'p>(
    people: &'p BTreeMap<String, PlanPerson>,
    public: &str,
    login: &str,
) -> Option<&'p str> {
    let lists = |person: &PlanPerson| {
        let mut keys = person.ssh_keys.iter();
        keys.any(|key| public_key(key).is_ok_and(|key| key == public))
    };
    let mut owners = people
        .iter()
        .filter(|(_, person)| lists(person))
        .map(|(name, _)| name.as_str());
    let first = owners.next()?;
    let other = owners.find(|name| *name == login);
    Some(other.unwrap_or(first))
}

impl VotingKey {
    fn of_file(path: &Path) -> Result<Self, SshError> {
        let file = KeyFile::read(path)?;
        Ok(Self {
            public: file.public,
            shown: path.display().to_string(),
            way: match file.signing {
                Some(key) => Way::Here(Box::new(key)),
                None => Way::Keygen(path.to_path_buf()),
            },
        })
    }

    /// Whether it signs without asking for a passphrase here.
    pub fn signs_alone(&self) -> bool {
        !matches!(self.way, Way::Keygen(_))
    }

    /// An armoured signature of a text as a vote. A program that has to ask for a passphrase or for a
    /// touch does so at the terminal.
    ///
    /// # Errors
    /// [`SettingsError::Signing`] when `ssh-keygen` cannot be started or does not sign.
    pub fn sign(&self, text: &str) -> Result<String, SettingsError> {
        match &self.way {
            Way::Here(key) => match key.sign(VOTE_NAMESPACE, text.as_bytes()) {
                Ok(signature) => Ok(signature),
                // The file only names a hardware token.
                Err(_) => self.keygen(Path::new(&self.shown), text),
            },
            Way::Keygen(path) => self.keygen(path, text),
            Way::Agent => {
                let folder = tempfile::tempdir().map_err(|source| self.failed(Some(source)))?;
                let path = folder.path().join("voter.pub");
                let line = format!("{}\n", self.public);
                std::fs::write(&path, line).map_err(|source| self.failed(Some(source)))?;
                self.keygen(&path, text)
            }
        }
    }

    /// Signs with the program of OpenSSH, which knows agents, tokens and passphrases.
    fn keygen(&self, path: &Path, text: &str) -> Result<String, SettingsError> {
        let failed = |source| self.failed(Some(source));
        let mut child = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", VOTE_NAMESPACE, "-f"])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ended before it read tells why by its status.
            let _ = stdin.write_all(text.as_bytes());
        }
        let output = child.wait_with_output().map_err(failed)?;
        match String::from_utf8(output.stdout) {
            Ok(signature) if output.status.success() && !signature.is_empty() => Ok(signature),
            _ => Err(self.failed(None)),
        }
    }

    fn failed(&self, source: Option<std::io::Error>) -> SettingsError {
        SettingsError::Signing {
            key: self.shown.clone(),
            source,
        }
    }
}

/// The keys that an SSH agent holds; none when there is no agent.
fn agent_keys() -> Vec<VotingKey> {
    let listed = Command::new("ssh-add")
        .arg("-L")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match listed {
        Ok(output) if output.status.success() => of_agent(&String::from_utf8_lossy(&output.stdout)),
        _ => Vec::new(),
    }
}

fn of_agent(listed: &str) -> Vec<VotingKey> {
    let key = |line: &str| {
        let name = line.splitn(3, ' ').nth(2).unwrap_or("key");
        Some(VotingKey {
            public: public_key(line).ok()?,
            shown: format!("{name} (ssh-agent)"),
            way: Way::Agent,
        })
    };
    listed.lines().filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::verify;

    fn keygen(path: &Path, passphrase: &str) -> String {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-C", "x", "-N", passphrase, "-f"])
            .arg(path)
            .status()
            .expect("ssh-keygen starts");
        assert!(made.success());
        std::fs::read_to_string(path.with_extension("pub")).expect("a public key")
    }

    fn os(name: &str) -> Actor {
        Actor {
            name: name.to_owned(),
            host: "desk".to_owned(),
            verified: false,
        }
    }

    fn person(key: &str) -> PlanPerson {
        PlanPerson {
            ssh_keys: vec![key.trim().to_owned()],
            ..PlanPerson::default()
        }
    }

    #[test]
    fn the_key_decides_who_it_is_and_what_it_signs_is_believed() {
        let place = tempfile::tempdir().expect("a folder");
        let ssh = place.path().join(".ssh");
        std::fs::create_dir(&ssh).expect("a folder");
        let locked = keygen(&ssh.join("id_ecdsa"), "secret");
        let plain = keygen(&ssh.join("id_ed25519"), "");
        let home = |name: &str| (name == HOME).then(|| place.path().into());
        let found = keys(None, &home, Vec::new).expect("found");
        let ways: Vec<bool> = found
            .keys
            .iter()
            .map(|key| matches!(key.way, Way::Here(_)))
            .collect();
        assert_eq!(ways, [true, false], "a locked key has no secret part here");

        let people = BTreeMap::from([("ada".to_owned(), person(&plain))]);
        let voter = found.identify(&os("root"), Some(&people)).expect("ada");
        assert_eq!(voter.actor.name, "ada");
        assert!(voter.actor.verified);
        assert_eq!(voter.login, "root");
        let signature = voter.key.expect("a key").sign("text\n").expect("signs");
        assert_eq!(
            verify(
                std::slice::from_ref(&plain),
                VOTE_NAMESPACE,
                b"text\n",
                &signature
            )
            .expect("good"),
            0
        );

        let people = BTreeMap::from([("bob".to_owned(), person(&locked))]);
        let voter = found.identify(&os("root"), Some(&people)).expect("bob");
        assert_eq!(voter.actor.name, "bob");
    }

    #[test]
    fn without_a_listed_key_it_is_the_user_unless_a_key_was_named() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("mine");
        let public = keygen(&path, "");
        let nothing = |_: &str| None;
        let people = BTreeMap::from([("ada".to_owned(), PlanPerson::default())]);
        let none = VotingKeys::default();
        let voter = none.identify(&os("ada"), Some(&people)).expect("the user");
        assert!(!voter.actor.verified && voter.key.is_none());

        let named = keys(Some(&path), &nothing, Vec::new).expect("read");
        let error = named.identify(&os("ada"), Some(&people));
        let error = error.expect_err("nobody's").to_string();
        assert!(error.contains("is of nobody"), "{error}");
        // Where nobody is named, nobody is asked for.
        let voter = named.identify(&os("ada"), None).expect("the user");
        assert!(voter.key.is_none());

        // One key of two people is the user's own.
        let people = BTreeMap::from([
            ("ada".to_owned(), person(&public)),
            ("bob".to_owned(), person(&public)),
        ]);
        let by_name = named.identify(&os("bob"), Some(&people)).expect("bob");
        assert_eq!(by_name.actor.name, "bob");

        let variable = |name: &str| (name == SIGNING_KEY).then(|| "/no/such/key".into());
        let error = keys(None, &variable, Vec::new).expect_err("not there");
        assert!(matches!(error, SettingsError::Key { .. }));
    }

    #[test]
    fn keys_of_kinds_that_are_not_known_are_left_out() {
        let listed = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8v0mYkFBAmPSXrtD7f2pUqF8gZuwMO2kYW5mcuxXs4 ada@desk\nnonsense\n";
        let found = of_agent(listed);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].shown, "ada@desk (ssh-agent)");
    }
}
