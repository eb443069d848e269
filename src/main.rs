//! The `reconcile` binary: its exit code is all that lives here.

fn main() -> std::process::ExitCode {
    reconcile::cli::main()
}
