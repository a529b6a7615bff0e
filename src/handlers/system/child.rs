//! A child process that never outlives its step.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::pin::pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::unix::pipe;

use super::output::{Head, Tail};
use super::process::LiveProcess;
use crate::base::format_duration;
use crate::event::{FailureKind, Stream};
use crate::handler::{LogSink, StepContext, StepError, Stop};

/// Most bytes read at once, per child.
const BUFFER: usize = 64 * 1024;
/// Most bytes of standard output kept as text.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;
/// Most bytes read from a stream after the child's end: a pipe cannot hold more (pipe(7)).
const LEFT_IN_PIPE: usize = 1024 * 1024;

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct ChildSpec {
    /// Program: a name to be looked for in PATH, or a path (relative to `directory`).
    pub(crate) program: String,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Its working directory.
    pub(crate) directory: PathBuf,
    /// Variables beside the inherited ones.
    pub(crate) environment: Vec<(String, String)>,
}

impl ChildSpec {
    /// The command with working directory and environment, standard input empty.
    pub(crate) fn command(&self) -> Command {
        let mut command = if self.program.contains('/') {
            Command::new(self.directory.join(&self.program))
        } else {
            Command::new(&self.program)
        };
        command
            .args(&self.args)
            .current_dir(&self.directory)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null());
        command
    }

    /// Says in words why it could not be started.
    pub(crate) fn spawn_failure(&self, error: &io::Error) -> StepError {
        let program = &self.program;
        let directory = self.directory.display();
        let message = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if !self.directory.is_dir() => {
                format!("the directory `{directory}` does not exist")
            }
            io::ErrorKind::NotFound if self.directory.join(program).is_file() => {
                format!("the interpreter that the first line of `{program}` names does not exist")
            }
            io::ErrorKind::NotFound if program.contains('/') => {
                format!("the program `{program}` does not exist (looked in `{directory}`)")
            }
            io::ErrorKind::NotFound => format!("the program `{program}` is not installed"),
            io::ErrorKind::PermissionDenied => {
                format!("`{program}` may not be run in `{directory}`")
            }
            _ => format!("cannot start `{program}`"),
        };
        let error = StepError::caused(FailureKind::Invalid, message, error);
        if program.contains('/') {
            error.hint(format!("look at it with: ls -l {program}"))
        } else {
            error.hint(format!("look for it with: command -v {program}"))
        }
    }
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code or signal.
    pub(crate) status: ExitStatus,
    /// From start to end.
    pub(crate) duration: Duration,
    /// The beginning of its standard output.
    pub(crate) stdout: Head,
    /// The end of both its streams.
    pub(crate) tail: Tail,
    /// The request to end that it was ended by.
    pub(crate) stopped: Option<Stop>,
}

impl Ended {
    /// `exit code 3` or `signal 9 (KILL)`.
    pub(crate) fn how(&self) -> String {
        describe_status(self.status)
    }
}

/// `exit code 3` or `signal 9 (KILL)`.
pub(crate) fn describe_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => {
            let name = nix::sys::signal::Signal::try_from(signal)
                .map(|known| known.as_str().trim_start_matches("SIG"));
            match name {
                Ok(name) => format!("signal {signal} ({name})"),
                Err(_) => format!("signal {signal}"),
            }
        }
        (None, None) => "an unknown status".to_owned(),
    }
}

/// The failure of a step whose child was ended because the step was asked to end.
pub(crate) fn stopped_failure(what: &str, ended: Ended) -> StepError {
    StepError::new(
        FailureKind::Cancelled,
        format!(
            "{what} was stopped after {} ({})",
            format_duration(Duration::from_millis(
                u64::try_from(ended.duration.as_millis()).unwrap_or(u64::MAX)
            )),
            ended.how()
        ),
    )
    .log_tail(ended.tail.into_lines())
}

/// Runs a child in its own process group to its end; its output goes to the step's log.
///
/// A request to end (gently) sends TERM to the group and, after the grace time, KILL; what is left
/// of the group after the child's own end is killed. A process that left the group and holds the
/// pipe open is not waited for. When the future is dropped the whole group is killed.
pub(crate) async fn run_child(ctx: &StepContext, spec: &ChildSpec) -> Result<Ended, StepError> {
    let mut command = spec.command();
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let started = Instant::now();
    let child = command
        .spawn()
        .map_err(|error| spec.spawn_failure(&error))?;
    let mut group = Group(Some(child));
    supervise(ctx, &mut group, started).await.map_err(|error| {
        StepError::caused(
            FailureKind::Error,
            format!("lost sight of `{}`", spec.program),
            &error,
        )
    })
}

async fn supervise(ctx: &StepContext, group: &mut Group, started: Instant) -> io::Result<Ended> {
    let (process, mut out, mut err) = group.open()?;
    let mut output = Output {
        buffer: vec![0; BUFFER].into_boxed_slice(),
        log: &ctx.log,
        stdout: Head::new(HEAD_BYTES),
        tail: Tail::default(),
    };
    let mut stopped = None;
    let mut stop = pin!(ctx.stop.reached(Stop::Gently));
    let mut grace = pin!(tokio::time::sleep(Duration::MAX));
    loop {
        tokio::select! {
            () = out.ready() => out.read(&mut output),
            () = err.ready() => err.read(&mut output),
            ended = process.exited() => {
                ended?;
                break;
            }
            () = &mut stop, if stopped < Some(Stop::Now) => {
                let level = ctx.stop.current();
                stopped = Some(level);
                if level == Stop::Now {
                    group.signal(Signal::KILL);
                } else {
                    group.signal(Signal::TERM);
                    stop.set(ctx.stop.reached(Stop::Now));
                    grace.set(tokio::time::sleep(ctx.grace));
                }
            }
            () = &mut grace, if stopped == Some(Stop::Gently) => {
                group.signal(Signal::KILL);
                stopped = Some(Stop::Now);
            }
        }
    }
    // The child is a zombie until it is waited for, so its group's id cannot be another's yet.
    group.signal(Signal::KILL);
    out.drain(&mut output);
    err.drain(&mut output);
    let status = group.wait()?;
    Ok(Ended {
        status,
        duration: started.elapsed(),
        stdout: output.stdout,
        tail: output.tail,
        stopped,
    })
}

/// A child that leads its process group; killed with the group when dropped before its end.
struct Group(Option<Child>);

impl Group {
    fn open(&mut self) -> io::Result<(LiveProcess, Pipe, Pipe)> {
        let child = self.0.as_mut().ok_or(io::ErrorKind::NotFound)?;
        Ok((
            LiveProcess::of_child(child.id())?,
            Pipe::open(child.stdout.take().map(OwnedFd::from), Stream::Out)?,
            Pipe::open(child.stderr.take().map(OwnedFd::from), Stream::Err)?,
        ))
    }

    /// Errors mean that nobody is left to be signalled.
    fn signal(&self, signal: Signal) {
        let pid = self
            .0
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, signal);
        }
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.0.as_mut().ok_or(io::ErrorKind::NotFound)?.wait();
        self.0 = None;
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.0.take()
            && !matches!(child.try_wait(), Ok(Some(_)))
        {
            // Reaped aside: a process stuck in the kernel must not hold up this thread.
            std::thread::spawn(move || child.wait());
        }
    }
}

struct Output<'a> {
    buffer: Box<[u8]>,
    log: &'a LogSink,
    stdout: Head,
    tail: Tail,
}

impl Output<'_> {
    fn take(&mut self, stream: Stream, len: usize) {
        let bytes = &self.buffer[..len];
        if stream == Stream::Out {
            self.stdout.push(bytes);
        }
        self.tail.push(bytes);
        self.log.write(stream, bytes);
    }
}

/// The reading end of one stream; closed at its end.
struct Pipe {
    reader: Option<pipe::Receiver>,
    stream: Stream,
}

impl Pipe {
    fn open(fd: Option<OwnedFd>, stream: Stream) -> io::Result<Self> {
        Ok(Self {
            reader: fd.map(pipe::Receiver::from_owned_fd).transpose()?,
            stream,
        })
    }

    /// Waits until there is something to read; for ever once it is closed.
    async fn ready(&self) {
        match &self.reader {
            Some(reader) if reader.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    fn read(&mut self, output: &mut Output<'_>) {
        let Some(reader) = &self.reader else { return };
        match reader.try_read(&mut output.buffer) {
            Ok(0) => self.reader = None,
            Ok(len) => output.take(self.stream, len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.reader = None,
        }
    }

    /// Reads what the pipe holds now. Asks the kernel itself: the runtime may not know yet that
    /// there is something.
    fn drain(&mut self, output: &mut Output<'_>) {
        let Some(reader) = self.reader.take() else {
            return;
        };
        let mut left = LEFT_IN_PIPE;
        while left > 0 {
            match rustix::io::read(&reader, &mut *output.buffer) {
                Ok(0) => break,
                Ok(len) => {
                    output.take(self.stream, len);
                    left = left.saturating_sub(len);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
    }
}

/// An absolute path of a written one, relative to the repository's root.
pub(crate) fn directory_of(ctx: &StepContext, written: Option<&str>) -> PathBuf {
    let path = match written {
        Some(written) => ctx.path(written),
        None => ctx.root.as_ref().clone(),
    };
    std::path::absolute(&path).unwrap_or(path)
}

/// The variables that every child is given about its step.
pub(crate) fn step_environment(ctx: &StepContext) -> Vec<(String, String)> {
    vec![
        ("RUNBOOK_RUN_ID".to_owned(), ctx.run.to_string()),
        ("RUNBOOK_STEP".to_owned(), ctx.step.to_string()),
        ("RUNBOOK_ATTEMPT".to_owned(), ctx.attempt.to_string()),
        (
            "RUNBOOK_IDEMPOTENCY_KEY".to_owned(),
            ctx.idempotency_key.clone(),
        ),
    ]
}
