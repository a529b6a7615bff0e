//! A runbook file.

use std::sync::Arc;

use super::fields::Fields;
use super::head::{file_name, open_file};
use super::keys::RUNBOOK;
use super::param::read_params;
use super::reader::Reader;
use super::step::{Part, Seen, read_steps};
use super::verify::read_verify;
use crate::base::{Diagnostics, SourceFile, Span, Spanned};
use crate::model::{Objectives, OnCancel, OnFailure, Risk, Runbook, RunbookSeverity};

/// Reads a runbook.
///
/// Every mistake is added to `diags`. `Some` does not mean that there is none: it means that
/// everything that other parts may refer to (name, parameters, steps, outputs) could be read, so
/// that further checks make sense. Ask [`Diagnostics::has_errors`] before anything runs.
pub fn decode_runbook(source: &Arc<SourceFile>, diags: &mut Diagnostics) -> Option<Runbook> {
    let (mut reader, mut fields) = open_file(source, diags, "runbook", &RUNBOOK)?;
    let (r, f) = (&mut reader, &mut fields);
    // Everything is read before anything is given up, so that all mistakes show.
    let name = file_name(r, f, "name of a runbook");
    let title = r.text(f.take("title"));
    let description = r.text(f.take("description"));
    let owner = r.text(f.take("owner"));
    let severity = r.one_of(f.take("severity"), read_severity);
    let risk = r.one_of(f.take("risk"), read_risk);
    let reviewed = r.date(f.take("reviewed"));
    let objectives = read_objectives(r, f);
    let params = read_params(r, f.take("params"));
    let on_failure = r.one_of(f.take("on_failure"), |word| match word {
        "rollback" => Some(OnFailure::Rollback),
        "stop" => Some(OnFailure::Stop),
        _ => None,
    });
    let on_cancel = r.one_of(f.take("on_cancel"), |word| match word {
        "stop" => Some(OnCancel::Stop),
        "rollback" => Some(OnCancel::Rollback),
        _ => None,
    });
    let timeout = r.duration(f.take("timeout"));
    let mut seen = Seen::new();
    let steps = read_steps(r, f.take("steps"), Part::Steps, &mut seen);
    let verify = read_verify(r, f.take("verify"), &mut seen);
    let finally = match f.take("finally") {
        Some(field) => read_steps(r, Some(field), Part::Finally, &mut seen),
        None => Some(Vec::new()),
    };
    let outputs = r.values(f.take("outputs"), "name of an output");
    fields.done();
    Some(Runbook {
        source: Arc::clone(source),
        name: name?,
        title,
        description,
        owner,
        severity,
        risk: risk.unwrap_or_default(),
        reviewed,
        objectives,
        params: params?,
        on_failure: on_failure.unwrap_or(Spanned::new(OnFailure::default(), Span::default())),
        on_cancel: on_cancel.unwrap_or(Spanned::new(OnCancel::default(), Span::default())),
        timeout,
        steps: steps?,
        verify: verify?,
        finally: finally?,
        outputs: outputs?,
    })
}

fn read_severity(word: &str) -> Option<RunbookSeverity> {
    match word {
        "P0" => Some(RunbookSeverity::P0),
        "P1" => Some(RunbookSeverity::P1),
        "P2" => Some(RunbookSeverity::P2),
        "P3" => Some(RunbookSeverity::P3),
        _ => None,
    }
}

pub(super) fn read_risk(word: &str) -> Option<Risk> {
    match word {
        "low" => Some(Risk::Low),
        "medium" => Some(Risk::Medium),
        "high" => Some(Risk::High),
        _ => None,
    }
}

fn read_objectives(r: &mut Reader<'_>, f: &mut Fields) -> Objectives {
    let field = f.take("objectives");
    let Some(mut f) = r.object(field, &super::keys::OBJECTIVES) else {
        return Objectives::default();
    };
    let objectives = Objectives {
        rto: r.duration(f.take("rto")),
        rpo: r.duration(f.take("rpo")),
    };
    f.done();
    objectives
}
