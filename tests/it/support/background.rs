//! The program while it runs: a test waits for its events, never for time to pass.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use super::{Output, TestEnv};

/// No test waits longer; on a machine under load things are slow, but not as slow as this.
const DEADLINE: Duration = Duration::from_secs(30);

/// The end of a named pipe that the processes of a step hold the other end of, so that they are
/// heard, and are known to be gone when nobody holds it any more.
pub(crate) struct Lifeline(Receiver<String>);

impl Lifeline {
    /// Waits until a process of the step has written a line, and gives it.
    pub(crate) fn heard(&self) -> String {
        self.0.recv_timeout(DEADLINE).expect("the step says a word")
    }

    /// Whether a process of the step is there.
    pub(crate) fn is_held(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Empty)
    }

    /// Waits until every process of the step is gone.
    pub(crate) fn gone(&self) {
        assert_eq!(
            self.0.recv_timeout(DEADLINE),
            Err(RecvTimeoutError::Disconnected),
            "a process of the step is still there"
        );
    }
}

/// Gives the lines of a stream as they come, from a thread of its own.
fn lines_of(
    open: impl FnOnce() -> std::io::Result<Box<dyn Read>> + Send + 'static,
) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(open().expect("it opens")).lines() {
            // A line that nobody waits for any more is of no use.
            let _ = sender.send(line.expect("text"));
        }
    });
    lines
}

/// A started `runbook … --output json`. Killed when dropped.
pub(crate) struct Background {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    root: PathBuf,
}

impl TestEnv {
    /// Starts the program with arguments and `--output json`, and does not wait for its end.
    pub(crate) fn start<const N: usize>(&self, arguments: [&str; N]) -> Background {
        let mut command = self.command();
        command.args(arguments).args(["--output", "json"]);
        self.start_command(command)
    }

    /// Starts a command that prints lines of JSON, and does not wait for its end.
    pub(crate) fn start_command(&self, mut command: Command) -> Background {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe");
        let lines = lines_of(move || Ok(Box::new(stdout)));
        Background {
            child,
            lines,
            seen: String::new(),
            root: self.root().to_owned(),
        }
    }

    /// A named pipe in the folder; a step holds it by `exec 3> NAME`.
    pub(crate) fn lifeline(&self, name: &str) -> Lifeline {
        let path = self.root().join(name);
        mkfifo(&path, Mode::S_IRWXU).expect("a named pipe");
        // Opening waits for the step.
        Lifeline(lines_of(move || Ok(Box::new(File::open(path)?))))
    }
}

impl Background {
    /// Waits for a line of standard output that contains a word.
    pub(crate) fn until(&mut self, word: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.next(end).expect("it goes on").contains(word) {}
    }

    /// The next line of standard output; none when it is at its end.
    fn next(&mut self, end: Instant) -> Option<String> {
        match self
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            Ok(line) => {
                self.seen.push_str(&line);
                self.seen.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("waited in vain after:\n{}", self.seen),
        }
    }

    /// Sends a signal to the program alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("the program is there");
    }

    /// Waits for its end and gives all that it printed.
    pub(crate) fn finish(mut self) -> Output {
        let end = Instant::now() + DEADLINE;
        while self.next(end).is_some() {}
        let status = self.child.wait().expect("its status");
        let mut stderr = Vec::new();
        let mut pipe = self.child.stderr.take().expect("a pipe");
        pipe.read_to_end(&mut stderr).expect("readable");
        let output = std::process::Output {
            status,
            stdout: std::mem::take(&mut self.seen).into_bytes(),
            stderr,
        };
        Output::new(&output, &self.root)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It is over already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
