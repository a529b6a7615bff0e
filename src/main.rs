//! The door: hands the arguments to the command line and its exit code to the system.

/// Reading and planning a large runbook makes a million small values, which this hands out in half
/// the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    runbook::cli::run(runbook::settings::arguments()).into()
}
