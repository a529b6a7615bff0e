//! The real clock.

use chrono::Utc;

use crate::base::{Clock, Timestamp};

/// The system's clock and the kernel's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(Utc::now().timestamp_millis())
    }

    #[expect(
        clippy::expect_used,
        reason = "the kernel's generator fails only where it does not exist; a run id without it would not be unique"
    )]
    fn random(&self) -> u128 {
        let mut bytes = [0u8; 16];
        // The upper 48 bits of a run id are its time.
        getrandom::fill(&mut bytes[6..]).expect("the kernel gives random numbers");
        u128::from_be_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_differ_and_have_80_bits() {
        let (one, two) = (SystemClock.random(), SystemClock.random());
        assert_ne!(one, two);
        assert!(one >> 80 == 0 && two >> 80 == 0);
    }

    #[test]
    fn the_clock_runs_after_this_was_written() {
        assert!(SystemClock.now().to_string().as_str() > "2026-11-01");
    }
}
