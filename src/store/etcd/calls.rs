//! Calls to etcd, one method each, with a time limit and the store's errors. Keeps no state.

use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{
    Client, Compare, CompareOp, Error, GetOptions, GetResponse, KvClient, Txn, TxnOp, TxnOpResponse, TxnResponse,
    WatchClient,
};

use super::CALL_TIMEOUT;
use super::convert::{self, Failure, key_value, number, prefix_end, revision};
use super::gather::Read;
use crate::store::{ListOptions, Page, Revision, StoreError};

/// The largest answer to a call: several of the largest values etcd takes, and a bound on memory.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The largest message of a watch. etcd sends a thousand revisions that a watch has missed at once, so this is far above
/// what ordinary objects need.
const MAX_EVENTS_BYTES: usize = 64 * 1024 * 1024;

/// The keys fetched by one call of a list; halved where their values make the answer too large.
const KEYS_PER_CALL: usize = 1000;

/// Keys read by one transaction; etcd refuses more than 128 operations where it is not told otherwise.
const READS_PER_CALL: usize = 100;

/// How often a call that could not be sent is tried again: enough to find a member that answers
/// in a cluster of the usual size where one is down. Each try goes to a member picked at random.
const SEND_TRIES: usize = 8;

/// Makes calls.
#[derive(Clone)]
pub(super) struct Calls {
    kv: KvClient,
    pub(super) watch: WatchClient,
    endpoints: Arc<str>,
}

/// A call that failed, before it is known what was asked for.
enum CallError {
    Compacted,
    Future,
    TooLarge,
    Other(StoreError),
}

impl Calls {
    pub(super) fn new(client: &Client, endpoints: String) -> Self {
        Self {
            kv: client.kv_client().max_decoding_message_size(MAX_ANSWER_BYTES),
            watch: client.watch_client().max_decoding_message_size(MAX_EVENTS_BYTES),
            endpoints: endpoints.into(),
        }
    }

    pub(super) async fn revision(&self) -> Result<Revision, StoreError> {
        // Asks for no key that exists; the header of a consistent read says the revision.
        let options = &GetOptions::new().with_count_only();
        let response = self
            .call(|mut kv| async move { kv.get("\0", Some(options.clone())).await })
            .await;
        self.header_revision(&response.map_err(|error| self.plain(error))?)
    }

    /// Reads a key, as of a revision where one is named.
    async fn get(&self, key: &str, at: Option<Revision>) -> Read {
        let options = &read_at(at);
        let response = self
            .call(|mut kv| async move { kv.get(key, options.clone()).await })
            .await;
        let mut response = match response {
            Ok(response) => response,
            Err(error) => return Err(self.of_read(error, at).await),
        };
        let at = self.header_revision(&response)?;
        let found = response.take_kvs().into_iter().next().map(key_value).transpose()?;
        Ok((found, at))
    }

    /// Reads keys, each as of a revision where one is named, and answers for each: as many together as etcd takes.
    pub(super) async fn get_all(&self, reads: &[(&str, Option<Revision>)]) -> Vec<Read> {
        let mut answers = Vec::with_capacity(reads.len());
        for part in reads.chunks(READS_PER_CALL) {
            answers.extend(self.get_together(part).await);
        }
        answers
    }

    async fn get_together(&self, reads: &[(&str, Option<Revision>)]) -> Vec<Read> {
        if let [(key, at)] = reads {
            return vec![self.get(key, *at).await];
        }
        let gets: Vec<TxnOp> = reads.iter().map(|(key, at)| TxnOp::get(*key, read_at(*at))).collect();
        let txn = &Txn::new().and_then(gets);
        match self.call(|mut kv| async move { kv.txn(txn.clone()).await }).await {
            Ok(response) => self.each(&response, reads.len()),
            // Together they are more than one answer holds.
            Err(CallError::TooLarge) => {
                let mut answers = Vec::with_capacity(reads.len());
                for (key, at) in reads {
                    answers.push(self.get(key, *at).await);
                }
                answers
            }
            Err(error) => {
                let at = reads.iter().filter_map(|(_, at)| *at).min();
                vec![Err(self.of_read(error, at).await); reads.len()]
            }
        }
    }

    fn each(&self, response: &TxnResponse, count: usize) -> Vec<Read> {
        let at = response.header().map(|header| revision(header.revision()));
        let answers = response.op_responses();
        let (Some(at), true) = (at, answers.len() == count) else {
            return vec![Err(self.unavailable("it answered something else")); count];
        };
        let found = answers.into_iter().map(|answer| match answer {
            TxnOpResponse::Get(mut found) => {
                let pair = found.take_kvs().into_iter().next().map(key_value).transpose();
                pair.map(|pair| (pair, at))
            }
            _ => Err(self.unavailable("it answered something else")),
        });
        found.collect()
    }

    pub(super) async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page, StoreError> {
        let mut start = match &options.after {
            Some(after) if after.as_str() >= prefix => format!("{after}\0"),
            // etcd takes an empty key for a mistake.
            _ if prefix.is_empty() => "\0".to_owned(),
            _ => prefix.to_owned(),
        };
        let mut page = Page {
            items: Vec::new(),
            revision: options.at.unwrap_or(0),
            remaining: 0,
        };
        let mut keys_per_call = KEYS_PER_CALL;
        loop {
            let wanted = match options.limit {
                0 => keys_per_call,
                limit => keys_per_call.min(limit - page.items.len()),
            };
            let range = GetOptions::new()
                .with_range(prefix_end(prefix))
                .with_limit(i64::try_from(wanted).unwrap_or(i64::MAX))
                .with_revision(number(page.revision));
            let (start_key, range) = (&start, &range);
            let response = self
                .call(|mut kv| async move { kv.get(start_key.as_str(), Some(range.clone())).await })
                .await;
            let mut response = match response {
                Ok(response) => response,
                Err(CallError::TooLarge) if keys_per_call > 1 => {
                    keys_per_call /= 2;
                    continue;
                }
                Err(error) => return Err(self.at_revision(error, page.revision).await),
            };
            if page.revision == 0 {
                page.revision = self.header_revision(&response)?;
            }
            let total = usize::try_from(response.count()).unwrap_or(0);
            let kvs = response.take_kvs();
            page.remaining = total.saturating_sub(kvs.len()) as u64;
            for kv in kvs {
                page.items.push(key_value(kv)?);
            }
            let full = options.limit > 0 && page.items.len() >= options.limit;
            match page.items.last() {
                Some(last) if page.remaining > 0 && !full => start = format!("{}\0", last.key),
                _ => return Ok(page),
            }
        }
    }

    /// Writes a key that must be at `expected`; 0 where it must not exist.
    pub(super) async fn put(&self, key: &str, value: Bytes, expected: Revision) -> Result<Revision, StoreError> {
        self.compare_and(key, expected, TxnOp::put(key, value, None)).await
    }

    /// Removes a key that must be at `expected`.
    pub(super) async fn delete(&self, key: &str, expected: Revision) -> Result<Revision, StoreError> {
        self.compare_and(key, expected, TxnOp::delete(key, None)).await
    }

    /// Refuses to change a key expected at revision 0, which to etcd means a key that does not exist.
    pub(super) async fn refuse_unwritten(&self, key: &str, expected: Revision) -> Result<(), StoreError> {
        match expected {
            0 => Err(StoreError::Conflict {
                current: self.get(key, None).await?.0,
            }),
            _ => Ok(()),
        }
    }

    pub(super) async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        let response = self
            .call(|mut kv| async move { kv.compact(number(at), None).await })
            .await;
        match response {
            Ok(_) => Ok(()),
            Err(error) => Err(self.at_revision(error, at).await),
        }
    }

    async fn compare_and(&self, key: &str, expected: Revision, change: TxnOp) -> Result<Revision, StoreError> {
        let txn = &Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, number(expected))])
            .and_then([change])
            .or_else([TxnOp::get(key, None)]);
        let response = self.call(|mut kv| async move { kv.txn(txn.clone()).await }).await;
        let response = response.map_err(|error| self.plain(error))?;
        if response.succeeded() {
            return response
                .header()
                .map(|header| revision(header.revision()))
                .ok_or_else(|| self.unavailable("it answered without a revision"));
        }
        let mut current = None;
        for answer in response.op_responses() {
            if let TxnOpResponse::Get(mut found) = answer {
                current = found.take_kvs().into_iter().next().map(key_value).transpose()?;
            }
        }
        Err(StoreError::Conflict { current })
    }

    /// One call within the time limit, sent again only where it was certainly not carried out.
    async fn call<T, F: Future<Output = Result<T, Error>>>(
        &self,
        call: impl Fn(KvClient) -> F,
    ) -> Result<T, CallError> {
        let tries = async {
            let mut tries = 1;
            loop {
                let error = match call(self.kv.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                return Err(match Failure::of(&error) {
                    Failure::NotSent(_) if tries < SEND_TRIES && self.endpoints.contains(',') => {
                        tries += 1;
                        continue;
                    }
                    Failure::NotSent(reason) | Failure::Unavailable(reason) => {
                        CallError::Other(self.unavailable(&reason))
                    }
                    Failure::Compacted => CallError::Compacted,
                    Failure::Future => CallError::Future,
                    Failure::TooLarge => CallError::TooLarge,
                    Failure::Failed(reason) => CallError::Other(self.failed(&reason)),
                });
            }
        };
        match tokio::time::timeout(CALL_TIMEOUT, tries).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Other(self.unavailable("it did not answer in time"))),
        }
    }

    /// The error of a call that names the revision `requested`.
    async fn at_revision(&self, error: CallError, requested: Revision) -> StoreError {
        match error {
            CallError::Future => match self.revision().await {
                Ok(current) => StoreError::Future { requested, current },
                Err(error) => error,
            },
            CallError::Compacted => {
                let oldest = self.oldest_kept(requested).await.unwrap_or(requested + 1);
                StoreError::Compacted { requested, oldest }
            }
            other => self.plain(other),
        }
    }

    async fn of_read(&self, error: CallError, at: Option<Revision>) -> StoreError {
        match at {
            Some(at) => self.at_revision(error, at).await,
            None => self.plain(error),
        }
    }

    /// The error of a call that names no revision.
    fn plain(&self, error: CallError) -> StoreError {
        match error {
            CallError::Other(error) => error,
            CallError::TooLarge => self.failed("a single value is larger than is accepted"),
            CallError::Compacted | CallError::Future => self.failed("it refused a revision that was not asked for"),
        }
    }

    /// The revision of the last compaction, which only a watch of the compacted past is told.
    async fn oldest_kept(&self, compacted: Revision) -> Option<Revision> {
        let asked = tokio::time::timeout(CALL_TIMEOUT, async {
            let mut session = super::follow::Session::open(self, compacted.max(1)).await.ok()?;
            match session.next().await {
                Err(StoreError::Compacted { oldest, .. }) => Some(oldest - 1),
                _ => None,
            }
        });
        asked.await.ok().flatten()
    }

    fn header_revision(&self, response: &GetResponse) -> Result<Revision, StoreError> {
        let header = response
            .header()
            .ok_or_else(|| self.unavailable("it answered without a revision"))?;
        Ok(convert::revision(header.revision()))
    }

    pub(super) fn unavailable(&self, reason: &str) -> StoreError {
        StoreError::Unavailable(format!("etcd at {}: {reason}", self.endpoints))
    }

    pub(super) fn failed(&self, reason: &str) -> StoreError {
        StoreError::Failed(format!("etcd at {}: {reason}", self.endpoints))
    }
}

fn read_at(at: Option<Revision>) -> Option<GetOptions> {
    at.map(|at| GetOptions::new().with_revision(number(at)))
}
