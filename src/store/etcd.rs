//! Keeps the store in etcd. The only file that names `etcd_client`.

/// A store in an etcd cluster.
pub struct Etcd;
