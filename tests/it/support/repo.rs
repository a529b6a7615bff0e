//! A small runbook repository that the tests of the commands share.

use super::TestEnv;

/// Shell steps, a gate, an undo, two branches, `finally`, a parameter and an output.
pub(crate) const DEPLOY: &str = r#"runbook: v1
name: deploy
title: Put a new version in place
description: Records what runs, asks, and puts the version in place.
owner: platform-team
severity: P2
risk: low
reviewed: 2026-11-01
params:
  version: { type: string, default: v1, description: Version to put in place }
steps:
  - id: before
    name: Record what runs
    uses: shell
    with: { script: "echo before" }
    effect: { is: read, reason: it only prints }
  - id: go
    uses: approval
    with: { message: "Deploy {{ params.version }}?" }
  - id: put
    name: Put it in place
    uses: shell
    with: { script: "echo put {{ params.version }} | tee -a marker" }
    rollback:
      uses: shell
      with: { script: "echo away >> marker" }
  - id: left
    needs: [put]
    uses: shell
    with: { script: "echo left" }
    effect: { is: read, reason: it only prints }
  - id: right
    needs: [put]
    uses: shell
    with: { script: "echo right" }
    effect: { is: read, reason: it only prints }
finally:
  - id: tell
    uses: shell
    with: { script: "echo {{ run.outcome }}" }
outputs:
  version: "{{ params.version }}"
"#;

impl TestEnv {
    /// A repository with an environment, a policy and one runbook.
    pub(crate) fn with_runbook(name: &str, text: &str) -> Self {
        let env = Self::new();
        env.write(
            "runbooks/environments/local.yaml",
            "environment: v1\nname: local\n",
        );
        env.write("runbooks/policy.yaml", "policy: v1\n");
        env.write(&format!("runbooks/{name}.yaml"), text);
        env
    }
}

/// A repository with the runbook `job` of these keys, `steps` among them.
pub(crate) fn job(keys: &str) -> TestEnv {
    TestEnv::with_runbook(
        "job",
        &format!("runbook: v1\nname: job\ntitle: A job\n{keys}"),
    )
}
