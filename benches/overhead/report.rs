//! The table and the JSON.

use serde_json::{Value, json};

use super::floors::Floors;
use super::measure::Sample;
use super::workload::Workload;

/// Most that a step of the chain may cost beyond one spawn and one fsync, in milliseconds.
const STEP_TARGET_MS: f64 = 0.5;
/// Most that checking and planning 10,000 steps may take, in seconds.
const PLAN_TARGET_S: f64 = 0.15;

/// The median; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// One tool and one workload.
#[derive(Debug)]
pub(crate) struct Row {
    tool: &'static str,
    workload: Workload,
    steps: usize,
    samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn new(tool: &'static str, workload: &Workload, samples: Vec<Sample>) -> Self {
        Self {
            tool,
            workload: *workload,
            steps: workload.steps().len(),
            samples,
        }
    }

    fn seconds(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.seconds).collect())
    }

    fn peak_mib(&self) -> f64 {
        self.samples
            .iter()
            .map(|sample| sample.peak_mib)
            .fold(0.0, f64::max)
    }

    fn step_ms(&self) -> f64 {
        self.seconds() * 1000.0 / self.steps as f64
    }

    /// A line to be seen while the others are measured.
    pub(crate) fn progress(&self) -> String {
        format!(
            "{} {}: {:.3} s",
            self.workload.id(),
            self.tool,
            self.seconds()
        )
    }
}

/// All rows, and the floors of the same machine in the same minutes.
pub(crate) struct Report {
    floors: Floors,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(floors: Floors) -> Self {
        Self {
            floors,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The table, for people.
    pub(crate) fn table(&self) -> String {
        let Floors { spawn_ms, fsync_ms } = self.floors;
        let mut lines = vec![
            format!("floors: spawn+wait {spawn_ms:.3} ms, write+fdatasync {fsync_ms:.3} ms"),
            format!(
                "{:<3} {:<29} {:<9} {:>9} {:>9} {:>9} {:>9} {:>8}",
                "", "workload", "tool", "median s", "min s", "ms/step", "peak MiB", "× best"
            ),
        ];
        for row in &self.rows {
            let best = self
                .rows
                .iter()
                .filter(|other| other.workload == row.workload)
                .map(Row::seconds)
                .fold(f64::INFINITY, f64::min);
            let least = row
                .samples
                .iter()
                .map(|s| s.seconds)
                .fold(f64::INFINITY, f64::min);
            lines.push(format!(
                "{:<3} {:<29} {:<9} {:>9.3} {:>9.3} {:>9.3} {:>9.1} {:>8.2}",
                row.workload.id(),
                row.workload.title(),
                row.tool,
                row.seconds(),
                least,
                row.step_ms(),
                row.peak_mib(),
                row.seconds() / best,
            ));
        }
        if let Some(overhead) = self.chain_overhead_ms() {
            lines.push(format!(
                "a step of the chain beyond one spawn and one fdatasync: {overhead:.3} ms"
            ));
        }
        let missed = self.missed();
        if missed.is_empty() {
            lines.push("every target that was measured is met".to_owned());
        }
        lines.extend(missed);
        lines.join("\n")
    }

    fn own(&self, workload: Workload) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.tool == "runbook" && row.workload == workload)
    }

    /// What a further step of the chain costs beyond what the machine itself takes.
    fn chain_overhead_ms(&self) -> Option<f64> {
        let (one, chain) = (self.own(Workload::One)?, self.own(Workload::Chain)?);
        let further = (chain.seconds() - one.seconds()) * 1000.0 / (chain.steps - 1) as f64;
        Some(further - self.floors.spawn_ms - self.floors.fsync_ms)
    }

    /// The targets that runbook missed, in words.
    pub(crate) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if let Some(overhead) = self.chain_overhead_ms()
            && overhead > STEP_TARGET_MS
        {
            missed.push(format!(
                "MISSED: {overhead:.3} ms of overhead a step, target {STEP_TARGET_MS} ms"
            ));
        }
        if let Some(row) = self.own(Workload::Plan)
            && row.seconds() > PLAN_TARGET_S
        {
            missed.push(format!(
                "MISSED: {:.3} s to check and plan, target {PLAN_TARGET_S} s",
                row.seconds()
            ));
        }
        for row in self.rows.iter().filter(|row| row.tool == "runbook") {
            let target = row.workload.memory_target_mib();
            if row.peak_mib() > target {
                missed.push(format!(
                    "MISSED: {} holds {:.1} MiB, target {target} MiB",
                    row.workload.id(),
                    row.peak_mib()
                ));
            }
        }
        missed
    }

    /// The figures, for programs.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "workload": row.workload.id(),
                    "title": row.workload.title(),
                    "tool": row.tool,
                    "steps": row.steps,
                    "median_s": row.seconds(),
                    "ms_per_step": row.step_ms(),
                    "peak_mib": row.peak_mib(),
                    "samples_s": row.samples.iter().map(|s| s.seconds).collect::<Vec<_>>(),
                })
            })
            .collect();
        let value = json!({
            "floors": { "spawn_ms": self.floors.spawn_ms, "fsync_ms": self.floors.fsync_ms },
            "chain_overhead_ms": self.chain_overhead_ms(),
            "rows": rows,
            "missed": self.missed(),
        });
        format!("{value:#}\n")
    }
}
