//! The documents say what the code does.

use std::path::Path;

use runbook::cli::EXIT_CODES;

use crate::architecture::FLOORS;

fn document(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a text file")
}

/// The rows of every table of a Markdown text, as trimmed cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    text.lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn the_readme_lists_the_exit_codes() {
    let readme = document("README.md");
    let listed: Vec<(String, String)> = rows(&readme)
        .into_iter()
        .filter(|row| row[0].parse::<u8>().is_ok())
        .map(|row| (row[0].to_owned(), row[1].to_owned()))
        .collect();
    let known = EXIT_CODES.map(|(code, meaning)| (code.to_string(), meaning.to_owned()));
    assert_eq!(listed, known);
}

#[test]
fn the_plan_of_the_house_lists_the_rooms_in_their_order() {
    let house = document("docs/design/house.md");
    let (floors, _) = house.split_once("## The rules").expect("the rules follow");
    let listed: Vec<&str> = rows(floors)
        .into_iter()
        .filter_map(|row| row[1].strip_prefix('`')?.strip_suffix('`'))
        .collect();
    assert_eq!(listed, FLOORS);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let link = regex::Regex::new(r"\]\(([^)#:]+)\)").expect("a valid pattern");
    let mut followed = 0;
    for (folder, path) in [
        ("", "README.md"),
        ("", "CONTRIBUTING.md"),
        ("", "CHANGELOG.md"),
        ("docs", "docs/editor.md"),
        ("docs/design", "docs/design/house.md"),
        ("docs/design", "docs/design/core.md"),
    ] {
        for found in link.captures_iter(&document(path)) {
            let target = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(folder)
                .join(&found[1]);
            assert!(
                target.exists(),
                "{path} links to {}, which is not there",
                &found[1]
            );
            followed += 1;
        }
    }
    assert!(followed > 5, "only {followed} links were found");
}
