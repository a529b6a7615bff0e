//! Holds the rooms to their floors (`docs/design/house.md`): reads what every source file names.

mod paths;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::paths::{NamedPath, SourcePaths};

/// The rooms from the ground up. A room imports only rooms that stand before it.
pub(crate) const FLOORS: [&str; 18] = [
    "base", "model", "event", "language", "check", "plan", "run", "handler", "secrets", "store",
    "audit", "handlers", "engine", "simulate", "report", "settings", "lsp", "cli",
];

/// Rooms whose imports are narrower than their floor allows.
const NARROW: [(&str, &[&str]); 1] = [("handlers", &["base", "model", "event", "handler"])];

/// The last room that knows no I/O, clock or randomness.
const LAST_PURE: &str = "run";

/// What no pure room names, outside its tests.
const IMPURE: [&str; 21] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "std::os",
    "std::time::SystemTime",
    "std::time::Instant",
    "chrono::Local",
    "chrono::Utc::now",
    "Utc::now",
    "Instant::now",
    "SystemTime::now",
    "tokio",
    "reqwest",
    "git2",
    "rusqlite",
    "nix",
    "rand",
    "getrandom",
    "tempfile",
];

/// Libraries that stay in one place, so that they can be exchanged there.
const KEPT: [(&str, &str); 5] = [
    ("petgraph", "src/base/graph.rs"),
    ("git2", "src/audit/"),
    ("rusqlite", "src/store/"),
    ("clap", "src/cli/"),
    ("std::env", "src/settings/"),
];

/// Most lines of a source file, its tests left out.
const MAX_LINES: usize = 700;

fn rank(room: &str) -> Option<usize> {
    FLOORS.iter().position(|known| *known == room)
}

/// The module path of `src/a/b.rs`: `[a, b]`.
fn module_path(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if path
        .last()
        .is_some_and(|last| matches!(last.as_str(), "mod" | "lib" | "main"))
    {
        path.pop();
    }
    path
}

/// The room that a path leads to, if it leaves its own module by `crate::` or `super::`.
fn target_room<'a>(module: &[String], path: &'a NamedPath) -> Option<&'a str> {
    let segments = path.segments.as_slice();
    let segments = match segments {
        [first, rest @ ..] if first == "self" => rest,
        all => all,
    };
    if segments.first()? == "crate" {
        return segments.get(1).map(String::as_str);
    }
    let ups = segments
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    let depth = module.len() + path.inline_depth;
    (ups > 0 && ups == depth)
        .then(|| segments.get(ups))
        .flatten()
        .map(String::as_str)
}

fn starts_with(path: &[String], prefix: &str) -> bool {
    let mut prefix = prefix.split("::");
    let mut path = path.iter();
    prefix.all(|wanted| path.next().is_some_and(|segment| segment == wanted))
}

/// Every rule that one file breaks, as `file:line: why`.
fn violations(file: &str, text: &str, is_test: bool) -> Vec<String> {
    let module = module_path(file);
    let Some(room) = module.first() else {
        return Vec::new();
    };
    let Some(own_rank) = rank(room) else {
        return vec![format!(
            "{file}:1: the room `{room}` has no floor; add it to FLOORS"
        )];
    };
    let source = match SourcePaths::read(text) {
        Ok(source) => source,
        Err(error) => return vec![format!("{file}:1: cannot be read: {error}")],
    };
    let mut found = Vec::new();
    let pure = rank(LAST_PURE).is_some_and(|last| own_rank <= last);
    for path in &source.paths {
        let mut report = |why: String| found.push(format!("{file}:{}: {why}", path.line));
        let name = path.segments.join("::");
        if let Some(target) = target_room(&module, path)
            && target != room
            && let Some(why) = import_problem(room, own_rank, target)
        {
            report(format!("`{name}`: {why}"));
        }
        for (library, place) in KEPT {
            if starts_with(&path.segments, library)
                && !file.starts_with(place)
                && !is_test
                && !path.in_test
            {
                report(format!("`{name}`: `{library}` belongs in {place} only"));
            }
        }
        if pure && !is_test && !path.in_test {
            for impure in IMPURE
                .iter()
                .filter(|impure| starts_with(&path.segments, impure))
            {
                report(format!(
                    "`{name}`: `{room}` is pure and may not use `{impure}`"
                ));
            }
        }
    }
    let lines = text.lines().count() - source.test_lines;
    if lines > MAX_LINES && !is_test {
        found.push(format!(
            "{file}:1: {lines} lines without its tests, more than {MAX_LINES}"
        ));
    }
    found
}

fn import_problem(room: &str, own_rank: usize, target: &str) -> Option<String> {
    let Some(target_rank) = rank(target) else {
        return Some(format!(
            "`{target}` is no room; name the room that holds it"
        ));
    };
    if target_rank > own_rank {
        return Some(format!(
            "`{room}` lies below `{target}` and may not import it"
        ));
    }
    let narrow = NARROW.iter().find(|(narrow, _)| *narrow == room);
    match narrow {
        Some((_, allowed)) if !allowed.contains(&target) => {
            Some(format!("`{room}` imports only {}", allowed.join(", ")))
        }
        _ => None,
    }
}

/// Every Rust file below `src`, as its path from the package's root and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a text file");
                let name = path.strip_prefix(root).expect("inside the package");
                files.push((name.display().to_string(), text));
            }
        }
    }
    files.sort();
    files
}

/// The files and folders that are declared by `#[cfg(test)] mod name;` somewhere.
fn test_places(files: &[(String, String)]) -> BTreeSet<PathBuf> {
    let mut places = BTreeSet::new();
    for (file, text) in files {
        let path = Path::new(file);
        let is_mod = matches!(
            path.file_name().and_then(|name| name.to_str()),
            Some("mod.rs" | "lib.rs" | "main.rs")
        );
        let folder = if is_mod {
            path.parent().map(Path::to_path_buf)
        } else {
            Some(path.with_extension(""))
        };
        let source = SourcePaths::read(text).unwrap_or_default();
        for (folder, module) in folder
            .iter()
            .flat_map(|f| source.test_modules.iter().map(move |m| (f, m)))
        {
            places.insert(folder.join(module));
        }
    }
    places
}

#[test]
fn every_room_keeps_to_its_floor() {
    let files = sources();
    let tests = test_places(&files);
    let found: Vec<String> = files
        .iter()
        .flat_map(|(file, text)| {
            let stem = Path::new(file).with_extension("");
            let is_test = stem.ancestors().any(|place| tests.contains(place));
            violations(file, text, is_test)
        })
        .collect();
    assert!(files.len() > 20, "only {} files were read", files.len());
    assert!(
        found.is_empty(),
        "the house has {} cracks:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_planted_crack_is_found() {
    for (file, text, expected) in [
        (
            "src/base/id.rs",
            "use crate::model::Ty;",
            "src/base/id.rs:1: `crate::model::Ty`: `base` lies below `model`",
        ),
        (
            "src/plan/mod.rs",
            "\nuse crate::{base::Value, engine::{Engine, X}};",
            "src/plan/mod.rs:2: `crate::engine::Engine`: `plan` lies below `engine`",
        ),
        (
            "src/check/a.rs",
            "fn f() { super::super::cli::run() }",
            "src/check/a.rs:1: `super::super::cli::run`: `check` lies below `cli`",
        ),
        (
            "src/check/mod.rs",
            "mod inner { use super::super::cli; }",
            "`check` lies below `cli`",
        ),
        (
            "src/run/state.rs",
            "fn f() { format!(\"{}\", crate::engine::NAME); }",
            "`run` lies below `engine`",
        ),
        (
            "src/run/state.rs",
            "#[cfg(test)]\nmod tests { use crate::engine::E; }",
            "src/run/state.rs:2: `crate::engine::E`",
        ),
        (
            "src/handlers/shell.rs",
            "use crate::plan::Plan;",
            "`handlers` imports only base, model, event, handler",
        ),
        ("src/event/kind.rs", "use crate::*;", "`*` is no room"),
        ("src/attic/mod.rs", "", "the room `attic` has no floor"),
        (
            "src/plan/a.rs",
            "use std::{fmt, fs};",
            "`plan` is pure and may not use `std::fs`",
        ),
        (
            "src/run/a.rs",
            "use std::time::{Duration, Instant};",
            "may not use `std::time::Instant`",
        ),
        (
            "src/run/a.rs",
            "fn f() { chrono::Utc::now(); }",
            "may not use `chrono::Utc::now`",
        ),
        (
            "src/language/a.rs",
            "async fn f() { tokio::spawn(g()); }",
            "may not use `tokio`",
        ),
        (
            "src/plan/graph.rs",
            "use petgraph::Graph;",
            "`petgraph` belongs in src/base/graph.rs only",
        ),
        (
            "src/cli/a.rs",
            "use git2::Repository;",
            "`git2` belongs in src/audit/ only",
        ),
        (
            "src/engine/a.rs",
            "fn f() { rusqlite::params![1]; }",
            "`rusqlite` belongs in src/store/ only",
        ),
    ] {
        let found = violations(file, text, false);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "`{text}` in {file}: expected `{expected}`, found {found:?}"
        );
    }
    let long = "fn f() {}\n".repeat(MAX_LINES + 1);
    assert_eq!(violations("src/run/a.rs", &long, false).len(), 1);
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (file, text) in [
        (
            "src/handlers/shell.rs",
            "use crate::handler::StepError; use crate::handlers::x; use tokio::io;",
        ),
        (
            "src/plan/a.rs",
            "use super::types::Plan; use crate::{base::Value, model::{Ty, Effect}};",
        ),
        (
            "src/plan/a.rs",
            "#[cfg(test)]\nmod tests { use super::*; use std::fs; }",
        ),
        ("src/base/graph.rs", "use petgraph::Graph;"),
        (
            "src/base/a.rs",
            "// use crate::cli;\nconst A: &str = \"crate::cli\";",
        ),
        ("src/base/time.rs", "use chrono::{DateTime, Utc};"),
        ("src/lib.rs", "pub mod base;"),
    ] {
        assert_eq!(
            violations(file, text, false),
            Vec::<String>::new(),
            "{file}: {text}"
        );
    }
    let long_tests = format!(
        "#[cfg(test)]\nmod tests {{\n{}}}\n",
        "fn f() {}\n".repeat(MAX_LINES + 1)
    );
    assert_eq!(
        violations("src/run/a.rs", &long_tests, false),
        Vec::<String>::new()
    );
}
