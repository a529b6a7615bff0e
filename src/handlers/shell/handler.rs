//! The action itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::declared::OutputFile;
use crate::base::HumanDuration;
use crate::event::FailureKind;
use crate::handler::{Preview, PreviewContext, StepContext, StepError, TypedHandler};
use crate::handlers::system::{
    ChildSpec, Ended, directory_of, run_child, step_environment, stopped_failure,
};
use crate::model::{ActionExample, Effect};

/// Runs a script or a program.
pub(in crate::handlers) struct Shell;

/// Inputs: exactly one of `script` and `argv`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::handlers) struct Input {
    /// Script for `/bin/sh -eu -c`, or for `interpreter`. Interpolated values are quoted as one word.
    #[schemars(extend("x-escape" = "shell"))]
    script: Option<String>,
    /// Program and arguments, run as they are, without a shell.
    #[serde(default)]
    #[schemars(length(min = 1))]
    argv: Option<Vec<String>>,
    /// What runs `script`: program and arguments; the script is its last argument. Default
    /// `[/bin/sh, -eu, -c]`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    interpreter: Option<Vec<String>>,
    /// Working directory, relative to the repository's root. Default: the root.
    #[serde(default)]
    directory: Option<String>,
    /// Variables beside the inherited ones and `RUNBOOK_RUN_ID`, `RUNBOOK_STEP`, `RUNBOOK_ATTEMPT`,
    /// `RUNBOOK_IDEMPOTENCY_KEY` and, with `outputs`, `RUNBOOK_OUTPUT`.
    #[serde(default)]
    #[schemars(extend("x-secret" = true))]
    environment: BTreeMap<String, String>,
    /// Exit codes that mean success. Default `[0]`.
    #[serde(default = "zero")]
    success_codes: Vec<i32>,
    /// Names of the outputs that the program writes as lines `name=value` to the file `$RUNBOOK_OUTPUT`.
    #[serde(default)]
    outputs: Vec<String>,
}

fn zero() -> Vec<i32> {
    vec![0]
}

/// Outputs.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::handlers) struct Output {
    /// Exit code.
    exit_code: i32,
    /// From start to end of the program.
    duration: HumanDuration,
    /// Standard output without the line end at its end; at most its first 64 KiB.
    stdout: String,
    /// Whether `stdout` was cut.
    truncated: bool,
    /// The declared outputs: one text for each name in `outputs`.
    #[schemars(extend("x-keys-from" = "outputs"))]
    values: BTreeMap<String, String>,
}

impl TypedHandler for Shell {
    type Input = Input;
    type Output = Output;

    const NAME: &'static str = "shell";
    const SUMMARY: &'static str = "Run a script or a program";
    const DESCRIPTION: &'static str = "\
Runs `script` with `/bin/sh -eu -c` (or another `interpreter`), or the program `argv` without a \
shell. Give exactly one of them. In `script` every interpolated value is quoted as one word; in \
`argv` nothing is quoted, because nothing is split.

The program runs in its own process group with empty standard input. Its output streams to the \
step's log. When the step is to end, the group gets TERM, and KILL after the grace time. Whatever \
is left of the group after the program's end is killed: a step leaves nothing running behind. Use a \
service for what must go on.

Every name in `outputs` must be written exactly once, as a line `name=value`, to the file that \
`$RUNBOOK_OUTPUT` names; later steps read it as `steps.ID.outputs.values.NAME`. A name that is \
missing, not declared or malformed fails the step.

Besides the inherited variables and those of `environment` the program finds `RUNBOOK_RUN_ID`, \
`RUNBOOK_STEP`, `RUNBOOK_ATTEMPT` and `RUNBOOK_IDEMPOTENCY_KEY`. The last is the same for every \
attempt of a step, also after a crash (the step's `idempotency_key`, else run and step): hand it on \
to a system that can tell a repeated order by it.

The effect is `once`: after a crash nobody but you knows whether the script may be repeated. If it \
may, say so: `effect: { is: idempotent, reason: ... }`.";
    const EFFECT: Effect = Effect::Once;

    fn examples() -> Vec<ActionExample> {
        vec![
            ActionExample {
                title: "A script with a declared output".to_owned(),
                yaml: "\
id: size
uses: shell
with:
  script: |
    bytes=$(du -sk . | cut -f1)
    echo \"kib=$bytes\" >> \"$RUNBOOK_OUTPUT\"
  outputs: [kib]
effect: { is: read, reason: it only measures }
"
                .to_owned(),
            },
            ActionExample {
                title: "A program without a shell; diff's 1 means that there is a difference"
                    .to_owned(),
                yaml: "\
id: compare
uses: shell
with:
  argv: [diff, -u, old.conf, new.conf]
  directory: config
  environment: { LC_ALL: C }
  success_codes: [0, 1]
"
                .to_owned(),
            },
        ]
    }

    async fn run(&self, ctx: StepContext, input: Input) -> Result<Output, StepError> {
        let mut command = command_line(&input)?;
        let program = command.remove(0);
        let file = if input.outputs.is_empty() {
            None
        } else {
            Some(OutputFile::create(&ctx)?)
        };
        let mut environment = step_environment(&ctx);
        environment.extend(input.environment);
        if let Some(file) = &file {
            let path = file.path().to_string_lossy().into_owned();
            environment.push(("RUNBOOK_OUTPUT".to_owned(), path));
        }
        let spec = ChildSpec {
            program,
            args: command,
            directory: directory_of(&ctx, input.directory.as_deref()),
            environment,
        };
        let ended = run_child(&ctx, &spec).await?;
        let what = what(&spec, input.script.is_some());
        if ended.stopped.is_some() {
            return Err(stopped_failure(&what, ended));
        }
        let exit_code = match ended.status.code() {
            Some(code) if input.success_codes.contains(&code) => code,
            _ => return Err(exit_failure(&what, ended)),
        };
        let values = match file {
            Some(file) => file.read(&input.outputs)?,
            None => BTreeMap::new(),
        };
        let truncated = ended.stdout.truncated();
        let mut stdout = ended.stdout.into_text();
        stdout.truncate(stdout.trim_end_matches(['\n', '\r']).len());
        Ok(Output {
            exit_code,
            duration: HumanDuration(ended.duration),
            stdout,
            truncated,
            values,
        })
    }

    fn preview(&self, ctx: &PreviewContext, input: &Input) -> Preview {
        let mut command = match command_line(input) {
            Ok(command) => command,
            Err(error) => return Preview::Unknown(error.to_string()),
        };
        if let Some(written) = &input.directory
            && !ctx.path(written).is_dir()
        {
            return Preview::Predicted(format!(
                "{}\nthe directory {written} does not exist now",
                self.shown(&mut command, input)
            ));
        }
        Preview::Exact(self.shown(&mut command, input))
    }
}

impl Shell {
    /// The command with where it runs and the names of its variables; the values may be secrets.
    fn shown(&self, command: &mut Vec<String>, input: &Input) -> String {
        let script = input.script.as_ref().and_then(|_| command.pop());
        let line = shlex::try_join(command.iter().map(String::as_str))
            .unwrap_or_else(|_| command.join(" "));
        let mut facts = Vec::new();
        if let Some(directory) = &input.directory {
            facts.push(format!("in {directory}"));
        }
        if !input.environment.is_empty() {
            let names: Vec<&str> = input.environment.keys().map(String::as_str).collect();
            facts.push(format!("with {}", names.join(", ")));
        }
        if !input.outputs.is_empty() {
            facts.push(format!("giving {}", input.outputs.join(", ")));
        }
        if input.success_codes != zero() {
            let codes: Vec<String> = input.success_codes.iter().map(i32::to_string).collect();
            facts.push(format!("success is {}", codes.join(", ")));
        }
        let mut text = line;
        if !facts.is_empty() {
            text.push_str(&format!("  ({})", facts.join("; ")));
        }
        if let Some(script) = script {
            text.push('\n');
            text.push_str(script.trim_end());
        }
        text
    }
}

/// Program and arguments; never empty.
fn command_line(input: &Input) -> Result<Vec<String>, StepError> {
    let invalid = |message: &str| {
        Err(StepError::new(FailureKind::Invalid, message)
            .hint("see the inputs with: runbook actions describe shell"))
    };
    let line = match (&input.script, &input.argv) {
        (Some(script), None) => {
            let mut line = match &input.interpreter {
                Some(interpreter) => interpreter.clone(),
                None => ["/bin/sh", "-eu", "-c"].map(str::to_owned).to_vec(),
            };
            if line.is_empty() {
                return invalid("`interpreter` names no program");
            }
            line.push(script.clone());
            line
        }
        (None, Some(_)) if input.interpreter.is_some() => {
            return invalid("`interpreter` goes with `script`, not with `argv`");
        }
        (None, Some(argv)) => argv.clone(),
        (Some(_), Some(_)) => return invalid("give `script` or `argv`, not both"),
        (None, None) => return invalid("give a `script`, or a program with `argv`"),
    };
    match line.first() {
        Some(program) if !program.is_empty() => Ok(line),
        _ => invalid("`argv` names no program"),
    }
}

fn what(spec: &ChildSpec, script: bool) -> String {
    if script {
        "the script".to_owned()
    } else {
        format!("`{}`", spec.program)
    }
}

fn exit_failure(what: &str, ended: Ended) -> StepError {
    let verb = if ended.status.code().is_some() {
        "ended with"
    } else {
        "was killed by"
    };
    let message = format!("{what} {verb} {}", ended.how());
    let hint = match ended.status.code() {
        Some(126) => Some("exit code 126 means: found, but may not be run"),
        Some(127) => Some("exit code 127 means: a command of the script is not installed"),
        _ => None,
    };
    let error = StepError::new(FailureKind::Exit, message).log_tail(ended.tail.into_lines());
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;
    use crate::base::Value;
    use crate::handler::testing::{TestStep, eventually};
    use crate::handler::{Stop, typed};

    async fn run(step: &TestStep, with: Value) -> Result<Value, StepError> {
        typed(Shell).run(step.ctx.clone(), with).await
    }

    fn alive(pid: &str) -> bool {
        // A zombie has an empty command line; so has nobody.
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
    }

    #[tokio::test]
    async fn a_script_gives_its_outputs() {
        let step = TestStep::new();
        let outputs = run(
            &step,
            json!({
                "script": "echo hello; echo oops >&2; echo \"who=$WHO $RUNBOOK_STEP\" >> \"$RUNBOOK_OUTPUT\"; exit 3",
                "environment": {"WHO": "me"},
                "success_codes": [0, 3],
                "outputs": ["who"],
            }),
        )
        .await
        .expect("succeeds");
        assert_eq!(outputs["exit_code"], 3);
        assert_eq!(outputs["stdout"], "hello");
        assert_eq!(outputs["truncated"], false);
        assert_eq!(outputs["values"], json!({"who": "me test"}));
        assert!(step.logged().contains("oops"));
        let left = std::fs::read_dir(step.ctx.state_dir.join("tmp")).expect("made");
        assert_eq!(left.count(), 0, "the file for outputs is deleted");
    }

    #[tokio::test]
    async fn the_program_is_told_its_run_step_attempt_and_key() {
        let mut step = TestStep::new();
        step.ctx.idempotency_key = "order-7".to_owned();
        let script =
            "echo \"$RUNBOOK_RUN_ID $RUNBOOK_STEP $RUNBOOK_ATTEMPT $RUNBOOK_IDEMPOTENCY_KEY\"";
        let outputs = run(&step, json!({ "script": script }))
            .await
            .expect("succeeds");
        let said = format!("{} test 1 order-7", step.ctx.run);
        assert_eq!(outputs["stdout"], said);
    }

    #[test]
    fn a_preview_is_the_command_and_names_no_value() {
        let step = TestStep::new();
        let preview = |with: Value| typed(Shell).preview(&step.preview_context(), &with);
        assert_eq!(
            preview(json!({
                "script": "echo 'a b'\nls\n",
                "environment": {"TOKEN": "hush"},
                "outputs": ["n"],
            })),
            Preview::Exact("/bin/sh -eu -c  (with TOKEN; giving n)\necho 'a b'\nls".to_owned())
        );
        assert_eq!(
            preview(json!({"argv": ["diff", "a b"], "success_codes": [0, 1]})),
            Preview::Exact("diff 'a b'  (success is 0, 1)".to_owned())
        );
        assert_eq!(
            preview(json!({"argv": ["ls"], "directory": "gone"})),
            Preview::Predicted("ls  (in gone)\nthe directory gone does not exist now".to_owned())
        );
        assert_eq!(
            preview(json!({})).text(),
            "give a `script`, or a program with `argv`"
        );
    }

    #[tokio::test]
    async fn argv_is_not_split_or_expanded_and_runs_in_its_directory() {
        let step = TestStep::new();
        std::fs::create_dir(step.root().join("sub dir")).expect("made");
        let outputs = run(
            &step,
            json!({"argv": ["printf", "%s|", "$HOME a", "b"], "directory": "sub dir"}),
        )
        .await
        .expect("succeeds");
        assert_eq!(outputs["stdout"], "$HOME a|b|");
        let outputs = run(&step, json!({"argv": ["pwd"], "directory": "sub dir"}))
            .await
            .expect("succeeds");
        let pwd = outputs["stdout"].as_str().unwrap_or_default();
        assert!(pwd.ends_with("/sub dir"), "{pwd}");
    }

    #[tokio::test]
    async fn failures_say_what_failed() {
        let step = TestStep::new();
        std::fs::write(step.root().join("plain"), "no program").expect("written");
        for (with, kind, message) in [
            (
                json!({"script": "echo why; exit 4"}),
                FailureKind::Exit,
                "the script ended with exit code 4",
            ),
            (
                json!({"script": "kill -9 $$"}),
                FailureKind::Exit,
                "the script was killed by signal 9 (KILL)",
            ),
            (
                json!({"script": "x", "interpreter": ["/no/such/python"]}),
                FailureKind::Invalid,
                "the program `/no/such/python` does not exist",
            ),
            (
                json!({"argv": ["no-such-program-here"]}),
                FailureKind::Invalid,
                "the program `no-such-program-here` is not installed",
            ),
            (
                json!({"argv": ["./plain"]}),
                FailureKind::Invalid,
                "`./plain` may not be run",
            ),
            (
                json!({"argv": ["true"], "directory": "nowhere"}),
                FailureKind::Invalid,
                "nowhere` does not exist",
            ),
            (
                json!({"script": "true", "argv": ["true"]}),
                FailureKind::Invalid,
                "not both",
            ),
            (json!({}), FailureKind::Invalid, "give a `script`"),
            (
                json!({"argv": []}),
                FailureKind::Invalid,
                "names no program",
            ),
            (
                json!({"script": "true", "outputs": ["x"]}),
                FailureKind::Error,
                "did not write its declared outputs: `x`",
            ),
            (json!({"scirpt": "true"}), FailureKind::Invalid, "scirpt"),
        ] {
            let error = run(&step, with.clone()).await.expect_err(&with.to_string());
            assert_eq!(error.0.sort, kind, "{with}: {error}");
            assert!(error.to_string().contains(message), "{with}: {error}");
        }
        let error = run(&step, json!({"script": "echo why; exit 4"}))
            .await
            .expect_err("fails");
        assert_eq!(error.0.log_tail, ["why"]);
    }

    #[tokio::test]
    async fn fifty_megabytes_pass_through_a_small_memory() {
        let step = TestStep::new();
        let outputs = run(
            &step,
            json!({"script": "head -c 50000000 /dev/zero | tr '\\0' x"}),
        )
        .await
        .expect("succeeds");
        assert_eq!(step.logged_bytes(), 50_000_000);
        assert_eq!(outputs["truncated"], true);
        assert_eq!(outputs["stdout"].as_str().map(str::len), Some(64 * 1024));
    }

    #[tokio::test]
    async fn a_grandchild_neither_outlives_nor_holds_up_the_step() {
        let step = TestStep::new();
        let begin = Instant::now();
        let outputs = run(&step, json!({"script": "sleep 600 & echo $!"}))
            .await
            .expect("succeeds");
        assert!(begin.elapsed() < Duration::from_secs(60));
        let pid = outputs["stdout"].as_str().unwrap_or_default().to_owned();
        eventually("the grandchild is gone", || !alive(&pid)).await;
    }

    #[tokio::test]
    async fn a_grandchild_of_another_session_is_not_waited_for() {
        let step = TestStep::new();
        let begin = Instant::now();
        let outputs = run(&step, json!({"script": "setsid sleep 60 & echo $!"}))
            .await
            .expect("succeeds");
        assert!(begin.elapsed() < Duration::from_secs(30));
        let pid = outputs["stdout"].as_str().unwrap_or_default();
        std::process::Command::new("kill")
            .arg(pid)
            .status()
            .expect("kill runs");
    }

    #[tokio::test]
    async fn stopping_is_gentle_first() {
        let step = TestStep::new();
        let (result, ()) = tokio::join!(
            run(
                &step,
                json!({"script": "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"})
            ),
            async {
                step.until_logged("ready").await;
                step.stop.send_replace(Stop::Gently);
            }
        );
        let error = result.expect_err("stopped");
        assert_eq!(error.0.sort, FailureKind::Cancelled);
        assert!(error.to_string().contains("exit code 0"), "{error}");
        assert!(step.logged().contains("bye"));
    }

    #[tokio::test]
    async fn who_ignores_term_is_killed_with_its_children() {
        for last in [Stop::Gently, Stop::Now] {
            let step = TestStep::new();
            let (result, ()) = tokio::join!(
                run(
                    &step,
                    json!({"script": "trap '' TERM; sleep 600 & echo \"pid $!\"; echo ready; wait"})
                ),
                async {
                    step.until_logged("ready").await;
                    step.stop.send_replace(last);
                }
            );
            let error = result.expect_err("stopped");
            assert!(error.to_string().contains("signal 9 (KILL)"), "{error}");
            let log = step.logged();
            let pid = log
                .lines()
                .find_map(|line| line.strip_prefix("pid "))
                .unwrap_or_default();
            eventually("the grandchild is gone", || !alive(pid)).await;
        }
    }

    #[tokio::test]
    async fn a_dropped_step_takes_its_children_along() {
        let step = TestStep::new();
        {
            let mut running = std::pin::pin!(run(
                &step,
                json!({"script": "echo \"pid $$\"; echo ready; sleep 600"})
            ));
            tokio::select! {
                _ = &mut running => panic!("it sleeps"),
                () = step.until_logged("ready") => {}
            }
        }
        let log = step.logged();
        let pid = log
            .lines()
            .find_map(|line| line.strip_prefix("pid "))
            .unwrap_or_default();
        eventually("the child is gone", || !alive(pid)).await;
    }
}
