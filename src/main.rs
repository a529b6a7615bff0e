//! The door: hands the arguments to the command line and its exit code to the system.

fn main() -> std::process::ExitCode {
    runbook::cli::run(runbook::settings::arguments()).into()
}
