//! The files around the one that is edited: what is open in the editor wins over what is on disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use lsp_types::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::loose::parse_loosely;
use crate::base::SourceFile;
use crate::language::{FileKind, Limits, source_from_bytes};
use crate::model::{ActionCatalog, YamlValue};
use crate::settings::Repository;

/// What stays as it is in the path of a `file:` URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A file that is open in the editor.
#[derive(Debug, Clone)]
pub(super) struct OpenFile {
    /// As the client names it.
    pub(super) uri: Uri,
    /// Which state of it this is.
    pub(super) version: i32,
    /// What the editor shows.
    pub(super) text: String,
}

/// The files that are open in the editor, by path.
pub(super) type OpenFiles = BTreeMap<PathBuf, OpenFile>;

/// The path of a URI; for what is no file (a new text without a name) the URI itself.
pub(super) fn path_of(uri: &Uri) -> PathBuf {
    let text = uri.as_str();
    let path = text.strip_prefix("file://").and_then(|rest| {
        // A host before the path is left out: `file://localhost/a` is `/a`.
        let path = &rest[rest.find('/')?..];
        let path = path.split(['?', '#']).next().unwrap_or_default();
        percent_decode_str(path).decode_utf8().ok()
    });
    PathBuf::from(path.as_deref().unwrap_or(text))
}

/// The URI of a file.
pub(super) fn uri_of(path: &Path) -> Option<Uri> {
    let path = path.to_str()?;
    Uri::from_str(&format!("file://{}", utf8_percent_encode(path, PATH))).ok()
}

/// What every analysis is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Project<'a> {
    /// What steps can use.
    pub(super) catalog: &'a ActionCatalog,
    /// The environment that runbooks are checked against.
    pub(super) environment: &'a str,
    /// The files that are open in the editor.
    pub(super) open: &'a OpenFiles,
    /// Where the other files are; `None` for a text outside any repository.
    pub(super) repository: Option<&'a Repository>,
}

impl Project<'_> {
    /// A file as the editor shows it, else as it is on disk; `None` when it cannot be read.
    pub(super) fn source(&self, path: &Path) -> Option<Arc<SourceFile>> {
        let shown = self.shown(path);
        if let Some(open) = self.open.get(path) {
            return Some(SourceFile::new(shown, open.text.as_str()));
        }
        let bytes = Repository::read(path).ok()?;
        source_from_bytes(&shown, bytes, &Limits::default()).ok()
    }

    /// A path as people see it.
    pub(super) fn shown(&self, path: &Path) -> String {
        match self.repository {
            Some(repository) => repository.shown(path),
            None => path.display().to_string(),
        }
    }

    /// The path that is shown as this.
    pub(super) fn path(&self, shown: &str) -> PathBuf {
        match self.repository {
            Some(repository) => repository.root().join(shown),
            None => PathBuf::from(shown),
        }
    }

    /// The file of a runbook.
    pub(super) fn runbook(&self, name: &str) -> Option<File> {
        self.file(&self.repository?.runbook_file(name))
    }

    /// The file of the environment that runbooks are checked against.
    pub(super) fn environment(&self) -> Option<File> {
        self.file(&self.repository?.environment_file(self.environment))
    }

    /// The text of the policy.
    pub(super) fn policy(&self) -> Option<Arc<SourceFile>> {
        self.source(&self.repository?.policy_file())
    }

    /// The names of the environments that were saved.
    pub(super) fn environments(&self) -> Vec<String> {
        let found = self.repository.map(Repository::environments);
        found.and_then(Result::ok).unwrap_or_default()
    }

    /// The names of the runbooks, those that were never saved included.
    pub(super) fn runbooks(&self) -> Vec<String> {
        let Some(repository) = self.repository else {
            return Vec::new();
        };
        let mut names = repository.runbooks().unwrap_or_default();
        for path in self.open.keys() {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if let Some(name) = stem
                && name != "policy"
                && *path == repository.runbook_file(name)
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What a file is: by its first key, else by its place.
    pub(super) fn kind(&self, path: &Path, text: &str) -> Option<FileKind> {
        let first = text
            .lines()
            .find(|line| !line.trim().is_empty() && !line.starts_with(['#', '-', '%']))
            .and_then(|line| line.split_once(':'))
            .map(|(key, _)| key.trim());
        let by_key = FileKind::ALL
            .into_iter()
            .find(|kind| first == Some(kind.key()));
        by_key.or_else(|| self.kind_by_place(path))
    }

    fn kind_by_place(&self, path: &Path) -> Option<FileKind> {
        let repository = self.repository?;
        let name = path.file_stem()?.to_str()?;
        if path == repository.policy_file() {
            Some(FileKind::Policy)
        } else if path == repository.environment_file(name) {
            Some(FileKind::Environment)
        } else if path == repository.runbook_file(name) {
            Some(FileKind::Runbook)
        } else {
            None
        }
    }

    fn file(&self, path: &Path) -> Option<File> {
        let source = self.source(path)?;
        Some(File {
            tree: parse_loosely(&source.text),
            source,
            path: path.to_owned(),
        })
    }
}

/// A file beside the one that is edited, as far as it can be understood.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it says.
    pub(super) source: Arc<SourceFile>,
    /// The tree of that.
    pub(super) tree: YamlValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_uris_are_each_others() {
        for path in ["/a/b.yaml", "/a b/ü#?.yaml", "/100%/x"] {
            let uri = uri_of(Path::new(path)).expect("a URI");
            assert_eq!(path_of(&uri), Path::new(path), "{}", uri.as_str());
        }
        let uri = |text| Uri::from_str(text).expect("a URI");
        assert_eq!(path_of(&uri("file://localhost/a")), Path::new("/a"));
        assert_eq!(
            path_of(&uri("untitled:Untitled-1")),
            Path::new("untitled:Untitled-1")
        );
    }
}
