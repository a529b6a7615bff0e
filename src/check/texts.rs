//! Each text is parsed once, however often it is written or looked at; and where its parts stand.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::base::{SourceFile, Span};
use crate::language::{Condition, ExprError, Template, TextPlaces};

/// The parsed texts of a runbook, kept for the planner.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    templates: HashMap<String, Result<Template, ExprError>>,
    conditions: HashMap<String, Result<Condition, ExprError>>,
}

impl Texts {
    /// The template that a text is.
    pub(crate) fn template(&mut self, text: &str) -> Result<Template, ExprError> {
        if !Template::is_in(text) {
            return Template::parse(text);
        }
        if let Some(known) = self.templates.get(text) {
            return known.clone();
        }
        let parsed = Template::parse(text);
        self.templates.insert(text.to_owned(), parsed.clone());
        parsed
    }

    /// The template that a text is, if it was looked at before and was good.
    pub(crate) fn known_template(&self, text: &str) -> Option<&Template> {
        if !Template::is_in(text) {
            return None;
        }
        self.templates.get(text)?.as_ref().ok()
    }

    /// The condition that a text is.
    pub(crate) fn condition(&mut self, text: &str) -> Result<Condition, ExprError> {
        if let Some(known) = self.conditions.get(text) {
            return known.clone();
        }
        let parsed = Condition::parse(text);
        self.conditions.insert(text.to_owned(), parsed.clone());
        parsed
    }
}

/// A text in a file: enough to point at a part of it.
#[derive(Clone, Copy)]
pub(crate) struct TextAt<'a> {
    pub(crate) source: &'a Arc<SourceFile>,
    pub(crate) text: &'a str,
    pub(crate) content_offset: Option<usize>,
    pub(crate) span: Span,
}

impl<'a> TextAt<'a> {
    /// The places of all parts of the text, for more than one of them.
    pub(crate) fn places(&self) -> TextPlaces<'a> {
        TextPlaces::new(self.source, self.text, self.content_offset, self.span)
    }

    /// The place of a part of the text; of the whole text when no part is named.
    pub(crate) fn place(&self, range: Option<&Range<usize>>) -> Span {
        range.map_or(self.span, |range| self.places().of(range))
    }
}
