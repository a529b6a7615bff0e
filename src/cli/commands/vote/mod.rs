//! `runbook approve`, `reject`, `withdraw` and `send-back`: a word for the engine that drives a run.

mod cast;
mod inputs;
mod refusal;
mod said;

pub(in crate::cli) use cast::seal;
use cast::{Say, cast};
pub(super) use cast::{new_id, signed};

use crate::base::StepId;
use crate::cli::args::{SendBackArgs, VoteArgs, WithdrawArgs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::event::Vote;

pub(super) fn vote(context: &Context, args: &VoteArgs, vote: Vote) -> Result<ExitStatus, CliError> {
    cast(
        context,
        &Say {
            vote,
            gate: &args.gate,
            comment: args.comment.clone(),
            to: None,
            inputs: &args.inputs,
            key: &args.key,
        },
    )
}

pub(super) fn withdraw(context: &Context, args: &WithdrawArgs) -> Result<ExitStatus, CliError> {
    cast(
        context,
        &Say {
            vote: Vote::Withdraw,
            gate: &args.gate,
            comment: args.comment.clone(),
            to: None,
            inputs: &[],
            key: &args.key,
        },
    )
}

pub(super) fn send_back(context: &Context, args: &SendBackArgs) -> Result<ExitStatus, CliError> {
    let to = StepId::parse(&args.to).map_err(|error| {
        CliError::from_error(ErrorKind::Usage, &error)
            .next(format!("runbook status {}", args.gate.run))
    })?;
    cast(
        context,
        &Say {
            vote: Vote::SendBack,
            gate: &args.gate,
            comment: Some(args.comment.clone()),
            to: Some(to),
            inputs: &[],
            key: &args.key,
        },
    )
}
