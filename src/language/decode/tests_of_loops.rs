//! Loops, `unless`, `verify`, variables and secrets as they are read.

use super::{decode_environment, decode_runbook};
use crate::base::{Diagnostics, SourceFile};
use crate::model::{MaxFailures, Needs, Runbook, SecretSource, Ty, Unless};

fn read(text: &str) -> Runbook {
    let source = SourceFile::new("runbooks/a.yaml", text);
    let mut diags = Diagnostics::new();
    let book = decode_runbook(&source, &mut diags);
    assert_eq!(diags.into_sorted(), []);
    book.expect("a runbook")
}

#[test]
fn a_loop_is_read_with_all_its_keys() {
    let book = read(
        r#"runbook: v1
name: a
params: { token: { type: secret, default: "env:API_TOKEN" } }
steps:
  - id: restart
    uses: service.restart
    for_each: "{{ params.services }}"
    max_parallel: 2
    max_failures: 10%
    with: { service: "{{ item }}" }
    unless:
      uses: service.health
      with: { service: "{{ item }}" }
      condition: outputs.healthy
    idempotency_key: "{{ run.id }}-{{ item }}"
    environment: { TOKEN: "{{ params.token }}" }
    secrets: [token]
  - { id: again, uses: wait, for_each: [1], max_failures: 3, unless: index > 2 }
  - { id: plain, uses: runbook.smoke-test }
"#,
    );
    assert_eq!(book.params["token"].ty.value, Ty::Secret);
    let [restart, again, plain] = &book.steps[..] else {
        panic!("three steps");
    };
    let looped = restart.for_each.as_ref().expect("a loop");
    assert_eq!(looped.items.to_json(), "{{ params.services }}");
    assert_eq!(looped.max_parallel.as_ref().map(|n| n.value), Some(2));
    let most = looped.max_failures.as_ref().map(|n| n.value);
    assert_eq!(most, Some(MaxFailures::Percent(10)));
    let unless = restart.unless.as_ref().map(|u| &u.value);
    let Some(Unless::Probe { action, condition }) = unless else {
        panic!("a probe");
    };
    assert_eq!(action.uses.value, "service.health");
    assert_eq!(condition.value, "outputs.healthy");
    let key = restart.idempotency_key.as_ref().expect("a key");
    assert_eq!(key.to_json(), "{{ run.id }}-{{ item }}");
    assert_eq!(restart.environment["TOKEN"].to_json(), "{{ params.token }}");
    assert_eq!(restart.secrets[0].value, "token");

    let looped = again.for_each.as_ref().expect("a loop");
    assert_eq!(looped.items.to_json(), serde_json::json!([1]));
    assert_eq!(looped.max_parallel, None);
    let most = looped.max_failures.as_ref().map(|n| n.value);
    assert_eq!(most, Some(MaxFailures::Count(3)));
    let unless = again.unless.as_ref().map(|u| &u.value);
    assert!(matches!(unless, Some(Unless::Condition(text)) if text.value == "index > 2"));
    assert_eq!(plain.action.runbook(), Some("smoke-test"));
    assert_eq!(book.calls().count(), 1);
}

#[test]
fn conditions_of_verify_are_steps_counted_over_all_entries() {
    let book = read(
        "runbook: v1\nname: a\nsteps:\n  - { id: a, uses: wait }\nverify:\n  - { id: healthy, uses: service.health, needs: [] }\n  - condition: steps.healthy.outputs.healthy\n    message: It answers\n  - { condition: true }\n",
    );
    let ids: Vec<&str> = book.verify.iter().map(|s| s.id.value.as_str()).collect();
    assert_eq!(ids, ["healthy", "verify_2", "verify_3"]);
    let condition = &book.verify[1];
    assert_eq!(condition.action.uses.value, "assert");
    let with = condition.action.with.to_json();
    assert_eq!(with, serde_json::json!({ "that": true }));
    let verify = condition.verify.as_ref().expect("a condition");
    assert_eq!(verify.value, "steps.healthy.outputs.healthy");
    let place = &book.source.text[verify.span.start..verify.span.end()];
    assert_eq!(place, "steps.healthy.outputs.healthy");
    assert_eq!(
        condition.name.as_ref().map(|n| n.value.as_str()),
        Some("It answers")
    );
    assert_eq!(condition.needs, Needs::Above);
    assert_eq!(book.verify[2].name, None);
    assert_eq!(book.verify[0].needs, Needs::Listed(Vec::new()));
}

#[test]
fn secrets_of_an_environment_are_sources() {
    let text =
        "environment: v1\nname: a\nsecrets: { db: \"env:DB\", api: \"vault:secret/api#token\" }\n";
    let source = SourceFile::new("runbooks/environments/a.yaml", text);
    let mut diags = Diagnostics::new();
    let environment = decode_environment(&source, &mut diags).expect("an environment");
    assert!(diags.is_empty());
    let db = SecretSource::Env("DB".to_owned());
    assert_eq!(environment.secrets["db"].value, db);
    assert!(
        matches!(&environment.secrets["api"].value, SecretSource::Vault { field, .. } if field == "token")
    );
}

#[test]
fn a_secret_in_the_place_of_its_source_is_not_repeated() {
    let text = "environment: v1\nname: a\nsecrets: { db: hunter2 }\n";
    let source = SourceFile::new("runbooks/environments/a.yaml", text);
    let mut diags = Diagnostics::new();
    assert!(decode_environment(&source, &mut diags).is_none());
    let [finding] = &diags.into_sorted()[..] else {
        panic!("one finding");
    };
    assert_eq!(finding.code.0, "RB0114");
    assert!(!finding.message.contains("hunter2"));
    assert!(
        !finding
            .help
            .as_deref()
            .unwrap_or_default()
            .contains("hunter2")
    );
}
