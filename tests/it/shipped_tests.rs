//! Every runbook that is shipped has tests, and they pass with both sweeps; `runbook test` itself.

use std::path::Path;

use crate::support::TestEnv;

fn here() -> &'static str {
    env!("CARGO_MANIFEST_DIR")
}

#[test]
fn every_shipped_runbook_has_a_test_file() {
    let folder = Path::new(here()).join("runbooks");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("the runbooks") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let Some(name) = name.filter(|name| path.is_file() && *name != "policy") else {
            continue;
        };
        seen += 1;
        let test = folder.join("tests").join(format!("{name}.test.yaml"));
        assert!(test.exists(), "{name} has no {}", test.display());
    }
    assert!(seen > 0);
}

#[test]
fn the_tests_of_the_shipped_runbooks_pass_with_both_sweeps() {
    let env = TestEnv::new();
    let output = env.run(["-C", here(), "test", "--fault-sweep", "--repeat-sweep"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.contains("fault sweep"), "{output}");
}

#[test]
fn what_init_writes_is_tested_and_passes() {
    let env = TestEnv::new();
    assert_eq!(env.run(["init"]).code, Some(0));
    let output = env.run(["test", "--fault-sweep", "--repeat-sweep"]);
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.contains("2 cases passed"), "{output}");
}

#[test]
fn a_failed_case_ends_with_1_and_an_invalid_file_with_3() {
    let env = TestEnv::new();
    assert_eq!(env.run(["init"]).code, Some(0));
    let head = "test: v1\nrunbook: hello\nenvironment: local\ncases:\n";
    let failing = format!("{head}  - {{ name: fails, expect: {{ outcome: failed }} }}\n");
    env.write("runbooks/tests/bad.test.yaml", &failing);
    let output = env.run(["test", "bad"]);
    assert_eq!(output.code, Some(1), "{output}");
    for part in [
        "RB0706",
        "the run should end `failed`",
        "bad.test.yaml:5:",
        "done succeeds",
    ] {
        assert!(output.stdout.contains(part), "`{part}`:\n{output}");
    }
    let junit = env.run(["test", "bad", "--format", "junit"]);
    assert_eq!(junit.code, Some(1));
    assert!(junit.stdout.contains("<failure type=\"RB0706\""), "{junit}");
    let json = env.run(["test", "--output", "json"]);
    assert_eq!(json.code, Some(1));
    assert!(json.stdout.contains("\"cases\":3,\"failed\":1"), "{json}");
    let misspelt = format!("{head}  - {{ name: x, steps: {{ gret: {{}} }}, expect: {{}} }}\n");
    env.write("runbooks/tests/bad.test.yaml", &misspelt);
    let output = env.run(["test", "bad"]);
    assert_eq!(output.code, Some(3), "{output}");
    assert!(output.stderr.contains("did you mean `greet`?"), "{output}");
    for (file, code, help) in [
        (
            "test: v1\nrunbook: helo\nenvironment: local\ncases: [{ name: x, expect: {} }]\n",
            "RB0701",
            "did you mean `hello`?",
        ),
        (
            "test: v1\nrunbook: hello\nenvironment: locla\ncases: [{ name: x, expect: {} }]\n",
            "RB0701",
            "did you mean `local`?",
        ),
        (
            "test: v1\nrunbook: hello\nenvironment: local\ncases: [{ name: x, params: { nmae: a }, expect: {} }]\n",
            "RB0705",
            "name",
        ),
    ] {
        env.write("runbooks/tests/bad.test.yaml", file);
        let output = env.run(["test", "bad"]);
        assert_eq!(output.code, Some(3), "{output}");
        assert!(output.stderr.contains(code), "{output}");
        assert!(output.stderr.contains(help), "{output}");
        let checked = env.run(["check"]);
        assert_eq!(checked.code, Some(3), "{checked}");
        assert!(checked.stdout.contains(code), "{checked}");
        assert!(checked.stdout.contains(help), "{checked}");
    }
    std::fs::remove_file(env.root().join("runbooks/tests/bad.test.yaml")).expect("removed");
    let checked = env.run(["check"]);
    assert!(checked.stdout.contains("nothing found"), "{checked}");
    let unknown = env.run(["test", "helo"]);
    assert_eq!(unknown.code, Some(2), "{unknown}");
    assert!(
        unknown.stderr.contains("did you mean `hello`?"),
        "{unknown}"
    );
}

#[test]
fn the_repeat_sweep_performs_real_cases_twice() {
    let env = TestEnv::new();
    assert_eq!(env.run(["init"]).code, Some(0));
    env.write(
        "runbooks/write.yaml",
        "runbook: v1\nname: write\nsteps:\n  - id: note\n    uses: file.write\n    \
         with: { path: note.txt, content: once }\n    \
         rollback: { irreversible: true, reason: a note stays }\n  - id: count\n    uses: shell\n    \
         with: { argv: [sh, -c, 'echo x >> count.txt; wc -l < count.txt'] }\n    \
         effect: { is: idempotent, reason: planted lie }\n    \
         rollback: { irreversible: true, reason: a count stays }\n",
    );
    env.write(
        "runbooks/tests/write.test.yaml",
        "test: v1\nrunbook: write\nenvironment: local\ncases:\n  - name: writes\n    real: true\n    \
         expect: { outcome: succeeded }\n",
    );
    let output = env.run(["test", "write", "--repeat-sweep"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(env.read("note.txt").contains("once"));
    assert_eq!(env.read("count.txt").lines().count(), 2);
    assert!(
        output
            .stdout
            .contains("`count` may be repeated, but gives something else the second time"),
        "{output}"
    );
}
