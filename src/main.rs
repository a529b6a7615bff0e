//! The door: hands the arguments to the command line and its exit code to the system.

/// Planning makes millions of small values; the system's allocator takes a third longer over them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    runbook::cli::run(runbook::settings::arguments()).into()
}
