//! What is written down for people and editors is held by the code: the schemas, the runbooks of
//! the repository, the examples of the actions, and the files shown in the documents.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use runbook::base::{Diagnostic, Diagnostics, Severity, SourceFile, Value};
use runbook::check::{Runbooks, check_environment, check_policy};
use runbook::handlers::builtin_registry;
use runbook::language::{
    Limits, decode_environment, decode_policy, decode_runbook, decode_test_file,
    environment_schema, parse_yaml, policy_schema, runbook_schema, schema_text, test_schema,
};
use runbook::model::{ActionCatalog, Environment, Runbook};
use runbook::settings::Repository;

/// What the examples name, and no more than that.
const ENVIRONMENT: &str = "\
environment: v1
name: examples
services:
  api: { provider: process, command: [api] }
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn catalog() -> ActionCatalog {
    builtin_registry().expect("unique names").catalog()
}

/// The files below a folder that have this ending, with their paths from the root, in order.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|given| given == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a text file");
            let shown = path.strip_prefix(root()).expect("below the root");
            (shown.display().to_string(), text)
        })
        .collect()
}

/// What a file is, by its first key.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Runbook,
    Environment,
    Policy,
    Test,
}

const FORMATS: [Format; 4] = [
    Format::Runbook,
    Format::Environment,
    Format::Policy,
    Format::Test,
];

/// The format that a text begins with, below comments and empty lines.
fn format_of(text: &str) -> Option<Format> {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    match first.split_whitespace().collect::<Vec<_>>()[..] {
        ["runbook:", "v1", ..] => Some(Format::Runbook),
        ["environment:", "v1", ..] => Some(Format::Environment),
        ["policy:", "v1", ..] => Some(Format::Policy),
        ["test:", "v1", ..] => Some(Format::Test),
        _ => None,
    }
}

fn environment_of(source: &Arc<SourceFile>, diags: &mut Diagnostics) -> Option<Environment> {
    let environment = decode_environment(source, diags)?;
    check_environment(&environment, &catalog(), diags);
    Some(environment)
}

/// A runbook beside those of this repository, so that it can run them.
fn with_called(runbook: Runbook, diags: &mut Diagnostics) -> Runbooks {
    let repository = Repository::at(root());
    let mut runbooks = Runbooks::named(repository.runbooks().expect("a readable folder"));
    let name = runbook.name.value.clone();
    runbooks.insert(&name, Some(runbook));
    while let Some(called) = runbooks.missing() {
        let path = repository.runbook_file(&called);
        let text = std::fs::read_to_string(&path).expect("a text file");
        let source = SourceFile::new(repository.shown(&path), text);
        runbooks.insert(&called, decode_runbook(&source, diags));
    }
    runbooks
}

/// Every finding in a file, warnings included.
fn findings(
    path: &str,
    text: &str,
    format: Format,
    environment: Option<&Environment>,
) -> Vec<Diagnostic> {
    let source = SourceFile::new(path, text);
    let mut diags = Diagnostics::new();
    match format {
        Format::Runbook => {
            if let Some(runbook) = decode_runbook(&source, &mut diags) {
                let name = runbook.name.value.clone();
                let mut runbooks = with_called(runbook, &mut diags);
                runbooks.check(&name, environment, &catalog(), &mut diags);
            }
        }
        Format::Environment => {
            environment_of(&source, &mut diags);
        }
        Format::Policy => {
            if let Some(policy) = decode_policy(&source, &mut diags) {
                check_policy(&policy, &mut diags);
            }
        }
        Format::Test => {
            decode_test_file(&source, &mut diags);
        }
    }
    diags.into_sorted()
}

/// The findings in short, for the message of a failed test.
fn told(findings: &[Diagnostic]) -> String {
    findings
        .iter()
        .map(|finding| format!("\n  {}: {}", finding.code, finding.message))
        .collect()
}

/// The environment that the examples and the files of this repository are checked against.
fn environment(path: &str, text: &str) -> Environment {
    let mut diags = Diagnostics::new();
    let environment = environment_of(&SourceFile::new(path, text), &mut diags);
    assert!(diags.is_empty(), "{path}:{}", told(&diags.into_sorted()));
    environment.expect("an environment")
}

fn schema(format: Format) -> (&'static str, Value) {
    match format {
        Format::Runbook => ("schemas/runbook.schema.json", runbook_schema(&catalog())),
        Format::Environment => (
            "schemas/environment.schema.json",
            environment_schema(&catalog()),
        ),
        Format::Policy => ("schemas/policy.schema.json", policy_schema()),
        Format::Test => ("schemas/test.schema.json", test_schema()),
    }
}

/// What an editor with the schema would underline.
fn underlined(path: &str, text: &str, format: Format) -> Vec<String> {
    let mut diags = Diagnostics::new();
    let document = parse_yaml(&SourceFile::new(path, text), &Limits::default(), &mut diags)
        .expect("readable YAML")
        .to_json();
    jsonschema::validator_for(&schema(format).1)
        .expect("a valid schema")
        .iter_errors(&document)
        .map(|error| format!("\n  {}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn the_schemas_on_disk_are_current() {
    for format in FORMATS {
        let (path, schema) = schema(format);
        let written = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(
            written == schema_text(&schema),
            "{path} is not current; write it with: cargo run -- schema --write schemas"
        );
    }
}

#[test]
fn the_files_of_this_repository_have_no_finding() {
    let local = "runbooks/environments/local.yaml";
    let text = std::fs::read_to_string(root().join(local)).expect("a text file");
    let local = environment(local, &text);
    let mut seen = 0;
    for (path, text) in files("runbooks", "yaml") {
        let format = format_of(&text).unwrap_or_else(|| panic!("{path} begins with no format"));
        let found = findings(&path, &text, format, Some(&local));
        assert!(found.is_empty(), "{path}:{}", told(&found));
        let found = underlined(&path, &text, format);
        assert!(found.is_empty(), "{path}:{}", found.concat());
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} files were read");
}

#[test]
fn every_example_of_an_action_is_a_step_without_errors() {
    let environment = environment("examples.yaml", ENVIRONMENT);
    for (name, manifest) in &catalog().actions {
        for example in &manifest.examples {
            let step = example.yaml.replace('\n', "\n    ");
            // A parameter that no example refers to would be a finding of its own.
            let params = match example.yaml.contains("params.errors") {
                true => "params: { errors: { type: int, default: 0, description: Count } }\n",
                false => "",
            };
            let text = format!(
                "runbook: v1\nname: example\n{params}steps:\n  - {}\n",
                step.trim()
            );
            let mut found = findings("example.yaml", &text, Format::Runbook, Some(&environment));
            // A lone gate that holds nothing is worth a warning, and rightly so.
            found.retain(|finding| finding.severity == Severity::Error);
            assert!(
                found.is_empty(),
                "{name}, {}:{}",
                example.title,
                told(&found)
            );
            let found = underlined(name, &text, Format::Runbook);
            assert!(
                found.is_empty(),
                "{name}, {}:{}",
                example.title,
                found.concat()
            );
        }
    }
}

/// A file shown in a document: where it begins, its text, and the headline above it.
struct Shown<'a> {
    line: usize,
    text: String,
    headline: &'a str,
}

/// The blocks of a Markdown text that are fenced as YAML.
fn blocks(document: &str) -> Vec<Shown<'_>> {
    let mut found = Vec::new();
    let mut headline = "";
    let mut open: Option<Shown<'_>> = None;
    for (index, line) in document.lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => found.extend(open.take()),
            Some(block) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            None if line == "```yaml" => {
                open = Some(Shown {
                    line: index + 2,
                    text: String::new(),
                    headline,
                });
            }
            None if line.starts_with("## ") => headline = line,
            None => {}
        }
    }
    found
}

#[test]
fn whole_files_shown_in_the_documents_are_what_they_are_said_to_be() {
    let environment = environment("examples.yaml", ENVIRONMENT);
    let mut documents = files("docs", "md");
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a text file");
    documents.push(("README.md".to_owned(), readme));
    let mut seen = 0;
    for (path, document) in &documents {
        for block in blocks(document) {
            let Some(format) = format_of(&block.text) else {
                continue;
            };
            seen += 1;
            let place = format!("{path}:{}", block.line);
            let name = block
                .text
                .lines()
                .find_map(|line| line.strip_prefix("name: ")?.split_whitespace().next());
            let file = format!("{}.yaml", name.unwrap_or("unnamed"));
            let found = |format| findings(&file, &block.text, format, Some(&environment));
            if block.headline == "## Wrong" {
                // A wrong file may stand in the place of any kind of file.
                let code = Path::new(path).file_stem().expect("a name");
                let has = FORMATS
                    .into_iter()
                    .flat_map(found)
                    .any(|finding| code == finding.code.0);
                assert!(has, "{place} does not have the mistake of its page");
            } else {
                let found = found(format);
                assert!(found.is_empty(), "{place}:{}", told(&found));
            }
        }
    }
    assert!(seen > 0, "no file is shown");
}
