//! Starting and stopping. Whoever calls these holds the service's lock.

use std::fs;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use process_wrap::std::{ChildWrapper, CommandWrap, ProcessSession};
use rustix::process::Signal;

use super::home::Record;
use super::probe::Subject;
use crate::base::HumanDuration;
use crate::event::FailureKind;
use crate::handler::{StepError, Stop};
use crate::handlers::service::report::StopReport;
use crate::handlers::system::{
    LiveProcess, ProcessKey, describe_status, kill_session_leftovers, run_child, stopped_failure,
};

/// Pause between two looks for the address file.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// How long a program must live to count as started, when it has neither address file nor probe.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the kernel may take to end a killed process.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Why a start did not come to its end.
enum Unready {
    Died,
    TooLong,
    Stopped,
    Failed(StepError),
}

impl Subject<'_> {
    /// Runs `prepare` to its end, if there is one.
    pub(super) async fn prepare(&self) -> Result<(), StepError> {
        let Some(argv) = &self.config.prepare else {
            return Ok(());
        };
        let spec = self.child(argv, None);
        self.ctx.log.line(format_args!(
            "preparing `{}`: {}",
            self.name,
            argv.join(" ")
        ));
        let ended = run_child(self.ctx, &spec).await?;
        let what = format!("the preparation of service `{}`", self.name);
        if ended.stopped.is_some() {
            return Err(stopped_failure(&what, ended));
        }
        if ended.status.success() {
            return Ok(());
        }
        let how = ended.how();
        Err(
            StepError::new(FailureKind::Exit, format!("{what} ended with {how}"))
                .hint(format!("run it by hand: {}", argv.join(" ")))
                .log_tail(ended.tail.into_lines()),
        )
    }

    /// Starts the program and waits until it is up. When that fails nothing of it is left running.
    pub(super) async fn launch(&self) -> Result<Record, StepError> {
        self.home.forget(self.config)?;
        let (log, log_offset) = self.home.open_log()?;
        let started_at = self.ctx.clock.now();
        let spec = self.child(&self.config.command, None);
        let mut command = spec.command();
        let clone = log.try_clone().map_err(|error| self.lost(&error))?;
        command.stdout(Stdio::from(log)).stderr(Stdio::from(clone));
        let child = CommandWrap::from(command)
            .wrap(ProcessSession)
            .spawn()
            .map_err(|error| spec.spawn_failure(&error))?
            // The wrapper waits for the whole group; only the program itself is ours to wait for.
            .into_inner();
        let pid = child.id();
        let mut launched = Launched {
            process: LiveProcess::of_child(pid).map_err(|error| self.lost(&error))?,
            key: ProcessKey::of_child(pid).map_err(|error| self.lost(&error))?,
            child,
        };
        let record = Record::new(
            launched.key,
            started_at,
            log_offset,
            self.config.command.clone(),
        )
        .map_err(|error| self.lost(&error));
        let admitted = match record {
            Ok(record) => self.admit(&launched, record).await,
            Err(error) => Err(Unready::Failed(error)),
        };
        match admitted {
            Ok(record) => {
                launched.reap_later();
                Ok(record)
            }
            Err(unready) => {
                let status = launched.end().await.map_err(|error| self.lost(&error))?;
                self.home.forget(self.config)?;
                Err(self.not_ready(unready, status, log_offset))
            }
        }
    }

    /// Records the program and waits until it is up.
    async fn admit(&self, launched: &Launched, mut record: Record) -> Result<Record, Unready> {
        // Recorded before anything else, so that a crash of ours leaves nobody unknown behind.
        self.home.store(&record).map_err(Unready::Failed)?;
        record.address = self.until_ready(launched, &record).await?;
        self.home.store(&record).map_err(Unready::Failed)?;
        Ok(record)
    }

    async fn until_ready(
        &self,
        launched: &Launched,
        record: &Record,
    ) -> Result<Option<String>, Unready> {
        tokio::select! {
            biased;
            ended = launched.process.exited() => Err(match ended {
                Ok(()) => Unready::Died,
                Err(error) => Unready::Failed(self.lost(&error)),
            }),
            () = self.ctx.stop.reached(Stop::Gently) => Err(Unready::Stopped),
            ready = self.ready(record) => ready.map_err(Unready::Failed),
            () = tokio::time::sleep(self.config.startup_timeout.0) => Err(Unready::TooLong),
        }
    }

    /// Waits for the address file; without one for the probe; without one for a moment.
    async fn ready(&self, record: &Record) -> Result<Option<String>, StepError> {
        if let Some(path) = self.home.address_file(self.config) {
            loop {
                match fs::read_to_string(&path) {
                    Ok(text) if text.ends_with('\n') || text.contains(':') => {
                        return Ok(Some(text.trim().to_owned()));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(self.lost(&error)),
                }
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        }
        if let Some(health) = &self.config.health {
            while !self.probe(record, health).await?.healthy {
                tokio::time::sleep(health.interval.0).await;
            }
        } else {
            tokio::time::sleep(SETTLE).await;
        }
        Ok(self.config.address.clone())
    }

    fn not_ready(&self, unready: Unready, status: ExitStatus, log_offset: u64) -> StepError {
        let name = self.name;
        let error = match unready {
            Unready::Died => StepError::new(
                FailureKind::Exit,
                format!(
                    "service `{name}` ended while starting, with {}",
                    describe_status(status)
                ),
            ),
            Unready::TooLong => StepError::new(
                FailureKind::Unhealthy,
                format!(
                    "service `{name}` was not up within {} and was stopped again",
                    self.config.startup_timeout
                ),
            ),
            Unready::Stopped => StepError::new(
                FailureKind::Cancelled,
                format!("stopped while service `{name}` was starting; it was stopped again"),
            ),
            Unready::Failed(error) => error,
        };
        error
            .hint(format!("its log: {}", self.home.log().display()))
            .log_tail(self.home.log_tail(log_offset))
    }

    /// Stops the service if it is up. Goes through with it even when the step is asked to end
    /// gently: half a stop is the worst state to leave behind.
    pub(super) async fn halt(&self, grace: Option<Duration>) -> Result<StopReport, StepError> {
        let Some((record, process)) = self.home.running()? else {
            self.home.forget(self.config)?;
            return Ok(StopReport {
                changed: false,
                previous_pid: None,
                forced: false,
            });
        };
        let pid = record.process.pid;
        let grace = grace.unwrap_or(self.config.grace.0);
        let signal = self.config.stop_signal.signal();
        process.signal(signal).map_err(|error| self.lost(&error))?;
        let mut forced = false;
        tokio::select! {
            biased;
            ended = process.exited() => ended.map_err(|error| self.lost(&error))?,
            () = tokio::time::sleep(grace) => forced = true,
            () = self.ctx.stop.reached(Stop::Now) => forced = true,
        }
        if forced {
            self.ctx.log.line(format_args!(
                "`{}` (pid {pid}) did not end within {}: killed",
                self.name,
                HumanDuration(grace)
            ));
            process
                .signal(Signal::KILL)
                .map_err(|error| self.lost(&error))?;
            if tokio::time::timeout(KILL_LIMIT, process.exited())
                .await
                .is_err()
            {
                return Err(StepError::new(
                    FailureKind::Error,
                    format!(
                        "service `{}` (pid {pid}) does not end even when killed",
                        self.name
                    ),
                )
                .hint(format!(
                    "it may hang in the kernel; see: cat /proc/{pid}/status"
                )));
            }
        }
        kill_session_leftovers(record.process).map_err(|error| self.lost(&error))?;
        self.home.forget(self.config)?;
        Ok(StopReport {
            changed: true,
            previous_pid: Some(pid),
            forced,
        })
    }

    /// A failure of the operating system in the middle of things.
    pub(super) fn lost(&self, error: &io::Error) -> StepError {
        StepError::caused(
            FailureKind::Error,
            format!("lost sight of service `{}`", self.name),
            error,
        )
        .hint("look for it with: runbook exec, action service.status; or: ps -ef")
    }
}

/// A program that was just started.
struct Launched {
    process: LiveProcess,
    key: ProcessKey,
    child: Box<dyn ChildWrapper>,
}

impl Launched {
    /// Ends it and whatever it started.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        self.process.signal(Signal::KILL)?;
        self.process.exited().await?;
        kill_session_leftovers(self.key)?;
        self.child.wait()
    }

    /// Waits for its end aside, as long as this process lives, so that it leaves no zombie.
    fn reap_later(mut self) {
        tokio::spawn(async move {
            if self.process.exited().await.is_ok() {
                let _ = self.child.wait();
            }
        });
    }
}
