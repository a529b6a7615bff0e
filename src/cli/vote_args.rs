//! What a voter or reviewer types.

use std::path::PathBuf;

use clap::Args;

use super::args::parse_param;

/// A gate of a run, as it is named on the command line.
#[derive(Debug, Args)]
pub struct GateArgs {
    /// Run id, the start of one, or `latest`
    pub run: String,

    /// Gate [default: the only one that is open]
    pub gate: Option<String>,

    /// Where the run is.
    #[command(flatten)]
    pub remote: RemoteArgs,
}

/// Whether the run is on another machine.
#[derive(Debug, Default, Args)]
pub struct RemoteArgs {
    /// The run is another machine's: look at it and vote through the audit remote
    /// [default URL: $RUNBOOK_AUDIT_REMOTE, else `audit.remote` of the policy]
    #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub remote: Option<String>,
}

/// Which key speaks for the person.
#[derive(Debug, Default, Args)]
pub struct KeyArgs {
    /// SSH key to sign with [default: $RUNBOOK_SIGNING_KEY, else the key of ~/.ssh or of the SSH agent
    /// that the policy lists]
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// `runbook approve` and `runbook reject`
#[derive(Debug, Args)]
pub struct VoteArgs {
    /// Which gate.
    #[command(flatten)]
    pub gate: GateArgs,

    /// Why; goes on record
    #[arg(long, short, value_name = "TEXT")]
    pub comment: Option<String>,

    /// What the gate asks to be filled in; may be given several times
    #[arg(long = "input", value_name = "NAME=VALUE", value_parser = parse_param)]
    pub inputs: Vec<(String, String)>,

    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `runbook withdraw`
#[derive(Debug, Args)]
pub struct WithdrawArgs {
    /// Which gate.
    #[command(flatten)]
    pub gate: GateArgs,

    /// Why; goes on record
    #[arg(long, short, value_name = "TEXT")]
    pub comment: Option<String>,

    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `runbook send-back`
#[derive(Debug, Args)]
pub struct SendBackArgs {
    /// Which gate.
    #[command(flatten)]
    pub gate: GateArgs,

    /// Step to start again from; it and what came after it are undone first
    #[arg(long, value_name = "STEP")]
    pub to: String,

    /// Why; goes on record
    #[arg(long, short, value_name = "TEXT", value_parser = parse_comment)]
    pub comment: String,

    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `runbook review`
#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// Run id, the start of one, or `latest`
    #[arg(default_value = "latest")]
    pub run: String,

    /// Gate to look at [default: the only one that is open]
    #[arg(conflicts_with_all = ["accept", "object"])]
    pub gate: Option<String>,

    /// Close the review of an emergency run: it was right
    #[arg(long, requires = "comment", conflicts_with = "object")]
    pub accept: bool,

    /// Close the review of an emergency run: it was not right
    #[arg(long, requires = "comment")]
    pub object: bool,

    /// What you found; goes on record
    #[arg(long, short, value_name = "TEXT", value_parser = parse_comment)]
    pub comment: Option<String>,

    /// Where the run is.
    #[command(flatten)]
    pub remote: RemoteArgs,

    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `runbook inbox`
#[derive(Debug, Args)]
pub struct InboxArgs {
    /// Where the runs are.
    #[command(flatten)]
    pub remote: RemoteArgs,

    /// Which key.
    #[command(flatten)]
    pub key: KeyArgs,
}

/// `runbook obligations`
#[derive(Debug, Args)]
pub struct ObligationsArgs {
    /// Those that are closed too
    #[arg(long)]
    pub all: bool,
}

fn parse_comment(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say it in a few words".to_owned()),
        text => Ok(text.to_owned()),
    }
}
