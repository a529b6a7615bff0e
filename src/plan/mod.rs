//! Floor 2: a checked, resolved DAG with a digest.

mod expr;
mod types;

pub use types::{
    Expr, PLAN_FORMAT, Plan, PlanAction, PlanConnection, PlanEnvironment, PlanParam, PlanRetry,
    PlanRollback, PlanRunbook, PlanService, PlanStep,
};
