//! What the machine itself takes: no engine that keeps a durable record can be faster.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const TIMES: u32 = 200;

/// What the machine itself takes, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floors {
    /// To start `/bin/true` and wait for its end, one after the other.
    pub(crate) spawn_ms: f64,
    /// To append a line to a file and have it on disk.
    pub(crate) fsync_ms: f64,
}

/// Measures both, 200 times each, on the disk of `place`.
pub(crate) fn measure(place: &Path) -> Result<Floors, Box<dyn Error>> {
    let spawn_ms = each(|| {
        let status = Command::new("/bin/true").stdin(Stdio::null()).status()?;
        status.success().then_some(()).ok_or("/bin/true failed")?;
        Ok(())
    })?;
    let mut file = File::create(place.join("fsync"))?;
    let fsync_ms = each(|| {
        file.write_all(&[b'x'; 200])?;
        file.sync_data()?;
        Ok(())
    })?;
    Ok(Floors { spawn_ms, fsync_ms })
}

/// The median of many calls, in milliseconds.
fn each(mut call: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    let mut taken = Vec::new();
    for _ in 0..TIMES {
        let started = Instant::now();
        call()?;
        taken.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(super::report::median(taken))
}
