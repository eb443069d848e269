//! The `reconcile` binary: its exit code and its allocator are all that lives here.

/// The system's own keeps what a large sync needed for good, in pieces too small to give back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    reconcile::cli::main()
}
