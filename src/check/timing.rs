//! Rules for time: limits that fit into each other, and gates that lapse.

use std::time::Duration;

use super::approval::APPROVAL;
use super::codes;
use super::rules::Whole;
use crate::base::{Diagnostic, Diagnostics, Span, Spanned, format_duration};
use crate::model::{Backoff, Retry, Step};

pub(super) fn check(whole: &Whole<'_>, diags: &mut Diagnostics) {
    let runbook = whole.runbook;
    for step in runbook.steps.iter().chain(&runbook.verify) {
        if step.action.uses.value == APPROVAL {
            gate(whole, step, diags);
        } else if let Some(limit) = &runbook.timeout {
            longer(whole, step, limit, diags);
        }
        rare_poll(whole, step, diags);
    }
}

fn gate(whole: &Whole<'_>, step: &Step, diags: &mut Diagnostics) {
    if step.timeout.is_none() && whole.is_delicate() {
        diags.push(
            Diagnostic::note(
                codes::GATE_WITHOUT_END,
                format!("the approval `{}` waits for ever", step.id.value),
            )
            .at(&whole.runbook.source, step.id.span, "no `timeout`")
            .help("say when the question lapses, e.g. `timeout: 4h`"),
        );
    }
}

/// Waiting for approval does not count against the runbook's limit, so gates are left out.
fn longer(whole: &Whole<'_>, step: &Step, limit: &Spanned<Duration>, diags: &mut Diagnostics) {
    let attempt = step.timeout.as_ref().map_or(Duration::ZERO, |t| t.value);
    let (attempts, pauses) = match &step.retry {
        Some(retry) => (retry.attempts.max(1), pauses(retry)),
        None => (1, Duration::ZERO),
    };
    let longest = attempt.saturating_mul(attempts).saturating_add(pauses);
    let place: Option<Span> = step
        .timeout
        .as_ref()
        .map(|t| t.span)
        .or(step.retry.as_ref().map(|r| r.span));
    let Some(place) = place.filter(|_| longest > limit.value) else {
        return;
    };
    let how = if attempts > 1 {
        format!(" with its {attempts} attempts and the pauses between them")
    } else {
        String::new()
    };
    diags.push(
        Diagnostic::warning(
            codes::LONGER_THAN_RUN,
            format!(
                "the step `{}` may take {}{how}, longer than the whole run",
                step.id.value,
                format_duration(longest)
            ),
        )
        .at(&whole.runbook.source, place, "may take longer than the run")
        .at(
            &whole.runbook.source,
            limit.span,
            format!("the run ends after {}", format_duration(limit.value)),
        )
        .help("raise the runbook's `timeout`, or lower this"),
    );
}

/// All pauses between the attempts, without jitter.
fn pauses(retry: &Retry) -> Duration {
    let mut all = Duration::ZERO;
    let mut left = retry.attempts.saturating_sub(1);
    let mut delay = retry.delay.min(retry.max_delay);
    let mut number = 1;
    while left > 0 {
        let steady = delay == retry.max_delay || delay.is_zero();
        if steady || retry.backoff == Backoff::Constant || number > 10_000 {
            return all.saturating_add(delay.saturating_mul(left));
        }
        all = all.saturating_add(delay);
        left -= 1;
        number += 1;
        delay = match retry.backoff {
            Backoff::Constant => delay,
            Backoff::Linear => retry.delay.saturating_mul(number),
            Backoff::Exponential => delay.saturating_mul(2),
        }
        .min(retry.max_delay);
    }
    all
}

fn rare_poll(whole: &Whole<'_>, step: &Step, diags: &mut Diagnostics) {
    if let (Some(_), Some(every), Some(timeout)) = (&step.until, &step.every, &step.timeout)
        && every.value >= timeout.value
    {
        diags.push(
            Diagnostic::warning(
                codes::POLLED_ONCE,
                format!("the step `{}` looks only once", step.id.value),
            )
            .at(
                &whole.runbook.source,
                every.span,
                "the second look comes after this",
            )
            .at(
                &whole.runbook.source,
                timeout.span,
                "but this ends it first",
            )
            .help("make `every` shorter than `timeout`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_add_up() {
        let seconds = |backoff, attempts| {
            pauses(&Retry {
                attempts,
                delay: Duration::from_secs(2),
                backoff,
                max_delay: Duration::from_secs(7),
                jitter: 0.0,
                on: Vec::new(),
            })
            .as_secs()
        };
        assert_eq!(seconds(Backoff::Constant, 1), 0);
        assert_eq!(seconds(Backoff::Constant, 4), 6);
        assert_eq!(seconds(Backoff::Linear, 6), 2 + 4 + 6 + 7 + 7);
        assert_eq!(seconds(Backoff::Exponential, 6), 2 + 4 + 7 + 7 + 7);
        assert!(seconds(Backoff::Exponential, u32::MAX) > 1 << 32);
    }
}
