//! Rule: `unless` only looks.

use super::checker::{Checker, StepAt};
use super::codes;
use super::reference::{Place, User};
use super::{action, approval};
use crate::base::{Diagnostic, Diagnostics};
use crate::model::{Effect, Step, Unless};

impl<'a> Checker<'a> {
    pub(super) fn check_unless(&mut self, step: &'a Step, at: StepAt, diags: &mut Diagnostics) {
        let Some(unless) = &step.unless else { return };
        let user = |place| User {
            step: Some(at),
            place,
        };
        match &unless.value {
            Unless::Condition(condition) => {
                self.check_condition(condition, user(Place::Before), diags);
            }
            Unless::Probe { action, condition } => {
                action::check_known(action, self.catalog, self.source(), diags);
                self.check_with(action, step.template, user(Place::Before), diags);
                self.check_condition(condition, user(Place::Probe), diags);
                let name = action.uses.value.as_str();
                let Some(manifest) = self.catalog.get(name) else {
                    return;
                };
                if manifest.effect == Effect::Read && name != approval::APPROVAL {
                    return;
                }
                diags.push(
                    Diagnostic::error(
                        codes::PROBE_CHANGES,
                        format!("`unless` may only look, but `{name}` has the effect `{}`", manifest.effect),
                    )
                    .at(self.source(), action.uses.span, "this changes something")
                    .help("take an action with the effect `read`, such as `service.health`; `runbook actions` shows the effects"),
                );
            }
        }
    }
}
