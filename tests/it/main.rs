//! The one integration-test binary: one link, one process, and a test that no file is forgotten.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails its test by panicking"
)]

mod architecture;
mod bad_input;
mod check_fixtures;
mod cli_audit;
mod cli_ending;
mod cli_exec;
mod cli_gates;
mod cli_language;
mod cli_look;
mod cli_protected;
mod cli_remote;
mod cli_votes;
mod cli_waiting;
mod documents;
mod end_to_end;
mod fuzz_corpus;
mod language_reference;
mod lsp;
mod previews;
mod schema_corpus;
mod schemas;
mod secrets;
mod shipped_tests;
mod support;
mod surface;

use std::collections::BTreeSet;
use std::path::Path;

/// The names of the modules that a text declares by `mod name;`.
fn declared(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_test_file_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let present: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "rs")
                || path.join("mod.rs").exists()
        })
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "main")
        .collect();
    assert_eq!(
        declared(include_str!("main.rs")),
        present,
        "declared in main.rs (left), present in tests/it (right)"
    );
}
