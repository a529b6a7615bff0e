//! The shapes of work, as plain graphs that every tool's file is written from.

/// Steps that run at once where a shape is wide.
pub(crate) const PARALLEL: usize = 8;

/// How much the printing step prints, in bytes.
pub(crate) const PRINTED: usize = 100_000_000;

/// A shape of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// W1: one step; the cold start.
    One,
    /// W2: 200 steps, each after the one before.
    Chain,
    /// W3: one, then a thousand beside each other, then one.
    Fan,
    /// W4: 20 layers of 50; each step needs three of the layer above.
    Layers,
    /// W5: 10,000 steps that refer to each other's outputs, checked and planned, not run.
    Plan,
    /// W8: one step that prints 100 MB, all of it kept.
    Print,
}

/// A step: which steps it needs, by number.
pub(crate) type Needs = Vec<usize>;

impl Workload {
    /// Every shape, in the order of the table.
    pub(crate) fn all() -> [Self; 6] {
        [
            Self::One,
            Self::Chain,
            Self::Fan,
            Self::Layers,
            Self::Plan,
            Self::Print,
        ]
    }

    /// The name in the table.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::One => "W1",
            Self::Chain => "W2",
            Self::Fan => "W3",
            Self::Layers => "W4",
            Self::Plan => "W5",
            Self::Print => "W8",
        }
    }

    /// What it is, in a few words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::One => "one step, cold start",
            Self::Chain => "chain of 200",
            Self::Fan => "1 → 1,000 → 1, 8 at once",
            Self::Layers => "20 layers × 50, 8 at once",
            Self::Plan => "check and plan 10,000 steps",
            Self::Print => "one step prints 100 MB",
        }
    }

    /// The graph.
    pub(crate) fn steps(self) -> Vec<Needs> {
        match self {
            Self::One | Self::Print => vec![Vec::new()],
            Self::Chain => chain(200),
            Self::Plan => chain(10_000),
            Self::Fan => {
                let mut steps = vec![Vec::new()];
                steps.extend((0..1_000).map(|_| vec![0]));
                steps.push((1..=1_000).collect());
                steps
            }
            Self::Layers => layers(20, 50),
        }
    }

    /// Most memory that runbook may hold, in MiB.
    pub(crate) fn memory_target_mib(self) -> f64 {
        match self {
            Self::Plan => 100.0,
            _ => 60.0,
        }
    }
}

fn chain(length: usize) -> Vec<Needs> {
    (0..length)
        .map(|step: usize| step.checked_sub(1).into_iter().collect())
        .collect()
}

/// Three different needs each, drawn by a fixed sequence so that every tool gets the same graph.
fn layers(count: usize, width: usize) -> Vec<Needs> {
    let mut seed: u64 = 42;
    let mut draw = || {
        // Knuth's MMIX generator; the upper bits are the good ones.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % width
    };
    (0..count * width)
        .map(|step| {
            let mut needs = Needs::new();
            while step >= width && needs.len() < 3 {
                let need = (step / width - 1) * width + draw();
                if !needs.contains(&need) {
                    needs.push(need);
                }
            }
            needs
        })
        .collect()
}
