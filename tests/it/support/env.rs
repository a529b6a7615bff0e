//! A place of its own for one test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::output::Output;

/// A temporary folder and an environment in which nothing of the machine shows.
pub(crate) struct TestEnv {
    place: TempDir,
    root: PathBuf,
}

impl TestEnv {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        // The system may reach its temporary folder through a link; messages show the true path.
        let root = place
            .path()
            .canonicalize()
            .expect("a true path")
            .join("repo");
        std::fs::create_dir_all(place.path().join("home")).expect("a folder");
        std::fs::create_dir_all(&root).expect("a folder");
        Self { place, root }
    }

    /// The folder that commands are started in.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file below the folder.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a written file");
    }

    /// Reads a file below the folder.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).expect("a text file")
    }

    /// The program, ready to be given arguments. Of the caller's variables only `PATH` is kept: git
    /// and the shell are found by it.
    pub(crate) fn command(&self) -> Command {
        self.command_as(env!("CARGO_BIN_EXE_runbook"))
    }

    /// Another program in the same surroundings, for one that starts ours in a special way.
    #[expect(
        clippy::disallowed_methods,
        reason = "only the caller knows where its programs are"
    )]
    pub(crate) fn command_as(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.place.path().join("home"))
            .env("USER", "operator")
            .env("LOGNAME", "operator")
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    /// Runs the program with arguments and waits for its end.
    pub(crate) fn run<const N: usize>(&self, arguments: [&str; N]) -> Output {
        self.finish(self.command().args(arguments))
    }

    /// Waits for the end of a command; what of its output was not sent elsewhere is kept.
    pub(crate) fn finish(&self, command: &mut Command) -> Output {
        let output = command.output().expect("the program starts");
        Output::new(&output, &self.root)
    }
}
