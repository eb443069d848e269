//! HTTP over a store: generic verbs, watch, discovery, subresources. The only part that touches the store.
