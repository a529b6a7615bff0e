//! A run with its proof, to be carried elsewhere: a Git bundle and who may have signed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository};

use super::error::AuditError;
use super::history::folder_of;
use super::repository::BRANCH;
use super::ssh::GIT_NAMESPACE;
use super::verify::{Signer, bytes, tip};
use crate::base::RunId;
use crate::event::VOTE_NAMESPACE;
use crate::plan::Plan;

/// The first line of a bundle of version 2 (gitformat-bundle).
const BUNDLE: &str = "# v2 git bundle";

const HOW_TO: &str = include_str!("export.md");

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The newest commit, 40 hex digits: worth noting where nobody can change it.
    pub head: String,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Writes the trail at `path` and what is needed to check a run of it into an empty folder `to`, which is
/// made when it is missing: `trail.bundle`, `allowed_signers`, `report.md`, `HEAD.txt`, `VERIFY.md`.
///
/// The bundle holds the whole history: a part of it would prove nothing about what lies between.
///
/// # Errors
/// [`AuditError`] when the trail has no such run, or the folder is not empty or cannot be written.
pub fn export(
    path: &Path,
    run: RunId,
    signers: &[Signer],
    to: &Path,
) -> Result<Exported, AuditError> {
    let failed = |error| AuditError::git("read", path, error);
    let git = Repository::open(path).map_err(failed)?;
    let missing = || AuditError::Missing {
        path: path.display().to_string(),
        what: format!("run {run}"),
    };
    let head = tip(&git).map_err(failed)?.ok_or_else(missing)?;
    let (folder, tree) = folder_of(&git, run).map_err(failed)?.ok_or_else(missing)?;
    let tree = git.find_tree(tree).map_err(failed)?;
    let file = |name: &str| bytes(&git, &tree, name).map(Option::unwrap_or_default);
    let (report, plan) = (file("report.md"), file("plan.json"));
    let (report, plan) = (report.map_err(failed)?, plan.map_err(failed)?);
    let bundle = bundle(&git, head).map_err(failed)?;
    let how_to = HOW_TO
        .replace("@RUN@", &run.to_string())
        .replace("@FOLDER@", &folder)
        .replace("@HEAD@", &head.to_string());
    let contents = [
        ("trail.bundle", bundle),
        (
            "allowed_signers",
            allowed_signers(signers, &String::from_utf8_lossy(&plan)).into_bytes(),
        ),
        ("report.md", report),
        ("HEAD.txt", format!("{head}\n").into_bytes()),
        ("VERIFY.md", how_to.into_bytes()),
    ];
    std::fs::create_dir_all(to).map_err(|error| AuditError::file("create", to, error))?;
    let mut there = std::fs::read_dir(to).map_err(|error| AuditError::file("read", to, error))?;
    if there.next().is_some() {
        let error = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(AuditError::file("export into", to, error));
    }
    let mut files = Vec::new();
    for (name, bytes) in contents {
        let file = to.join(name);
        std::fs::write(&file, bytes).map_err(|error| AuditError::file("write", &file, error))?;
        files.push(file);
    }
    Ok(Exported {
        head: head.to_string(),
        files,
    })
}

fn bundle(git: &Repository, head: Oid) -> Result<Vec<u8>, git2::Error> {
    let mut walk = git.revwalk()?;
    walk.push(head)?;
    let mut builder = git.packbuilder()?;
    builder.insert_walk(&mut walk)?;
    let mut pack = git2::Buf::new();
    builder.write_buf(&mut pack)?;
    let mut bytes = format!("{BUNDLE}\n{head} {BRANCH}\n{head} HEAD\n\n").into_bytes();
    bytes.extend_from_slice(&pack);
    Ok(bytes)
}

/// In the form of `ssh-keygen -Y verify -f` and `gpg.ssh.allowedSignersFile`: who may sign commits, and
/// who may sign votes of the run by its plan.
fn allowed_signers(signers: &[Signer], plan_json: &str) -> String {
    let mut text = String::new();
    let mut add = |name: &str, namespace: &str, keys: &[String]| {
        for key in keys {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name} namespaces=\"{namespace}\" {key}");
        }
    };
    for signer in signers {
        add(&signer.name, GIT_NAMESPACE, &signer.keys);
    }
    let plan = Plan::from_json(plan_json).ok();
    for (name, person) in plan
        .and_then(|plan| plan.policy)
        .map(|policy| policy.people)
        .unwrap_or_default()
    {
        add(&name, VOTE_NAMESPACE, &person.ssh_keys);
    }
    text
}

/// Takes a bundle apart into a new bare repository at `into`, which must be an empty folder.
///
/// # Errors
/// [`AuditError::NoBundle`] when the file is none, or holds no branch `main`, or needs other commits.
pub fn unbundle(bundle: &Path, into: &Path) -> Result<(), AuditError> {
    let refused = |reason: String| AuditError::NoBundle {
        path: bundle.display().to_string(),
        reason,
    };
    let bytes = std::fs::read(bundle).map_err(|error| AuditError::file("read", bundle, error))?;
    let end = bytes
        .windows(2)
        .position(|two| two == b"\n\n")
        .ok_or_else(|| refused("it has no head".to_owned()))?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|error| refused(error.to_string()))?;
    let mut lines = head.lines();
    if lines.next() != Some(BUNDLE) {
        return Err(refused(format!("it does not begin with `{BUNDLE}`")));
    }
    let main = lines
        .filter_map(|line| line.split_once(' '))
        .find(|(_, name)| *name == BRANCH)
        .and_then(|(id, _)| Oid::from_str(id).ok())
        .ok_or_else(|| refused(format!("it has no `{BRANCH}`")))?;
    let unpack = || -> Result<(), git2::Error> {
        let git = Repository::init_bare(into)?;
        let odb = git.odb()?;
        let mut writer = odb.packwriter()?;
        std::io::Write::write_all(&mut writer, &bytes[end + 2..])
            .map_err(|error| git2::Error::from_str(&error.to_string()))?;
        writer.commit()?;
        git.find_commit(main)?;
        git.reference(BRANCH, main, true, "unbundle").map(|_| ())
    };
    unpack().map_err(|error| refused(error.message().to_owned()))
}
