//! What the server offers, and what the client can do.

use lsp_types::{
    ClientCapabilities, CodeActionKind, CodeActionOptions, CodeActionProviderCapability,
    CompletionOptions, HoverProviderCapability, InsertTextMode, OneOf, ServerCapabilities,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions,
};

use super::completion::Abilities;
use super::position::Encoding;

/// What the server offers.
pub(super) fn capabilities(encoding: Encoding) -> ServerCapabilities {
    let letters = [".", ":", " ", "{"].map(str::to_owned);
    ServerCapabilities {
        position_encoding: Some(encoding.kind()),
        text_document_sync: Some(TextDocumentSyncCapability::Options(
            TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::INCREMENTAL),
                ..TextDocumentSyncOptions::default()
            },
        )),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some(letters.to_vec()),
            ..CompletionOptions::default()
        }),
        definition_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]),
            ..CodeActionOptions::default()
        })),
        ..ServerCapabilities::default()
    }
}

/// What the client can do with what it is given.
pub(super) fn abilities(client: &ClientCapabilities) -> Abilities {
    let item = client
        .text_document
        .as_ref()
        .and_then(|documents| documents.completion.as_ref())
        .and_then(|completion| completion.completion_item.as_ref());
    let snippets = item.and_then(|item| item.snippet_support) == Some(true);
    let as_is = item
        .and_then(|item| item.insert_text_mode_support.as_ref())
        .is_some_and(|modes| modes.value_set.contains(&InsertTextMode::AS_IS));
    Abilities {
        snippets: snippets && as_is,
    }
}

/// Whether the client tells of changes to files, when it is asked to.
pub(super) fn watches_files(client: &ClientCapabilities) -> bool {
    client
        .workspace
        .as_ref()
        .and_then(|workspace| workspace.did_change_watched_files.as_ref())
        .and_then(|watching| watching.dynamic_registration)
        == Some(true)
}
