//! The file that a question is about.

use std::path::Path;

use super::cursor::{Cursor, On, locate};
use super::expression::{self, Language};
use super::names::Names;
use super::position::{Encoding, Lines};
use super::project::Project;
use super::subject::Subject;
use crate::language::{FileKind, Form};

/// The file that a question is about.
pub(super) struct Document<'a> {
    /// Where it is.
    pub(super) path: &'a Path,
    /// What it says.
    pub(super) text: &'a str,
    /// What it is.
    pub(super) kind: FileKind,
    /// Its lines.
    pub(super) lines: Lines<'a>,
    /// What is around it.
    pub(super) project: Project<'a>,
}

impl<'a> Document<'a> {
    /// A file of a known kind; `None` for any other.
    pub(super) fn new(
        path: &'a Path,
        text: &'a str,
        project: Project<'a>,
        encoding: Encoding,
    ) -> Option<Self> {
        Some(Self {
            path,
            text,
            kind: project.kind(path, text)?,
            lines: Lines::new(text, encoding),
            project,
        })
    }

    /// What stands at a byte.
    pub(super) fn cursor(&self, offset: usize) -> Option<Cursor> {
        locate(self.text, offset)
    }

    /// What may stand where the cursor is: for a key, what its map may be.
    pub(super) fn subject(&self, cursor: &Cursor) -> Subject {
        Subject::at(self.kind, &cursor.tree, &cursor.path, self.project)
    }

    /// The names that an expression at the cursor can use.
    pub(super) fn names<'c>(&'c self, cursor: &'c Cursor) -> Names<'c> {
        Names::at(&cursor.tree, &cursor.path, self.project)
    }

    /// The reference at the cursor, when it stands in a template or a condition.
    pub(super) fn reference(
        &self,
        cursor: &Cursor,
        subject: &Subject,
    ) -> Option<(expression::Path, Language)> {
        if cursor.on != On::Value || self.kind == FileKind::Policy {
            return None;
        }
        let language = if expression::in_template(&cursor.text, cursor.at) {
            Language::Template
        } else if matches!(subject, Subject::Place(place) if place.form() == Form::Condition) {
            Language::Condition
        } else {
            return None;
        };
        expression::path_at(&cursor.text, cursor.at, language).map(|path| (path, language))
    }

    /// The last key of a path that is no index.
    pub(super) fn key(path: &[String]) -> &str {
        path.iter()
            .rev()
            .find(|name| !name.bytes().all(|b| b.is_ascii_digit()))
            .map_or("", String::as_str)
    }
}
