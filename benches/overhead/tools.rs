//! runbook and its peers: how each is given a workload.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::measure::CommandLine;
use super::workload::{Needs, PARALLEL, PRINTED, Workload};

/// A program that runs steps in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tool {
    /// The program of this package.
    Runbook(PathBuf),
    /// No engine at all: what the printing step takes alone.
    Shell,
    /// A peer that was found.
    Peer(Peer, PathBuf),
}

/// The peers that are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Ninja,
    Make,
    Task,
    Just,
}

impl Peer {
    const ALL: [Self; 4] = [Self::Ninja, Self::Make, Self::Task, Self::Just];

    fn program(self) -> &'static str {
        match self {
            Self::Ninja => "ninja",
            Self::Make => "make",
            Self::Task => "task",
            Self::Just => "just",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Ninja => "build.ninja",
            Self::Make => "Makefile",
            Self::Task => "Taskfile.yml",
            Self::Just => "justfile",
        }
    }
}

/// The shell line that prints [`PRINTED`] bytes.
fn print_line() -> String {
    format!(
        "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c {PRINTED}"
    )
}

impl Tool {
    /// runbook, and every peer that is on `PATH` or in `extra`.
    pub(crate) fn present(binary: &Path, extra: &Path) -> Vec<Self> {
        let mut tools = vec![Self::Runbook(binary.to_owned()), Self::Shell];
        for peer in Peer::ALL {
            match find(peer.program(), extra) {
                Some(path) => tools.push(Self::Peer(peer, path)),
                None => eprintln!(
                    "{} is not installed: not measured (see benches/install-peers)",
                    peer.program()
                ),
            }
        }
        tools
    }

    /// The name in the table.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Runbook(_) => "runbook",
            Self::Shell => "sh alone",
            Self::Peer(peer, _) => peer.program(),
        }
    }

    /// Whether it is another engine.
    pub(crate) fn is_peer(&self) -> bool {
        matches!(self, Self::Peer(..))
    }

    /// Writes what it needs into a folder; `false` when it has no such thing.
    pub(crate) fn prepare(&self, workload: &Workload, folder: &Path) -> io::Result<bool> {
        match (self, workload) {
            (Self::Runbook(_), _) => {
                let name = workload.id().to_lowercase();
                let file = folder.join(format!("runbooks/{name}.yaml"));
                let environments = folder.join("runbooks/environments");
                std::fs::create_dir_all(&environments)?;
                std::fs::write(
                    environments.join("local.yaml"),
                    "environment: v1\nname: local\n",
                )?;
                std::fs::write(file, runbook(&name, *workload))?;
                Ok(true)
            }
            (Self::Shell, Workload::Print) => Ok(true),
            (Self::Shell, _) | (_, Workload::Plan) => Ok(false),
            (Self::Peer(peer, _), _) => {
                std::fs::write(folder.join(peer.file()), peer_file(*peer, *workload))?;
                Ok(true)
            }
        }
    }

    /// The command line of one run.
    pub(crate) fn command(&self, workload: &Workload, folder: &Path, number: usize) -> CommandLine {
        let words = |program: &Path, arguments: &[&str]| {
            let mut line = vec![program.display().to_string()];
            line.extend(arguments.iter().map(|argument| (*argument).to_owned()));
            line
        };
        let parallel = PARALLEL.to_string();
        match self {
            Self::Runbook(program) => {
                let name = workload.id().to_lowercase();
                // A fresh state directory each time: a cold start, and no run weighs on the next.
                let state = folder.join(format!("state-{number}")).display().to_string();
                match workload {
                    Workload::Plan => words(program, &["plan", &name, "--state-dir", &state]),
                    _ => words(
                        program,
                        &[
                            "exec",
                            &name,
                            "--quiet",
                            "--state-dir",
                            &state,
                            "--max-parallel",
                            &parallel,
                        ],
                    ),
                }
            }
            Self::Shell => words(Path::new("sh"), &["-c", &print_line()]),
            Self::Peer(Peer::Ninja, program) => {
                words(program, &["--quiet", "-j", &parallel, "all"])
            }
            Self::Peer(Peer::Make, program) => words(program, &["-s", "-j", &parallel, "all"]),
            Self::Peer(Peer::Task, program) => {
                words(program, &["--silent", "-C", &parallel, "all"])
            }
            Self::Peer(Peer::Just, program) => words(program, &["--quiet", "all"]),
        }
    }
}

/// A program in `extra`, else on `PATH`.
#[expect(
    clippy::disallowed_methods,
    reason = "peers are looked for where a shell would look"
)]
fn find(program: &str, extra: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(extra.to_owned())
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn join(needs: &Needs, separator: &str) -> String {
    let names: Vec<String> = needs.iter().map(|need| format!("s{need:05}")).collect();
    names.join(separator)
}

fn runbook(name: &str, workload: Workload) -> String {
    let mut text = format!("runbook: v1\nname: {name}\nsteps:\n");
    for (number, needs) in workload.steps().iter().enumerate() {
        let argv = match (workload, needs.first()) {
            (Workload::Print, _) => format!("[sh, -c, \"{}\"]", print_line()),
            (Workload::Plan, Some(need)) => {
                format!("[\"true\", \"{{{{ steps.s{need:05}.outputs.exit_code }}}}\"]")
            }
            _ => "[\"true\"]".to_owned(),
        };
        let list = join(needs, ", ");
        text.push_str(&format!(
            "  - id: s{number:05}\n    uses: shell\n    with: {{ argv: {argv} }}\n    needs: [{list}]\n"
        ));
    }
    text
}

/// The file of a peer. All of them run `true` as a process for each step, and nothing else.
fn peer_file(peer: Peer, workload: Workload) -> String {
    if (peer, workload) == (Peer::Task, Workload::Fan) {
        return task_fan(workload.steps().len());
    }
    let steps = workload.steps();
    let last = steps.len() - 1;
    let command = match workload {
        Workload::Print => print_line(),
        // The shell inside of `task` has a `true` of its own, which starts no process.
        _ if peer == Peer::Task => "/bin/true".to_owned(),
        _ => "true".to_owned(),
    };
    // Every step that nothing needs is asked for, so that all of them run.
    let mut ends: Vec<bool> = vec![true; steps.len()];
    for need in steps.iter().flatten() {
        ends[*need] = false;
    }
    let ends: Needs = (0..=last).filter(|step| ends[*step]).collect();
    let mut text = match peer {
        Peer::Ninja => format!(
            "rule run\n command = {command}\nbuild all: phony {}\n",
            join(&ends, " ")
        ),
        Peer::Make => format!(".PHONY: all\nall: {}\n", join(&ends, " ")),
        Peer::Just => format!("all: {}\n", join(&ends, " ")),
        Peer::Task => format!(
            "version: '3'\ntasks:\n  all: {{ deps: [{}] }}\n",
            join(&ends, ", ")
        ),
    };
    for (step, needs) in steps.iter().enumerate() {
        let spaced = join(needs, " ");
        // Writing to a String cannot fail.
        let _ = match peer {
            Peer::Ninja => writeln!(text, "build s{step:05}: run {spaced}"),
            Peer::Make => writeln!(
                text,
                ".PHONY: s{step:05}\ns{step:05}: {spaced}\n\t@{command}"
            ),
            Peer::Just => writeln!(text, "s{step:05}: {spaced}\n\t@{command}"),
            Peer::Task => writeln!(
                text,
                "  s{step:05}: {{ run: once, deps: [{}], cmds: ['{command}'] }}",
                join(needs, ", ")
            ),
        };
    }
    text
}

/// The fan for `task`, which refuses to be asked for one task more than 1,000 times: its three
/// stages one after the other.
fn task_fan(steps: usize) -> String {
    let last = steps - 1;
    let middle: Needs = (1..last).collect();
    let mut text = format!(
        "version: '3'\ntasks:\n  all: {{ cmds: [{{ task: s00000 }}, {{ task: middle }}, {{ task: s{last:05} }}] }}\n  \
         middle: {{ deps: [{}] }}\n",
        join(&middle, ", ")
    );
    for step in 0..steps {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  s{step:05}: {{ cmds: ['/bin/true'] }}");
    }
    text
}
