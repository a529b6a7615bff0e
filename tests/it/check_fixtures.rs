//! Every code has files that show it: `tests/fixtures/check/CODE/bad*.yaml` give that code and no
//! other, `good*.yaml` give nothing, and what people see of each bad one is held by a snapshot.
//!
//! A file says by its format line what it is; without one it is a runbook. Lines that begin with
//! `#!` say more: `#! today: DAY` (reviews are checked), `#! plan` and `#! param: NAME=VALUE` (a plan
//! is made with these values), `#! fill: N` (the word FILL stands for N letters),
//! `#! as: runbook` (it is read as one whatever it says), `#! also: CODE` (a bad file gives this
//! code as well), `#! policy` (the `policy.yaml` beside it applies), `#! place` (a policy is held
//! against the environment, and the day of `#! today`). Beside the files,
//! `environment.yaml` takes the place of the common one, and other files are runbooks that these run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use runbook::base::{CodePage, Diagnostic, Diagnostics, SourceFile, Timestamp};
use runbook::check::{
    self, PolicyPlace, Runbooks, check_demands, check_environment, check_policy,
    check_policy_environments, check_policy_place, check_protection, check_review,
};
use runbook::handlers::builtin_registry;
use runbook::language::{
    self, Limits, decode_environment, decode_policy, decode_runbook, source_from_bytes,
};
use runbook::model::{ActionCatalog, Environment, Policy};
use runbook::plan::{Given, build};
use runbook::report::{Style, diagnostics_text};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check")
}

fn pages() -> impl Iterator<Item = &'static CodePage> {
    language::codes::CODES.iter().chain(check::CODES)
}

/// What `#!` lines say.
#[derive(Default)]
struct Directives {
    today: Option<chrono::NaiveDate>,
    params: Option<BTreeMap<String, Given>>,
    fill: Option<usize>,
    is_runbook: bool,
    policy: bool,
    place: bool,
    also: BTreeSet<String>,
}

impl Directives {
    fn of(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().filter_map(|line| line.strip_prefix("#! ")) {
            let (key, value) = line.split_once(": ").unwrap_or((line, ""));
            match key {
                "today" => found.today = Some(value.parse().expect("a day")),
                "fill" => found.fill = Some(value.parse().expect("a number")),
                "as" => found.is_runbook = value == "runbook",
                "policy" => found.policy = true,
                "place" => found.place = true,
                "also" => drop(found.also.insert(value.to_owned())),
                "plan" => drop(found.params.get_or_insert_default()),
                "param" => {
                    let (name, text) = value.split_once('=').expect("NAME=VALUE");
                    let params = found.params.get_or_insert_default();
                    params.insert(name.to_owned(), Given::Text(text.to_owned()));
                }
                other => panic!("unknown directive `{other}`"),
            }
        }
        found
    }
}

struct Fixtures {
    catalog: ActionCatalog,
}

impl Fixtures {
    fn environment(&self, beside: &Path) -> Environment {
        let own = beside.with_file_name("environment.yaml");
        let path = match own.exists() {
            true => own,
            false => folder().join("environment.yaml"),
        };
        let text = std::fs::read_to_string(path).expect("an environment");
        let mut diags = Diagnostics::new();
        let source = SourceFile::new("environments/local.yaml", text);
        let environment = decode_environment(&source, &mut diags).expect("an environment");
        check_environment(&environment, &self.catalog, &mut diags);
        assert!(diags.is_empty(), "{diags:?}");
        environment
    }

    /// The policy beside a file.
    fn policy(beside: &Path) -> Policy {
        let path = beside.with_file_name("policy.yaml");
        let text = std::fs::read_to_string(path).expect("a policy");
        let mut diags = Diagnostics::new();
        let policy = decode_policy(&SourceFile::new("policy.yaml", text), &mut diags);
        let policy = policy.expect("a policy");
        check_policy(&policy, &mut diags);
        assert!(diags.is_empty(), "{diags:?}");
        policy
    }

    /// What a file gives, without the code that it says it gives as well.
    fn findings(&self, path: &Path) -> Vec<Diagnostic> {
        let told = std::fs::read(path).expect("a fixture");
        let also = Directives::of(&String::from_utf8_lossy(&told)).also;
        let mut found = self.all_findings(path);
        for code in &also {
            let all = found.len();
            found.retain(|finding| finding.code.0 != code);
            assert!(all > found.len(), "{} gives no {code}", path.display());
        }
        found
    }

    fn all_findings(&self, path: &Path) -> Vec<Diagnostic> {
        let mut bytes = std::fs::read(path).expect("a fixture");
        let told = String::from_utf8_lossy(&bytes).into_owned();
        let directives = Directives::of(&told);
        if let Some(count) = directives.fill {
            bytes = told.replace("FILL", &"x".repeat(count)).into_bytes();
        }
        let first = told.lines().find(|line| !line.starts_with('#'));
        let kind = first
            .and_then(|line| line.split(':').next())
            .filter(|_| !directives.is_runbook);
        let shown = match kind {
            Some("environment") => "environments/local.yaml",
            Some("policy") => "policy.yaml",
            _ => "runbooks/sample.yaml",
        };
        let mut diags = Diagnostics::new();
        let source = match source_from_bytes(shown, bytes, &Limits::default()) {
            Ok(source) => source,
            Err(finding) => return vec![*finding],
        };
        match kind {
            Some("environment") => {
                if let Some(environment) = decode_environment(&source, &mut diags) {
                    check_environment(&environment, &self.catalog, &mut diags);
                }
            }
            Some("policy") => {
                if let Some(policy) = decode_policy(&source, &mut diags) {
                    check_policy(&policy, &mut diags);
                    if directives.place {
                        let environment = self.environment(path);
                        check_policy_environments(&policy, ["local"].into_iter(), &mut diags);
                        let today = directives.today.unwrap_or_default();
                        let place = PolicyPlace {
                            environments: vec![Some(&environment)],
                            now: Timestamp::from_unix_millis(
                                today
                                    .and_time(chrono::NaiveTime::MIN)
                                    .and_utc()
                                    .timestamp_millis(),
                            ),
                        };
                        check_policy_place(&policy, &place, &mut diags);
                    }
                }
            }
            _ => self.runbook(&source, path, directives, &mut diags),
        }
        diags.into_sorted()
    }

    fn runbook(
        &self,
        source: &std::sync::Arc<SourceFile>,
        path: &Path,
        directives: Directives,
        diags: &mut Diagnostics,
    ) {
        let environment = self.environment(path);
        let Some(runbook) = decode_runbook(source, diags) else {
            return;
        };
        let policy = directives.policy.then(|| Self::policy(path));
        let policy = policy.as_ref();
        if let Some(today) = directives.today {
            check_review(&runbook, today, policy, diags);
        }
        let mut runbooks = Runbooks::named(["sample".to_owned()]);
        runbooks.insert("sample", Some(runbook));
        for beside in yaml_files(code_of(path)) {
            let name = stem(&beside);
            if !["environment", "policy"].contains(&name)
                && !name.starts_with("good")
                && !name.starts_with("bad")
            {
                let text = std::fs::read_to_string(&beside).expect("a runbook");
                let source = SourceFile::new(format!("runbooks/{name}.yaml"), text);
                runbooks.insert(name, decode_runbook(&source, diags));
            }
        }
        let checked = runbooks.check("sample", Some(&environment), &self.catalog, diags);
        if let Some(checked) = &checked {
            check_protection(&environment, policy, diags);
            check_demands(checked, &environment, policy, &self.catalog, diags);
        }
        if let (Some(checked), Some(params)) = (checked, directives.params) {
            build(
                &checked,
                &environment,
                policy,
                &params,
                &self.catalog,
                diags,
            );
        }
    }
}

fn yaml_files(code: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join(code))
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    files
}

fn code_of(path: &Path) -> &str {
    stem(path.parent().expect("a folder"))
}

fn stem(path: &Path) -> &str {
    path.file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a name")
}

fn told(findings: &[Diagnostic]) -> String {
    diagnostics_text(findings, Style::plain(100))
}

#[test]
fn every_code_is_shown_by_files_that_give_it_and_files_that_do_not() {
    let fixtures = Fixtures {
        catalog: builtin_registry().expect("unique names").catalog(),
    };
    let mut problems = Vec::new();
    for page in pages() {
        let code = page.code;
        let (mut good, mut bad) = (0, 0);
        for path in yaml_files(code.0) {
            let name = stem(&path);
            if name.starts_with("good") {
                good += 1;
                let findings = fixtures.findings(&path);
                if !findings.is_empty() {
                    problems.push(format!("{code}/{name} is not clean:\n{}", told(&findings)));
                }
            } else if name.starts_with("bad") {
                bad += 1;
                let findings = fixtures.findings(&path);
                if findings.is_empty() || findings.iter().any(|f| f.code != code) {
                    problems.push(format!(
                        "{code}/{name} does not give {code} alone:\n{}",
                        told(&findings)
                    ));
                    continue;
                }
                let text = diagnostics_text(&findings, Style::plain(80));
                let mut settings = insta::Settings::clone_current();
                settings.set_snapshot_path(folder().join(code.0));
                settings.set_prepend_module_to_snapshot(false);
                settings.set_omit_expression(true);
                settings.bind(|| insta::assert_snapshot!(name.to_owned(), text));
            }
        }
        // Test files have their own command; `shipped_tests` and the room `simulate` show their codes.
        let of_test_files = code.0.starts_with("RB07");
        if (good == 0 || bad == 0) && !of_test_files {
            problems.push(format!("{code} has {bad} bad and {good} good files"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_folder_of_files_is_that_of_a_code() {
    let known: BTreeSet<&str> = pages().map(|page| page.code.0).collect();
    for entry in std::fs::read_dir(folder()).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            assert!(known.contains(stem(&path)), "{}", path.display());
        }
    }
}
