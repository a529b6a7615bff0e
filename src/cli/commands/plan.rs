//! `runbook plan` and `runbook graph`

use serde_json::json;

use crate::base::canonical_json;
use crate::cli::args::{GraphArgs, GraphFormat, PlanArgs};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::workspace::Workspace;
use crate::plan::Plan;
use crate::report::{graph_dot, graph_mermaid, graph_svg, graph_text, plan_text};

pub(super) fn plan(context: &Context, args: &PlanArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let planned = workspace.plan(context, &args.runbook, &args.params)?;
    let plan = &planned.plan;
    if context.out.is_json() {
        // Canonical, so that two plans can be compared byte by byte.
        context.out.line(for_programs(plan)?)?;
    } else {
        let text = plan_text(plan, &plan.digest(), context.style());
        context.out.raw(text.as_bytes())?;
    }
    // The process ends now: taking a large plan apart piece by piece would only delay that.
    std::mem::forget(planned);
    Ok(ExitStatus::SUCCEEDED)
}

/// The plan as it is stored, and where it can no longer be undone.
fn for_programs(plan: &Plan) -> Result<String, CliError> {
    let mut value = serde_json::to_value(plan)
        .map_err(|error| CliError::bug(format!("a plan is not JSON: {error}")))?;
    value["points_of_no_return"] = plan
        .points_of_no_return()
        .iter()
        .map(|point| json!({ "step": point.step.as_str(), "reason": point.reason }))
        .collect();
    Ok(canonical_json(&value))
}

pub(super) fn graph(context: &Context, args: &GraphArgs) -> Result<ExitStatus, CliError> {
    let workspace = Workspace::open(context)?;
    let plan = workspace.plan(context, &args.runbook, &args.params)?.plan;
    let text = match args.format {
        GraphFormat::Unicode => graph_text(&plan, context.style()),
        GraphFormat::Dot => graph_dot(&plan),
        GraphFormat::Mermaid => graph_mermaid(&plan),
        GraphFormat::Svg => graph_svg(&plan),
    };
    if context.out.is_json() {
        context
            .out
            .json(&json!({ "runbook": args.runbook, "graph": text }))?;
        return Ok(ExitStatus::SUCCEEDED);
    }
    context.out.raw(text.as_bytes())?;
    if !text.ends_with('\n') {
        context.out.raw(b"\n")?;
    }
    Ok(ExitStatus::SUCCEEDED)
}
