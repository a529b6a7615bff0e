//! What differs between two plans, of all that their digests cover, in words.

use std::collections::{BTreeMap, BTreeSet};

use super::gates::clipped;
use super::types::Plan;
use crate::base::{Map, Value, canonical_json};
use crate::event::Difference;

/// Most differences that are told.
const MOST: usize = 50;

/// What is in `after` and was not, or is not as it was in `before`: steps, parameters, environment,
/// policy. Empty exactly when the digests are equal; at most 51, and the last then says how many more
/// there are. Each value is on one line and clipped. A plan holds no secret, so none is told.
pub fn differences(before: &Plan, after: &Plan) -> Vec<Difference> {
    if before.digest() == after.digest() {
        return Vec::new();
    }
    let mut found = Found::default();
    match (before.digested(), after.digested()) {
        (Value::Object(before), Value::Object(after)) => plans(&before, &after, &mut found),
        (before, after) => values("the plan", &before, &after, &mut found),
    }
    found.done()
}

#[derive(Default)]
struct Found {
    told: Vec<Difference>,
    more: usize,
}

impl Found {
    fn push(&mut self, what: &str, before: String, after: String) {
        if self.told.len() == MOST {
            self.more += 1;
            return;
        }
        self.told.push(Difference {
            what: what.to_owned(),
            before,
            after,
        });
    }

    fn done(mut self) -> Vec<Difference> {
        let last = match (self.told.is_empty(), self.more) {
            (false, 0) => None,
            (false, 1) => Some("1 more difference".to_owned()),
            (false, more) => Some(format!("{more} more differences")),
            // Two texts of one number, such as 0 and -0.
            (true, _) => Some("the plan is written differently".to_owned()),
        };
        self.told.extend(last.map(|what| Difference {
            what,
            before: String::new(),
            after: String::new(),
        }));
        self.told
    }
}

/// The lists of steps in a plan and in a sub-runbook.
const LISTS: [(&str, &str); 3] = [
    ("steps", "step"),
    ("verify", "verify step"),
    ("finally", "finally step"),
];

/// What the other parts of a plan are called.
fn part(key: &str) -> &str {
    match key {
        "params" => "parameter",
        "secrets" => "source of secret",
        "action_outputs" => "outputs of action",
        "outputs" => "output",
        key => key,
    }
}

fn plans(before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Found) {
    for (key, name) in LISTS {
        lists(name, "", before.get(key), after.get(key), found);
    }
    let rest = |map: &Map<String, Value>| -> Map<String, Value> {
        let rest = map
            .iter()
            .filter(|(key, _)| LISTS.iter().all(|(list, _)| list != key));
        rest.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let (before, after) = (rest(before), rest(after));
    for (key, old, new) in pairs(&before, &after) {
        match (key, old, new) {
            // One line for each of their entries reads better than a path into a map.
            (
                "params" | "secrets" | "action_outputs" | "outputs",
                Some(Value::Object(old)),
                Some(Value::Object(new)),
            ) => {
                for (name, old, new) in pairs(old, new) {
                    optional(&format!("{} {name}", part(key)), old, new, found);
                }
            }
            ("environment", Some(Value::Object(old)), Some(Value::Object(new))) => {
                environments(old, new, found);
            }
            ("policy", None, Some(_)) => {
                found.push("a policy applies now", String::new(), String::new())
            }
            ("policy", Some(_), None) => {
                found.push("no policy applies any more", String::new(), String::new());
            }
            ("policy", Some(Value::Object(old)), Some(Value::Object(new))) => {
                for (name, old, new) in pairs(old, new) {
                    optional(&format!("policy: {name}"), old, new, found);
                }
            }
            _ => optional(part(key), old, new, found),
        }
    }
}

fn environments(before: &Map<String, Value>, after: &Map<String, Value>, found: &mut Found) {
    for (key, old, new) in pairs(before, after) {
        let name = match key {
            "vars" => "variable",
            "services" => "service",
            "connections" => "connection",
            key => {
                optional(&format!("environment: {key}"), old, new, found);
                continue;
            }
        };
        if let (Some(Value::Object(old)), Some(Value::Object(new))) = (old, new) {
            for (of, old, new) in pairs(old, new) {
                optional(&format!("{name} {of}"), old, new, found);
            }
        } else {
            optional(&format!("{name}s"), old, new, found);
        }
    }
}

/// Two lists of steps, matched by their ids. `outer`: the path of the step that holds them.
fn lists(
    name: &str,
    outer: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    found: &mut Found,
) {
    let (before, after) = (steps(before), steps(after));
    let old: BTreeMap<&str, &Value> = before.iter().copied().collect();
    let new: BTreeMap<&str, &Value> = after.iter().copied().collect();
    let called = |id: &str| format!("{name} {outer}{id}");
    for (id, step) in before.iter().filter(|(id, _)| !new.contains_key(id)) {
        found.push(&called(id), uses(step), String::new());
    }
    for (id, step) in &after {
        match old.get(id) {
            None => found.push(&called(id), String::new(), uses(step)),
            Some(Value::Object(old)) => {
                if let Value::Object(new) = step {
                    of_step(&called(id), &format!("{outer}{id}/"), old, new, found);
                }
            }
            Some(_) => {}
        }
    }
    // Ids in common in another order: it is what the plan says first, though not what runs first.
    let common = |list: &[(&str, &Value)], other: &BTreeMap<&str, &Value>| -> Vec<String> {
        let ids = list.iter().map(|(id, _)| *id);
        ids.filter(|id| other.contains_key(id))
            .map(str::to_owned)
            .collect()
    };
    let (was, is) = (common(&before, &new), common(&after, &old));
    if was != is {
        let what = match outer.trim_end_matches('/') {
            "" => format!("order of each {name}"),
            outer => format!("order of each {name} in {outer}"),
        };
        found.push(&what, clipped(&was.join(", ")), clipped(&is.join(", ")));
    }
}

fn steps(list: Option<&Value>) -> Vec<(&str, &Value)> {
    let list = list.and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|step| Some((step.get("id")?.as_str()?, step)))
        .collect()
}

fn uses(step: &Value) -> String {
    let uses = step.get("action").and_then(|action| action.get("uses"));
    clipped(uses.and_then(Value::as_str).unwrap_or("a step"))
}

fn of_step(
    called: &str,
    inside: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Found,
) {
    for (key, old, new) in pairs(before, after) {
        match (key, old, new) {
            ("action", Some(Value::Object(old)), Some(Value::Object(new))) => {
                for (key, old, new) in pairs(old, new) {
                    optional(&format!("{called}: {key}"), old, new, found);
                }
            }
            ("block", Some(Value::Object(old)), Some(Value::Object(new))) => {
                for (list, name) in LISTS {
                    lists(name, inside, old.get(list), new.get(list), found);
                }
                let is_list = |key: &str| LISTS.iter().any(|(list, _)| *list == key);
                for (key, old, new) in pairs(old, new).filter(|(key, ..)| !is_list(key)) {
                    optional(&format!("{called}: {key}"), old, new, found);
                }
            }
            _ => optional(&format!("{called}: {key}"), old, new, found),
        }
    }
}

/// The keys of both with their values where these differ, sorted.
fn pairs<'m>(
    before: &'m Map<String, Value>,
    after: &'m Map<String, Value>,
) -> impl Iterator<Item = (&'m str, Option<&'m Value>, Option<&'m Value>)> {
    let keys: BTreeSet<&str> = before
        .keys()
        .chain(after.keys())
        .map(String::as_str)
        .collect();
    keys.into_iter()
        .map(|key| (key, before.get(key), after.get(key)))
        .filter(|(_, old, new)| old != new)
}

fn optional(what: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Found) {
    match (before, after) {
        (Some(before), Some(after)) => values(what, before, after, found),
        (before, after) => {
            let text = |value: Option<&Value>| value.map_or_else(String::new, text);
            found.push(what, text(before), text(after));
        }
    }
}

/// Two values: of maps those of their keys that differ, of expressions what they give.
fn values(what: &str, before: &Value, after: &Value, found: &mut Found) {
    match (bare(before), bare(after)) {
        (old, new) if old == new => {
            // Only the kind of the expression differs: what was a template is now a plain text.
            found.push(what, canonical_clipped(before), canonical_clipped(after));
        }
        (Value::Object(old), Value::Object(new)) => {
            for (key, old, new) in pairs(old, new) {
                optional(&format!("{what}.{key}"), old, new, found);
            }
        }
        (Value::Array(old), Value::Array(new)) if is_flat(old) && is_flat(new) => {
            let missing = |from: &[Value], other: &[Value]| -> Vec<String> {
                let missing = from.iter().filter(|item| !other.contains(item));
                missing.map(text).collect()
            };
            let (gone, come) = (missing(old, new), missing(new, old));
            match gone.is_empty() && come.is_empty() {
                true => found.push(what, canonical_clipped(before), canonical_clipped(after)),
                false => found.push(what, clipped(&gone.join(", ")), clipped(&come.join(", "))),
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            let changed = old.iter().zip(new).enumerate();
            for (at, (old, new)) in changed.filter(|(_, (old, new))| old != new) {
                values(&format!("{what}[{at}]"), old, new, found);
            }
        }
        (Value::String(old), Value::String(new)) => {
            let from = shown_from(old, new);
            found.push(what, tail(old, from), tail(new, from));
        }
        (old, new) => found.push(what, text(old), text(new)),
    }
}

/// Whether a list has neither lists nor maps inside.
fn is_flat(items: &[Value]) -> bool {
    items
        .iter()
        .all(|item| !item.is_array() && !item.is_object())
}

/// From which character on two long texts are shown, so that what differs is seen.
fn shown_from(old: &str, new: &str) -> usize {
    /// Characters in common that are shown before it.
    const BEFORE: usize = 15;
    let common = old.chars().zip(new.chars()).take_while(|(a, b)| a == b);
    match common.count() {
        common if common > 2 * BEFORE => common - BEFORE,
        _ => 0,
    }
}

fn tail(whole: &str, from: usize) -> String {
    if from == 0 {
        return text(&Value::from(whole));
    }
    let tail: String = std::iter::once('…')
        .chain(whole.chars().skip(from))
        .collect();
    clipped(&tail)
}

/// Of `{kind: ..., value: ...}`, the stored form of an expression, the value; of a template its text.
fn bare(value: &Value) -> &Value {
    let Value::Object(map) = value else {
        return value;
    };
    match (map.len(), map.get("kind"), map.get("value")) {
        (2, Some(Value::String(kind)), Some(inner)) => match inner.get("text") {
            Some(text) if kind == "template" => text,
            _ => inner,
        },
        _ => value,
    }
}

fn text(value: &Value) -> String {
    let told = match bare(value) {
        // An empty text would read as nothing there at all.
        Value::String(text) if !text.is_empty() => clipped(text),
        other => canonical_clipped(other),
    };
    match told.is_empty() {
        true => "\"\"".to_owned(),
        false => told,
    }
}

fn canonical_clipped(value: &Value) -> String {
    clipped(&canonical_json(value))
}
