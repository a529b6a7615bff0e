//! Mends what the checker has a suggestion for.

use std::collections::HashMap;

use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, Range, TextEdit,
    WorkspaceEdit,
};

use super::diagnostics::SOURCE;
use crate::base::{Diagnostic, Span, Value};

/// A part of a file, and what belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replacement {
    /// The part.
    pub(super) span: Span,
    /// What belongs there.
    pub(super) text: String,
}

/// What a finding says was meant, if it says so: "did you mean `x`?" about a name that stands in the
/// place that it points at.
pub(super) fn replacement(finding: &Diagnostic, file: &str, span: Span) -> Option<Replacement> {
    let meant = finding
        .help
        .as_deref()?
        .strip_prefix("did you mean `")?
        .split('`')
        .next()?;
    let written = file.get(span.start..span.end())?;
    let wrong = finding
        .message
        .split('`')
        .skip(1)
        .step_by(2)
        .find_map(|name| Some((name, word(written, name)?)));
    let (name, at) = wrong?;
    // "did you mean `params.x`?" about the `y` of `params.y` means the last segment, unless the
    // beginning itself is what is missing.
    let text = match meant.rsplit_once('.') {
        Some((parent, last)) if written[..at].ends_with(&format!("{parent}.")) => last,
        _ => meant,
    };
    // A reference as a whole was meant: what follows the name is part of the suggestion already.
    let len = match text.strip_prefix(name).is_none() && text.ends_with(&written[at..]) {
        true => written.len() - at,
        false => name.len(),
    };
    (text != name).then(|| Replacement {
        span: Span {
            start: span.start + at,
            len,
        },
        text: text.to_owned(),
    })
}

/// Where a name stands as a whole word.
fn word(text: &str, name: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    text.match_indices(name).map(|(at, _)| at).find(|at| {
        !name.is_empty()
            && !text[..*at].ends_with(part)
            && !text[at + name.len()..].starts_with(part)
    })
}

/// The fixes for the findings that the editor asks about. The findings carry them.
pub(super) fn code_actions(params: &CodeActionParams) -> Vec<CodeActionOrCommand> {
    let ours = |diagnostic: &&lsp_types::Diagnostic| diagnostic.source.as_deref() == Some(SOURCE);
    params
        .context
        .diagnostics
        .iter()
        .filter(ours)
        .filter_map(|diagnostic| {
            let fix = diagnostic.data.as_ref()?.get("fix")?;
            let range: Range = serde_json::from_value(fix.get("range")?.clone()).ok()?;
            let text = fix.get("text").and_then(Value::as_str)?;
            let edit = TextEdit::new(range, text.to_owned());
            // The type of the protocol's library, whose keys are compared by their text.
            #[expect(clippy::mutable_key_type, reason = "a URI never changes its text")]
            let changes = HashMap::from([(params.text_document.uri.clone(), vec![edit])]);
            Some(CodeActionOrCommand::CodeAction(CodeAction {
                title: format!("Write `{text}`"),
                kind: Some(CodeActionKind::QUICKFIX),
                diagnostics: Some(vec![diagnostic.clone()]),
                edit: Some(WorkspaceEdit::new(changes)),
                is_preferred: Some(true),
                ..CodeAction::default()
            }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, SourceFile};

    #[test]
    fn what_was_meant_takes_the_place_of_what_is_wrong() {
        for (file, message, help, mended) in [
            (
                "uses: wiat",
                "there is no action `wiat`",
                "did you mean `wait`?",
                "uses: wait",
            ),
            (
                "\"wiat\"",
                "there is no action `wiat`",
                "did you mean `wait`?",
                "\"wait\"",
            ),
            (
                "stpes",
                "a runbook has no key `stpes`",
                "did you mean `steps`? Permitted here: a",
                "steps",
            ),
            (
                "steps.befor.outputs.x",
                "there is no step `befor`",
                "did you mean `before`?",
                "steps.before.outputs.x",
            ),
            (
                "params.y",
                "the parameter `y` is not declared",
                "did you mean `params.x`?",
                "params.x",
            ),
            (
                "before.outputs.x",
                "nothing is named `before` here",
                "did you mean `steps.before.outputs.x`?",
                "steps.before.outputs.x",
            ),
            (
                "parms.x",
                "nothing is named `parms` here",
                "did you mean `params`?",
                "params.x",
            ),
        ] {
            let code = Code("RB0000");
            let span = Span {
                start: 0,
                len: file.len(),
            };
            let finding = Diagnostic::error(code, message)
                .at(&SourceFile::new("a", file), span, "")
                .help(help);
            let fix = replacement(&finding, file, span).expect(file);
            let mut text = file.to_owned();
            text.replace_range(fix.span.start..fix.span.end(), &fix.text);
            assert_eq!(text, mended);
            let other = Diagnostic::error(code, message).help("write something else");
            assert_eq!(replacement(&other, file, span), None);
        }
    }
}
