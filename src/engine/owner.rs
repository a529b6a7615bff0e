//! Which process drives a run, and whether it still lives.

use std::fs;

use crate::store::EngineOwner;

/// This process as the driver of a run on the host of that name.
///
/// Source: `/proc/self/stat`, field 22 (proc(5)); where it cannot be read the start time is 0.
pub fn this_process(host: &str) -> EngineOwner {
    let pid = std::process::id();
    EngineOwner {
        host: host.to_owned(),
        pid,
        started: start_time(pid).unwrap_or(0),
    }
}

/// Whether the process of an owner still lives, as far as can be seen from `host`.
///
/// A process of another host counts as alive: this host cannot know better.
pub fn is_alive(owner: &EngineOwner, host: &str) -> bool {
    owner.host != host || start_time(owner.pid) == Some(owner.started)
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name, field 2, may hold spaces and parentheses; fields count from its last one.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie (field 3) drives nothing.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_recycled_pid_is_not_it() {
        let me = this_process("here");
        assert!(me.started > 0);
        assert!(is_alive(&me, "here"));
        let earlier = EngineOwner {
            started: me.started - 1,
            ..me.clone()
        };
        assert!(!is_alive(&earlier, "here"));
        assert!(is_alive(&earlier, "elsewhere"));
    }

    #[test]
    fn a_child_that_was_reaped_is_dead() {
        let mut child = std::process::Command::new("true").spawn().expect("spawns");
        let owner = EngineOwner {
            host: "here".into(),
            pid: child.id(),
            started: start_time(child.id()).unwrap_or(1),
        };
        child.wait().expect("reaped");
        assert!(!is_alive(&owner, "here"));
    }
}
