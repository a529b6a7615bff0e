//! `calendar`, `windows` and `freezes` of a policy.

use std::str::FromStr as _;

use chrono::{NaiveDate, NaiveDateTime};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::fields::{Field, Fields};
use super::keys::{CALENDAR, DAYS};
use super::reader::{Reader, describe};
use crate::base::{Spanned, did_you_mean};
use crate::language::codes;
use crate::model::{PolicyCalendar, PolicyFreeze, PolicyWindow, YamlValueKind};

pub(super) fn read_calendar(r: &mut Reader<'_>, field: Option<Field>) -> PolicyCalendar {
    let mut calendar = PolicyCalendar {
        time_zone: None,
        business_days: Vec::new(),
        business_hours: None,
        holidays: Vec::new(),
    };
    let Some(mut f) = r.object(field, &CALENDAR) else {
        return calendar;
    };
    calendar.time_zone = f.take("time_zone").and_then(|f| read_zone(r, &f));
    calendar.business_days = read_days(r, f.take("business_days")).unwrap_or_default();
    calendar.business_hours = f.take("business_hours").and_then(|f| read_hours(r, &f));
    if let Some(hours) = &calendar.business_hours
        && hours.value.1 <= hours.value.0
    {
        r.error(
            codes::BAD_VALUE,
            "`business_hours` end before they begin",
            hours.span,
            "this value",
            "write hours of one day: `09:00-17:00`",
        );
    }
    calendar.holidays = read_dates(r, f.take("holidays")).unwrap_or_default();
    f.done();
    calendar
}

pub(super) fn read_window(r: &mut Reader<'_>, mut f: Fields) -> Option<PolicyWindow> {
    let name = r.text(f.take("name"));
    let environments = read_environments(r, &mut f);
    let days = match f.take("days") {
        None => Some(Vec::new()),
        Some(field) => read_days(r, Some(field)),
    };
    let hours = f.take("hours").and_then(|field| read_hours(r, &field));
    f.done();
    Some(PolicyWindow {
        name: name?,
        environments: environments?,
        days: days?,
        hours: hours?,
    })
}

pub(super) fn read_freeze(r: &mut Reader<'_>, mut f: Fields) -> Option<PolicyFreeze> {
    let name = r.text(f.take("name"));
    let environments = read_environments(r, &mut f);
    let from = f.take("from").and_then(|field| read_moment(r, &field));
    let to = f.take("to").and_then(|field| read_moment(r, &field));
    f.done();
    Some(PolicyFreeze {
        name: name?,
        environments: environments?,
        from: from?,
        to: to?,
    })
}

fn read_environments(r: &mut Reader<'_>, f: &mut Fields) -> Option<Vec<Spanned<String>>> {
    match f.take("environments") {
        None => Some(Vec::new()),
        Some(field) => r.names(Some(field), "name of an environment"),
    }
}

fn read_zone(r: &mut Reader<'_>, field: &Field) -> Option<Spanned<String>> {
    let YamlValueKind::Text { text, .. } = &field.value.kind else {
        r.wrong_type(
            &field.value,
            "time_zone",
            "the name of a time zone",
            "time_zone: Europe/Berlin",
        );
        return None;
    };
    if Tz::from_str(text).is_ok() {
        return Some(Spanned::new(text.clone(), field.value.span));
    }
    let near = did_you_mean(text, TZ_VARIANTS.iter().map(|zone| zone.name()));
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write a name of the IANA database: `Europe/Berlin`, `America/New_York`, `UTC`"
            .to_owned(),
    };
    r.bad_value(field, format!("there is no time zone `{text}`"), &help);
    None
}

/// Days of the week as 1 (Monday) to 7.
fn read_days(r: &mut Reader<'_>, field: Option<Field>) -> Option<Vec<Spanned<u8>>> {
    let field = field?;
    let name = field.key.name;
    let mut days: Vec<Spanned<u8>> = Vec::new();
    let mut good = true;
    for item in r.list(Some(field))? {
        let word = r.word(&item, name, DAYS);
        let at = word.and_then(|word| DAYS.iter().position(|day| *day == word));
        match at.and_then(|at| u8::try_from(at + 1).ok()) {
            Some(day) => days.push(Spanned::new(day, item.span)),
            None => good = false,
        }
    }
    good.then_some(days)
}

fn read_dates(r: &mut Reader<'_>, field: Option<Field>) -> Option<Vec<Spanned<NaiveDate>>> {
    let field = field?;
    let (key, key_span) = (field.key, field.key_span);
    let read: Vec<_> = r
        .list(Some(field))?
        .into_iter()
        .map(|value| {
            r.date(Some(Field {
                key,
                key_span,
                value,
            }))
        })
        .collect();
    read.into_iter().collect()
}

/// `22:00-04:00` in minutes of the day.
fn read_hours(r: &mut Reader<'_>, field: &Field) -> Option<Spanned<(u16, u16)>> {
    let hours = match &field.value.kind {
        YamlValueKind::Text { text, .. } => text
            .split_once('-')
            .and_then(|(from, to)| Some((minutes(from, false)?, minutes(to, true)?))),
        _ => None,
    };
    if hours.is_none() {
        let found = describe(&field.value);
        let code = match field.value.kind {
            YamlValueKind::Text { .. } => codes::BAD_VALUE,
            _ => codes::WRONG_TYPE,
        };
        let name = field.key.name;
        r.error(
            code,
            format!("`{name}` wants two times of the day, found {found}"),
            field.value.span,
            "this value",
            &format!("write hours and minutes with a leading zero: `{name}: \"09:00-17:00\"`"),
        );
    }
    hours.map(|hours| Spanned::new(hours, field.value.span))
}

/// `09:30` in minutes of the day; an end may be `24:00`.
fn minutes(text: &str, is_end: bool) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |part: &str| match part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) {
        true => part.parse::<u16>().ok(),
        false => None,
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let time = hour * 60 + minute;
    (minute < 60 && (hour < 24 || (is_end && time == 24 * 60))).then_some(time)
}

/// A day, or a local time of a day.
fn read_moment(r: &mut Reader<'_>, field: &Field) -> Option<Spanned<String>> {
    let name = field.key.name;
    let YamlValueKind::Text { text, .. } = &field.value.kind else {
        let example = format!("{name}: {}", field.key.example);
        r.wrong_type(&field.value, name, "a day or a local time", &example);
        return None;
    };
    let is_day = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .is_ok_and(|day| day.format("%Y-%m-%d").to_string() == *text);
    let is_time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M")
        .is_ok_and(|time| time.format("%Y-%m-%dT%H:%M").to_string() == *text);
    if is_day || is_time {
        return Some(Spanned::new(text.clone(), field.value.span));
    }
    r.bad_value(
        field,
        format!("`{name}` is no day and no local time: `{text}`"),
        "write `2026-12-20` or `2026-12-20T18:00`, in the time zone of `calendar`, without a zone of its own",
    );
    None
}
