//! The runbooks of a repository, each checked once, those that it runs before itself.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::{CheckedRunbook, check_one};
use super::codes;
use super::sub_runbook::{Callee, Callees, MAX_LEVELS};
use crate::base::{Code, Diagnostic, Diagnostics, SourceFile, did_you_mean};
use crate::model::{Action, ActionCatalog, Environment, Runbook};

use std::sync::Arc;

/// Runbooks by name. The caller reads their files: it inserts one, then as long as there is any those
/// that are [missing](Self::missing), then checks.
#[derive(Debug, Default)]
pub struct Runbooks {
    /// Those that exist, read or not.
    names: BTreeSet<String>,
    files: BTreeMap<String, File>,
    wanted: Vec<String>,
}

#[derive(Debug)]
enum File {
    /// It cannot be read, which was said.
    Unreadable,
    Decoded(Box<Runbook>),
    /// Being checked: a runbook that meets it runs itself.
    Open,
    Checked(Callee),
}

impl Runbooks {
    /// No runbook yet; these names exist.
    pub fn named(names: impl IntoIterator<Item = String>) -> Self {
        Self {
            names: names.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds a runbook by the name of its file; `None` when it could not be read, which is said in its
    /// own file. One that is there already stays.
    pub fn insert(&mut self, name: &str, runbook: Option<Runbook>) {
        if self.files.contains_key(name) {
            return;
        }
        self.names.insert(name.to_owned());
        let file = match runbook {
            None => File::Unreadable,
            Some(runbook) => {
                let called = runbook.calls().filter_map(Action::runbook);
                self.wanted.extend(called.map(str::to_owned));
                File::Decoded(Box::new(runbook))
            }
        };
        self.files.insert(name.to_owned(), file);
    }

    /// Whether a runbook of that name was inserted.
    pub fn contains(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// A runbook that exists, that another one runs, and that was not inserted yet.
    pub fn missing(&mut self) -> Option<String> {
        while let Some(name) = self.wanted.pop() {
            if self.names.contains(&name) && !self.files.contains_key(&name) {
                return Some(name);
            }
        }
        None
    }

    /// Checks a runbook and those that it runs, each once, however often this is called.
    ///
    /// `None` when there is no such runbook, or when one of them has an error.
    pub fn check(
        &mut self,
        name: &str,
        environment: Option<&Environment>,
        catalog: &ActionCatalog,
        diags: &mut Diagnostics,
    ) -> Option<CheckedRunbook> {
        Visit {
            runbooks: self,
            environment,
            catalog,
            path: Vec::new(),
        }
        .visit(name, diags)?
        .checked
    }
}

/// A walk from one runbook to those that it runs.
struct Visit<'r> {
    runbooks: &'r mut Runbooks,
    environment: Option<&'r Environment>,
    catalog: &'r ActionCatalog,
    /// The runbooks being checked, from the outermost to the innermost.
    path: Vec<String>,
}

impl Visit<'_> {
    fn visit(&mut self, name: &str, diags: &mut Diagnostics) -> Option<Callee> {
        let file = self.runbooks.files.get_mut(name)?;
        let runbook = match file {
            File::Unreadable | File::Open => return None,
            File::Checked(callee) => return Some(callee.clone()),
            File::Decoded(_) => match std::mem::replace(file, File::Open) {
                File::Decoded(runbook) => *runbook,
                _ => return None,
            },
        };
        self.path.push(name.to_owned());
        let callees = self.callees(&runbook, diags);
        self.path.pop();
        let (interface, checked) =
            check_one(runbook, &callees, self.environment, self.catalog, diags);
        let callee = Callee { interface, checked };
        let file = File::Checked(callee.clone());
        self.runbooks.files.insert(name.to_owned(), file);
        Some(callee)
    }

    fn callees(&mut self, runbook: &Runbook, diags: &mut Diagnostics) -> Callees {
        let mut callees = Callees::default();
        for action in runbook.calls() {
            let Some(name) = action.runbook() else {
                continue;
            };
            if callees.contains(name) {
                continue;
            }
            if diags.is_full() {
                // Looking for what is near thousands of misspelt names would take seconds.
                callees.insert(name, None);
                continue;
            }
            let callee = if let Some(at) = self.path.iter().position(|open| open == name) {
                diags.push(self.circle(at, name, &runbook.source, action));
                None
            } else if !self.runbooks.files.contains_key(name) {
                for action in runbook.calls().filter(|a| a.runbook() == Some(name)) {
                    diags.push(self.unknown(name, &runbook.source, action));
                }
                None
            } else if self.path.len() > MAX_LEVELS {
                diags.push(self.too_deep(name, &runbook.source, action));
                None
            } else {
                let callee = self.visit(name, diags);
                let levels = callee.as_ref().map_or(0, |c| c.interface.levels);
                if self.path.len() + levels > MAX_LEVELS {
                    diags.push(self.too_deep(name, &runbook.source, action));
                }
                callee
            };
            callees.insert(name, callee);
        }
        callees
    }

    fn circle(
        &self,
        at: usize,
        name: &str,
        source: &Arc<SourceFile>,
        action: &Action,
    ) -> Diagnostic {
        let message = format!(
            "a runbook runs itself: {} → {name}",
            self.path[at..].join(" → ")
        );
        at_call(codes::CALLS_ITSELF, message, source, action, "back to it")
            .help("a plan is made before it runs, so it cannot go round; use `for_each` or `retry` to do things again")
    }

    fn too_deep(&self, name: &str, source: &Arc<SourceFile>, action: &Action) -> Diagnostic {
        let message = format!(
            "runbooks run each other more than {MAX_LEVELS} deep: {} → {name} → ...",
            self.path.join(" → ")
        );
        at_call(codes::TOO_DEEP, message, source, action, "too deep")
            .help("run some of them from a runbook further up")
    }

    fn unknown(&self, name: &str, source: &Arc<SourceFile>, action: &Action) -> Diagnostic {
        let message = format!("there is no runbook `{name}`");
        let finding = at_call(
            codes::UNKNOWN_RUNBOOK,
            message,
            source,
            action,
            "unknown runbook",
        );
        let caller = self.path.last().map_or("", String::as_str);
        let known = self.runbooks.names.iter().map(String::as_str);
        match did_you_mean(name, known.filter(|known| *known != caller)) {
            Some(near) => finding.help(format!("did you mean `{}{near}`?", Action::RUNBOOK)),
            None => finding.help(format!(
                "write it to runbooks/{name}.yaml; see those there are with: runbook list"
            )),
        }
    }
}

/// A finding at the `uses` of a step.
fn at_call(
    code: Code,
    message: String,
    source: &Arc<SourceFile>,
    action: &Action,
    label: &str,
) -> Diagnostic {
    Diagnostic::error(code, message).at(source, action.uses.span, label)
}
