//! The bare repository: creating, locking, reading a file of the tip, appending a commit.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::build::TreeUpdateBuilder;
use git2::{Commit, Config, ConfigLevel, ErrorCode, FileMode, Oid, Repository, Signature, Tree};

use super::error::AuditError;
use super::ssh::{GIT_NAMESPACE, SigningKey};

pub(super) const BRANCH: &str = "refs/heads/main";

/// Settings of ours alone. Stock `git` warns about `core.fsyncObjectFiles` whenever it meets it in
/// the repository's own `config`, yet it is the only switch that libgit2 has; so it gets its own file.
const OUR_CONFIG: &str = "runbook.config";
const OUR_SETTINGS: &str = "[core]\n\tfsyncObjectFiles = true\n";

/// Nobody holds `main.lock` so long for good reason; its owner was killed.
const STALE: Duration = Duration::from_secs(2);

/// How often it is looked at, 10 ms apart: until one that was made just now is stale.
const LOOKS: usize = 300;

/// A commit to be appended to the branch.
pub(super) struct NewCommit<'a> {
    /// Paths from the root of the tree, and what is to be in these files.
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) message: &'a str,
    pub(super) author: Signature<'a>,
    pub(super) committer: Signature<'a>,
    /// Signs the commit, in the form that stock `git verify-commit` checks.
    pub(super) key: Option<&'a SigningKey>,
}

/// The repository, opened for writing.
pub(super) struct TrailRepository {
    git: Repository,
    path: PathBuf,
    lock: PathBuf,
}

/// While it lives, no other process of this program appends. It ends with the process.
pub(super) struct WriteLock {
    file: File,
}

impl TrailRepository {
    /// Opens the repository, creating it when it is missing.
    pub(super) fn open(path: &Path) -> Result<Self, AuditError> {
        let lock = path.with_extension("lock");
        let _one_at_a_time = WriteLock::take(&lock)?;
        if !path.exists() {
            create(path)?;
        }
        let git = open_bare(path)?;
        Ok(Self {
            git,
            path: path.to_owned(),
            lock,
        })
    }

    pub(super) fn git(&self) -> &Repository {
        &self.git
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lock(&self) -> Result<WriteLock, AuditError> {
        WriteLock::take(&self.lock)
    }

    fn failed(&self, action: &'static str) -> impl Fn(git2::Error) -> AuditError {
        let path = self.path.clone();
        move |error| AuditError::git(action, &path, error)
    }

    /// The newest commit, if there is one.
    pub(super) fn tip(&self) -> Result<Option<Commit<'_>>, AuditError> {
        match self.git.find_reference(BRANCH) {
            Ok(branch) => branch
                .peel_to_commit()
                .map(Some)
                .map_err(self.failed("read")),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.failed("read")(error)),
        }
    }

    /// The bytes of a file of a commit.
    pub(super) fn file(&self, at: &Commit<'_>, path: &str) -> Result<Option<Vec<u8>>, AuditError> {
        let read = || -> Result<Vec<u8>, git2::Error> {
            let entry = at.tree()?.get_path(Path::new(path))?;
            Ok(self.git.find_blob(entry.id())?.content().to_vec())
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.failed("read")(error)),
        }
    }

    /// Appends a commit whose parent is `tip`. `false`: another program moved the branch meanwhile;
    /// look at the new tip and try again.
    pub(super) fn append(
        &self,
        lock: &mut WriteLock,
        tip: Option<&Commit<'_>>,
        new: &NewCommit<'_>,
    ) -> Result<bool, AuditError> {
        let commit = self.write_objects(tip, new)?;
        for _ in 0..2 {
            let moved = match tip {
                // Compares and swaps: libgit2 checks the old value while it holds `main.lock`.
                Some(tip) => self
                    .git
                    .reference_matching(BRANCH, commit, true, tip.id(), "append"),
                None => self.git.reference(BRANCH, commit, false, "append"),
            };
            match moved {
                Ok(_) => return Ok(true),
                Err(error) => match error.code() {
                    ErrorCode::Modified | ErrorCode::Exists => return Ok(false),
                    ErrorCode::Locked => self.wait_for_branch(lock)?,
                    _ => return Err(self.failed("write")(error)),
                },
            }
        }
        Err(AuditError::Busy {
            path: self.path.display().to_string(),
        })
    }

    fn write_objects(
        &self,
        tip: Option<&Commit<'_>>,
        new: &NewCommit<'_>,
    ) -> Result<Oid, AuditError> {
        let tree = self.write_tree(tip, new).map_err(self.failed("write"))?;
        let parents: Vec<&Commit<'_>> = tip.into_iter().collect();
        self.commit(new, &tree, &parents)
    }

    /// Writes a commit of a tree, signed when there is a key; the branch stays where it is. The files
    /// of `new` are not looked at.
    pub(super) fn commit(
        &self,
        new: &NewCommit<'_>,
        tree: &Tree<'_>,
        parents: &[&Commit<'_>],
    ) -> Result<Oid, AuditError> {
        let failed = self.failed("write");
        let (author, committer, message) = (&new.author, &new.committer, new.message);
        let Some(key) = new.key else {
            let written = self
                .git
                .commit(None, author, committer, message, tree, parents);
            return written.map_err(failed);
        };
        let content = self
            .git
            .commit_create_buffer(author, committer, message, tree, parents)
            .map_err(&failed)?;
        let signature = key.sign(GIT_NAMESPACE, &content)?;
        let content = String::from_utf8_lossy(&content);
        self.git
            .commit_signed(&content, signature.trim_end(), Some("gpgsig"))
            .map_err(failed)
    }

    fn write_tree(
        &self,
        tip: Option<&Commit<'_>>,
        new: &NewCommit<'_>,
    ) -> Result<Tree<'_>, git2::Error> {
        let base: Tree<'_> = match tip {
            Some(tip) => tip.tree()?,
            None => self.git.find_tree(self.git.treebuilder(None)?.write()?)?,
        };
        let mut update = TreeUpdateBuilder::new();
        for (path, bytes) in &new.files {
            update.upsert(path.as_str(), self.git.blob(bytes)?, FileMode::Blob);
        }
        self.git.find_tree(update.create_updated(&self.git, &base)?)
    }

    /// Waits until `main.lock` is gone; removes it when whoever made it was killed. Every process
    /// of this program holds our own lock here, so it can only be a dead one's, or stock git's.
    fn wait_for_branch(&self, lock: &mut WriteLock) -> Result<(), AuditError> {
        let held = self.path.join(format!("{BRANCH}.lock"));
        for _ in 0..LOOKS {
            let Ok(made) = held.metadata().and_then(|file| file.modified()) else {
                return Ok(());
            };
            // Both times are the file system's, so no clock is asked.
            let now = lock.touch()?;
            if now.duration_since(made).is_ok_and(|age| age > STALE) {
                return match std::fs::remove_file(&held) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        Err(AuditError::file("remove", &held, error))
                    }
                    _ => Ok(()),
                };
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl WriteLock {
    fn take(path: &Path) -> Result<Self, AuditError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| AuditError::file("write to", path, error))?;
        file.lock()
            .map_err(|error| AuditError::file("lock", path, error))?;
        Ok(Self { file })
    }

    /// The file system's present time.
    fn touch(&mut self) -> Result<std::time::SystemTime, AuditError> {
        self.file
            .rewind()
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| self.file.metadata()?.modified())
            .map_err(|error| AuditError::file("write to", Path::new("audit.lock"), error))
    }
}

/// Builds the repository aside and moves it into place whole, so that being killed on the way, or a
/// power cut right after, leaves no half repository.
fn create(path: &Path) -> Result<(), AuditError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let aside = tempfile::Builder::new()
        .prefix(".audit-")
        .tempdir_in(parent)
        .map_err(|error| AuditError::file("write to", parent, error))?;
    initialise(aside.path()).map_err(|error| AuditError::git("create", path, error))?;
    std::fs::write(aside.path().join(OUR_CONFIG), OUR_SETTINGS)
        .and_then(|()| flush(aside.path()))
        .and_then(|()| std::fs::rename(aside.path(), path))
        .and_then(|()| File::open(parent)?.sync_all())
        .map_err(|error| AuditError::file("create", path, error))?;
    // It is no longer where the guard would remove it.
    let _ = aside.keep();
    Ok(())
}

fn initialise(path: &Path) -> Result<(), git2::Error> {
    let mut options = git2::RepositoryInitOptions::new();
    options
        .bare(true)
        .initial_head("main")
        .external_template(false)
        .description("Audit trail of runbook; see docs/design/audit.md");
    Repository::init_opts(path, &options)?;
    let mut config = Config::open(&path.join("config"))?;
    // What is on record stays on record, also for whoever pushes to it.
    config.set_bool("receive.denyNonFastForwards", true)?;
    config.set_bool("receive.denyDeletes", true)
}

fn flush(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            flush(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

fn open_bare(path: &Path) -> Result<Repository, AuditError> {
    let ours = path.join(OUR_CONFIG);
    if std::fs::read(&ours).ok().as_deref() != Some(OUR_SETTINGS.as_bytes()) {
        std::fs::write(&ours, OUR_SETTINGS)
            .map_err(|error| AuditError::file("write to", &ours, error))?;
    }
    let open = || -> Result<Repository, git2::Error> {
        let git = Repository::open_bare(path)?;
        // Only these two files count: a person's own git settings must not change the trail. It must
        // be set before the first object is read, because the object database asks once.
        let mut config = Config::new()?;
        config.add_file(&path.join("config"), ConfigLevel::Local, false)?;
        config.add_file(&ours, ConfigLevel::App, false)?;
        git.set_config(&config)?;
        Ok(git)
    };
    open().map_err(|error| AuditError::git("open", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushing_is_on_and_stock_git_is_not_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.git");
        let trail = TrailRepository::open(&path).expect("opens");
        let config = trail.git.config().expect("a configuration");
        assert!(config.get_bool("core.fsyncObjectFiles").expect("is set"));
        let public = std::fs::read_to_string(path.join("config")).expect("reads");
        assert!(!public.to_lowercase().contains("fsync"), "{public}");
        assert!(trail.git.is_bare());
        assert_eq!(
            std::fs::read_to_string(path.join("HEAD")).expect("reads"),
            "ref: refs/heads/main\n"
        );
        let left: Vec<_> = std::fs::read_dir(dir.path()).expect("lists").collect();
        assert_eq!(left.len(), 2, "the repository and its lock: {left:?}");
    }

    fn commit<'a>(name: &str) -> NewCommit<'a> {
        let who = || Signature::new("t", "t@t", &git2::Time::new(0, 0)).expect("valid");
        NewCommit {
            files: vec![(format!("a/{name}"), name.as_bytes().to_vec())],
            message: "m\n",
            author: who(),
            committer: who(),
            key: None,
        }
    }

    #[test]
    fn a_tip_that_moved_is_noticed_and_nothing_is_lost() {
        let dir = tempfile::tempdir().expect("a directory");
        let trail = TrailRepository::open(&dir.path().join("audit.git")).expect("opens");
        let mut lock = trail.lock().expect("locks");
        assert!(
            trail
                .append(&mut lock, None, &commit("one"))
                .expect("appends")
        );
        assert!(
            !trail
                .append(&mut lock, None, &commit("two"))
                .expect("refused")
        );
        let first = trail.tip().expect("reads").expect("is there");
        assert!(
            trail
                .append(&mut lock, Some(&first), &commit("two"))
                .expect("appends")
        );
        assert!(
            !trail
                .append(&mut lock, Some(&first), &commit("three"))
                .expect("refused")
        );
        let tip = trail.tip().expect("reads").expect("is there");
        let file = |path| trail.file(&tip, path).expect("reads");
        assert_eq!(file("a/one").as_deref(), Some(&b"one"[..]));
        assert_eq!(file("a/two").as_deref(), Some(&b"two"[..]));
        assert_eq!(file("a/three"), None);
    }

    #[test]
    fn a_lock_of_a_killed_process_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.git");
        let trail = TrailRepository::open(&path).expect("opens");
        let held = path.join("refs/heads/main.lock");
        let old = File::create(&held).expect("creates");
        old.set_modified(std::time::UNIX_EPOCH).expect("sets");
        let mut lock = trail.lock().expect("locks");
        assert!(
            trail
                .append(&mut lock, None, &commit("one"))
                .expect("appends")
        );
        assert!(!held.exists());
    }
}
