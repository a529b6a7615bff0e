//! A policy file (`policy: v1`): read and kept now, enforced by a later issue.

use std::sync::Arc;

use indexmap::IndexMap;

use super::runbook::Risk;
use crate::base::{SourceFile, Span, Spanned};

/// Who may approve what.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The file it came from.
    pub source: Arc<SourceFile>,
    /// `people` by login name.
    pub people: IndexMap<String, PolicyPerson>,
    /// `roles` by name.
    pub roles: IndexMap<String, PolicyRole>,
    /// `risk`: which approval each risk asks for.
    pub risk: Vec<(Spanned<Risk>, RiskRule)>,
}

/// A person.
#[derive(Debug, Clone)]
pub struct PolicyPerson {
    /// Where the login name is written.
    pub span: Span,
    /// `name`: the full name.
    pub name: Option<Spanned<String>>,
    /// `contact`: e-mail or phone.
    pub contact: Option<Spanned<String>>,
    /// `ssh_keys`: public keys in OpenSSH form.
    pub ssh_keys: Vec<Spanned<String>>,
}

/// A role and who has it.
#[derive(Debug, Clone)]
pub struct PolicyRole {
    /// Where the name is written.
    pub span: Span,
    /// The members' login names.
    pub members: Vec<Spanned<String>>,
}

/// What a risk demands.
#[derive(Debug, Clone)]
pub struct RiskRule {
    /// `role` whose members may approve.
    pub role: Spanned<String>,
    /// `quorum`: how many distinct people. Default 1.
    pub quorum: u32,
}
