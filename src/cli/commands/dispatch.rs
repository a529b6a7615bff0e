//! From the parsed command to its file.

use super::{
    actions, audit, cancel, check, completions, exec, explain, inbox, init, logs, lsp, obligations,
    plan, repository, review, runs, schema, test, version, vote,
};
use crate::cli::args::Command;
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::ExitStatus;
use crate::event::Vote;

/// Runs the command.
pub(in crate::cli) fn dispatch(
    context: &Context,
    command: &Command,
) -> Result<ExitStatus, CliError> {
    match command {
        Command::Init => init::run(context),
        Command::List(args) => repository::list(context, args),
        Command::Show(args) => repository::show(context, args),
        Command::Check(args) => check::run(context, args),
        Command::Test(args) => test::run(context, args),
        Command::Plan(args) => plan::plan(context, args),
        Command::Graph(args) => plan::graph(context, args),
        Command::Exec(args) => exec::exec(context, args),
        Command::Resume(args) => exec::resume(context, args),
        Command::Inbox(args) => inbox::run(context, args),
        Command::Review(args) => review::run(context, args),
        Command::Approve(args) => vote::vote(context, args, Vote::Approve),
        Command::Reject(args) => vote::vote(context, args, Vote::Reject),
        Command::Withdraw(args) => vote::withdraw(context, args),
        Command::SendBack(args) => vote::send_back(context, args),
        Command::Obligations(args) => obligations::run(context, args),
        Command::Cancel(args) => cancel::run(context, args),
        Command::Runs(args) => runs::runs(context, args),
        Command::Status(args) => runs::status(context, args),
        Command::Logs(args) => logs::run(context, args),
        Command::Actions(args) => actions::run(context, args),
        Command::Schema(args) => schema::run(context, args),
        Command::Explain(args) => explain::run(context, args),
        Command::Lsp(_) => lsp::run(context),
        Command::Audit(args) => audit::run(context, args),
        Command::Completions(args) => completions::run(context, args),
        Command::Version => version::run(context),
    }
}
