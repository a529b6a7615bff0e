//! Floor 2: a checked, resolved DAG with a digest.

mod around;
mod block;
mod build;
mod demands;
mod differences;
mod expr;
mod for_each;
mod gates;
mod inputs;
mod lookup;
mod no_return;
mod params;
mod policy;
mod scope;
mod secrets;
mod start;
mod steps;
mod stored;
mod types;

#[cfg(test)]
mod policy_fixture;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_blocks;
#[cfg(test)]
mod tests_of_differences;
#[cfg(test)]
mod tests_of_gates;
#[cfg(test)]
mod tests_of_policy;

pub use build::build;
pub use differences::differences;
pub use lookup::{PlanPart, instance_keys};
pub use no_return::{Crossings, PointOfNoReturn};
pub use params::Given;
pub use policy::{
    PlanCalendar, PlanDelay, PlanEmergency, PlanEscalation, PlanFreeze, PlanGate, PlanGateInput,
    PlanPerson, PlanPolicy, PlanQuorum, PlanRule, PlanWindow,
};
pub use scope::run_ty;
pub use start::StartRefusal;
pub use stored::{PlanError, graph};
pub use types::{
    Expr, MAX_INSTANCES, PLAN_FORMAT, Plan, PlanAction, PlanBlock, PlanConnection, PlanEnvironment,
    PlanForEach, PlanParam, PlanParamRule, PlanRetry, PlanRollback, PlanRunbook, PlanService,
    PlanStep, PlanUnless,
};
