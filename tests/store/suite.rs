//! Runs a case over every store.

/// Makes each case a test of each store.
macro_rules! for_every_store {
    ($($case:ident),* $(,)?) => {
        mod embedded {
            use $crate::store::fixture::Fixture;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(Fixture::embedded().await).await;
            })*
        }
        mod etcd {
            use $crate::store::fixture::Fixture;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(Fixture::etcd().await).await;
            })*
        }
    };
}
pub(super) use for_every_store;
