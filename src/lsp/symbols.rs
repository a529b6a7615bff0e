//! The outline of a file: its parameters and steps, services and roles.

use lsp_types::{DocumentSymbol, SymbolKind};

use super::document::Document;
use super::loose::parse_loosely;
use super::tree::{entries, entry, get, items, text, text_at};
use crate::base::Span;
use crate::language::FileKind;
use crate::model::YamlValue;

/// The outline of a file, in its order.
pub(super) fn symbols(document: &Document<'_>) -> Vec<DocumentSymbol> {
    let tree = parse_loosely(document.text);
    let mut found = Vec::new();
    let sections: &[(&str, SymbolKind)] = match document.kind {
        FileKind::Runbook => &[
            ("params", SymbolKind::VARIABLE),
            ("steps", SymbolKind::FUNCTION),
            ("verify", SymbolKind::FUNCTION),
            ("finally", SymbolKind::FUNCTION),
            ("outputs", SymbolKind::FIELD),
        ],
        FileKind::Environment => &[
            ("vars", SymbolKind::VARIABLE),
            ("secrets", SymbolKind::KEY),
            ("services", SymbolKind::OBJECT),
            ("connections", SymbolKind::INTERFACE),
        ],
        FileKind::Policy => &[
            ("people", SymbolKind::OBJECT),
            ("roles", SymbolKind::CLASS),
            ("risk", SymbolKind::ENUM),
        ],
    };
    for (name, kind) in sections {
        let Some((span, value)) = entry(&tree, name) else {
            continue;
        };
        let named = entries(Some(value)).map(|(name, at, value)| {
            let detail = text_at(value, "type")
                .or_else(|| text_at(value, "provider"))
                .or_else(|| text_at(value, "kind"));
            symbol(document, name, detail, *kind, at, value)
        });
        let listed = items(Some(value))
            .iter()
            .filter_map(|step| self::step(document, step, *kind));
        let children: Vec<_> = named.chain(listed).collect();
        if !children.is_empty() {
            let mut section = symbol(document, name, None, SymbolKind::NAMESPACE, span, value);
            section.children = Some(children);
            found.push(section);
        }
    }
    found.sort_by_key(|symbol| symbol.range.start);
    found
}

fn step(document: &Document<'_>, step: &YamlValue, kind: SymbolKind) -> Option<DocumentSymbol> {
    let uses = text_at(step, "uses");
    let named = get(step, "id").or_else(|| get(step, "condition"))?;
    let mut found = symbol(document, text(named)?, uses, kind, named.span, step);
    if let Some((span, rollback)) = entry(step, "rollback") {
        let uses = text_at(rollback, "uses");
        let kind = SymbolKind::EVENT;
        found.children = Some(vec![symbol(
            document, "rollback", uses, kind, span, rollback,
        )]);
    }
    Some(found)
}

fn symbol(
    document: &Document<'_>,
    name: &str,
    detail: Option<&str>,
    kind: SymbolKind,
    at: Span,
    whole: &YamlValue,
) -> DocumentSymbol {
    // The protocol wants the name inside the whole.
    let start = at.start.min(whole.span.start);
    let end = at.end().max(whole.span.end());
    // The protocol's library keeps a field of old for those who fill all of them.
    #[expect(deprecated, reason = "the field must be given a value")]
    DocumentSymbol {
        name: if name.is_empty() { "?" } else { name }.to_owned(),
        detail: detail.map(str::to_owned),
        kind,
        tags: None,
        deprecated: None,
        range: document.lines.range(Span::between(start, end)),
        selection_range: document.lines.range(at),
        children: None,
    }
}
