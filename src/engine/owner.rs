//! Which process drives a run, and whether it still lives.

use std::fs;

use crate::store::EngineOwner;

/// Whether the process of an owner still lives, as far as can be seen from `host`.
///
/// A process of another host counts as alive: this host cannot know better.
pub fn is_alive(owner: &EngineOwner, host: &str) -> bool {
    owner.host != host || start_time(owner.pid) == Some(owner.started)
}

/// When a process started, in clock ticks since boot; `None` when it is gone or a zombie.
///
/// Source: `/proc/PID/stat`, field 22 (proc(5)).
pub fn start_time(pid: u32) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_start_time(stat: &str) -> Option<u64> {
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
        let pid = std::process::id();
        let me = EngineOwner {
            host: "here".into(),
            pid,
            started: start_time(pid).expect("a living process"),
        };
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
    fn a_name_with_spaces_and_brackets_does_not_mislead() {
        let stat = |state| {
            format!("7 (a ) b) {state} 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 9 10")
        };
        assert_eq!(parse_start_time(&stat("S")), Some(424_242));
        assert_eq!(parse_start_time(&stat("Z")), None);
        assert_eq!(parse_start_time("7 (x) S 1"), None);
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
