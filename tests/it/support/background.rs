//! The program while it runs: a test waits for its events, never for time to pass.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Output, TestEnv};

/// No test waits longer; on a machine under load things are slow, but not as slow as this.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long to pause between two looks at a condition that nothing announces.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks until a condition holds; fails the test when it never does.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Whether a process is there and not merely waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ")?.1.chars().next())
        .is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// A started `runbook … --output json`. Killed when dropped.
pub(crate) struct Background {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    root: std::path::PathBuf,
}

impl TestEnv {
    /// Starts the program with arguments and `--output json`, and does not wait for its end.
    pub(crate) fn start<const N: usize>(&self, arguments: [&str; N]) -> Background {
        let mut child = self
            .command()
            .args(arguments)
            .args(["--output", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                // A line that nobody waits for any more is of no use.
                let _ = sender.send(line.expect("text"));
            }
        });
        Background {
            child,
            lines,
            seen: String::new(),
            root: self.root().to_owned(),
        }
    }

    /// The process id that a step wrote into a file, as soon as it is there.
    pub(crate) fn pid_in(&self, path: &str) -> u32 {
        let path = self.root().join(path);
        let mut pid = None;
        wait_until(&format!("{} holds a pid", path.display()), || {
            pid = std::fs::read_to_string(&path)
                .ok()
                .filter(|text| text.ends_with('\n'))
                .and_then(|text| text.trim().parse().ok());
            pid.is_some()
        });
        pid.expect("a pid")
    }
}

impl Background {
    /// Waits for a line of standard output that contains all of these words.
    pub(crate) fn until(&mut self, words: &[&str]) {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if words.iter().all(|word| line.contains(word)) {
                        return;
                    }
                }
                Err(reason) => panic!("no line with {words:?}: {reason}\n{}", self.seen),
            }
        }
    }

    /// Sends a signal to the program alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("the program is there");
    }

    /// Waits for its end and gives all that it printed.
    pub(crate) fn finish(mut self) -> Output {
        let status = self.wait();
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

    fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end\n{}", self.seen),
            }
        }
        self.child.wait().expect("its status")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It is over already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
