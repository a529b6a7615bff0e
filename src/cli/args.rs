//! The command line as it is typed. Only shapes: what commands do is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit::EXIT_CODES;
use super::output::{OutputFormat, Printer};
pub use super::vote_args::{
    GateArgs, InboxArgs, KeyArgs, ObligationsArgs, RemoteArgs, ReviewArgs, SendBackArgs, VoteArgs,
    WithdrawArgs,
};
use crate::base::{HumanDuration, parse_duration};
use crate::settings::Overrides;

const EXAMPLES: &str = "Examples:
  runbook list
  runbook plan service-restart
  runbook exec service-restart";

fn exit_codes() -> String {
    let codes = EXIT_CODES.map(|(code, meaning)| format!("\n  {code:>2}  {meaning}"));
    format!("{EXAMPLES}\n\nExit codes:{}", codes.concat())
}

/// Run runbooks: checked before they run, on record for ever
#[derive(Debug, Parser)]
#[command(
    name = "runbook",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = EXAMPLES,
    after_long_help = exit_codes()
)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct GlobalArgs {
    /// Environment to act on [default: $RUNBOOK_ENV, else local]
    #[arg(long, short, value_name = "NAME", global = true)]
    pub env: Option<String>,

    /// Work as if started in this folder
    #[arg(long, short = 'C', value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,

    /// Keep state in this directory [default: $RUNBOOK_STATE_DIR, else .runbook in the repository]
    #[arg(long, value_name = "DIR", global = true)]
    pub state_dir: Option<PathBuf>,

    /// Form of the data on standard output: text, or json (one value a line)
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        global = true
    )]
    pub output: OutputFormat,

    /// Say nothing but data and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// Use no colours
    #[arg(long, global = true)]
    pub no_color: bool,
}

impl GlobalArgs {
    /// What they say of the surroundings.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            directory: self.directory.clone(),
            state_dir: self.state_dir.clone(),
            environment: self.env.clone(),
            no_color: self.no_color,
        }
    }

    /// Where text goes.
    pub fn printer(&self) -> Printer {
        Printer {
            format: self.output,
            quiet: self.quiet,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create runbooks/ with a first runbook, an environment and a policy
    #[command(after_help = "Example:\n  mkdir ops && runbook -C ops init")]
    Init,

    /// List the runbooks
    #[command(after_help = "Example:\n  runbook list")]
    List(ListArgs),

    /// Show a runbook as it is written
    #[command(after_help = "Example:\n  runbook show service-restart")]
    Show(ShowArgs),

    /// Check runbooks, environments, the policy and the tests without running anything
    #[command(
        after_help = "Example:\n  runbook check\n  runbook check service-restart --env local\n  runbook check --deny warnings --format sarif > findings.sarif"
    )]
    Check(CheckArgs),

    /// Run the test files of runbooks in a simulator: nothing is performed
    #[command(
        after_help = "Example:\n  runbook test\n  runbook test service-restart --fault-sweep\n  runbook test --format junit > results.xml"
    )]
    Test(TestArgs),

    /// Show what would run, resolved, with its digest
    #[command(after_help = "Example:\n  runbook plan service-restart --param service=api")]
    Plan(PlanArgs),

    /// Draw the graph of a runbook
    #[command(
        after_help = "Example:\n  runbook graph service-restart\n  runbook graph service-restart --format svg > graph.svg"
    )]
    Graph(GraphArgs),

    /// Run a runbook
    #[command(
        after_help = "Example:\n  runbook exec service-restart\n  runbook exec service-restart --dry-run"
    )]
    Exec(ExecArgs),

    /// Go on with a run that no process drives
    #[command(after_help = "Example:\n  runbook resume latest")]
    Resume(ResumeArgs),

    /// List what waits for you: gates to vote on, runs to review
    #[command(after_help = "Example:\n  runbook inbox")]
    Inbox(InboxArgs),

    /// Show what a gate would let through, or close the review of an emergency run
    #[command(
        after_help = "Example:\n  runbook review latest\n  runbook review 01KB3Q7H --accept --comment \"it had to be done\""
    )]
    Review(ReviewArgs),

    /// Approve a gate of a waiting run
    #[command(
        after_help = "Example:\n  runbook approve latest --comment \"looked at the graphs\"\n  runbook approve latest --input window=10m"
    )]
    Approve(VoteArgs),

    /// Reject a gate of a waiting run: one no of somebody who may vote ends it
    #[command(after_help = "Example:\n  runbook reject latest --comment \"wrong service\"")]
    Reject(VoteArgs),

    /// Take your vote at a gate back
    #[command(after_help = "Example:\n  runbook withdraw latest")]
    Withdraw(WithdrawArgs),

    /// Undo a waiting run back to a step, and start again from there
    #[command(
        after_help = "Example:\n  runbook send-back latest --to before --comment \"measure again\""
    )]
    SendBack(SendBackArgs),

    /// List the reviews that emergency runs owe
    #[command(after_help = "Example:\n  runbook obligations --all")]
    Obligations(ObligationsArgs),

    /// End a run in good order
    #[command(after_help = "Example:\n  runbook cancel latest --reason \"wrong service\"")]
    Cancel(CancelArgs),

    /// List the runs, newest first
    #[command(after_help = "Example:\n  runbook runs --unfinished")]
    Runs(RunsArgs),

    /// Show how a run stands, step by step
    #[command(after_help = "Example:\n  runbook status latest")]
    Status(RunArgs),

    /// Print what the steps of a run printed
    #[command(after_help = "Example:\n  runbook logs latest restart")]
    Logs(LogsArgs),

    /// List or describe the actions that steps can use
    #[command(after_help = "Example:\n  runbook actions describe service.restart")]
    Actions(ActionsArgs),

    /// Print the JSON Schema of a kind of file, for editors
    #[command(after_help = "Example:\n  runbook schema runbook > runbook.schema.json")]
    Schema(SchemaArgs),

    /// Serve an editor: findings, completion and help as you type (Language Server Protocol)
    #[command(after_help = "Example:\n  runbook lsp --env staging")]
    Lsp(LspArgs),

    /// Explain the code of a finding
    #[command(after_help = "Example:\n  runbook explain RB0103")]
    Explain(ExplainArgs),

    /// Read, prove, export and restore the audit trail
    #[command(after_help = "Example:\n  runbook audit log")]
    Audit(AuditArgs),

    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  runbook completions bash > ~/.local/share/bash-completion/completions/runbook"
    )]
    Completions(CompletionsArgs),

    /// Print the version and the versions of what it stores
    #[command(after_help = "Example:\n  runbook version --output json")]
    Version,
}

/// `runbook completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `runbook lsp`
#[derive(Debug, Args)]
pub struct LspArgs {
    /// Over standard input and output: the only way there is, which many editors name
    #[arg(long, hide = true)]
    pub stdio: bool,
}

/// `runbook list`
#[derive(Debug, Args)]
pub struct ListArgs {}

/// `runbook show`
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Runbook to show
    pub runbook: String,
}

/// `runbook check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Runbooks to check [default: all, and the environments and the policy]
    pub runbooks: Vec<String>,

    /// Fail (exit code 3) also when there are findings of this level or above
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub deny: Option<DenyLevel>,

    /// How findings are written; `json` is the same as --output json
    #[arg(long, value_name = "FORM", value_enum)]
    pub format: Option<CheckFormat>,
}

/// From which level on findings make `check` fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DenyLevel {
    /// Errors and warnings
    Warnings,
    /// Every finding
    Notes,
}

/// How `check` writes its findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// With source lines, for people
    #[default]
    Human,
    /// One JSON value a line
    Json,
    /// SARIF 2.1.0, for code hosts and editors
    Sarif,
}

/// `runbook test`
#[derive(Debug, Default, Args)]
pub struct TestArgs {
    /// Tests to run: a name such as service-restart, or a file [default: all of runbooks/tests]
    #[arg(value_name = "NAME|FILE")]
    pub tests: Vec<String>,

    /// Only the case with this name
    #[arg(long, value_name = "NAME")]
    pub case: Option<String>,

    /// Let everything go wrong in turn, and prove that each run ends as it must
    #[arg(long)]
    pub fault_sweep: bool,

    /// Do twice what may be repeated, and prove that it is as if it had been done once
    #[arg(long)]
    pub repeat_sweep: bool,

    /// Form of the results: text, or junit (XML for CI systems)
    #[arg(
        long,
        value_name = "FORM",
        value_enum,
        default_value_t,
        hide_possible_values = true
    )]
    pub format: TestFormat,
}

/// The form of test results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// For people.
    #[default]
    Text,
    /// JUnit XML.
    Junit,
}

/// Values for a runbook's parameters.
#[derive(Debug, Args)]
pub struct ParamArgs {
    /// Value of a parameter; may be given several times
    #[arg(long = "param", short, value_name = "NAME=VALUE", value_parser = parse_param)]
    pub params: Vec<(String, String)>,

    /// YAML file with values of parameters; --param wins over it
    #[arg(long, value_name = "FILE")]
    pub param_file: Option<PathBuf>,
}

pub(super) fn parse_param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as NAME=VALUE, such as service=api".to_owned()),
    }
}

/// `runbook plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Runbook to plan
    pub runbook: String,

    /// Values for its parameters.
    #[command(flatten)]
    pub params: ParamArgs,
}

/// `runbook graph`
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// Runbook to draw
    pub runbook: String,

    /// How to draw it
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    pub format: GraphFormat,

    /// Values for its parameters.
    #[command(flatten)]
    pub params: ParamArgs,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Lines and boxes for the terminal
    #[default]
    Unicode,
    /// The language of Graphviz
    Dot,
    /// The language of Mermaid
    Mermaid,
    /// A picture
    Svg,
}

/// `runbook exec`
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Runbook to run
    pub runbook: String,

    /// Values for its parameters.
    #[command(flatten)]
    pub params: ParamArgs,

    /// Perform only the steps that read, and show what the others would do
    #[arg(long, conflicts_with = "detach")]
    pub dry_run: bool,

    /// Leave the run at its first gate instead of waiting for the approval
    #[arg(long)]
    pub detach: bool,

    /// Cast the starter's own vote at each gate; it counts where the policy lets the starter vote
    #[arg(long, short)]
    pub yes: bool,

    /// Person that a bot or a schedule starts the run for; as answerable for it as the starter
    #[arg(long, value_name = "PERSON", value_parser = word)]
    pub on_behalf_of: Option<String>,

    /// Break-glass: pass the gates without approval; somebody must review the run afterwards
    #[arg(long, requires = "reason", conflicts_with = "dry_run")]
    pub emergency: bool,

    /// Why the approval cannot be waited for; goes on record
    #[arg(long, value_name = "TEXT", requires = "emergency", value_parser = word)]
    pub reason: Option<String>,

    /// Most steps that run at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_parallel: u16,
}

/// A text that says something.
fn word(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is blank".to_owned()),
        word => Ok(word.to_owned()),
    }
}

/// `runbook resume`
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Run id, the start of one, or `latest`
    pub run: String,

    /// Leave the run at its next gate instead of waiting for the approval
    #[arg(long)]
    pub detach: bool,

    /// Cast your own vote at each gate
    #[arg(long, short)]
    pub yes: bool,

    /// Most steps that run at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub max_parallel: u16,
}

/// A run, as it is named on the command line.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run id, the start of one, or `latest`
    #[arg(default_value = "latest")]
    pub run: String,
}

/// `runbook cancel`
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Run id, the start of one, or `latest`
    pub run: String,

    /// Why; goes on record
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// `runbook runs`
#[derive(Debug, Args)]
pub struct RunsArgs {
    /// Only runs of this runbook
    pub runbook: Option<String>,

    /// Only runs that are not over
    #[arg(long)]
    pub unfinished: bool,

    /// Most runs to list, newest first
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// `runbook logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Run id, the start of one, or `latest`
    #[arg(default_value = "latest")]
    pub run: String,

    /// Only the log of this step
    pub step: Option<String>,
}

/// `runbook actions`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ActionsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<ActionsCommand>,
}

/// What can be asked of the actions.
#[derive(Debug, Subcommand)]
pub enum ActionsCommand {
    /// List the actions
    #[command(after_help = "Example:\n  runbook actions list")]
    List,
    /// Describe an action: its inputs, outputs, effect and examples
    #[command(after_help = "Example:\n  runbook actions describe service.restart")]
    Describe {
        /// Action to describe
        action: String,
    },
}

/// `runbook schema`
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// File kind whose JSON Schema to print
    #[arg(value_enum, required_unless_present = "write")]
    pub kind: Option<SchemaKind>,

    /// Write all schemas into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "kind")]
    pub write: Option<PathBuf>,
}

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// `runbooks/NAME.yaml`
    Runbook,
    /// `runbooks/environments/NAME.yaml`
    Environment,
    /// `runbooks/policy.yaml`
    Policy,
    /// `runbooks/tests/NAME.test.yaml`
    Test,
}

/// `runbook explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Code of a diagnostic, such as RB0103
    pub code: String,
}

/// `runbook audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What can be asked of the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Tell the story of the audit trail, newest first
    #[command(after_help = "Example:\n  runbook audit log -n 5")]
    Log {
        /// Only commits of this run
        run: Option<String>,
        /// Most commits to list
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Prove that the audit trail was not changed; exit code 9 and the first broken thing if it was
    #[command(
        after_help = "Example:\n  runbook audit verify\n  runbook audit verify --repository trail.git --allowed-signers keys --against COMMIT"
    )]
    Verify(AuditVerifyArgs),
    /// Write the trail and what is needed to check a run into a folder
    #[command(after_help = "Example:\n  runbook audit export latest --to proof")]
    Export(AuditExportArgs),
    /// Push the audit trail to its remote, and take over what other hosts pushed; never forced
    #[command(after_help = "Example:\n  runbook audit push --remote ssh://git@host/audit.git")]
    Push {
        /// Git URL or path [default: $RUNBOOK_AUDIT_REMOTE, else `audit.remote` of the policy]
        #[arg(long, value_name = "URL")]
        remote: Option<String>,
    },
    /// Put runs that the store lacks back from the audit trail
    #[command(after_help = "Example:\n  runbook audit restore")]
    Restore {
        /// The other way round: derive what the trail lacks from the store
        #[arg(long)]
        trail: bool,
    },
    /// Delete the full logs of old runs; journal and audit trail keep theirs
    #[command(after_help = "Example:\n  runbook audit prune --older-than 90d --dry-run")]
    Prune(AuditPruneArgs),
}

/// `runbook audit verify`
#[derive(Debug, Args)]
pub struct AuditVerifyArgs {
    /// Only this run [default: the whole trail]
    pub run: Option<String>,

    /// Commit that was its head once, and must be in it still
    #[arg(long, value_name = "COMMIT")]
    pub against: Option<String>,

    /// Repository whose every commit it must have
    #[arg(long, value_name = "PATH")]
    pub remote: Option<PathBuf>,

    /// Policy file that says whose signatures count [default: runbooks/policy.yaml]
    #[arg(long, value_name = "FILE", conflicts_with = "allowed_signers")]
    pub policy: Option<PathBuf>,

    /// File of `ssh-keygen -Y verify` that says whose signatures count; every commit must be signed
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,

    /// Check this clone of a trail, without the store
    #[arg(long, value_name = "PATH")]
    pub repository: Option<PathBuf>,

    /// Check a folder that `runbook audit export` wrote
    #[arg(long, value_name = "DIR", conflicts_with = "repository")]
    pub bundle: Option<PathBuf>,
}

/// `runbook audit export`
#[derive(Debug, Args)]
pub struct AuditExportArgs {
    /// Run id, the start of one, or `latest`
    pub run: String,

    /// Folder to write into; made when it is missing, else empty
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// `runbook audit prune`
#[derive(Debug, Args)]
pub struct AuditPruneArgs {
    /// Only runs that ended longer ago than this
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_age)]
    pub older_than: HumanDuration,

    /// Only say what would be deleted
    #[arg(long)]
    pub dry_run: bool,
}

fn parse_age(text: &str) -> Result<HumanDuration, String> {
    parse_duration(text)
        .map(HumanDuration)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn visit(command: &clap::Command, without: &mut Vec<String>) {
            for sub in command.get_subcommands() {
                let help = sub.get_after_help().map(ToString::to_string);
                let has_subcommands = sub.get_subcommands().next().is_some();
                if !has_subcommands && !help.unwrap_or_default().contains("Example") {
                    without.push(sub.get_name().to_owned());
                }
                visit(sub, without);
            }
        }
        let mut without = Vec::new();
        visit(&Cli::command(), &mut without);
        assert_eq!(without, Vec::<String>::new());
    }

    #[test]
    fn a_parameter_is_a_name_and_the_rest() {
        assert_eq!(parse_param("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(parse_param("a="), Ok(("a".to_owned(), String::new())));
        assert!(parse_param("a").is_err());
        assert!(parse_param("=b").is_err());
    }
}
