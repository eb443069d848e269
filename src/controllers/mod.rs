//! Loops that keep the cluster tidy through the API: node lifecycle, namespace deletion, pod collection.
