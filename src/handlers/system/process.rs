//! Processes that this program did not necessarily start, told apart by pid *and* start time.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process of this boot: a pid alone may have been given to another program since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessKey {
    /// Process id.
    pub(crate) pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22; proc(5)).
    pub(crate) start_ticks: u64,
}

impl ProcessKey {
    /// The key of a pid; `None` when there is no such process, or only its zombie.
    pub(crate) fn of(pid: u32) -> io::Result<Option<Self>> {
        Ok(Stat::read(pid)?.filter(|stat| !stat.dead).map(|stat| Self {
            pid,
            start_ticks: stat.start_ticks,
        }))
    }

    /// The key of a child that was not yet waited for: it is there, if only as a zombie.
    pub(crate) fn of_child(pid: u32) -> io::Result<Self> {
        let stat = Stat::read(pid)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self {
            pid,
            start_ticks: stat.start_ticks,
        })
    }
}

/// An open handle on a process: signals through it can never reach another one.
#[derive(Debug)]
pub(crate) struct LiveProcess(AsyncFd<OwnedFd>);

impl LiveProcess {
    /// Opens the process if it is still the same one and runs.
    ///
    /// The handle is taken first and the identity checked after, so there is no gap between them.
    pub(crate) fn open(key: ProcessKey) -> io::Result<Option<Self>> {
        let Some(fd) = open_pidfd(key.pid)? else {
            return Ok(None);
        };
        if ProcessKey::of(key.pid)? != Some(key) {
            return Ok(None);
        }
        Ok(Some(Self(watched(fd)?)))
    }

    /// A handle on a child that was not yet waited for.
    pub(crate) fn of_child(pid: u32) -> io::Result<Self> {
        let fd = open_pidfd(pid)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Self(watched(fd)?))
    }

    /// Sends a signal; a process that has just ended is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.0.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it has ended (it may still be a zombie).
    pub(crate) async fn exited(&self) -> io::Result<()> {
        self.0.readable().await.map(|_| ())
    }
}

#[expect(
    deprecated,
    reason = "deprecated for types whose descriptor may be closed behind the runtime's back; an \
              `OwnedFd` keeps its own open, and the successor is an unsafe function"
)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

fn open_pidfd(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The id of this boot of the machine; pids and start times mean nothing across boots.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Kills what is left of the session that `leader` led, once the leader itself has ended.
///
/// Does nothing when the leader's pid belongs to another process by now: then the old session is
/// empty, because the kernel does not reuse a pid that still names a session.
pub(crate) fn kill_session_leftovers(leader: ProcessKey) -> io::Result<()> {
    let mut members = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|text| text.parse::<u32>().ok()) else {
            continue;
        };
        if pid != leader.pid
            && Stat::read(pid)?.is_some_and(|stat| !stat.dead && stat.session == leader.pid)
            && let Some(fd) = open_pidfd(pid)?
            && Stat::read(pid)?.is_some_and(|stat| stat.session == leader.pid)
        {
            members.push(fd);
        }
    }
    if let Some(stat) = Stat::read(leader.pid)?
        && stat.start_ticks != leader.start_ticks
    {
        return Ok(());
    }
    for fd in members {
        match pidfd_send_signal(&fd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The fields of `/proc/PID/stat` that matter here (proc(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    dead: bool,
    session: u32,
    start_ticks: u64,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Option<Self>> {
        match fs::read(format!("/proc/{pid}/stat")) {
            Ok(bytes) => Self::parse(&String::from_utf8_lossy(&bytes))
                .map(Some)
                .ok_or_else(|| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("/proc/{pid}/stat has an unknown form"),
                    )
                }),
            // ESRCH: it ended between opening and reading.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The second field is the program's name in brackets and may hold blanks and brackets, so
    /// fields are counted from the last bracket.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text
            .get(text.rfind(')')? + 1..)?
            .split_ascii_whitespace()
            .collect();
        Some(Self {
            dead: matches!(*fields.first()?, "Z" | "X" | "x"),
            session: fields.get(3)?.parse().ok()?,
            start_ticks: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_name_with_brackets_and_blanks() {
        let line = "77 (a) b (c) S 1 77 77 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 2";
        assert_eq!(
            Stat::parse(line),
            Some(Stat {
                dead: false,
                session: 77,
                start_ticks: 4242
            })
        );
        assert_eq!(Stat::parse("77 (a) S"), None);
    }

    #[tokio::test]
    async fn another_start_time_is_another_process() {
        let me = ProcessKey::of(std::process::id())
            .expect("readable")
            .expect("I run");
        assert!(LiveProcess::open(me).expect("readable").is_some());
        let recycled = ProcessKey {
            start_ticks: me.start_ticks + 1,
            ..me
        };
        assert!(LiveProcess::open(recycled).expect("readable").is_none());
        let nobody = ProcessKey {
            pid: u32::MAX,
            start_ticks: 1,
        };
        assert!(LiveProcess::open(nobody).expect("readable").is_none());
    }
}
