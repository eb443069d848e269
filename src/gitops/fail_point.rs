//! Points of a sync at which tests end the process as a crash would. Release builds have none.

/// Ends the process here where `RECONCILE_FAIL_POINT` says so: `NAME:N` at the N-th passing of that point, `any:N` at
/// the N-th passing of any.
#[cfg(debug_assertions)]
pub(super) fn pass(name: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static WANTED: LazyLock<Option<(String, usize)>> = LazyLock::new(|| {
        let text = std::env::var("RECONCILE_FAIL_POINT").ok()?;
        let (name, number) = text.split_once(':')?;
        Some((name.to_owned(), number.parse().ok()?))
    });
    static PASSED: AtomicUsize = AtomicUsize::new(0);
    let Some((wanted, number)) = &*WANTED else { return };
    if wanted != "any" && wanted != name {
        return;
    }
    let passed = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
    if passed == *number {
        // Nothing unwinds and nothing is flushed.
        std::process::abort();
    }
}

/// Does nothing.
#[cfg(not(debug_assertions))]
pub(super) fn pass(_: &str) {}
