//! The API server over HTTP and under stock kubectl, on the embedded store and on a real etcd.

mod access;
mod admission;
mod apply;
mod bodies;
mod deletion;
mod discovery;
mod eviction;
mod golden;
mod kubectl;
mod kubectl_pods;
mod lists;
mod logs;
mod patches;
mod pods;
mod speed;
mod storage;
mod watches;
mod world;
mod writes;

/// Makes a test a store of each function over a [`world::World`].
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[test] fn $name() { super::$name(&crate::apiserver::world::World::start(crate::apiserver::world::Backend::Embedded)); })*
        }
        mod etcd {
            $(#[test] fn $name() { super::$name(&crate::apiserver::world::World::start(crate::apiserver::world::Backend::Etcd)); })*
        }
    };
}
use on_both_stores;
