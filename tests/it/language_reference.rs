//! `docs/language.md` and `docs/approvals.md`: their generated parts are fresh, and every YAML block of the documents does
//! what it says.
//!
//! `UPDATE_DOCS=1 cargo test --test it language_reference` writes the generated parts anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use runbook::base::{Code, Diagnostics, Severity, SourceFile, Value};
use runbook::check::{check, check_policy};
use runbook::language::{
    FileKind, Form, Limits, Place, decode_environment, decode_policy, decode_runbook, functions,
    helpers, parse_yaml,
};
use runbook::model::{ActionCatalog, Environment, Ty};

const REFERENCE: &str = "docs/language.md";
const APPROVALS: &str = "docs/approvals.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn catalog() -> ActionCatalog {
    runbook::handlers::builtin_registry()
        .expect("the built-in actions")
        .catalog()
}

/// A cell of a table: one line, no bar of its own.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn code(text: &str) -> String {
    if text.contains('`') {
        format!("`` {} ``", cell(text))
    } else {
        format!("`{}`", cell(text))
    }
}

/// What a value of a place is, in a few words.
fn value_of(place: Place) -> String {
    let forms = place.alternatives();
    if forms.len() > 1 && forms.iter().all(|form| form.what().is_none()) {
        let forms: Vec<String> = forms.into_iter().map(form_of).collect();
        return forms.join(", or ");
    }
    let value = form_of(place);
    match place.what() {
        Some(what) if place.form() != Form::Object => format!("{value}, or {what}"),
        _ => value,
    }
}

fn form_of(place: Place) -> String {
    match place.form() {
        Form::Object => place.what().unwrap_or("a map").to_owned(),
        Form::List => match place.child("0") {
            Some(item) => format!("list of: {}", value_of(item)),
            None => "list".to_owned(),
        },
        Form::Map => match place.child("name") {
            Some(item) => format!("names to: {}", value_of(item)),
            None => "map".to_owned(),
        },
        Form::Words(words) => words
            .iter()
            .map(|word| code(word))
            .collect::<Vec<_>>()
            .join(", "),
        Form::Condition => "condition".to_owned(),
        Form::Uses => "action".to_owned(),
        Form::With => "inputs of the action".to_owned(),
        Form::Any => "any value".to_owned(),
        Form::Scalar(what) => what.to_owned(),
    }
}

/// The object that a place leads to, through lists and maps.
fn object_of(place: Place) -> Option<Place> {
    match place.form() {
        Form::List => object_of(place.child("0")?),
        Form::Map => object_of(place.child("name")?),
        _ => place.what().map(|_| place),
    }
}

fn keys(root: Place) -> String {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(place) = waiting.pop() {
        let what = place.what().unwrap_or("a file");
        if !told.insert(what) {
            continue;
        }
        let _ = writeln!(text, "#### {}\n", capital(what));
        text.push_str("| key | value | when absent | meaning | example |\n|---|---|---|---|---|\n");
        let mut inner = Vec::new();
        for key in place.keys() {
            let absent = match (key.required, key.default) {
                (true, _) => "**required**".to_owned(),
                (false, Some(default)) => code(default),
                (false, None) => String::new(),
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {absent} | {} | {} |",
                key.name,
                cell(&value_of(key.place)),
                cell(key.doc),
                code(key.example)
            );
            inner.extend(object_of(key.place));
        }
        text.push('\n');
        waiting.extend(inner.into_iter().rev());
    }
    text
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default()
}

fn actions() -> String {
    let mut text = String::from(
        "| action | effect | inputs | outputs | what it does |\n|---|---|---|---|---|\n",
    );
    for (name, manifest) in catalog().actions {
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} | {} | {} |",
            serde_json::to_value(manifest.effect)
                .ok()
                .and_then(|effect| effect.as_str().map(str::to_owned))
                .expect("a word"),
            fields(&manifest.input),
            fields(&manifest.output),
            cell(&manifest.summary)
        );
    }
    text
}

/// The fields of a schema with their types; those that must be given are bold.
fn fields(schema: &Value) -> String {
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let fields = schema["properties"].as_object();
    let fields = fields.into_iter().flatten().map(|(name, schema)| {
        let ty = cell(&Ty::from_schema(schema).to_string());
        if required.contains(&name.as_str()) {
            format!("**`{name}`** {ty}")
        } else {
            format!("`{name}` {ty}")
        }
    });
    fields.collect::<Vec<_>>().join(", ")
}

fn helper_table() -> String {
    let mut text = String::from("| helper | gives | example |\n|---|---|---|\n");
    for helper in helpers() {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            code(helper.usage),
            cell(helper.doc),
            code(helper.example)
        );
    }
    text
}

fn function_table() -> String {
    let mut text = String::from("| function | meaning | example |\n|---|---|---|\n");
    for function in functions() {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            code(function.usage),
            cell(function.doc),
            code(function.example)
        );
    }
    text
}

fn code_table() -> String {
    let mut text = String::from("| code | rule |\n|---|---|\n");
    let pages = runbook::language::codes::CODES
        .iter()
        .chain(runbook::check::CODES);
    for page in pages {
        let _ = writeln!(
            text,
            "| [{0}](errors/{0}.md) | {1} |",
            page.code,
            cell(page.title)
        );
    }
    text
}

/// The generated parts of a document.
fn parts(path: &str) -> Vec<(&'static str, String)> {
    if path == APPROVALS {
        return vec![
            ("keys of a policy", keys(FileKind::Policy.root())),
            ("keys of an approval", keys(Place::gate())),
        ];
    }
    vec![
        ("keys of a runbook", keys(FileKind::Runbook.root())),
        ("keys of an environment", keys(FileKind::Environment.root())),
        ("actions", actions()),
        ("helpers", helper_table()),
        ("functions", function_table()),
        ("codes", code_table()),
    ]
}

/// A document with its generated parts made anew.
fn fresh(path: &str, text: &str) -> String {
    let mut text = text.to_owned();
    for (name, made) in parts(path) {
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
        let start = text.find(&begin).unwrap_or_else(|| panic!("{begin}")) + begin.len();
        let stop = start + text[start..].find(end).expect("an end");
        text.replace_range(start..stop, &format!("\n{}\n", made.trim_end()));
        let after = text[start..].find(end).expect("an end") + start;
        text.insert(after, '\n');
    }
    text
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no settings; this is how its maintainer asks it to write"
)]
fn the_reference_is_fresh() {
    for document in [REFERENCE, APPROVALS] {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).expect("the reference");
        let fresh = fresh(document, &text);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, fresh).expect("written");
            continue;
        }
        let differs = text
            .lines()
            .zip(fresh.lines())
            .find(|(old, new)| old != new);
        assert!(
            text == fresh,
            "{document} is stale; write it anew with UPDATE_DOCS=1 cargo test --test it language_reference\n{differs:#?}"
        );
    }
}

const ENVIRONMENT: &str = r#"environment: v1
name: local
vars: { region: eu, url: "http://127.0.0.1:8000", ports: { api: 8000 }, files: [a, b] }
secrets: { db_password: "env:DB_PASSWORD", api: "env:API_TOKEN" }
services:
  api: { provider: process, command: [./api] }
  worker: { provider: process, command: [./worker] }
connections:
  ops: { kind: notify, to: terminal }
"#;

/// What fragments may refer to.
const PARAMS: &str = "params:
  service: { type: service, default: api }
  services: { type: list, items: service, default: [api, worker] }
  grace: { type: duration, default: 10s }
  force: { type: bool, default: false }
  name: { type: string, default: a }
  limit: { type: size, default: 64MiB }
  token: { type: secret, default: \"env:TOKEN\" }
";

/// A block of YAML in a document.
struct Block {
    place: String,
    info: String,
    text: String,
}

fn blocks(path: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join(path)).expect("a document");
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            Some(block) if line.trim_end() == "```" => {
                let _ = block;
                found.extend(open.take().filter(|b| b.info.starts_with("yaml")));
            }
            Some(block) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {
                if let Some(info) = line.strip_prefix("```") {
                    open = Some(Block {
                        place: format!("{path}:{}", number + 1),
                        info: info.trim().to_owned(),
                        text: String::new(),
                    });
                }
            }
        }
    }
    assert!(open.is_none(), "{path} ends inside a block");
    found
}

fn environment() -> Environment {
    let source = SourceFile::new("environments/local.yaml", ENVIRONMENT);
    let mut diags = Diagnostics::new();
    let environment = decode_environment(&source, &mut diags);
    assert!(!diags.has_errors(), "{diags:?}");
    environment.expect("an environment")
}

/// The errors of a runbook.
fn errors(text: &str) -> Vec<(Code, String)> {
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("name: "))
        .unwrap_or("sample");
    let source = SourceFile::new(format!("runbooks/{name}.yaml"), text);
    let mut diags = Diagnostics::new();
    if let Some(runbook) = decode_runbook(&source, &mut diags) {
        check(runbook, Some(&environment()), &catalog(), &mut diags);
    }
    told(diags)
}

fn told(diags: Diagnostics) -> Vec<(Code, String)> {
    let errors = diags.into_sorted().into_iter();
    errors
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| {
            (
                finding.code,
                format!("{} {}", finding.code, finding.message),
            )
        })
        .collect()
}

fn judge(block: &Block) -> Vec<(Code, String)> {
    let mut words = block.info.split(' ').skip(1);
    let text = &block.text;
    let source = |path: &str| SourceFile::new(path, text.as_str());
    let mut diags = Diagnostics::new();
    match words.next() {
        Some("runbook") => errors(text),
        Some("steps") => {
            let steps: String = text.lines().map(|line| format!("  {line}\n")).collect();
            errors(&format!(
                "runbook: v1\nname: sample\n{PARAMS}steps:\n{steps}"
            ))
        }
        Some("part") => {
            let params = if text.contains("params:") { "" } else { PARAMS };
            let steps = if text.contains("steps:") {
                ""
            } else {
                "steps:\n  - { id: one, uses: wait, with: { duration: 1s } }\n"
            };
            errors(&format!("runbook: v1\nname: sample\n{params}{text}{steps}"))
        }
        Some("environment") => {
            let name = text.lines().find_map(|line| line.strip_prefix("name: "));
            let path = format!("environments/{}.yaml", name.unwrap_or("local"));
            decode_environment(&source(&path), &mut diags);
            told(diags)
        }
        Some("policy") => {
            if let Some(policy) = decode_policy(&source("policy.yaml"), &mut diags) {
                check_policy(&policy, &mut diags);
            }
            told(diags)
        }
        kind => panic!("{}: unknown kind {kind:?} of a YAML block", block.place),
    }
}

#[test]
fn every_block_of_yaml_does_what_it_says() {
    let mut judged = 0;
    for path in ["README.md", "CONTRIBUTING.md", REFERENCE, APPROVALS] {
        for block in blocks(path) {
            let errors = judge(&block);
            let wanted = block
                .info
                .split_once("bad(")
                .and_then(|(_, rest)| rest.strip_suffix(')'));
            match wanted {
                None => assert!(errors.is_empty(), "{}: {errors:#?}", block.place),
                Some(code) => assert!(
                    errors.iter().any(|(found, _)| found.0 == code),
                    "{}: not {code}, but {errors:#?}",
                    block.place
                ),
            }
            judged += 1;
        }
    }
    assert!(judged >= 18, "only {judged} blocks");
}

#[test]
fn what_the_pages_call_right_is_yaml() {
    for page in runbook::language::codes::CODES
        .iter()
        .chain(runbook::check::CODES)
    {
        let (_, right) = page.page.split_once("## Right").expect("a right part");
        let Some((_, block)) = right.split_once("```yaml\n") else {
            continue;
        };
        let (block, _) = block.split_once("```").expect("an end");
        let mut diags = Diagnostics::new();
        parse_yaml(
            &SourceFile::new("page.yaml", block),
            &Limits::default(),
            &mut diags,
        );
        assert!(diags.is_empty(), "{}: {diags:?}\n{block}", page.code);
    }
}
