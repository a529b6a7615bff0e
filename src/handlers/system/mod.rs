//! What several families need of the operating system: processes, children, whole files.

mod atomic;
mod child;
mod output;
mod process;

pub(super) use atomic::{AtomicWriteError, write_atomically};
pub(super) use child::{
    ChildSpec, Ended, describe_status, directory_of, run_child, step_environment, stopped_failure,
};
pub(super) use output::last_lines;
pub(super) use process::{LiveProcess, ProcessKey, boot_id, kill_session_leftovers};
