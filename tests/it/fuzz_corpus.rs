//! The fuzz targets, run over their seeds, the fixtures, and everything that fuzzing once found.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is the library of another crate, too")]
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Debug builds on a busy machine are slow; what hangs takes longer than this.
const LONGEST: Duration = Duration::from_secs(20);

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn run(target: fn(&[u8]), least: usize, folders: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in folders {
        files(&root.join(folder), &mut found);
    }
    found.sort();
    assert!(found.len() >= least, "only {} files", found.len());
    for path in found {
        let data = std::fs::read(&path).expect("a readable file");
        let started = Instant::now();
        let held = std::panic::catch_unwind(|| target(&data));
        assert!(held.is_ok(), "{} is not held", path.display());
        assert!(
            started.elapsed() < LONGEST,
            "{} takes too long",
            path.display()
        );
    }
}

#[test]
fn yaml() {
    run(
        targets::yaml,
        60,
        &["fuzz/seeds/yaml", "fuzz/findings/yaml", "tests/fixtures"],
    );
}

#[test]
fn template() {
    run(
        targets::template,
        40,
        &["fuzz/seeds/template", "fuzz/findings/template"],
    );
}

#[test]
fn cel() {
    run(targets::cel, 20, &["fuzz/seeds/cel", "fuzz/findings/cel"]);
}

#[test]
fn check() {
    run(
        targets::check,
        60,
        &[
            "fuzz/seeds/check",
            "fuzz/findings/check",
            "runbooks",
            "tests/fixtures/valid/runbook",
            "tests/fixtures/invalid/runbook",
        ],
    );
}
