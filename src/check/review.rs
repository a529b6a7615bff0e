//! Rules for `reviewed`: somebody looked at the runbook lately.

use chrono::NaiveDate;

use super::codes;
use crate::base::{Diagnostic, Diagnostics};
use crate::model::{Policy, Risk, Runbook, RunbookSeverity};

/// Days after which a review is stale, when the policy says nothing else.
pub const REVIEW_DAYS: i64 = 180;

/// Checks when a runbook was last reviewed. `today`: the caller's day in UTC; rules have no clock.
///
/// A missing day is worth a note only where it matters: with a risk above low, or for an outage
/// (severity P0 or P1).
///
/// The policy's `reviews` says after how long a review is stale.
pub fn check_review(
    runbook: &Runbook,
    today: NaiveDate,
    policy: Option<&Policy>,
    diags: &mut Diagnostics,
) {
    let source = &runbook.source;
    let Some(reviewed) = &runbook.reviewed else {
        let outage = runbook
            .severity
            .as_ref()
            .is_some_and(|severity| severity.value <= RunbookSeverity::P1);
        if outage || runbook.risk.value > Risk::Low {
            diags.push(
                Diagnostic::note(
                    codes::NEVER_REVIEWED,
                    format!("nothing says when `{}` was reviewed", runbook.name.value),
                )
                .at(source, runbook.name.span, "no `reviewed`")
                .help(format!(
                    "once somebody has looked it through: `reviewed: {today}`"
                )),
            );
        }
        return;
    };
    let age = (today - reviewed.value).num_days();
    let own = policy.and_then(|policy| {
        let mut reviews = policy.reviews.iter();
        reviews.find(|(risk, _)| risk.value == runbook.risk.value)
    });
    let review_days = own.map_or(REVIEW_DAYS, |(_, after)| {
        i64::try_from(after.value.as_secs() / (24 * 60 * 60)).unwrap_or(i64::MAX)
    });
    // A day of grace: the author may live where it is tomorrow already.
    if age < -1 {
        diags.push(
            Diagnostic::warning(
                codes::REVIEWED_LATER,
                format!("the review of `{}` lies in the future", runbook.name.value),
            )
            .at(source, reviewed.span, format!("today is {today}"))
            .help("write the day of the last review"),
        );
    } else if age > review_days {
        diags.push(
            Diagnostic::warning(
                codes::STALE_REVIEW,
                format!("`{}` was last reviewed {age} days ago", runbook.name.value),
            )
            .at(
                source,
                reviewed.span,
                format!("more than {review_days} days ago"),
            )
            .help(format!(
                "look it through, rehearse it, and write the day: `reviewed: {today}`"
            )),
        );
    }
}
