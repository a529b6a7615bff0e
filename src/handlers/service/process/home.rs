//! A service's own folder: its record, its lock, its log.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::config::ProcessConfig;
use crate::base::Timestamp;
use crate::event::FailureKind;
use crate::handler::{PreviewContext, StepContext, StepError, Stop};
use crate::handlers::service::provider::Target;
use crate::handlers::system::{LiveProcess, ProcessKey, boot_id, last_lines, write_atomically};

/// Pause between two tries to get the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Most of a log's end that is read for a failure.
const TAIL_BYTES: u64 = 16 * 1024;
/// Version of the stored form of [`Record`].
const RECORD_FORMAT: u32 = 1;

/// The service's folder, `STATE_DIR/services/ENVIRONMENT/SERVICE`.
#[derive(Debug, Clone)]
pub(super) struct Home {
    folder: PathBuf,
    log: PathBuf,
    name: String,
}

/// The process that was started last; the content of the pid file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// [`RECORD_FORMAT`].
    format: u32,
    /// Which process.
    pub(super) process: ProcessKey,
    /// Which boot of the machine.
    boot_id: String,
    /// When it was started.
    pub(super) started_at: Timestamp,
    /// Where it listens, once known.
    pub(super) address: Option<String>,
    /// Length of the log when it was started.
    pub(super) log_offset: u64,
    /// How it was started.
    command: Vec<String>,
}

impl Record {
    /// A process that was just started.
    pub(super) fn new(
        process: ProcessKey,
        started_at: Timestamp,
        log_offset: u64,
        command: Vec<String>,
    ) -> io::Result<Self> {
        Ok(Self {
            format: RECORD_FORMAT,
            process,
            boot_id: boot_id()?,
            started_at,
            address: None,
            log_offset,
            command,
        })
    }

    /// Whether the process is still that one and runs.
    fn is_alive(&self) -> io::Result<bool> {
        Ok(boot_id()? == self.boot_id && ProcessKey::of(self.process.pid)? == Some(self.process))
    }

    /// A handle on the process, if it is still that one and runs.
    pub(super) fn open(&self) -> io::Result<Option<LiveProcess>> {
        if boot_id()? != self.boot_id {
            return Ok(None);
        }
        LiveProcess::open(self.process)
    }
}

fn folder_of(state_dir: &Path, environment: &str, service: &str) -> Result<PathBuf, StepError> {
    for name in [environment, service] {
        if name.is_empty() || name.starts_with('.') || name.contains('/') {
            return Err(StepError::new(
                FailureKind::Invalid,
                format!("`{name}` cannot be the name of a folder"),
            ));
        }
    }
    Ok(state_dir.join("services").join(environment).join(service))
}

impl Home {
    /// The folder of a service; makes it if need be.
    pub(super) fn open(
        ctx: &StepContext,
        target: &Target,
        config: &ProcessConfig,
    ) -> Result<Self, StepError> {
        let folder = folder_of(&ctx.state_dir, &ctx.environment.name, &target.name)?;
        let folder = fs::create_dir_all(&folder)
            .and_then(|()| fs::canonicalize(&folder))
            .map_err(|error| Self::failure("make the folder", &folder, &error))?;
        let log = match &config.log {
            Some(written) => ctx.path(written),
            None => folder.join("service.log"),
        };
        Ok(Self {
            folder,
            log,
            name: target.name.clone(),
        })
    }

    /// The folder of a service as it is, perhaps not made yet: to look at, never to write to.
    pub(super) fn look(
        ctx: &PreviewContext,
        target: &Target,
        config: &ProcessConfig,
    ) -> Result<Self, StepError> {
        let folder = folder_of(&ctx.state_dir, &ctx.environment.name, &target.name)?;
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let log = match &config.log {
            Some(written) => ctx.path(written),
            None => folder.join("service.log"),
        };
        Ok(Self {
            folder,
            log,
            name: target.name.clone(),
        })
    }

    /// The pid of the process that runs now, if one does. Takes no handle on it.
    pub(super) fn pid_now(&self) -> Result<Option<u32>, StepError> {
        let Some(record) = self.record()? else {
            return Ok(None);
        };
        let alive = record
            .is_alive()
            .map_err(|error| Self::failure("look at the process of", &self.pid_file(), &error))?;
        Ok(alive.then_some(record.process.pid))
    }

    /// The folder, absolute.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log file.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// The last record, of a process that may have ended since.
    pub(super) fn record(&self) -> Result<Option<Record>, StepError> {
        let path = self.pid_file();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::failure("read", &path, &error)),
        };
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) if record.format == RECORD_FORMAT => Ok(Some(record)),
            Ok(record) => Err(StepError::new(
                FailureKind::Invalid,
                format!(
                    "`{}` has format {}, this program knows {RECORD_FORMAT}",
                    path.display(),
                    record.format
                ),
            )),
            Err(error) => Err(StepError::caused(
                FailureKind::Invalid,
                format!("`{}` is damaged", path.display()),
                &error,
            )
            .hint(format!(
                "see whether `{}` still runs, end it by hand, then: rm {}",
                self.name,
                path.display()
            ))),
        }
    }

    /// The record and a handle of the process that runs now, if one does.
    pub(super) fn running(&self) -> Result<Option<(Record, LiveProcess)>, StepError> {
        let Some(record) = self.record()? else {
            return Ok(None);
        };
        let process = record
            .open()
            .map_err(|error| Self::failure("look at the process of", &self.pid_file(), &error))?;
        Ok(process.map(|process| (record, process)))
    }

    /// Stores a record.
    pub(super) fn store(&self, record: &Record) -> Result<(), StepError> {
        let path = self.pid_file();
        let write = |file: &mut File| {
            serde_json::to_writer(&mut *file, record)?;
            file.write_all(b"\n")
        };
        write_atomically(&path, None, write)
            .map_err(|error| Self::failure("write", &path, &error.source))
    }

    /// Removes a file of the folder; one that is not there is fine.
    pub(super) fn remove(&self, path: &Path) -> Result<(), StepError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Self::failure("remove", path, &error))
            }
            _ => Ok(()),
        }
    }

    /// Forgets the process. The log's offset goes too: it belongs to the process.
    pub(super) fn forget(&self, config: &ProcessConfig) -> Result<(), StepError> {
        if let Some(path) = self.address_file(config) {
            self.remove(&path)?;
        }
        self.remove(&self.pid_file())
    }

    /// Where the program writes its address.
    pub(super) fn address_file(&self, config: &ProcessConfig) -> Option<PathBuf> {
        config
            .address_file
            .as_ref()
            .map(|written| self.folder.join(written))
    }

    /// Opens the log for appending; gives its length too.
    pub(super) fn open_log(&self) -> Result<(File, u64), StepError> {
        let open = || {
            if let Some(folder) = self.log.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.log)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        open().map_err(|error| Self::failure("open the log", &self.log, &error))
    }

    /// The last lines of the log since an offset.
    pub(super) fn log_tail(&self, offset: u64) -> Vec<String> {
        let read = || {
            let mut file = File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(
                offset.max(length.saturating_sub(TAIL_BYTES)),
            ))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok::<_, io::Error>(bytes)
        };
        let bytes = read().unwrap_or_default();
        last_lines(String::from_utf8_lossy(&bytes).lines())
    }

    /// Waits for the right to start and stop this service: one process at a time has it, and it
    /// ends with the guard or with the process.
    pub(super) async fn lock(&self, ctx: &StepContext) -> Result<File, StepError> {
        let path = self.folder.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| Self::failure("open", &path, &error))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(Self::failure("lock", &path, &error));
                }
            }
            if !told {
                ctx.log.line(format_args!(
                    "waiting: another run is starting or stopping `{}`",
                    self.name
                ));
                told = true;
            }
            tokio::select! {
                () = tokio::time::sleep(LOCK_PAUSE) => {}
                () = ctx.stop.reached(Stop::Gently) => {
                    return Err(StepError::new(
                        FailureKind::Cancelled,
                        format!("stopped while another run had its hands on `{}`", self.name),
                    ));
                }
            }
        }
    }

    fn failure(action: &str, path: &Path, error: &io::Error) -> StepError {
        StepError::caused(
            FailureKind::Error,
            format!("cannot {action} `{}`", path.display()),
            error,
        )
        .hint("is the state directory writable, and the disk not full? try: df -h")
    }
}
