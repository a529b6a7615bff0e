//! The pure parts together: a text, a place, an answer. The protocol is driven in `tests/it`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use lsp_types::{CompletionTextEdit, HoverContents, Position};
use proptest::prelude::*;

use super::completion::{Abilities, completion};
use super::definition::definition;
use super::diagnostics::{findings, published};
use super::document::Document;
use super::hover::hover;
use super::position::Encoding;
use super::project::{OpenFile, OpenFiles, Project, uri_of};
use super::symbols::symbols;
use crate::handlers::builtin_registry;
use crate::model::ActionCatalog;
use crate::settings::Repository;

static CATALOG: LazyLock<ActionCatalog> =
    LazyLock::new(|| builtin_registry().expect("handlers").catalog());
static REPOSITORY: LazyLock<Repository> =
    LazyLock::new(|| Repository::at(env!("CARGO_MANIFEST_DIR")));
static OPEN: OpenFiles = OpenFiles::new();

fn with<R>(text: &str, path: &Path, ask: impl FnOnce(&Document<'_>) -> R) -> Option<R> {
    let project = Project {
        catalog: &CATALOG,
        environment: "local",
        open: &OPEN,
        repository: Some(&REPOSITORY),
    };
    let document = Document::new(path, text, project, Encoding::Utf16)?;
    Some(ask(&document))
}

/// Takes the cursor (`¦`) out of a text.
fn cursor(text: &str) -> (String, usize) {
    let at = text.find('¦').expect("a cursor");
    (text.replacen('¦', "", 1), at)
}

fn in_runbook<R>(text: &str, ask: impl FnOnce(&Document<'_>, Position) -> R) -> R {
    let (text, at) = cursor(text);
    let path = REPOSITORY.runbook_file("a");
    with(&text, &path, |document| {
        ask(document, document.lines.position(at))
    })
    .expect("a runbook")
}

/// What is offered at the cursor, and the text after the best one that begins with a word is taken.
fn offered(text: &str) -> Vec<String> {
    in_runbook(text, |document, position| {
        let items = completion(document, position, Abilities { snippets: true });
        items.into_iter().map(|item| item.label).collect()
    })
}

fn taken(text: &str, label: &str) -> String {
    in_runbook(text, |document, position| {
        let items = completion(document, position, Abilities { snippets: true });
        let item = items.into_iter().find(|item| item.label == label);
        let Some(CompletionTextEdit::Edit(edit)) = item.expect(label).text_edit else {
            panic!("an edit");
        };
        let span = document.lines.span(edit.range);
        let mut text = document.text.to_owned();
        text.replace_range(span.start..span.end(), &edit.new_text);
        text
    })
}

fn hovered(text: &str) -> String {
    in_runbook(text, |document, position| match hover(document, position) {
        Some(hover) => match hover.contents {
            HoverContents::Markup(markup) => markup.value,
            _ => panic!("Markdown"),
        },
        None => String::new(),
    })
}

const HEAD: &str = "runbook: v1\nname: a\nparams:\n  who: { type: service, default: api, description: Who it is }\n  sizes: { type: list, items: int, default: [1] }\nsteps:\n  - id: before\n    uses: service.status\n    with: { service: api }\n    outputs: { mine: \"{{ outputs.running }}\" }\n";

fn after_head(text: &str) -> String {
    format!("{HEAD}{text}")
}

#[test]
fn each_place_offers_what_can_stand_there() {
    for (text, some) in [
        ("  - id: x\n    us¦", &["uses", "with", "needs"][..]),
        ("  - ¦", &["id", "uses"]),
        ("  - id: x\n    uses: serv¦", &["service.restart", "shell"]),
        (
            "  - id: x\n    uses: service.logs\n    with: { ¦",
            &["service", "pattern"],
        ),
        (
            "  - id: x\n    uses: service.logs\n    with:\n      service: api\n      ¦",
            &["pattern"],
        ),
        (
            "  - id: x\n    with: { ¦ }\n    uses: service.logs\n",
            &["service"],
        ),
        (
            "  - id: x\n    uses: service.logs\n    with: { service: ¦ }",
            &["api"],
        ),
        (
            "  - id: x\n    uses: approval\n    with: { message: m, ¦ }",
            &["risk", "inputs", "on_expiry"],
        ),
        (
            "  - id: x\n    uses: approval\n    with: { message: m, risk: ¦ }",
            &["low", "high"],
        ),
        (
            "  - id: x\n    uses: approval\n    with: { message: m, inputs: { window: { ¦ } } }",
            &["type", "default"],
        ),
        (
            "  - id: x\n    uses: approval\n    with: { message: m, inputs: { window: { type: ¦ } } }",
            &["duration", "enum"],
        ),
        (
            "  - id: x\n    uses: approval\n    with: { message: m, inputs: { window: { type: duration } } }\n  - id: y\n    when: steps.x.outputs.inputs.¦",
            &["window"],
        ),
        ("  - id: x\n    needs: [¦]", &["before"]),
        ("  - id: x\n    on_failure: ¦", &["continue", "stop"]),
        ("  - id: x\n    retry: { backoff: ¦", &["exponential"]),
        ("  - id: x\n    retry: { on: [¦", &["timeout"]),
        (
            "  - id: x\n    rollback:\n      ¦",
            &["uses", "irreversible"],
        ),
        ("  - id: x\n    when: ¦", &["params", "steps", "size"]),
        ("  - id: x\n    when: steps.¦", &["before"]),
        (
            "  - id: x\n    when: steps.before.¦",
            &["outputs", "duration"],
        ),
        (
            "  - id: x\n    when: steps.before.outputs.¦",
            &["running", "mine"],
        ),
        (
            "  - id: x\n    uses: notify\n    with: { message: \"{{ ¦",
            &["params", "json"],
        ),
        (
            "  - id: x\n    uses: notify\n    with: { message: \"a {{ params.¦ }}\" }",
            &["who", "sizes"],
        ),
        (
            "  - id: x\n    uses: shell\n    with:\n      script: |\n        echo {{ run.¦",
            &["id", "runbook"],
        ),
        (
            "  - id: x\n    uses: service.logs\n    until: outputs.¦",
            &["matched"],
        ),
        (
            "  - id: x\n    for_each: [1, 2]\n    when: ¦",
            &["item", "index"],
        ),
        ("  - id: x\n    for_each: \"{{ params.¦", &["sizes"]),
        (
            "  - id: x\n    unless:\n      ¦",
            &["uses", "condition", "params"],
        ),
        (
            "  - id: x\n    unless: { uses: service.status, ¦",
            &["with", "condition"],
        ),
        (
            "  - id: x\n    unless:\n      uses: service.sta¦",
            &["service.status"],
        ),
        (
            "  - id: x\n    uses: runbook.¦",
            &["runbook.service-restart"],
        ),
        (
            "  - id: x\n    uses: runbook.service-restart\n    with: { ¦",
            &["service", "grace"],
        ),
        (
            "  - id: x\n    uses: runbook.service-restart\n    verify: outputs.¦",
            &["pid"],
        ),
        ("verify:\n  - ¦", &["id", "uses", "condition"]),
        ("verify:\n  - condition: steps.¦", &["before"]),
        (
            "finally:\n  - id: y\n    uses: notify\n    with: { message: \"{{ steps.¦",
            &["before"],
        ),
        ("on_f¦", &["on_failure", "finally"]),
        ("outputs: { x: \"{{ steps.before.¦", &["outputs"]),
    ] {
        let found = offered(&after_head(text));
        for wanted in some {
            assert!(
                found.iter().any(|f| f == wanted),
                "{text:?} offers {found:?}"
            );
        }
    }
}

#[test]
fn what_is_there_already_is_not_offered_again() {
    let found = offered(&after_head(
        "  - id: x\n    uses: shell\n    ¦\n    timeout: 1s\n",
    ));
    for taken in ["id", "uses", "timeout"] {
        assert!(!found.iter().any(|f| f == taken), "{taken} in {found:?}");
    }
    assert_eq!(offered(&after_head("# steps.¦")), [""; 0], "in a comment");
    assert_eq!(
        offered(&after_head("  - id: x\n    when: params.who == \"¦\"")),
        [""; 0]
    );
}

#[test]
fn what_is_taken_fits_into_the_text() {
    let restart = taken(
        &after_head("  - id: x\n    uses: service.re¦\n"),
        "service.restart",
    );
    assert_eq!(
        restart,
        after_head(
            "  - id: x\n    uses: service.restart\n    with:\n      service: ${1:service}\n"
        )
    );
    let with = taken(
        &after_head("  - id: x\n    uses: service.r¦\n    with: {}\n"),
        "service.restart",
    );
    assert_eq!(
        with,
        after_head("  - id: x\n    uses: service.restart\n    with: {}\n")
    );
    let reference = taken(
        &after_head("  - id: ü\n    when: steps.be¦fo.outputs"),
        "before",
    );
    assert_eq!(
        reference,
        after_head("  - id: ü\n    when: steps.before.outputs")
    );
    let key = taken(&after_head("  - id: x\n    tim¦"), "timeout");
    assert_eq!(key, after_head("  - id: x\n    timeout: "));
    let again = taken(&after_head("  - id: x\n    tim¦: 5s"), "timeout");
    assert_eq!(again, after_head("  - id: x\n    timeout: 5s"));
}

#[test]
fn what_stands_at_the_cursor_is_explained() {
    for (text, some) in [
        ("  - id: x\n    us¦es: shell", "**uses** (required)"),
        (
            "  - id: x\n    uses: service.re¦start",
            "**service.restart**",
        ),
        (
            "  - id: x\n    uses: service.restart\n    with: { gra¦ce: 5s }",
            "**grace** (duration)",
        ),
        (
            "  - id: x\n    when: params.w¦ho == \"api\"",
            "`params.who`: service\n\nWho it is",
        ),
        (
            "  - id: x\n    when: steps.before.outputs.run¦ning",
            "`steps.before.outputs.running`: bool",
        ),
        (
            "  - id: x\n    when: steps.bef¦ore.outputs.running",
            "uses: service.status",
        ),
        ("  - id: x\n    uses: wa¦itt", "# RB0501"),
        (
            "  - id: x\n    for_each: \"{{ params.sizes }}\"\n    when: it¦em > 3",
            "`item`: int",
        ),
        (
            "  - id: x\n    uses: notify\n    with: { message: \"{{ params.sizes.0¦ }}\" }",
            "`params.sizes.0`: int",
        ),
    ] {
        let found = hovered(&after_head(text));
        assert!(found.contains(some), "{text:?}: {found}");
    }
    assert_eq!(hovered(&after_head("¦ ")), "");
}

#[test]
fn definitions_are_found_in_this_file_and_in_others() {
    for (text, file, line) in [
        ("  - id: x\n    when: params.w¦ho == \"a\"", "a.yaml", 3),
        (
            "  - id: x\n    when: steps.before.outputs.runn¦ing",
            "a.yaml",
            6,
        ),
        (
            "  - id: x\n    when: steps.before.outputs.mi¦ne",
            "a.yaml",
            9,
        ),
        ("  - id: x\n    needs: [bef¦ore]", "a.yaml", 6),
        (
            "  - id: x\n    uses: runbook.service-¦restart",
            "service-restart.yaml",
            2,
        ),
        (
            "  - id: x\n    uses: service.stop\n    with: { service: ap¦i }",
            "local.yaml",
            6,
        ),
    ] {
        let found = in_runbook(&after_head(text), |document, position| {
            definition(document, position, Encoding::Utf16)
        });
        let found = found.unwrap_or_else(|| panic!("{text:?}"));
        assert!(found.uri.as_str().ends_with(file), "{}", found.uri.as_str());
        assert_eq!(found.range.start.line, line, "{text:?}");
    }
}

#[test]
fn the_outline_lists_steps_also_of_a_broken_file() {
    let text = after_head("  - id: x\n    uses: she\n    rollback: { uses: \n  - id: y\n    us\n");
    let path = REPOSITORY.runbook_file("a");
    let found = with(&text, &path, symbols).expect("a runbook");
    let steps = found
        .iter()
        .find(|symbol| symbol.name == "steps")
        .expect("steps");
    let names: Vec<_> = steps
        .children
        .iter()
        .flatten()
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(names, ["before", "x", "y"]);
}

#[test]
fn what_a_protected_environment_demands_is_said_in_the_runbook() {
    let environment = REPOSITORY.environment_file("local");
    let on_disk = std::fs::read_to_string(&environment).expect("the environment");
    let text = on_disk.replace("protected: false", "");
    let open = OpenFiles::from([(
        environment.clone(),
        OpenFile {
            uri: uri_of(&environment).expect("a path"),
            version: 1,
            text: format!("{text}\nprotected: true\n"),
        },
    )]);
    let path = REPOSITORY.runbook_file("a");
    let runbook =
        "runbook: v1\nname: a\nsteps:\n  - { id: do, uses: shell, with: { script: date } }\n";
    let codes = |open: &OpenFiles| -> Vec<&'static str> {
        let project = Project {
            catalog: &CATALOG,
            environment: "local",
            open,
            repository: Some(&REPOSITORY),
        };
        let document = Document::new(&path, runbook, project, Encoding::Utf16);
        let found = findings(&document.expect("a runbook"));
        found.iter().map(|finding| finding.code.0).collect()
    };
    assert!(codes(&open).contains(&"RB0832"), "{:?}", codes(&open));
    assert!(!codes(&OPEN).contains(&"RB0832"));
}

fn shipped() -> Vec<(PathBuf, String)> {
    let names = REPOSITORY.runbooks().expect("runbooks");
    let mut paths: Vec<_> = names
        .iter()
        .map(|name| REPOSITORY.runbook_file(name))
        .collect();
    paths.push(REPOSITORY.environment_file("local"));
    paths.push(REPOSITORY.policy_file());
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a file");
            (path, text)
        })
        .collect()
}

/// Every question at one place.
fn ask_everything(text: &str, path: &Path, at: usize) {
    with(text, path, |document| {
        let position = document.lines.position(at);
        completion(document, position, Abilities { snippets: true });
        hover(document, position);
        definition(document, position, Encoding::Utf16);
        symbols(document);
        published(document, Encoding::Utf16);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Half a file, and a few letters of it gone or new: an answer, and soon.
    #[test]
    fn nothing_that_is_typed_breaks_it(
        file in 0usize..100,
        cut in 0.0f64..1.0,
        hole in 0.0f64..1.0,
        len in 0usize..40,
        new in "([a-z]{0,3}|\\{\\{ |\\}\\}|\\{|\\[|: |- |\"|'|\\| |\n {0,6}|\u{fc}|\u{1d11e}|#|&|\\*|\t|\r){0,4}",
        at in 0.0f64..1.0,
    ) {
        let files = shipped();
        let (path, text) = &files[file % files.len()];
        let place = |text: &str, share: f64| {
            let mut at = (text.len() as f64 * share) as usize;
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let mut text = text[..place(text, cut)].to_owned();
        let start = place(&text, hole);
        let mut end = (start + len).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        text.replace_range(start..end, &new);
        let began = Instant::now();
        // Where something just changed, and anywhere.
        ask_everything(&text, path, start + new.len());
        ask_everything(&text, path, place(&text, at));
        prop_assert!(began.elapsed() < Duration::from_secs(60));
    }
}
