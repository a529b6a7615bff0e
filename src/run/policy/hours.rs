//! What days and hours permit.

use super::local::{A_DAY, Pass, Wall, after, parse_local, weekday};
use crate::base::Timestamp;
use crate::plan::{PlanCalendar, PlanDelay, PlanPolicy};

/// How many days are looked through for a window or a business day.
const SEARCHED_DAYS: u64 = 400;

/// Why nothing may be released now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// When that ends; `None` when no end is known.
    pub until: Option<Timestamp>,
    /// What it is: `freeze "year end"`, `outside the change windows ("nightly")`.
    pub reason: String,
}

/// Why no change may be made at `now`; `None` when one may.
///
/// - A freeze is from its first local moment (of one that happens twice the first, of one that the
///   clock leaves out the moment after) to its last (of one that happens twice the last).
/// - A window begins on its days, and is open from the first time that the clock shows its beginning to
///   the first time that it shows, or jumps over, its end. Where there are windows, no other time is open.
/// - `until` is the first instant that is outside every freeze and, where there are windows, in one;
///   `None` when there is none within 400 days of the last freeze in its way.
/// - A plan whose zone, days or hours cannot be read is never open.
pub fn hold(policy: &PlanPolicy, now: Timestamp) -> Option<Hold> {
    let times = match Times::of(policy) {
        Ok(times) => times,
        Err(reason) => {
            return Some(Hold {
                until: None,
                reason,
            });
        }
    };
    let frozen: Vec<String> = times
        .freezes_at(now)
        .map(|freeze| format!("freeze \"{}\"", freeze.name))
        .collect();
    let reason = if !frozen.is_empty() {
        frozen.join(" and ")
    } else if times.next_open(now) != Some(now) {
        let names: Vec<String> = policy
            .windows
            .iter()
            .map(|window| format!("\"{}\"", window.name))
            .collect();
        format!("outside the change windows ({})", names.join(", "))
    } else {
        return None;
    };
    Some(Hold {
        until: times.first_free(now),
        reason,
    })
}

/// A freeze as instants, the end excluded.
struct Freeze<'a> {
    name: &'a str,
    from: Timestamp,
    to: Timestamp,
}

/// A policy's times, read.
struct Times<'a> {
    policy: &'a PlanPolicy,
    wall: Wall,
    freezes: Vec<Freeze<'a>>,
}

impl<'a> Times<'a> {
    fn of(policy: &'a PlanPolicy) -> Result<Self, String> {
        if policy.windows.is_empty() && policy.freezes.is_empty() {
            // Nothing is held, so a calendar that cannot be read does no harm here.
            return Ok(Self {
                policy,
                wall: Wall::of("UTC")?,
                freezes: Vec::new(),
            });
        }
        let wall = Wall::of(&policy.calendar.time_zone)?;
        let freezes = policy.freezes.iter().map(|freeze| {
            let at = |text: &str, end_of_day, pass| {
                parse_local(text, end_of_day).and_then(|local| wall.instant(local, pass))
            };
            let from = at(&freeze.from, false, Pass::First);
            let to = at(&freeze.to, true, Pass::Last);
            match (from, to) {
                (Some(from), Some(to)) => Ok(Freeze {
                    name: &freeze.name,
                    from,
                    to,
                }),
                _ => Err(format!(
                    "freeze \"{}\" is not from a day or time to another: `{}` to `{}`",
                    freeze.name, freeze.from, freeze.to
                )),
            }
        });
        let freezes = freezes.collect::<Result<Vec<_>, _>>()?;
        let day_minutes = 0..=24 * 60;
        if let Some(window) = policy.windows.iter().find(|window| {
            !day_minutes.contains(&window.from)
                || !day_minutes.contains(&window.to)
                || window.days.iter().any(|day| !(1..=7).contains(day))
        }) {
            return Err(format!(
                "window \"{}\" has days or hours that do not exist",
                window.name
            ));
        }
        Ok(Self {
            policy,
            wall,
            freezes,
        })
    }

    fn freezes_at(&self, at: Timestamp) -> impl Iterator<Item = &Freeze<'a>> {
        let holds = move |freeze: &&Freeze<'_>| freeze.from <= at && at < freeze.to;
        self.freezes.iter().filter(holds)
    }

    /// The first instant not before `at` that is in a window.
    fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        let windows = &self.policy.windows;
        if windows.is_empty() {
            return Some(at);
        }
        // One that began yesterday may be open still.
        let first = self.wall.day(at).pred_opt()?;
        (0..=SEARCHED_DAYS).find_map(|n| {
            let day = after(first, n)?;
            let on_this_day = windows
                .iter()
                .filter(|window| window.days.is_empty() || window.days.contains(&weekday(day)));
            on_this_day
                .filter_map(|window| self.wall.hours(day, window.from, window.to))
                .filter(|(_, end)| *end > at)
                .map(|(begin, _)| begin.max(at))
                .min()
        })
    }

    /// The first instant not before `at` that is in a window and in no freeze. Every turn leaves a
    /// freeze behind for good.
    fn first_free(&self, at: Timestamp) -> Option<Timestamp> {
        let mut at = at;
        loop {
            at = match self.freezes_at(at).map(|freeze| freeze.to).max() {
                Some(thawed) => thawed,
                None => {
                    let open = self.next_open(at)?;
                    if self.freezes_at(open).next().is_none() {
                        return Some(open);
                    }
                    open
                }
            };
        }
    }
}

/// When each level of the escalation chain is due for a gate that opened at `opened_at`, first to
/// last, and last when the answer to the last level is due; empty without a chain.
///
/// The first level is due its `after` after the gate opened (the policy tells it at once). Each later
/// level is due when the `respond_within` of the one before it, counted from when that was due, is over;
/// its own `after` says the same. [`PlanDelay::NextBusinessDay`] is over at the end of the business hours of
/// the first later local day that is a business day and no holiday; where the calendar has none within
/// 400 days, or cannot be read, after 24 hours, so that somebody is told in any case.
pub fn escalations(policy: &PlanPolicy, opened_at: Timestamp) -> Vec<Timestamp> {
    let Some(first) = policy.escalation.first() else {
        return Vec::new();
    };
    let waits = policy.escalation.iter().map(|level| level.respond_within);
    let mut due = opened_at;
    std::iter::once(first.after)
        .chain(waits)
        .map(|wait| {
            due = over(&policy.calendar, due, wait);
            due
        })
        .collect()
}

fn over(calendar: &PlanCalendar, from: Timestamp, wait: PlanDelay) -> Timestamp {
    match wait {
        PlanDelay::Time(wait) => from.plus(wait.0),
        PlanDelay::NextBusinessDay => {
            next_business_day(calendar, from).unwrap_or_else(|| from.plus(A_DAY))
        }
    }
}

fn next_business_day(calendar: &PlanCalendar, from: Timestamp) -> Option<Timestamp> {
    let wall = Wall::of(&calendar.time_zone).ok()?;
    let today = wall.day(from);
    let (begin, end) = calendar.business_hours;
    (1..=SEARCHED_DAYS).find_map(|n| {
        let day = after(today, n)?;
        let holiday = calendar.holidays.contains(&day.to_string());
        if holiday || !calendar.business_days.contains(&weekday(day)) {
            return None;
        }
        wall.hours(day, begin, end).map(|(_, end)| end)
    })
}
