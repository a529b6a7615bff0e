//! Who changed a file last, as far as the Git repository that it stands in tells.

use std::path::Path;

use git2::{Commit, ErrorCode, Oid, Repository, Status};

use super::error::AuditError;

/// The last change of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileChange {
    /// The file is not as any commit has it, or no commit has it.
    Uncommitted,
    /// A commit.
    Commit {
        /// Its id, 40 hex digits.
        id: String,
        /// The author's name.
        name: String,
        /// The author's e-mail address.
        email: String,
    },
}

/// The last change of a file; `None` when it stands in no Git repository.
///
/// Of several lines of history those are followed that have the file as it is; where two lines were
/// merged and neither had it so, whoever merged them is the author.
///
/// # Errors
/// [`AuditError::Git`] when the repository cannot be read.
pub fn last_change(file: &Path) -> Result<Option<FileChange>, AuditError> {
    let failed = |source| AuditError::git("read the history of", file, source);
    let Ok(file) = file.canonicalize() else {
        return Ok(None);
    };
    let repository = match Repository::discover(&file) {
        Ok(repository) => repository,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let inside = repository
        .workdir()
        .and_then(|root| root.canonicalize().ok())
        .and_then(|root| file.strip_prefix(root).ok().map(Path::to_path_buf));
    let Some(path) = inside else {
        return Ok(None);
    };
    if repository.status_file(&path).map_err(failed)? != Status::CURRENT {
        return Ok(Some(FileChange::Uncommitted));
    }
    let head = repository.head().and_then(|head| head.peel_to_commit());
    author(head.map_err(failed)?, &path)
        .map(Some)
        .map_err(failed)
}

fn author(head: Commit<'_>, path: &Path) -> Result<FileChange, git2::Error> {
    let mut commit = head;
    let present = entry(&commit, path)?;
    loop {
        let mut same = None;
        for parent in commit.parents() {
            if entry(&parent, path)? == present {
                same = Some(parent);
                break;
            }
        }
        match same {
            Some(parent) => commit = parent,
            None => break,
        }
    }
    let author = commit.author();
    Ok(FileChange::Commit {
        id: commit.id().to_string(),
        name: String::from_utf8_lossy(author.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(author.email_bytes()).into_owned(),
    })
}

/// What a commit has at a path.
fn entry(commit: &Commit<'_>, path: &Path) -> Result<Option<Oid>, git2::Error> {
    match commit.tree()?.get_path(path) {
        Ok(entry) => Ok(Some(entry.id())),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use git2::{IndexAddOption, Signature, Time};

    struct Place {
        dir: tempfile::TempDir,
        git: Repository,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let git = Repository::init(dir.path()).expect("a repository");
            Self { dir, git }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).expect("written");
        }

        fn commit(&self, who: &str, parents: &[Oid]) -> Oid {
            let mut index = self.git.index().expect("an index");
            index
                .add_all(["*"], IndexAddOption::DEFAULT, None)
                .expect("added");
            index.write().expect("written");
            let tree = index.write_tree().expect("a tree");
            let tree = self.git.find_tree(tree).expect("a tree");
            let who =
                Signature::new(who, &format!("{who}@example.org"), &Time::new(1, 0)).expect("one");
            let parents: Vec<Commit<'_>> = parents
                .iter()
                .map(|id| self.git.find_commit(*id).expect("a commit"))
                .collect();
            let parents: Vec<&Commit<'_>> = parents.iter().collect();
            let made = self
                .git
                .commit(None, &who, &who, "change", &tree, &parents)
                .expect("a commit");
            let object = self.git.find_object(made, None).expect("it");
            let head = self.git.head().and_then(|h| h.resolve());
            match head {
                Ok(mut head) => {
                    head.set_target(made, "test").expect("moved");
                }
                Err(_) => {
                    self.git
                        .reference("refs/heads/master", object.id(), true, "test")
                        .expect("made");
                    self.git.set_head("refs/heads/master").expect("set");
                }
            }
            made
        }

        fn author(&self, name: &str) -> Option<String> {
            match last_change(&self.dir.path().join(name)).expect("readable") {
                Some(FileChange::Commit { name, email, id }) => {
                    assert_eq!(id.len(), 40);
                    assert_eq!(email, format!("{name}@example.org"));
                    Some(name)
                }
                Some(FileChange::Uncommitted) => Some("uncommitted".to_owned()),
                None => None,
            }
        }
    }

    #[test]
    fn the_author_is_who_changed_this_file_and_not_who_committed_last() {
        let place = Place::new();
        place.write("a.yaml", "1");
        assert_eq!(place.author("a.yaml").as_deref(), Some("uncommitted"));
        let first = place.commit("ada", &[]);
        place.write("b.yaml", "1");
        let second = place.commit("grace", &[first]);
        assert_eq!(place.author("a.yaml").as_deref(), Some("ada"));
        assert_eq!(place.author("b.yaml").as_deref(), Some("grace"));
        place.write("a.yaml", "2");
        assert_eq!(place.author("a.yaml").as_deref(), Some("uncommitted"));
        place.commit("lin", &[second]);
        assert_eq!(place.author("a.yaml").as_deref(), Some("lin"));
    }

    #[test]
    fn a_merge_that_takes_one_side_leaves_the_author_of_that_side() {
        let place = Place::new();
        place.write("a.yaml", "1");
        let base = place.commit("ada", &[]);
        place.write("a.yaml", "2");
        let ours = place.commit("grace", &[base]);
        place.write("a.yaml", "1");
        place.write("b.yaml", "1");
        let theirs = place.commit("lin", &[base]);
        place.write("a.yaml", "2");
        place.commit("mary", &[theirs, ours]);
        assert_eq!(place.author("a.yaml").as_deref(), Some("grace"));
        assert_eq!(place.author("b.yaml").as_deref(), Some("lin"));
    }

    #[test]
    fn without_a_repository_nobody_is_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("a.yaml");
        fs::write(&file, "1").expect("written");
        // A folder for temporary files may itself lie in a repository.
        if Repository::discover(dir.path()).is_err() {
            assert_eq!(last_change(&file).expect("readable"), None);
        }
        assert_eq!(last_change(&dir.path().join("none")).expect("fine"), None);
    }
}
