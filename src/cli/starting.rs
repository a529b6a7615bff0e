//! What is found out about a run before it starts: who answers for it, and whether the policy lets it.

use super::args::ExecArgs;
use super::context::Context;
use super::error::{CliError, ErrorKind};
use super::workspace::Workspace;
use crate::audit::{FileChange, last_change};
use crate::base::{Clock as _, Timestamp, did_you_mean};
use crate::engine::Start;
use crate::event::{Emergency, LastChange};
use crate::plan::{Plan, PlanEmergency, PlanPolicy};
use crate::report::shell_word;
use crate::run::{Hold, hold};
use crate::settings::SystemClock;

/// What is known of the run at its start.
///
/// # Errors
/// When the policy does not allow this run, or not now; nothing was started.
pub(super) fn starting(
    context: &Context,
    workspace: &Workspace,
    plan: &Plan,
    args: &ExecArgs,
) -> Result<Start, CliError> {
    let now = SystemClock.now();
    let starter = &context.settings.actor.name;
    let policy = plan.policy.as_deref();
    let changed_by = changed_by(context, workspace, plan)?;
    let on_behalf_of = on_behalf_of(context, policy, args)?;
    let emergency = match (&args.reason, args.emergency) {
        (Some(reason), true) => Some(emergency(plan, starter, reason, now)?),
        _ => None,
    };
    if emergency.is_none() {
        // A plan without a gate changes nothing where the policy rules.
        if let Some(policy) = policy.filter(|_| !plan.gates().is_empty())
            && let Some(hold) = hold(policy, now)
        {
            return Err(held(plan, policy, &hold));
        }
        let author = changed_by.as_ref().and_then(|c| c.person.as_deref());
        let refusal = plan.start_refusal(starter, on_behalf_of.as_deref(), author);
        if let Some(refusal) = refusal {
            let error = CliError::from_error(ErrorKind::Rejected, &refusal);
            return Err(refusal.advice.into_iter().fold(error, CliError::next));
        }
    }
    Ok(Start {
        on_behalf_of,
        changed_by,
        emergency,
    })
}

/// The person that the run is started for. Whoever's key would sign the votes of this command is as
/// answerable as its login name, or one person could start a run and pass its gates alone.
fn on_behalf_of(
    context: &Context,
    policy: Option<&PlanPolicy>,
    args: &ExecArgs,
) -> Result<Option<String>, CliError> {
    let given = args.on_behalf_of.clone();
    let Some(policy) = policy else {
        return Ok(given);
    };
    if let Some(given) = &given
        && !policy.people.contains_key(given)
    {
        // Somebody whom no rule names cannot vote anyway; a misspelt voter could.
        let lower = given.trim().to_lowercase();
        let names = policy.people.keys().map(String::as_str);
        let by_contact = policy.people.iter().find(|(_, person)| {
            let told = [&person.contact, &person.name];
            told.into_iter()
                .flatten()
                .any(|told| told.trim().eq_ignore_ascii_case(&lower))
        });
        let near = by_contact.map(|(name, _)| name.as_str());
        if let Some(near) = near.or_else(|| did_you_mean(&lower, names)) {
            return Err(CliError::new(
                ErrorKind::Usage,
                format!("the policy knows nobody by the login name `{given}`"),
            )
            .next(format!("did you mean `{near}`? --on-behalf-of {near}")));
        }
    }
    let settings = &context.settings;
    let keys = settings.voting_keys(None)?;
    // A key that the policy does not list speaks for nobody.
    let me = keys.identify(&settings.actor, Some(&policy.people)).ok();
    let holder = me
        .map(|me| me.actor.name)
        .filter(|name| *name != settings.actor.name);
    match (given, holder) {
        (Some(given), Some(holder)) if given != holder => Err(CliError::new(
            ErrorKind::Usage,
            format!("you hold the key of {holder}, and start this run for {given}"),
        )
        .next(format!(
            "runbook exec {} --on-behalf-of {holder}",
            args.runbook
        ))
        .next("or start it without the key, so that it is plain who answers for it")),
        (given, holder) => Ok(given.or(holder)),
    }
}

fn emergency(
    plan: &Plan,
    starter: &str,
    reason: &str,
    now: Timestamp,
) -> Result<Emergency, CliError> {
    let environment = &plan.environment.name;
    let Some(policy) = plan.policy.as_deref() else {
        return Err(CliError::new(
            ErrorKind::Usage,
            format!("the environment `{environment}` is not protected, so there is nothing for an emergency to pass"),
        )
        .next("leave out --emergency and --reason"));
    };
    let Some(rule) = &policy.emergency else {
        return Err(CliError::new(
            ErrorKind::Rejected,
            format!("the policy allows no emergency runs in `{environment}`"),
        )
        .next(format!(
            "name who may start one: `emergency` in {}",
            policy.file
        )));
    };
    if !rule.members.iter().any(|member| member == starter) {
        return Err(not_allowed(starter, rule));
    }
    Ok(Emergency {
        reason: reason.to_owned(),
        review: rule.review.clone(),
        review_by: now.plus(rule.review_within.0),
    })
}

fn not_allowed(starter: &str, rule: &PlanEmergency) -> CliError {
    let error = CliError::new(
        ErrorKind::Rejected,
        format!("`{starter}` may not start an emergency run"),
    );
    match rule.members.is_empty() {
        true => {
            error.next("nobody may: give somebody the role that `emergency` of the policy names")
        }
        false => error.next(format!("ask somebody who may: {}", rule.members.join(", "))),
    }
}

fn held(plan: &Plan, policy: &PlanPolicy, hold: &Hold) -> CliError {
    let until = match hold.until {
        Some(until) => format!("until {until}"),
        None => "and no end of that is known".to_owned(),
    };
    let error = CliError::new(
        ErrorKind::Rejected,
        format!(
            "no change may be made in `{}` now: {} {until}",
            plan.environment.name, hold.reason
        ),
    );
    match policy.emergency {
        None => error,
        Some(_) => error.next(format!(
            "if it cannot wait: runbook exec {} --emergency --reason TEXT",
            shell_word(&plan.runbook.name)
        )),
    }
}

/// Who changed the runbook's file last.
fn changed_by(
    context: &Context,
    workspace: &Workspace,
    plan: &Plan,
) -> Result<Option<LastChange>, CliError> {
    let file = workspace.repository.runbook_file(&plan.runbook.name);
    let policy = plan.policy.as_deref();
    let change = match last_change(&file) {
        Ok(change) => change,
        Err(error) if policy.is_some_and(|policy| policy.exclude_author) => {
            return Err(CliError::from_error(ErrorKind::Rejected, &error).next(
                "the policy excludes the author of the last change, who cannot be found out: git log",
            ));
        }
        Err(error) => {
            tracing::warn!("{error}");
            None
        }
    };
    let starter = &context.settings.actor;
    Ok(change.map(|change| match change {
        FileChange::Uncommitted => LastChange {
            commit: None,
            author: starter.name.clone(),
            person: Some(starter.name.clone()),
        },
        FileChange::Commit { id, name, email } => LastChange {
            commit: Some(id),
            person: policy.and_then(|policy| person(policy, &name, &email)),
            author: format!("{name} <{email}>"),
        },
    }))
}

/// The person of the policy that Git's author is: by e-mail address, else by full name, else by login
/// name.
fn person(policy: &PlanPolicy, name: &str, email: &str) -> Option<String> {
    let people = || policy.people.iter();
    let by_mail = people().find(|(_, person)| {
        let contact = person.contact.as_deref();
        contact.is_some_and(|contact| contact.eq_ignore_ascii_case(email))
    });
    let by_name = || people().find(|(_, person)| person.name.as_deref() == Some(name));
    let by_login = || people().find(|(login, _)| *login == name);
    let found = by_mail.or_else(by_name).or_else(by_login);
    found.map(|(login, _)| login.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanPerson;

    fn policy() -> PlanPolicy {
        let person = |name: &str, contact: Option<&str>| PlanPerson {
            name: Some(name.to_owned()),
            contact: contact.map(str::to_owned),
            ssh_keys: Vec::new(),
        };
        PlanPolicy {
            file: "runbooks/policy.yaml".to_owned(),
            rules: [].into(),
            people: [
                (
                    "ada".to_owned(),
                    person("Ada Example", Some("ada@example.org")),
                ),
                ("grace".to_owned(), person("Grace Example", None)),
            ]
            .into(),
            require_signatures: false,
            self_approval: false,
            exclude_author: true,
            windows: Vec::new(),
            freezes: Vec::new(),
            calendar: crate::plan::PlanCalendar {
                time_zone: "UTC".to_owned(),
                business_days: vec![1, 2, 3, 4, 5],
                business_hours: (540, 1020),
                holidays: Vec::new(),
            },
            escalation: Vec::new(),
            emergency: None,
        }
    }

    #[test]
    fn an_author_is_known_by_mail_then_name_then_login() {
        for (name, email, expected) in [
            ("Grace Example", "Ada@Example.org", Some("ada")),
            ("Grace Example", "x@example.org", Some("grace")),
            ("grace", "x@example.org", Some("grace")),
            ("lin", "x@example.org", None),
        ] {
            assert_eq!(
                person(&policy(), name, email).as_deref(),
                expected,
                "{name}"
            );
        }
    }
}
