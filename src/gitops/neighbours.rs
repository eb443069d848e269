//! Sources that this process follows side by side: what moves from one to another stays, and changes hands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;

use super::applyset::ApplySet;
use super::config::Config;
use super::error::Error;
use super::kinds::Kinds;
use super::manifests::{self, Manifests, Parsed};
use super::report::ObjectKey;
use super::source::{Source, View};

/// Sources that know of each other, by the id of their sets.
#[derive(Clone, Debug, Default)]
pub struct Neighbours(Arc<Mutex<BTreeMap<String, Neighbour>>>);

/// One of them.
#[derive(Clone, Debug)]
struct Neighbour {
    name: String,
    source: Source,
}

/// Makes a source known, until this is dropped.
#[derive(Debug)]
pub struct Membership {
    neighbours: Neighbours,
    id: String,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.neighbours.all().remove(&self.id);
    }
}

impl Neighbours {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Neighbour>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a source known to the others.
    pub(super) fn join(&self, set: &ApplySet, source: &Source) -> Membership {
        let neighbour = Neighbour {
            name: set.short_name().to_owned(),
            source: source.clone(),
        };
        self.all().insert(set.id.clone(), neighbour);
        Membership {
            neighbours: self.clone(),
            id: set.id.clone(),
        }
    }

    /// Whether there is any but that one.
    pub(super) fn are_there(&self, set: &ApplySet) -> bool {
        self.all().keys().any(|id| *id != set.id)
    }

    /// What all but that one say now.
    ///
    /// # Errors
    /// Where the cluster cannot be asked for its kinds.
    pub(super) async fn say(&self, set: &ApplySet, client: &Client, view: View) -> Result<Others, Error> {
        let others: Vec<(String, Neighbour)> = (self.all().iter())
            .filter(|(id, _)| **id != set.id)
            .map(|(id, neighbour)| (id.clone(), neighbour.clone()))
            .collect();
        let mut parsed = Vec::new();
        for (id, Neighbour { name, source }) in others {
            // What cannot be read names nothing, and has let go of nothing.
            let (parsed_files, is_whole) = match source.read(view).await {
                Ok(snapshot) => (manifests::parse(&snapshot.files), snapshot.complete()),
                Err(error) => {
                    tracing::debug!(source = name, %error, "a neighbour cannot be read");
                    (Parsed::default(), false)
                }
            };
            parsed.push((id, name, parsed_files, is_whole));
        }
        let versions: BTreeSet<String> = (parsed.iter())
            .flat_map(|(_, _, parsed, _)| parsed.api_versions())
            .map(str::to_owned)
            .collect();
        let kinds = Kinds::discover(client, &versions).await?;
        let said = parsed.into_iter().map(|(id, name, parsed, is_whole)| {
            let manifests = manifests::resolve(parsed, &kinds);
            let said = Said {
                name,
                manifests,
                is_whole,
            };
            (id, said)
        });
        Ok(Others(said.collect()))
    }
}

/// What the others say, by the id of their sets.
#[derive(Debug, Default)]
pub struct Others(BTreeMap<String, Said>);

#[derive(Debug)]
struct Said {
    name: String,
    manifests: Manifests,
    /// Whether all of it could be read.
    is_whole: bool,
}

impl Others {
    /// Why an object that left a source is not deleted: another names it now, or may do so.
    pub fn want(&self, key: &ObjectKey) -> Option<String> {
        self.0.values().find_map(|said| {
            let name = &said.name;
            match said.manifests.objects.contains_key(key) {
                true => Some(format!("it goes over to the source {name}, which names it now")),
                false => {
                    (said.manifests.may_declare(key, None)).map(|reason| format!("{reason}, in the source {name}"))
                }
            }
        })
    }

    /// The name of the source with that set's id, if it surely does not name the object any more.
    pub fn let_go(&self, id: &str, key: &ObjectKey) -> Option<&str> {
        let said = self.0.get(id).filter(|said| said.is_whole)?;
        let names = said.manifests.objects.contains_key(key) || said.manifests.may_declare(key, None).is_some();
        (!names).then_some(said.name.as_str())
    }
}

/// Makes the sources known to each other and fetches them, for what is done with one after the other. What cannot be
/// opened or fetched is told when its turn comes.
pub async fn introduce(configs: &[Config]) -> Vec<Membership> {
    let mut members = Vec::new();
    if configs.len() < 2 {
        return members;
    }
    for config in configs {
        let Ok(source) = Source::open(config) else { continue };
        if let Err(error) = source.refresh().await {
            tracing::debug!(source = source.describe(), %error, "a neighbour cannot be fetched");
        }
        members.push(config.neighbours.join(&config.set(&source), &source));
    }
    members
}
