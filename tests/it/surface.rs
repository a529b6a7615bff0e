//! The command line's surface: help, mistakes, `init`, `version`, `completions`.

use insta::assert_snapshot;

use crate::support::TestEnv;

#[test]
fn help() {
    let env = TestEnv::new();
    assert_snapshot!(env.run(["--help"]));
}

#[test]
fn no_arguments_show_the_help_as_a_mistake() {
    let env = TestEnv::new();
    let output = env.run([]);
    assert_eq!(output.code, Some(2));
    assert_eq!(output.stdout, "");
    assert!(output.stderr.contains("Usage: runbook"), "{output}");
}

#[test]
fn an_unknown_command_suggests_the_one_that_was_meant() {
    let env = TestEnv::new();
    assert_snapshot!(env.run(["versoin"]), @r"
    ------- stderr
    error: unrecognized subcommand 'versoin'

      tip: a similar subcommand exists: 'version'

    Usage: runbook [OPTIONS] <COMMAND>

    For more information, try '--help'.
    [exit status: 2]
    ");
}

#[test]
fn init_creates_what_is_missing_and_overwrites_nothing() {
    let env = TestEnv::new();
    assert_snapshot!(env.run(["init"]), @r"
    created  runbooks/hello.yaml
    created  runbooks/environments/local.yaml
    created  runbooks/policy.yaml
    created  runbooks/tests/hello.test.yaml
    created  schemas/runbook.schema.json
    created  schemas/environment.schema.json
    created  schemas/policy.schema.json
    created  schemas/test.schema.json
    ------- stderr
    next: runbook exec hello
    ");
    env.write("runbooks/hello.yaml", "mine\n");
    std::fs::remove_file(env.root().join("runbooks/policy.yaml")).expect("removed");
    assert_snapshot!(env.run(["init", "--quiet"]), @r"
    created  runbooks/policy.yaml
    kept     runbooks/hello.yaml (it was there)
    kept     runbooks/environments/local.yaml (it was there)
    kept     runbooks/tests/hello.test.yaml (it was there)
    kept     schemas/runbook.schema.json (it was there)
    kept     schemas/environment.schema.json (it was there)
    kept     schemas/policy.schema.json (it was there)
    kept     schemas/test.schema.json (it was there)
    ");
    assert_eq!(env.read("runbooks/hello.yaml"), "mine\n");
}

#[test]
fn what_init_creates_is_valid_and_runs() {
    let env = TestEnv::new();
    for arguments in [&["init"][..], &["check"], &["exec", "hello"]] {
        let output = env.finish(env.command().args(arguments));
        assert_eq!(output.code, Some(0), "{arguments:?}: {output}");
    }
    let output = env.run(["logs"]);
    assert!(output.stdout.contains("hello, world"), "{output}");
    for path in [
        "runbooks/hello.yaml",
        "runbooks/environments/local.yaml",
        "runbooks/policy.yaml",
    ] {
        let text = env.read(path);
        let (_, schema) = text
            .lines()
            .next()
            .and_then(|line| line.split_once("$schema="))
            .expect("a line for the editor");
        let folder = env.root().join(path);
        let schema = folder.parent().expect("a folder").join(schema);
        assert!(schema.is_file(), "{path} names {}", schema.display());
    }
}

#[test]
fn init_inside_a_repository_is_refused() {
    let env = TestEnv::new();
    env.write("runbooks/a.yaml", "");
    env.write("deep/er/x", "");
    assert_snapshot!(env.run(["-C", "deep/er", "init", "--output", "json"]), @r#"
    ------- stderr
    {"error":{"causes":[],"diagnostics":[],"exit_code":2,"kind":"usage","message":"[ROOT]/deep/er already belongs to the runbook repository [ROOT]","next":["runbook list"]}}
    [exit status: 2]
    "#);
}

#[test]
fn a_folder_that_cannot_be_entered_is_named() {
    let env = TestEnv::new();
    assert_snapshot!(env.run(["-C", "nowhere", "version"]), @r"
    ------- stderr
    error: cannot work in nowhere
      caused by: No such file or directory (os error 2)
      next: name a folder that is there: runbook --directory DIR …
    [exit status: 2]
    ");
}

#[test]
fn a_trace_filter_that_is_none_is_refused() {
    let env = TestEnv::new();
    let output = env.finish(env.command().arg("version").env("RUNBOOK_LOG", "a=b=c"));
    assert_eq!(output.code, Some(2));
    assert!(
        output
            .stderr
            .starts_with("error: RUNBOOK_LOG is not a filter\n"),
        "{output}"
    );
}

#[test]
fn version_is_told_to_people_and_programs() {
    let env = TestEnv::new();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(env.run(["version"]).stdout, format!("runbook {version}\n"));
    assert_eq!(
        env.run(["--version"]).stdout,
        format!("runbook {version}\n")
    );
    let json = env.run(["version", "--output", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["version"], version);
}

#[test]
fn completions_name_the_commands() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = env.run(["completions", shell]);
        assert_eq!(output.code, Some(0), "{output}");
        assert!(output.stdout.contains("completions"), "{shell}");
    }
}

#[test]
fn a_reader_that_went_away_ends_it_quietly() {
    let env = TestEnv::new();
    for arguments in [&["completions", "zsh"][..], &["version"], &["--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = env.finish(env.command().args(arguments).stdout(writer));
        assert_eq!(output.to_string(), "[exit status: 141]", "{arguments:?}");
    }
}
