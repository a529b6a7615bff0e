//! The clock on the wall of a time zone, where some hours of the year do not happen and others happen twice.

use std::str::FromStr;
use std::time::Duration;

use chrono::{Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::base::Timestamp;

/// Minutes of a day; as an end: midnight.
const DAY: u16 = 24 * 60;
/// No gap is longer: Samoa left out a day in 2011.
const LONGEST_GAP_MINUTES: i64 = 25 * 60;

/// Which of two instants with the same local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    First,
    Last,
}

/// A time zone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall(Tz);

impl Wall {
    /// By IANA name.
    pub(super) fn of(time_zone: &str) -> Result<Self, String> {
        Tz::from_str(time_zone)
            .map(Self)
            .map_err(|_| format!("the policy names a time zone that is unknown: `{time_zone}`"))
    }

    /// The local day of an instant.
    pub(super) fn day(self, at: Timestamp) -> NaiveDate {
        at.to_utc().with_timezone(&self.0).date_naive()
    }

    /// When the clock shows this. A time that happens twice: as asked; one that is left out: when the
    /// clock has jumped over it.
    pub(super) fn instant(self, local: NaiveDateTime, pass: Pass) -> Option<Timestamp> {
        (0..=LONGEST_GAP_MINUTES).find_map(|later| {
            let local = local.checked_add_signed(TimeDelta::minutes(later))?;
            let at = match self.0.from_local_datetime(&local) {
                MappedLocalTime::None => return None,
                MappedLocalTime::Single(at) => at,
                MappedLocalTime::Ambiguous(first, last) => match pass {
                    Pass::First => first,
                    Pass::Last => last,
                },
            };
            let millis = at.with_timezone(&Utc).timestamp_millis();
            Some(Timestamp::from_unix_millis(millis))
        })
    }

    /// The hours of a day, from the first time that their beginning is on the clock to the first time that
    /// their end is; an end that is not later than the beginning is on the next day. `None` when the
    /// clock leaves all of it out.
    pub(super) fn hours(
        self,
        day: NaiveDate,
        from: u16,
        to: u16,
    ) -> Option<(Timestamp, Timestamp)> {
        let last_day = if to <= from { after(day, 1)? } else { day };
        let begin = self.instant(minute(day, from)?, Pass::First)?;
        let end = self.instant(minute(last_day, to)?, Pass::First)?;
        (begin < end).then_some((begin, end))
    }
}

/// 1 (Monday) to 7.
pub(super) fn weekday(day: NaiveDate) -> u8 {
    u8::try_from(day.weekday().number_from_monday()).unwrap_or(u8::MAX)
}

/// So many days later.
pub(super) fn after(day: NaiveDate, days: u64) -> Option<NaiveDate> {
    day.checked_add_days(Days::new(days))
}

fn minute(day: NaiveDate, minute: u16) -> Option<NaiveDateTime> {
    if minute > DAY {
        return None;
    }
    let midnight = day.and_hms_opt(0, 0, 0)?;
    midnight.checked_add_signed(TimeDelta::minutes(i64::from(minute)))
}

/// `2026-12-20` as its beginning or, with `end_of_day`, the beginning of the next day, or
/// `2026-12-20T18:00` as it says.
pub(super) fn parse_local(text: &str, end_of_day: bool) -> Option<NaiveDateTime> {
    match NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        Ok(day) => after(day, u64::from(end_of_day))?.and_hms_opt(0, 0, 0),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok(),
    }
}

/// A day and a night.
pub(super) const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
