//! Rule: what answers an outage says how long that may take.

use super::codes;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics};
use crate::model::RunbookSeverity;

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    let runbook = whole.runbook;
    if let Some(severity) = &runbook.severity
        && severity.value <= RunbookSeverity::P1
        && runbook.objectives.rto.is_none()
    {
        diags.push(
            Diagnostic::note(
                codes::NO_OBJECTIVE,
                format!(
                    "`{}` answers an outage, but nothing says how long recovery may take",
                    runbook.name.value
                ),
            )
            .at(&runbook.source, severity.span, "no `objectives.rto`")
            .help("write e.g. `objectives: { rto: 15m }`; every run is measured against it"),
        );
    }
}
