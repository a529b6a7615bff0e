//! Whether and when a failed attempt is made again.

use std::time::Duration;

use crate::base::{AttemptNo, Digest, RunId};
use crate::event::{Failure, FailureKind};
use crate::model::Backoff;
use crate::plan::PlanRetry;

/// Whether a policy allows another attempt after this failure.
pub(super) fn allowed(retry: Option<&PlanRetry>, attempt: AttemptNo, failure: &Failure) -> bool {
    let Some(retry) = retry else {
        return false;
    };
    let sort = failure.sort;
    let wanted = if retry.on.is_empty() {
        !matches!(sort, FailureKind::Invalid | FailureKind::Cancelled)
    } else {
        retry.on.iter().any(|name| name == sort.as_str())
    };
    // Attempt 0 never reached the handler: the same inputs would fail the same way.
    wanted && attempt.0 > 0 && attempt.0 < retry.attempts
}

/// The delay before the attempt after `attempt`.
///
/// Jitter is drawn from a digest of run, step and attempt: spread out, yet the same in a replay.
pub(super) fn delay(retry: &PlanRetry, run: RunId, step: &str, attempt: AttemptNo) -> Duration {
    let base = retry.delay.0;
    let grown = match retry.backoff {
        Backoff::Constant => base,
        Backoff::Linear => base.saturating_mul(attempt.0),
        Backoff::Exponential => base.saturating_mul(
            1u32.checked_shl(attempt.0.saturating_sub(1))
                .unwrap_or(u32::MAX),
        ),
    }
    .min(retry.max_delay.0);
    if retry.jitter <= 0.0 {
        return grown;
    }
    let digest = Digest::of_bytes(format!("{run}/{step}/{attempt}").as_bytes()).hex();
    let draw = u32::from_str_radix(&digest[..8], 16).unwrap_or(0);
    let unit = f64::from(draw) / f64::from(u32::MAX);
    let factor = 1.0 + retry.jitter.min(1.0) * (2.0 * unit - 1.0);
    grown.mul_f64(factor.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorChain;
    use crate::base::HumanDuration;

    fn policy(backoff: Backoff) -> PlanRetry {
        PlanRetry {
            attempts: 4,
            delay: HumanDuration(Duration::from_secs(2)),
            backoff,
            max_delay: HumanDuration(Duration::from_secs(7)),
            jitter: 0.0,
            on: vec![],
        }
    }

    #[test]
    fn delays_grow_as_written_and_stop_at_the_limit() {
        let run = RunId::from_parts(1, 1);
        for (backoff, seconds) in [
            (Backoff::Constant, [2, 2, 2]),
            (Backoff::Linear, [2, 4, 6]),
            (Backoff::Exponential, [2, 4, 7]),
        ] {
            let got = [1, 2, 3].map(|n| delay(&policy(backoff), run, "a", AttemptNo(n)).as_secs());
            assert_eq!(got, seconds, "{backoff:?}");
        }
        let late = delay(&policy(Backoff::Exponential), run, "a", AttemptNo(400));
        assert_eq!(late.as_secs(), 7);
    }

    #[test]
    fn jitter_stays_in_its_band_and_is_repeatable() {
        let run = RunId::from_parts(1, 1);
        let retry = PlanRetry {
            jitter: 0.5,
            ..policy(Backoff::Constant)
        };
        let delays: Vec<_> = (1..50)
            .map(|n| delay(&retry, run, "a", AttemptNo(n)))
            .collect();
        assert!(
            delays
                .iter()
                .all(|d| (1.0..=3.0).contains(&d.as_secs_f64()))
        );
        assert!(delays.iter().any(|d| *d != delays[0]));
        assert_eq!(delay(&retry, run, "a", AttemptNo(1)), delays[0]);
    }

    #[test]
    fn only_what_may_help_is_tried_again() {
        let failure = |sort| Failure {
            sort,
            error: ErrorChain::new("x"),
            hint: None,
            log_tail: vec![],
        };
        let any = policy(Backoff::Constant);
        let only_timeout = PlanRetry {
            on: vec!["timeout".into()],
            ..any.clone()
        };
        for (retry, attempt, kind, expected) in [
            (None, 1, FailureKind::Error, false),
            (Some(&any), 1, FailureKind::Error, true),
            (Some(&any), 3, FailureKind::Error, true),
            (Some(&any), 4, FailureKind::Error, false),
            (Some(&any), 0, FailureKind::Error, false),
            (Some(&any), 1, FailureKind::Invalid, false),
            (Some(&any), 1, FailureKind::Cancelled, false),
            (Some(&only_timeout), 1, FailureKind::Timeout, true),
            (Some(&only_timeout), 1, FailureKind::Error, false),
        ] {
            assert_eq!(
                allowed(retry, AttemptNo(attempt), &failure(kind)),
                expected,
                "{attempt} {kind:?}"
            );
        }
    }
}
