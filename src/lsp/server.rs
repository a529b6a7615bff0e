//! The protocol: set up, questions, changes, the end.

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument, DidOpenTextDocument, Exit,
    LogMessage, Notification as _, PublishDiagnostics,
};
use lsp_types::request::{
    CodeActionRequest, Completion, DocumentSymbolRequest, GotoDefinition, HoverRequest, Initialize,
    RegisterCapability, Request as _, Shutdown,
};
use lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    DocumentSymbolResponse, InitializeParams, LogMessageParams, MessageType,
    PublishDiagnosticsParams, Uri,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::capabilities::{abilities, capabilities, watches_files};
use super::completion::{Abilities, completion};
use super::definition::definition;
use super::diagnostics::published;
use super::document::Document;
use super::fix::code_actions;
use super::hover::hover;
use super::position::{Encoding, Lines};
use super::project::{OpenFile, OpenFiles, Project, path_of};
use super::symbols::symbols;
use super::transport::{MALFORMED, connect};
use crate::base::Value;
use crate::model::ActionCatalog;
use crate::settings::Repository;

/// What the server knows before any file is opened.
#[derive(Debug)]
pub struct Knowledge {
    /// What steps can use.
    pub catalog: ActionCatalog,
    /// The environment that runbooks are checked against.
    pub environment: String,
}

/// How the conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum ServerEnd {
    /// The client shut the server down, then let it exit.
    Agreed,
    /// The client went away without a word.
    Abrupt,
}

/// Serves one client until it goes away.
pub fn serve(
    reader: impl BufRead + Send + 'static,
    writer: impl Write + Send + 'static,
    knowledge: Knowledge,
) -> ServerEnd {
    let (connection, writing) = connect(reader, writer);
    let mut server = Server::new(connection, knowledge);
    let end = server.run();
    drop(server);
    // What is written last must reach the client; that it may be gone already is its own affair.
    let _ = writing.join();
    end
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Running,
    ShutDown,
}

/// A request that cannot be answered.
struct Refusal {
    code: ErrorCode,
    message: String,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

pub(super) struct Server {
    connection: Connection,
    knowledge: Knowledge,
    open: OpenFiles,
    encoding: Encoding,
    abilities: Abilities,
    phase: Phase,
    /// Whether something changed since the findings were last told.
    stale: bool,
    next_id: i32,
}

impl Server {
    pub(super) fn new(connection: Connection, knowledge: Knowledge) -> Self {
        Self {
            connection,
            knowledge,
            open: OpenFiles::new(),
            encoding: Encoding::default(),
            abilities: Abilities::default(),
            phase: Phase::Fresh,
            stale: false,
            next_id: 0,
        }
    }

    pub(super) fn run(&mut self) -> ServerEnd {
        loop {
            // Findings are looked for when nothing else is waiting, so that fast typing costs one
            // check and not one per letter.
            let message = if self.stale {
                match self.connection.receiver.try_recv() {
                    Ok(message) => Some(message),
                    Err(error) if error.is_empty() => {
                        self.stale = false;
                        self.publish_all();
                        continue;
                    }
                    Err(_) => None,
                }
            } else {
                self.connection.receiver.recv().ok()
            };
            let ended = match message {
                None => true,
                Some(Message::Request(request)) => {
                    self.answer(request);
                    false
                }
                Some(Message::Notification(notification)) => {
                    let ended = notification.method == Exit::METHOD;
                    let method = notification.method.clone();
                    if catch_unwind(AssertUnwindSafe(|| self.notice(notification))).is_err() {
                        self.log(format!("runbook made a mistake in {method}"));
                    }
                    ended
                }
                Some(Message::Response(_)) => false,
            };
            if ended {
                return match self.phase {
                    Phase::ShutDown => ServerEnd::Agreed,
                    Phase::Fresh | Phase::Running => ServerEnd::Abrupt,
                };
            }
        }
    }

    fn send(&self, message: impl Into<Message>) {
        // A client that is gone shows as the end of what it sends.
        let _ = self.connection.sender.send(message.into());
    }

    fn answer(&mut self, request: Request) {
        let id = request.id.clone();
        let method = request.method.clone();
        // A mistake of ours in one answer must not end the editor's session.
        let answered = catch_unwind(AssertUnwindSafe(|| self.result(request)));
        let result = answered.unwrap_or_else(|_| {
            let message = format!("runbook made a mistake in {method}; please report it");
            Err(Refusal::new(ErrorCode::InternalError, message))
        });
        self.send(match result {
            Ok(value) => Response {
                id,
                response_result: Ok(value),
            },
            Err(refusal) => Response::new_err(id, refusal.code as i32, refusal.message),
        });
    }

    fn result(&mut self, request: Request) -> Result<Value, Refusal> {
        match (self.phase, request.method.as_str()) {
            (Phase::Fresh, Initialize::METHOD) => {
                let params: InitializeParams = read(request.params)?;
                return self.initialize(&params);
            }
            (Phase::Fresh, _) => {
                let code = ErrorCode::ServerNotInitialized;
                return Err(Refusal::new(code, "the first request must be `initialize`"));
            }
            (Phase::ShutDown, _) => {
                let code = ErrorCode::InvalidRequest;
                return Err(Refusal::new(code, "the server was shut down"));
            }
            (Phase::Running, Initialize::METHOD) => {
                let code = ErrorCode::InvalidRequest;
                return Err(Refusal::new(code, "`initialize` came before"));
            }
            (Phase::Running, _) => {}
        }
        let Request { method, params, .. } = request;
        match method.as_str() {
            Shutdown::METHOD => {
                self.phase = Phase::ShutDown;
                Ok(Value::Null)
            }
            HoverRequest::METHOD => {
                let params: lsp_types::HoverParams = read(params)?;
                let at = params.text_document_position_params;
                self.ask(&at.text_document.uri, |document| {
                    hover(document, at.position)
                })
            }
            Completion::METHOD => {
                let params: lsp_types::CompletionParams = read(params)?;
                let at = params.text_document_position;
                self.ask(&at.text_document.uri, |document| {
                    Some(completion(document, at.position, self.abilities))
                })
            }
            GotoDefinition::METHOD => {
                let params: lsp_types::GotoDefinitionParams = read(params)?;
                let at = params.text_document_position_params;
                self.ask(&at.text_document.uri, |document| {
                    definition(document, at.position, self.encoding)
                })
            }
            DocumentSymbolRequest::METHOD => {
                let params: lsp_types::DocumentSymbolParams = read(params)?;
                self.ask(&params.text_document.uri, |document| {
                    Some(DocumentSymbolResponse::Nested(symbols(document)))
                })
            }
            CodeActionRequest::METHOD => value_of(code_actions(&read(params)?)),
            _ => {
                let message = format!("there is no request `{method}` here");
                Err(Refusal::new(ErrorCode::MethodNotFound, message))
            }
        }
    }

    fn initialize(&mut self, params: &InitializeParams) -> Result<Value, Refusal> {
        let general = params.capabilities.general.as_ref();
        let offered = general.and_then(|general| general.position_encodings.as_deref());
        self.encoding = Encoding::choose(offered);
        self.abilities = abilities(&params.capabilities);
        self.phase = Phase::Running;
        if watches_files(&params.capabilities) {
            // Answered after `initialize` itself, since requests are sent in order.
            self.next_id = 1;
        }
        Ok(json!({
            "capabilities": value_of(capabilities(self.encoding))?,
            "serverInfo": { "name": "runbook", "version": env!("CARGO_PKG_VERSION") },
        }))
    }

    /// Puts a question to an open file; `null` for a file that is not ours.
    fn ask<R: Serialize>(
        &self,
        uri: &Uri,
        question: impl FnOnce(&Document<'_>) -> Option<R>,
    ) -> Result<Value, Refusal> {
        let path = path_of(uri);
        let Some(open) = self.open.get(&path) else {
            return Ok(Value::Null);
        };
        let repository = repository_of(&path);
        let project = self.project(repository.as_ref());
        let answer = Document::new(&path, &open.text, project, self.encoding)
            .and_then(|document| question(&document));
        value_of(answer)
    }

    fn project<'a>(&'a self, repository: Option<&'a Repository>) -> Project<'a> {
        Project {
            catalog: &self.knowledge.catalog,
            environment: &self.knowledge.environment,
            open: &self.open,
            repository,
        }
    }

    fn notice(&mut self, notification: Notification) {
        let Notification { method, params } = notification;
        if method == MALFORMED {
            return self.complain(&params);
        }
        if self.phase != Phase::Running {
            return;
        }
        match method.as_str() {
            "initialized" => self.watch_files(),
            DidOpenTextDocument::METHOD => {
                if let Some(params) = self.understand::<DidOpenTextDocumentParams>(&method, params)
                {
                    let document = params.text_document;
                    let open = OpenFile {
                        uri: document.uri.clone(),
                        version: document.version,
                        text: document.text,
                    };
                    self.open.insert(path_of(&document.uri), open);
                    self.stale = true;
                }
            }
            DidChangeTextDocument::METHOD => {
                if let Some(params) = self.understand(&method, params) {
                    self.change(params);
                }
            }
            DidCloseTextDocument::METHOD => {
                if let Some(params) = self.understand::<DidCloseTextDocumentParams>(&method, params)
                {
                    let uri = params.text_document.uri;
                    self.open.remove(&path_of(&uri));
                    self.publish(uri, None, Vec::new());
                    self.stale = true;
                }
            }
            DidChangeWatchedFiles::METHOD => self.stale = true,
            _ => {}
        }
    }

    fn change(&mut self, params: DidChangeTextDocumentParams) {
        let Some(open) = self.open.get_mut(&path_of(&params.text_document.uri)) else {
            return;
        };
        for change in params.content_changes {
            match change.range {
                None => open.text = change.text,
                Some(range) => {
                    let span = Lines::new(&open.text, self.encoding).span(range);
                    open.text
                        .replace_range(span.start..span.end().max(span.start), &change.text);
                }
            }
        }
        open.version = params.text_document.version;
        self.stale = true;
    }

    /// Asks the client to tell when files change that are not open.
    fn watch_files(&mut self) {
        if self.next_id == 0 {
            return;
        }
        let watchers = json!([{ "globPattern": "**/*.yaml" }]);
        self.send(Request {
            id: RequestId::from(self.next_id),
            method: RegisterCapability::METHOD.to_owned(),
            params: json!({ "registrations": [{
                "id": "files",
                "method": DidChangeWatchedFiles::METHOD,
                "registerOptions": { "watchers": watchers },
            }] }),
        });
        self.next_id += 1;
    }

    /// Tells the findings of all open files: a change in one can be felt in another.
    fn publish_all(&self) {
        for (path, open) in &self.open {
            let found = catch_unwind(AssertUnwindSafe(|| self.findings(path, open)));
            match found {
                Ok(found) => self.publish(open.uri.clone(), Some(open.version), found),
                Err(_) => self.log(format!("runbook made a mistake in {}", open.uri.as_str())),
            }
        }
    }

    fn findings(&self, path: &Path, open: &OpenFile) -> Vec<lsp_types::Diagnostic> {
        let repository = repository_of(path);
        let project = self.project(repository.as_ref());
        Document::new(path, &open.text, project, self.encoding)
            .map(|document| published(&document, self.encoding))
            .unwrap_or_default()
    }

    fn publish(&self, uri: Uri, version: Option<i32>, diagnostics: Vec<lsp_types::Diagnostic>) {
        let params = PublishDiagnosticsParams {
            uri,
            diagnostics,
            version,
        };
        let method = PublishDiagnostics::METHOD.to_owned();
        self.send(Notification::new(method, params));
    }

    fn log(&self, message: String) {
        let params = LogMessageParams {
            typ: MessageType::ERROR,
            message,
        };
        let method = LogMessage::METHOD.to_owned();
        self.send(Notification::new(method, params));
    }

    /// The parameters of a notification; what cannot be understood is told to people, since nobody
    /// waits for an answer.
    fn understand<P: DeserializeOwned>(&self, method: &str, params: Value) -> Option<P> {
        match serde_json::from_value(params) {
            Ok(params) => Some(params),
            Err(error) => {
                self.log(format!("{method} cannot be understood: {error}"));
                None
            }
        }
    }

    fn complain(&self, params: &Value) {
        let why = params
            .get("why")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let id = params.get("id").cloned();
        match id.and_then(|id| serde_json::from_value::<RequestId>(id).ok()) {
            Some(id) => self.send(Response::new_err(
                id,
                ErrorCode::InvalidRequest as i32,
                why.to_owned(),
            )),
            None => self.log(why.to_owned()),
        }
    }
}

fn repository_of(path: &Path) -> Option<Repository> {
    path.is_absolute()
        .then(|| Repository::find(path.parent()?).ok())
        .flatten()
}

fn read<P: DeserializeOwned>(params: Value) -> Result<P, Refusal> {
    serde_json::from_value(params)
        .map_err(|error| Refusal::new(ErrorCode::InvalidParams, error.to_string()))
}

fn value_of(answer: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(answer)
        .map_err(|error| Refusal::new(ErrorCode::InternalError, error.to_string()))
}
