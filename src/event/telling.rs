//! What happens at a gate, in words: told once for the terminal, the report and the audit trail.

use super::kind::EventKind;
use super::vote::Difference;

impl EventKind {
    /// What happens at a gate beside opening, votes and its end, to follow the gate's name; also of a
    /// run that is sent back. `None` for every other event.
    pub fn at_gate(&self) -> Option<String> {
        Some(match self {
            Self::GateReadStarted { read, .. } => format!("asks {read} again"),
            Self::GateRead {
                read,
                failure: Some(failure),
                ..
            } => format!("could not ask {read} again: {}", failure.error),
            Self::GateRead { read, .. } => format!("has fresh values of {read}"),
            Self::GateSurveyed { differences, .. } if differences.is_empty() => {
                "finds the files unchanged".to_owned()
            }
            Self::GateSurveyed { differences, .. } => {
                format!("finds the files changed: {}", Difference::list(differences))
            }
            Self::GateHeld {
                until: Some(until),
                reason,
                ..
            } => format!("is held until {until}: {reason}"),
            Self::GateHeld { reason, .. } => format!("is held: {reason}"),
            Self::GateVoided { differences, .. } => format!(
                "has no votes any more, because something changed: {}",
                Difference::list(differences)
            ),
            Self::GateEscalated { level, role, .. } => {
                format!("is escalated to {role} (level {level})")
            }
            Self::GateNotified {
                level,
                failure: Some(failure),
                ..
            } => format!("could not tell level {level}: {}", failure.error),
            Self::GateNotified { level, .. } => format!("told level {level}"),
            Self::GateParked { .. } => {
                "was not approved in time, and waits on without a limit".to_owned()
            }
            Self::RewindStarted { to, .. } => format!("sends the run back to {to}"),
            Self::RewindFinished { to, .. } => format!("lets the run start again from {to}"),
            _ => return None,
        })
    }
}

impl Difference {
    /// Several on one line, the first ones of many.
    pub fn list(differences: &[Self]) -> String {
        const SHOWN: usize = 3;
        let mut told: Vec<String> = differences.iter().take(SHOWN).map(Self::told).collect();
        if differences.len() > SHOWN {
            told.push(format!("{} more", differences.len() - SHOWN));
        }
        told.join("; ")
    }

    /// This one: `what: before → after`.
    pub fn told(&self) -> String {
        match (self.before.as_str(), self.after.as_str()) {
            ("", "") => self.what.clone(),
            ("", after) => format!("{}: new, {after}", self.what),
            (before, "") => format!("{}: gone, was {before}", self.what),
            (before, after) => format!("{}: {before} → {after}", self.what),
        }
    }
}
