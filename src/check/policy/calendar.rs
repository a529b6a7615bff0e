//! Rules for freezes and windows: they end after they begin, are not over, and leave time for changes.

use std::collections::BTreeSet;

use chrono::{Datelike as _, Duration, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;

use crate::base::{Diagnostic, Diagnostics, Spanned, Timestamp};
use crate::check::codes;
use crate::model::{Policy, PolicyFreeze, PolicyWindow};

/// How far windows are looked for.
const DAYS_AHEAD: i64 = 366;

/// A freeze that ends before it begins.
pub(super) fn check_order(policy: &Policy, diags: &mut Diagnostics) {
    for freeze in &policy.freezes {
        let Some((from, to)) = interval(freeze) else {
            continue;
        };
        if to <= from {
            diags.push(
                Diagnostic::error(
                    codes::FREEZE_ORDER,
                    format!("the freeze `{}` ends before it begins", freeze.name.value),
                )
                .at(&policy.source, freeze.to.span, "not after its beginning")
                .at(&policy.source, freeze.from.span, "its beginning")
                .help("write the first day as `from` and the last as `to`"),
            );
        }
    }
}

/// Freezes that are over, and windows that never open.
pub(super) fn check_now(policy: &Policy, now: Timestamp, diags: &mut Diagnostics) {
    let zone = policy.calendar.time_zone.as_ref();
    let zone: Tz = zone
        .and_then(|zone| zone.value.parse().ok())
        .unwrap_or(Tz::UTC);
    let now = now.to_utc().with_timezone(&zone).naive_local();
    for freeze in &policy.freezes {
        if interval(freeze).is_some_and(|(from, to)| from < to && to <= now) {
            diags.push(
                Diagnostic::note(
                    codes::PAST_FREEZE,
                    format!("the freeze `{}` is over", freeze.name.value),
                )
                .at(&policy.source, freeze.to.span, "in the past")
                .help("take it out, or write the next one"),
            );
        }
    }
    check_windows(policy, now, diags);
}

fn check_windows(policy: &Policy, now: NaiveDateTime, diags: &mut Diagnostics) {
    let windows = policy.windows.iter().flat_map(|w| &w.environments);
    let freezes = policy.freezes.iter().flat_map(|f| &f.environments);
    let named: BTreeSet<&str> = windows
        .chain(freezes)
        .map(|name| name.value.as_str())
        .collect();
    for environment in std::iter::once(None).chain(named.into_iter().map(Some)) {
        let holds = |named: &[Spanned<String>]| {
            named.is_empty()
                || named
                    .iter()
                    .any(|name| Some(name.value.as_str()) == environment)
        };
        let windows: Vec<&PolicyWindow> = policy
            .windows
            .iter()
            .filter(|window| holds(&window.environments))
            .collect();
        let mut frozen: Vec<(NaiveDateTime, NaiveDateTime)> = policy
            .freezes
            .iter()
            .filter(|freeze| holds(&freeze.environments))
            .filter_map(interval)
            .collect();
        frozen.sort_unstable();
        let Some(first) = windows.first() else {
            continue;
        };
        if opens(&windows, &frozen, now) {
            continue;
        }
        let place = match environment {
            Some(name) => format!("`{name}`"),
            None => "any protected environment".to_owned(),
        };
        diags.push(
            Diagnostic::warning(
                codes::NEVER_OPEN,
                format!("nothing can be changed in {place} for a year"),
            )
            .at(&policy.source, first.name.span, "opens only in the freezes")
            .help("end a freeze earlier, or add a window outside of the freezes"),
        );
        if environment.is_none() {
            // It is no better anywhere.
            return;
        }
    }
}

/// Whether there is a moment in the time ahead that is in a window and in no freeze.
fn opens(
    windows: &[&PolicyWindow],
    frozen: &[(NaiveDateTime, NaiveDateTime)],
    now: NaiveDateTime,
) -> bool {
    let today = now.date();
    // From yesterday: its window may still be open.
    (-1..DAYS_AHEAD).any(|ahead| {
        let day = today + Duration::days(ahead);
        windows.iter().any(|window| {
            let number = day.weekday().number_from_monday();
            let days = &window.days;
            let is_on = days.is_empty() || days.iter().any(|day| u32::from(day.value) == number);
            let (from, to) = window.hours.value;
            let last = if to <= from {
                day + Duration::days(1)
            } else {
                day
            };
            is_on && has_gap(minute(day, from).max(now), minute(last, to), frozen)
        })
    })
}

/// Whether freezes, sorted by their beginnings, leave something of a time.
fn has_gap(
    mut from: NaiveDateTime,
    to: NaiveDateTime,
    frozen: &[(NaiveDateTime, NaiveDateTime)],
) -> bool {
    for (begin, end) in frozen {
        if *begin > from {
            break;
        }
        from = from.max(*end);
    }
    from < to
}

fn minute(day: NaiveDate, minute: u16) -> NaiveDateTime {
    day.and_time(NaiveTime::MIN) + Duration::minutes(i64::from(minute))
}

/// From its first moment to the one after its last.
fn interval(freeze: &PolicyFreeze) -> Option<(NaiveDateTime, NaiveDateTime)> {
    let moment = |text: &str, is_end: bool| match text.parse::<NaiveDate>() {
        Ok(day) => {
            let day = if is_end { day.succ_opt()? } else { day };
            Some(day.and_time(NaiveTime::MIN))
        }
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok(),
    };
    Some((
        moment(&freeze.from.value, false)?,
        moment(&freeze.to.value, true)?,
    ))
}
