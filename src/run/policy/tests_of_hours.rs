//! Tables of freezes, windows and escalation, also where clocks are set forward and back.

use std::time::Duration;

use proptest::prelude::*;

use super::hours::{Hold, escalations, hold};
use super::tests_of_verdict::policy;
use crate::base::{HumanDuration, Timestamp};
use crate::plan::{PlanDelay, PlanEscalation, PlanFreeze, PlanPolicy, PlanWindow};

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

/// With the offset, such as `2026-12-20T18:00:00+01:00`.
fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn minutes(text: &str) -> u16 {
    let (hours, minutes) = text.split_once(':').expect("HH:MM");
    hours.parse::<u16>().expect("hours") * 60 + minutes.parse::<u16>().expect("minutes")
}

fn times(zone: &str, windows: &[(&[u8], &str)], freezes: &[(&str, &str)]) -> PlanPolicy {
    let mut policy = policy(&[]);
    policy.calendar.time_zone = zone.to_owned();
    for (i, (days, hours)) in windows.iter().enumerate() {
        let (from, to) = hours.split_once('-').expect("from-to");
        policy.windows.push(PlanWindow {
            name: format!("w{i}"),
            days: days.to_vec(),
            from: minutes(from),
            to: minutes(to),
        });
    }
    for (i, (from, to)) in freezes.iter().enumerate() {
        policy.freezes.push(PlanFreeze {
            name: format!("f{i}"),
            from: (*from).to_owned(),
            to: (*to).to_owned(),
        });
    }
    policy
}

/// Held at `now` for this reason until then; `None`: not held.
fn check(policy: &PlanPolicy, now: &str, wanted: Option<(&str, &str)>) {
    let wanted = wanted.map(|(reason, until)| Hold {
        until: Some(at(until)),
        reason: reason.to_owned(),
    });
    assert_eq!(hold(policy, at(now)), wanted, "{now}");
}

#[test]
fn without_windows_and_freezes_every_time_is_free() {
    check(&times(BERLIN, &[], &[]), "2026-11-24T03:00:00Z", None);
    check(
        &times("Nowhere/At_All", &[], &[]),
        "2026-11-24T03:00:00Z",
        None,
    );
}

#[test]
fn a_freeze_holds_whole_local_days_or_from_time_to_time() {
    let days = times(BERLIN, &[], &[("2026-12-20", "2027-01-04")]);
    let held = Some(("freeze \"f0\"", "2027-01-05T00:00:00+01:00"));
    check(&days, "2026-12-19T23:59:59.999+01:00", None);
    check(&days, "2026-12-20T00:00:00+01:00", held);
    check(&days, "2027-01-04T23:59:59.999+01:00", held);
    check(&days, "2027-01-05T00:00:00+01:00", None);
    let hours = times(NEW_YORK, &[], &[("2026-12-20T18:00", "2026-12-21T06:00")]);
    check(&hours, "2026-12-20T17:59:00-05:00", None);
    check(
        &hours,
        "2026-12-20T18:00:00-05:00",
        Some(("freeze \"f0\"", "2026-12-21T06:00:00-05:00")),
    );
    check(&hours, "2026-12-21T06:00:00-05:00", None);
}

#[test]
fn freezes_that_meet_or_overlap_hold_to_the_end_of_all() {
    let policy = times(
        "UTC",
        &[],
        &[
            ("2026-12-01", "2026-12-03"),
            ("2026-12-03T12:00", "2026-12-05T12:00"),
            ("2026-12-05T12:00", "2026-12-06"),
            ("2026-12-08", "2026-12-08"),
        ],
    );
    let end = "2026-12-07T00:00:00Z";
    check(
        &policy,
        "2026-12-01T00:00:00Z",
        Some(("freeze \"f0\"", end)),
    );
    check(
        &policy,
        "2026-12-03T13:00:00Z",
        Some(("freeze \"f0\" and freeze \"f1\"", end)),
    );
    check(&policy, "2026-12-07T00:00:00Z", None);
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    // 2026-11-23 is a Monday.
    let policy = times(BERLIN, &[(&[1, 2], "22:00-04:00")], &[]);
    let outside = |until| Some(("outside the change windows (\"w0\")", until));
    check(
        &policy,
        "2026-11-23T03:00:00+01:00",
        outside("2026-11-23T22:00:00+01:00"),
    );
    check(&policy, "2026-11-23T22:00:00+01:00", None);
    check(&policy, "2026-11-24T03:59:59+01:00", None);
    check(
        &policy,
        "2026-11-24T04:00:00+01:00",
        outside("2026-11-24T22:00:00+01:00"),
    );
    check(&policy, "2026-11-25T03:59:59+01:00", None);
    check(
        &policy,
        "2026-11-25T04:00:00+01:00",
        outside("2026-11-30T22:00:00+01:00"),
    );
    let always = times(BERLIN, &[(&[], "06:00-06:00")], &[]);
    check(&always, "2026-11-25T05:59:59+01:00", None);
    let till_midnight = times(BERLIN, &[(&[3], "20:00-24:00"), (&[4], "00:00-01:00")], &[]);
    check(&till_midnight, "2026-11-25T23:59:59.999+01:00", None);
    check(&till_midnight, "2026-11-26T00:00:00+01:00", None);
    check(
        &till_midnight,
        "2026-11-26T01:00:00+01:00",
        Some((
            "outside the change windows (\"w0\", \"w1\")",
            "2026-12-02T20:00:00+01:00",
        )),
    );
}

#[test]
fn a_hold_ends_outside_every_freeze_and_inside_a_window() {
    let policy = times(
        "UTC",
        &[(&[], "22:00-23:00")],
        &[
            ("2026-12-01", "2026-12-02T22:30"),
            ("2026-12-03T21:00", "2026-12-03T22:15"),
        ],
    );
    check(
        &policy,
        "2026-12-01T22:10:00Z",
        Some(("freeze \"f0\"", "2026-12-02T22:30:00Z")),
    );
    check(&policy, "2026-12-02T22:30:00Z", None);
    check(
        &policy,
        "2026-12-02T23:00:00Z",
        Some((
            "outside the change windows (\"w0\")",
            "2026-12-03T22:15:00Z",
        )),
    );
    // Years away, but known.
    let long = times(
        "UTC",
        &[(&[1], "22:00-23:00")],
        &[("2026-12-01", "2029-12-01")],
    );
    check(
        &long,
        "2026-12-01T00:00:00Z",
        Some(("freeze \"f0\"", "2029-12-03T22:00:00Z")),
    );
}

#[test]
fn clocks_set_forward_leave_hours_out() {
    // Berlin 2026-03-29 (a Sunday): 02:00 is 03:00. New York 2026-03-08 likewise.
    for (zone, before, day, summer, winter) in [
        (BERLIN, "2026-03-28", "2026-03-29", "+02:00", "+01:00"),
        (NEW_YORK, "2026-03-07", "2026-03-08", "-04:00", "-05:00"),
    ] {
        let next = |time: &str| format!("{day}T{time}{summer}");
        let none_today = times(zone, &[(&[], "02:15-02:45")], &[]);
        let until = at(&format!("{day}T02:15:00{summer}")).plus(Duration::from_secs(24 * 3600));
        let held = hold(&none_today, at(&next("03:00:00"))).expect("the window is left out");
        assert_eq!(held.until, Some(until), "{zone}");
        let begins_in_it = times(zone, &[(&[7], "02:30-04:00")], &[]);
        check(
            &begins_in_it,
            &format!("{day}T01:59:59{winter}"),
            Some(("outside the change windows (\"w0\")", &next("03:00:00"))),
        );
        check(&begins_in_it, &next("03:00:00"), None);
        let ends_in_it = times(zone, &[(&[6], "22:00-02:30")], &[]);
        check(&ends_in_it, &format!("{day}T01:59:59.999{winter}"), None);
        assert!(hold(&ends_in_it, at(&next("03:00:00"))).is_some());
        let freeze = times(zone, &[], &[(before, &format!("{day}T02:30"))]);
        check(
            &freeze,
            &format!("{day}T01:59:59{winter}"),
            Some(("freeze \"f0\"", &next("03:00:00"))),
        );
        check(&freeze, &next("03:00:00"), None);
    }
}

#[test]
fn clocks_set_back_make_hours_happen_twice() {
    // Berlin 2026-10-25: 03:00 is 02:00 again. New York 2026-11-01: 02:00 is 01:00 again.
    for (zone, day, hour, summer, winter) in [
        (BERLIN, "2026-10-25", "02", "+02:00", "+01:00"),
        (NEW_YORK, "2026-11-01", "01", "-04:00", "-05:00"),
    ] {
        let first = |minute: &str| format!("{day}T{hour}:{minute}{summer}");
        let second = |minute: &str| format!("{day}T{hour}:{minute}{winter}");
        // A window opens and closes the first time.
        let inside = times(zone, &[(&[], &format!("{hour}:15-{hour}:45"))], &[]);
        assert!(hold(&inside, at(&first("14:59"))).is_some());
        check(&inside, &first("15:00"), None);
        check(&inside, &first("44:59"), None);
        assert!(hold(&inside, at(&first("45:00"))).is_some());
        assert!(hold(&inside, at(&second("15:00"))).is_some(), "{zone}");
        // A freeze begins the first time and ends the last.
        let text = |minute: &str| format!("{day}T{hour}:{minute}");
        let freeze = times(zone, &[], &[(&text("15"), &text("45"))]);
        check(&freeze, &first("14:59"), None);
        let until = second("45:00");
        let held = Some(("freeze \"f0\"", until.as_str()));
        check(&freeze, &first("15:00"), held);
        check(&freeze, &first("50:00"), held);
        check(&freeze, &second("10:00"), held);
        check(&freeze, &second("45:00"), None);
        // A day that is frozen is frozen for 25 hours.
        let whole = times(zone, &[], &[(day, day)]);
        let held = hold(&whole, at(&format!("{day}T00:00:00{summer}"))).expect("frozen");
        let length = held
            .until
            .expect("it ends")
            .since(at(&format!("{day}T00:00:00{summer}")));
        assert_eq!(length, Duration::from_secs(25 * 3600));
    }
}

#[test]
fn what_cannot_be_read_is_never_open() {
    let mut odd_day = times("UTC", &[(&[8], "22:00-23:00")], &[]);
    odd_day.windows[0].days = vec![8];
    for (policy, reason) in [
        (
            times("Europe/Berlim", &[(&[], "00:00-24:00")], &[]),
            "time zone that is unknown: `Europe/Berlim`",
        ),
        (
            times("UTC", &[], &[("soon", "2026-12-01")]),
            "`soon` to `2026-12-01`",
        ),
        (
            times("UTC", &[], &[("2026-12-01", "2026-02-30")]),
            "freeze \"f0\"",
        ),
        (times("UTC", &[(&[], "22:00-25:00")], &[]), "window \"w0\""),
        (odd_day, "window \"w0\""),
    ] {
        let held = hold(&policy, at("2026-11-24T03:00:00Z")).expect(reason);
        assert_eq!(held.until, None);
        assert!(held.reason.contains(reason), "{}", held.reason);
    }
}

fn chain(after: PlanDelay, waits: &[PlanDelay]) -> PlanPolicy {
    let mut policy = times(BERLIN, &[], &[]);
    policy.calendar.holidays = vec!["2026-12-25".to_owned(), "2026-12-28".to_owned()];
    let mut after = after;
    for (i, wait) in waits.iter().enumerate() {
        policy.escalation.push(PlanEscalation {
            after: std::mem::replace(&mut after, *wait),
            role: format!("r{i}"),
            members: Vec::new(),
            channel: None,
            respond_within: *wait,
        });
    }
    policy
}

fn so_many(minutes: u64) -> PlanDelay {
    PlanDelay::Time(HumanDuration(Duration::from_secs(minutes * 60)))
}

#[test]
fn a_level_is_due_when_the_one_before_it_did_not_answer() {
    let opened = at("2026-11-24T03:00:00Z");
    assert_eq!(escalations(&chain(so_many(0), &[]), opened), []);
    let due = escalations(
        &chain(so_many(0), &[so_many(15), so_many(30), so_many(60)]),
        opened,
    );
    let wanted = ["03:00", "03:15", "03:45", "04:45"].map(|t| at(&format!("2026-11-24T{t}:00Z")));
    assert_eq!(due, wanted);
    let later = escalations(&chain(so_many(5), &[so_many(15)]), opened);
    assert_eq!(
        later,
        ["03:05", "03:20"].map(|t| at(&format!("2026-11-24T{t}:00Z")))
    );
}

#[test]
fn the_next_business_day_skips_weekends_and_holidays_in_local_days() {
    let policy = chain(
        so_many(0),
        &[PlanDelay::NextBusinessDay, PlanDelay::NextBusinessDay],
    );
    for (opened, first, second) in [
        // A Tuesday, before and after business: the next day in any case.
        (
            "2026-11-24T03:00:00+01:00",
            "2026-11-25T17:00:00+01:00",
            "2026-11-26T17:00:00+01:00",
        ),
        (
            "2026-11-24T23:30:00+01:00",
            "2026-11-25T17:00:00+01:00",
            "2026-11-26T17:00:00+01:00",
        ),
        // Still the 23rd in UTC, the 24th in Berlin.
        (
            "2026-11-23T23:30:00Z",
            "2026-11-25T17:00:00+01:00",
            "2026-11-26T17:00:00+01:00",
        ),
        // A Friday.
        (
            "2026-11-27T10:00:00+01:00",
            "2026-11-30T17:00:00+01:00",
            "2026-12-01T17:00:00+01:00",
        ),
        // A Thursday, then a holiday, a weekend and a holiday.
        (
            "2026-12-24T10:00:00+01:00",
            "2026-12-29T17:00:00+01:00",
            "2026-12-30T17:00:00+01:00",
        ),
        // Over the change to summer time.
        (
            "2026-03-27T10:00:00+01:00",
            "2026-03-30T17:00:00+02:00",
            "2026-03-31T17:00:00+02:00",
        ),
    ] {
        let due = escalations(&policy, at(opened));
        assert_eq!(due, [at(opened), at(first), at(second)], "{opened}");
    }
    let mut never = policy.clone();
    never.calendar.business_days.clear();
    let mut nowhere = policy;
    nowhere.calendar.time_zone = "Nowhere".to_owned();
    for policy in [never, nowhere] {
        let opened = at("2026-11-24T03:00:00Z");
        let due = escalations(&policy, opened);
        assert_eq!(due[1].since(opened), Duration::from_secs(24 * 3600));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Against the minutes themselves, tried one after the other.
    #[test]
    fn a_hold_ends_at_the_first_free_minute(
        start in 0i64..365 * 24 * 60,
        from in 0u16..24 * 60,
        to in 0u16..=24 * 60,
        days in prop::collection::btree_set(1u8..=7, 0..3),
        freezes in prop::collection::vec((-3i64..6, 0i64..4), 0..3),
        zone in prop::sample::select(vec![BERLIN, NEW_YORK, "UTC"]),
    ) {
        let now = Timestamp::from_unix_millis((1_767_225_600 + start * 60) * 1000);
        let mut policy = times(zone, &[], &[]);
        policy.windows.push(PlanWindow { name: "w".to_owned(), days: days.into_iter().collect(), from, to });
        for (offset, length) in freezes {
            let day = |n: i64| (now.to_utc() + chrono::TimeDelta::days(n)).format("%Y-%m-%d").to_string();
            policy.freezes.push(PlanFreeze { name: "f".to_owned(), from: day(offset), to: day(offset + length) });
        }
        let minute = |n: u64| now.plus(Duration::from_secs(60 * n));
        match hold(&policy, now) {
            None => {}
            Some(Hold { until, .. }) => {
                let until = until.expect("a window comes every week");
                prop_assert!(hold(&policy, until).is_none());
                let away = until.since(now).as_secs() / 60;
                prop_assert!(away > 0);
                for n in (0..away).step_by(29).chain([away - 1]) {
                    prop_assert!(hold(&policy, minute(n)).is_some(), "free {n} minutes after {now}");
                }
            }
        }
    }
}
