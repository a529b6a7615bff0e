//! `runbook obligations`

use super::inbox::person;
use crate::base::Clock as _;
use crate::cli::args::ObligationsArgs;
use crate::cli::booth::{Booth, meant};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::Record;
use crate::report::{InboxReview, obligation_json, obligations_text};
use crate::settings::{SystemClock, VotingKeys};

pub(super) fn run(context: &Context, args: &ObligationsArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let keys = context.settings.voting_keys(None)?;
    let now = SystemClock.now();
    let reviews = owed(context, &record, &keys, !args.all)?;
    if context.out.is_json() {
        for review in &reviews {
            context.out.json(&obligation_json(review, now))?;
        }
        return Ok(ExitStatus::SUCCEEDED);
    }
    let text = obligations_text(&reviews, now, context.style());
    context.out.raw(text.as_bytes())?;
    Ok(ExitStatus::SUCCEEDED)
}

/// The reviews that emergency runs owe, and whether the person may make them: of runs that are over,
/// by a member of the role who did not start it.
pub(super) fn owed(
    context: &Context,
    record: &Record,
    keys: &VotingKeys,
    open_only: bool,
) -> Result<Vec<InboxReview>, CliError> {
    let mut reviews = Vec::new();
    for obligation in record.store.obligations(open_only)? {
        let run = meant(record, &obligation.run.to_string())?;
        let over = run.outcome.is_some();
        let booth = Booth::open(record, run)?;
        let me = person(context, &booth, keys);
        reviews.push(InboxReview {
            mine: over && obligation.closed.is_none() && booth.may_review(&me.name).is_ok(),
            typed: booth.places.prefix.clone(),
            obligation,
        });
    }
    Ok(reviews)
}
