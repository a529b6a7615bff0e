//! Who acts, by the operating system's word.

use nix::unistd::{Uid, User, gethostname};

use crate::event::Actor;

/// The operating system's user and this host. Never verified: only a signature proves a person.
///
/// `fallback` is taken when the system's user list does not have the user; without it, `uid-<number>`.
pub fn current_actor(fallback: Option<&str>) -> Actor {
    let uid = Uid::current();
    let listed = User::from_uid(uid).ok().flatten().map(|user| user.name);
    Actor {
        name: listed
            .or_else(|| fallback.map(str::to_owned))
            .unwrap_or_else(|| format!("uid-{uid}")),
        host: host_name(),
        verified: false,
    }
}

/// The name of this host; `localhost` when it has none.
fn host_name() -> String {
    gethostname()
        .ok()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_acts_from_somewhere_unproven() {
        let actor = current_actor(None);
        assert!(!actor.name.is_empty());
        assert!(!actor.host.is_empty());
        assert!(!actor.verified);
    }
}
