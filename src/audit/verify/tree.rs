//! What differs between two trees, without a checkout: equal parts are never read.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use git2::{ObjectType, Oid, Repository, Tree, TreeEntry};

/// A plain file, not executable.
pub(super) const PLAIN: i32 = 0o100_644;

/// How deep the folder of a run lies: `runs/2026/11/23/ID`.
const RUN_DEPTH: usize = 5;

/// A file of one of the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) id: Oid,
    pub(super) mode: i32,
}

/// A file that differs.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: String,
    pub(super) old: Option<Leaf>,
    pub(super) new: Option<Leaf>,
}

/// Every file that differs between two trees, in the order of Git.
pub(super) fn changes(
    git: &Repository,
    old: Option<&Tree<'_>>,
    new: Option<&Tree<'_>>,
) -> Result<Vec<Change>, git2::Error> {
    let mut found = Vec::new();
    compare(git, old, new, "", &mut found)?;
    Ok(found)
}

fn compare(
    git: &Repository,
    old: Option<&Tree<'_>>,
    new: Option<&Tree<'_>>,
    folder: &str,
    found: &mut Vec<Change>,
) -> Result<(), git2::Error> {
    let mut olds = old.into_iter().flat_map(Tree::iter).peekable();
    let mut news = new.into_iter().flat_map(Tree::iter).peekable();
    loop {
        let order = match (olds.peek(), news.peek()) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => key(old).cmp(&key(new)),
        };
        let before = (order != Ordering::Greater).then(|| olds.next()).flatten();
        let after = (order != Ordering::Less).then(|| news.next()).flatten();
        entry(git, before.as_ref(), after.as_ref(), folder, found)?;
    }
}

/// Git sorts folders as if their names ended in a slash.
fn key(entry: &TreeEntry<'_>) -> Vec<u8> {
    let mut name = entry.name_bytes().to_vec();
    if is_tree(entry) {
        name.push(b'/');
    }
    name
}

fn is_tree(entry: &TreeEntry<'_>) -> bool {
    entry.kind() == Some(ObjectType::Tree)
}

fn entry(
    git: &Repository,
    old: Option<&TreeEntry<'_>>,
    new: Option<&TreeEntry<'_>>,
    folder: &str,
    found: &mut Vec<Change>,
) -> Result<(), git2::Error> {
    let Some(either) = new.or(old) else {
        return Ok(());
    };
    if let (Some(old), Some(new)) = (old, new)
        && old.id() == new.id()
        && old.filemode() == new.filemode()
    {
        return Ok(());
    }
    let path = format!("{folder}{}", String::from_utf8_lossy(either.name_bytes()));
    if is_tree(either) {
        let tree = |entry: Option<&TreeEntry<'_>>| {
            entry.map(|entry| git.find_tree(entry.id())).transpose()
        };
        let (old, new) = (tree(old)?, tree(new)?);
        return compare(git, old.as_ref(), new.as_ref(), &format!("{path}/"), found);
    }
    let leaf = |entry: &TreeEntry<'_>| Leaf {
        id: entry.id(),
        mode: entry.filemode_raw(),
    };
    found.push(Change {
        path,
        old: old.map(leaf),
        new: new.map(leaf),
    });
    Ok(())
}

/// The folders of runs by path, and whatever lies above them and is no folder.
pub(in crate::audit) fn folders(
    git: &Repository,
    tree: &Tree<'_>,
) -> Result<BTreeMap<String, Oid>, git2::Error> {
    let mut found = BTreeMap::new();
    let mut rest = vec![(String::new(), 1, tree.clone())];
    while let Some((folder, depth, tree)) = rest.pop() {
        for entry in &tree {
            let path = format!("{folder}{}", String::from_utf8_lossy(entry.name_bytes()));
            if is_tree(&entry) && depth < RUN_DEPTH {
                rest.push((format!("{path}/"), depth + 1, git.find_tree(entry.id())?));
            } else {
                found.insert(path, entry.id());
            }
        }
    }
    Ok(found)
}

/// The bytes of a file of a tree; `None` when it is not there.
pub(in crate::audit) fn bytes(
    git: &Repository,
    tree: &Tree<'_>,
    path: &str,
) -> Result<Option<Vec<u8>>, git2::Error> {
    match tree.get_path(std::path::Path::new(path)) {
        Ok(entry) => Ok(Some(git.find_blob(entry.id())?.content().to_vec())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
