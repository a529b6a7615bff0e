//! `runbook audit`

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::audit::{
    AuditEntry, AuditFilter, AuditTrail, Finding, Remote, Signer, Verification, VerifyOptions,
    export, log, prune, push, restore_store, unbundle, verify_trail,
};
use crate::base::{Clock as _, RunId, Timestamp};
use crate::cli::args::{AuditArgs, AuditCommand, AuditExportArgs, AuditPruneArgs, AuditVerifyArgs};
use crate::cli::audit_policy::{AuditPolicy, allowed_signers};
use crate::cli::context::Context;
use crate::cli::error::{CliError, ErrorKind};
use crate::cli::exit::ExitStatus;
use crate::cli::recorder::{Markdown, Record, layout};
use crate::cli::remote_record::remote_url;
use crate::report::safe_text;
use crate::settings::SystemClock;
use crate::store::{SqliteStore, StateLayout};

pub(super) fn run(context: &Context, args: &AuditArgs) -> Result<ExitStatus, CliError> {
    match &args.command {
        AuditCommand::Log { run, limit } => story(context, run.as_deref(), *limit),
        AuditCommand::Verify(args) => verify(context, args),
        AuditCommand::Export(args) => export_run(context, args),
        AuditCommand::Restore { trail } => match trail {
            true => restore_trail(context),
            false => restore(context),
        },
        AuditCommand::Prune(args) => prune_logs(context, args),
        AuditCommand::Push { remote } => push_trail(context, remote.as_deref()),
    }
}

fn push_trail(context: &Context, remote: Option<&str>) -> Result<ExitStatus, CliError> {
    let settings = &context.settings;
    let layout = layout(settings)?;
    if !layout.audit_git().exists() {
        return Err(
            CliError::new(ErrorKind::Usage, "there is no audit trail to push yet")
                .next("runbook exec RUNBOOK"),
        );
    }
    let url = remote_url(context, remote)?;
    let policy = match settings.repository() {
        Ok(repository) => AuditPolicy::read(&repository.policy_file())?.unwrap_or_default(),
        Err(_) => AuditPolicy::default(),
    };
    let key = policy.host_key(context)?;
    let remote = Remote::new(&url, settings.terminal.can_ask);
    let report = push(
        &layout.audit_git(),
        &remote,
        &settings.actor.host,
        key.as_ref(),
    )?;
    if context.out.is_json() {
        context.out.json(&json!({
            "remote": url,
            "pushed": report.pushed,
            "fetched": report.fetched,
            "merged": report.merged,
        }))?;
        return Ok(ExitStatus::SUCCEEDED);
    }
    let commits = |n: usize| match n {
        1 => "1 commit".to_owned(),
        n => format!("{n} commits"),
    };
    let joined = if report.merged {
        ", joined with those of other hosts"
    } else {
        ""
    };
    context.out.line(format_args!(
        "pushed {}, took over {}{joined}",
        commits(report.pushed),
        commits(report.fetched)
    ))?;
    Ok(ExitStatus::SUCCEEDED)
}

fn story(context: &Context, run: Option<&str>, limit: u32) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let filter = AuditFilter {
        run: run.map(|run| record.store.find_run(run)).transpose()?,
        limit: usize::try_from(limit).ok(),
    };
    let entries = log(&record.layout.audit_git(), &filter)?;
    for entry in &entries {
        if context.out.is_json() {
            context.out.json(&entry_json(entry))?;
        } else {
            context.out.line(format_args!(
                "{}  {}  {}",
                entry.at.to_utc().format("%Y-%m-%d %H:%M:%S"),
                &entry.commit[..entry.commit.len().min(10)],
                safe_text(&entry.subject),
            ))?;
        }
    }
    if entries.is_empty() {
        context.out.note("the audit trail is empty");
    }
    Ok(ExitStatus::SUCCEEDED)
}

fn entry_json(entry: &AuditEntry) -> serde_json::Value {
    json!({
        "commit": entry.commit,
        "at": entry.at,
        "subject": entry.subject,
        "author": entry.author,
        "run": entry.run,
        "runbook": entry.runbook,
        "environment": entry.environment,
        "plan_digest": entry.plan_digest,
        "last_seq": entry.last_seq,
    })
}

fn verify(context: &Context, args: &AuditVerifyArgs) -> Result<ExitStatus, CliError> {
    // Kept to the end: a bundle is taken apart in it.
    let aside = tempfile::tempdir().map_err(|error| {
        CliError::new(ErrorKind::Failed, "cannot make a temporary folder").because(&error)
    })?;
    let mut options = signers(context, args)?;
    options.against = args.against.clone();
    options.remote = args.remote.clone();
    let report = match (&args.bundle, &args.repository) {
        (Some(bundle), _) => {
            options.run = args.run.as_deref().map(full_id).transpose()?;
            options.against = options.against.or_else(|| noted_head(bundle));
            let trail = aside.path().join("trail.git");
            unbundle(&bundle.join("trail.bundle"), &trail)?;
            verify_trail(&trail, &options, None)?
        }
        (None, Some(path)) => {
            options.run = args.run.as_deref().map(full_id).transpose()?;
            verify_trail(path, &options, None)?
        }
        (None, None) => {
            let record = Record::open_to_read(&context.settings)?;
            options.run = match &args.run {
                Some(run) => Some(record.store.find_run(run)?),
                None => None,
            };
            let path = record.layout.audit_git();
            verify_trail(&path, &options, Some(record.store.as_ref()))?
        }
    };
    tell(context, &report)
}

/// Whose signatures count: as the command line says, else as the policy of the repository says.
fn signers(context: &Context, args: &AuditVerifyArgs) -> Result<VerifyOptions, CliError> {
    let bundled = args.bundle.as_ref().map(|dir| dir.join("allowed_signers"));
    let file = args.allowed_signers.clone();
    if let Some(path) = file.or(bundled.filter(|_| args.policy.is_none())) {
        let signers = allowed_signers(&path)?;
        return Ok(VerifyOptions {
            require_signatures: !signers.is_empty(),
            signers,
            ..VerifyOptions::default()
        });
    }
    let policy = match &args.policy {
        Some(path) => Some(AuditPolicy::read(path)?.ok_or_else(|| {
            CliError::new(
                ErrorKind::Usage,
                format!("there is no file {}", path.display()),
            )
            .next("name a file that is there: --policy FILE")
        })?),
        // Another clone may be checked far from any repository with runbooks.
        None => match context.settings.repository() {
            Ok(repository) => AuditPolicy::read(&repository.policy_file())?,
            Err(_) => None,
        },
    };
    Ok(match policy {
        None => VerifyOptions::default(),
        Some(policy) => VerifyOptions {
            signers: policy.signers,
            require_signatures: policy.require_signatures,
            people: Some(policy.people),
            ..VerifyOptions::default()
        },
    })
}

fn noted_head(bundle: &Path) -> Option<String> {
    let text = std::fs::read_to_string(bundle.join("HEAD.txt")).ok()?;
    Some(text.trim().to_owned())
}

/// Without a store, nothing says which id a prefix is the start of.
fn full_id(text: &str) -> Result<RunId, CliError> {
    text.parse().map_err(|_| {
        CliError::new(ErrorKind::Usage, format!("`{text}` is no whole run id"))
            .next("without the store the id must be whole: its 26 characters")
    })
}

fn tell(context: &Context, report: &Verification) -> Result<ExitStatus, CliError> {
    let status = match report.findings.is_empty() {
        true => ExitStatus::SUCCEEDED,
        false => ExitStatus::RECORD,
    };
    if context.out.is_json() {
        let list = |findings: &[Finding]| -> Vec<serde_json::Value> {
            findings
                .iter()
                .map(|finding| {
                    json!({
                        "run": finding.run,
                        "commit": finding.commit,
                        "message": finding.message,
                    })
                })
                .collect()
        };
        context.out.json(&json!({
            "proven": report.findings.is_empty(),
            "head": report.head,
            "commits": report.commits,
            "signed_commits": report.signed_commits,
            "runs": report.runs,
            "events": report.events,
            "votes": report.votes,
            "signed_votes": report.signed_votes,
            "findings": list(&report.findings),
            "notes": list(&report.notes),
        }))?;
        return Ok(status);
    }
    for finding in &report.findings {
        context
            .out
            .line(format_args!("broken: {}", safe_text(&finding.to_string())))?;
    }
    for note in &report.notes {
        context
            .out
            .line(format_args!("note: {}", safe_text(&note.to_string())))?;
    }
    context.out.line(format_args!(
        "{}: {} ({} signed), {}, {}, {} ({} signed)",
        match report.findings.len() {
            0 => "proven".to_owned(),
            1 => "not proven, 1 thing is broken".to_owned(),
            n => format!("not proven, {n} things are broken"),
        },
        count(report.commits, "commit"),
        report.signed_commits,
        count(report.runs, "run"),
        count(report.events, "event"),
        count(report.votes, "vote"),
        report.signed_votes,
    ))?;
    if let Some(head) = &report.head {
        context.out.note(format_args!(
            "to notice later that the end was cut off, note the head elsewhere: runbook audit verify --against {head}"
        ));
    }
    Ok(status)
}

fn export_run(context: &Context, args: &AuditExportArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let run = record.store.find_run(&args.run)?;
    let policy = match context.settings.repository() {
        Ok(repository) => AuditPolicy::read(&repository.policy_file())?.unwrap_or_default(),
        Err(_) => AuditPolicy::default(),
    };
    let signers: Vec<Signer> = policy.signers;
    let path = record.layout.audit_git();
    let exported = export(&path, run, &signers, &args.to)?;
    let shown: Vec<String> = exported
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    if context.out.is_json() {
        context.out.json(&json!({
            "run": run, "head": exported.head, "files": shown,
        }))?;
    } else {
        for file in shown {
            context.out.line(file)?;
        }
        let to = args.to.display();
        context.out.note(format_args!(
            "check it anywhere with: runbook audit verify --bundle {to}; without runbook: {to}/VERIFY.md"
        ));
    }
    Ok(ExitStatus::SUCCEEDED)
}

fn restore(context: &Context) -> Result<ExitStatus, CliError> {
    let layout = layout(&context.settings)?;
    let trail = existing_trail(&layout)?;
    let store = SqliteStore::open(layout.root())?;
    let restored = restore_store(&trail, &store)?;
    if context.out.is_json() {
        context.out.json(&json!({
            "added": restored.added, "present": restored.present,
        }))?;
    } else {
        context.out.line(format_args!(
            "{} put back from the audit trail, {} there already",
            count(restored.added.len(), "run"),
            restored.present
        ))?;
    }
    Ok(ExitStatus::SUCCEEDED)
}

fn existing_trail(layout: &StateLayout) -> Result<PathBuf, CliError> {
    let path = layout.audit_git();
    if path.exists() {
        return Ok(path);
    }
    Err(CliError::new(
        ErrorKind::Usage,
        format!("there is no audit trail at {}", path.display()),
    )
    .next(format!("git clone --bare REMOTE {}", path.display())))
}

fn restore_trail(context: &Context) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_ask(&context.settings)?;
    let policy = match context.settings.repository() {
        Ok(repository) => AuditPolicy::read(&repository.policy_file())?.unwrap_or_default(),
        Err(_) => AuditPolicy::default(),
    };
    let key = policy.host_key(context)?;
    let mut trail = AuditTrail::open(&record.layout.audit_git())?.signed_by(key);
    let commits = trail.restore(record.store.as_ref(), &record.layout.logs_root(), &Markdown)?;
    if context.out.is_json() {
        context.out.json(&json!({ "commits": commits }))?;
    } else {
        context.out.line(format_args!(
            "{} derived from the journal",
            count(commits, "commit")
        ))?;
    }
    Ok(ExitStatus::SUCCEEDED)
}

fn prune_logs(context: &Context, args: &AuditPruneArgs) -> Result<ExitStatus, CliError> {
    let record = Record::open_to_read(&context.settings)?;
    let now = SystemClock.now();
    let age = i64::try_from(args.older_than.0.as_millis()).unwrap_or(i64::MAX);
    let before = Timestamp::from_unix_millis(now.unix_millis().saturating_sub(age));
    let logs = record.layout.logs_root();
    let pruned = prune(record.store.as_ref(), &logs, before, args.dry_run)?;
    let bytes: u64 = pruned.iter().map(|run| run.bytes).sum();
    if context.out.is_json() {
        let ids: Vec<RunId> = pruned.iter().map(|run| run.run).collect();
        context.out.json(&json!({
            "runs": ids, "bytes": bytes, "dry_run": args.dry_run,
        }))?;
        return Ok(ExitStatus::SUCCEEDED);
    }
    let would = if args.dry_run {
        "would delete"
    } else {
        "deleted"
    };
    context.out.line(format_args!(
        "{would} the logs of {}, {bytes} bytes; what the trail keeps of them stays",
        count(pruned.len(), "run")
    ))?;
    Ok(ExitStatus::SUCCEEDED)
}

fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
