//! `runbook review`: shows what a gate would let through, or closes the obligation of an emergency run.

use crate::base::{Clock as _, EventSeq};
use crate::cli::args::ReviewArgs;
use crate::cli::booth::{Booth, meant, plan_of};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::{Record, Recorder};
use crate::cli::remote_record::RemoteRecord;
use crate::cli::runtime::block_on;
use crate::cli::workspace::registry;
use crate::event::{
    Actor, EventKind, ReviewVerdict, RunEvent, RunStatus, SignedVote, VoteStatement,
};
use crate::plan::Plan;
use crate::report::{Review, ReviewInput, review_text, safe_text, was_approved};
use crate::run::GateView;
use crate::settings::{Identity, SystemClock};
use crate::store::{RunFilter, RunRecord, StoreError};

/// How many earlier runs are searched for one that people approved.
const SEARCHED: usize = 100;

pub(super) fn run(context: &Context, args: &ReviewArgs) -> Result<ExitStatus, CliError> {
    match (&args.comment, args.accept, args.object) {
        (Some(comment), true, _) => close(context, args, ReviewVerdict::Accept, comment),
        (Some(comment), _, true) => close(context, args, ReviewVerdict::Object, comment),
        (Some(_), false, false) => Err(CliError::new(
            ErrorKind::Usage,
            "a comment goes with --accept or --object",
        )
        .next(format!(
            "runbook review {} --accept --comment TEXT",
            args.run
        ))
        .next(format!(
            "or vote: runbook approve {} --comment TEXT",
            args.run
        ))),
        _ => show(context, args),
    }
}

fn show(context: &Context, args: &ReviewArgs) -> Result<ExitStatus, CliError> {
    let record = match &args.remote.remote {
        None => Record::open_to_read(&context.settings)?,
        Some(url) => {
            let remote = RemoteRecord::open(context, Some(url))?;
            remote.bring(meant(&remote.record, &args.run)?.id)?;
            remote.record
        }
    };
    let booth = Booth::open(&record, meant(&record, &args.run)?)?;
    let gate: Option<GateView> = match (&args.gate, booth.state.open_gates().len()) {
        // Without a gate the run as a whole is shown.
        (None, 0) => None,
        (wanted, _) => Some(booth.gate(wanted.as_deref(), "review")?),
    };
    let past = record.store.runs(&RunFilter {
        runbook: Some(booth.run.runbook.clone()),
        environment: Some(booth.run.environment.clone()),
        ..RunFilter::default()
    })?;
    let approved = last_approved(&record, &booth.run, &past)?;
    let now = SystemClock.now();
    let review = Review::of(&ReviewInput {
        run: &booth.run,
        state: &booth.state,
        events: &booth.events,
        gate: gate.as_ref(),
        approved: approved.as_ref().map(|(run, plan)| (*run, plan)),
        past: &past,
        places: &booth.places,
        now,
    });
    if context.out.is_json() {
        context.out.json(&review)?;
    } else {
        let text = review_text(&review, now, context.style());
        context.out.raw(text.as_bytes())?;
    }
    Ok(ExitStatus::SUCCEEDED)
}

/// The newest run before this one that people approved, with its plan.
fn last_approved<'a>(
    record: &Record,
    this: &RunRecord,
    past: &'a [RunRecord],
) -> Result<Option<(&'a RunRecord, Plan)>, CliError> {
    let earlier = past.iter().filter(|run| run.id < this.id);
    for run in earlier.take(SEARCHED) {
        if was_approved(&record.store.events_after(run.id, EventSeq(0))?) {
            return Ok(Some((run, plan_of(record, run.id)?)));
        }
    }
    Ok(None)
}

fn close(
    context: &Context,
    args: &ReviewArgs,
    verdict: ReviewVerdict,
    comment: &str,
) -> Result<ExitStatus, CliError> {
    // Nothing is created where nothing is recorded.
    Record::open_to_read(&context.settings)?;
    let root = context.settings.repository()?.root().to_path_buf();
    let recorder = Recorder::open(context, &root, registry()?)?;
    let closed = closed(context, args, &recorder.record, verdict, comment);
    // The trail catches up whatever happened; the first error is the one to tell.
    let audited = recorder.finish();
    let (booth, actor) = closed?;
    audited?;
    let prefix = &booth.places.prefix;
    if context.out.is_json() {
        context.out.json(&serde_json::json!({
            "run": booth.run.id, "verdict": verdict, "reviewer": actor.name,
            "signed": actor.verified, "comment": comment,
        }))?;
        return Ok(ExitStatus::SUCCEEDED);
    }
    context.out.line(format_args!(
        "{} the emergency run of {} ({prefix}) as {}",
        verdict.as_str(),
        safe_text(&booth.run.runbook),
        actor.name
    ))?;
    if !actor.verified {
        context.out.note(format_args!(
            "not signed: recorded on the word of {}, unverified",
            actor.host
        ));
    }
    Ok(ExitStatus::SUCCEEDED)
}

/// Records the review.
fn closed(
    context: &Context,
    args: &ReviewArgs,
    record: &Record,
    verdict: ReviewVerdict,
    comment: &str,
) -> Result<(Booth, Actor), CliError> {
    let booth = Booth::open(record, meant(record, &args.run)?)?;
    let people = booth.state.policy().map(|policy| &policy.people);
    let keys = context.settings.voting_keys(args.key.key.as_deref())?;
    let me = keys.identify(&context.settings.actor, people)?;
    allowed(&booth, &me)?;
    let now = SystemClock.now();
    let event = RunEvent {
        run: booth.run.id,
        seq: booth.state.last_seq().next(),
        at: now,
        event: EventKind::RunReviewed {
            actor: me.actor.clone(),
            verdict,
            comment: comment.to_owned(),
            signed: signed(&booth, &me, verdict, comment)?,
        },
    };
    let mut after = booth.state.clone();
    after
        .apply(&event)
        .map_err(|error| CliError::from_error(ErrorKind::Usage, &error))?;
    let appended = record.store.append(vec![event], RunStatus::Finished);
    let appended = block_on(async { Ok(appended.await) })?;
    match appended {
        Ok(()) => Ok((booth, me.actor)),
        Err(StoreError::Conflict { .. }) => Err(CliError::new(
            ErrorKind::Usage,
            format!(
                "somebody reviewed run {} at the same time",
                booth.places.prefix
            ),
        )
        .next(format!("runbook review {}", booth.places.prefix))),
        Err(error) => Err(error.into()),
    }
}

/// Whether this person may review this run now.
fn allowed(booth: &Booth, me: &Identity) -> Result<(), CliError> {
    let prefix = &booth.places.prefix;
    let refused = |why: String| {
        Err(CliError::new(ErrorKind::Usage, why).next(format!("runbook review {prefix}")))
    };
    if booth.state.emergency().is_none() {
        return refused(format!(
            "run {prefix} is no emergency run: it owes no review"
        ));
    }
    if booth.run.outcome.is_none() {
        return Err(CliError::new(
            ErrorKind::Usage,
            format!("run {prefix} is not over yet; it is reviewed afterwards"),
        )
        .next(format!("runbook status {prefix}")));
    }
    if booth.state.is_reviewed() {
        return refused(format!("run {prefix} has been reviewed already"));
    }
    if let Err(why) = booth.may_review(&me.actor.name) {
        return refused(why);
    }
    let policy = booth.state.policy();
    if policy.is_some_and(|policy| policy.require_signatures) && me.key.is_none() {
        return Err(CliError::new(
            ErrorKind::Usage,
            format!(
                "reviews of this run must be signed, and no key of `{}` that the policy lists was found",
                me.actor.name
            ),
        )
        .next(format!(
            "name your key: runbook review {prefix} --accept --comment TEXT --key FILE"
        )));
    }
    Ok(())
}

/// What the reviewer signs, if there is a key.
fn signed(
    booth: &Booth,
    me: &Identity,
    verdict: ReviewVerdict,
    comment: &str,
) -> Result<Option<Box<SignedVote>>, CliError> {
    let Some(key) = &me.key else { return Ok(None) };
    let now = SystemClock.now();
    let statement = VoteStatement {
        format: 1,
        id: super::vote::new_id(now),
        run: booth.run.id,
        runbook: booth.run.runbook.clone(),
        environment: booth.run.environment.clone(),
        gate: None,
        round: 1,
        plan_digest: booth.run.plan_digest,
        vote: None,
        verdict: Some(verdict),
        to: None,
        inputs: Default::default(),
        comment: Some(comment.to_owned()),
        voter: me.actor.name.clone(),
        at: now,
    };
    Ok(Some(super::vote::signed(key, &statement)?))
}
