//! What moves from one source to another stays, and changes hands. Sources that this process follows look at each other;
//! those that others follow tell in their records what they want and what they give.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Client, ResourceExt as _};

use super::applyset::{ApplySet, ID};
use super::config::Config;
use super::error::Error;
use super::inventory::Inventory;
use super::kinds::Kinds;
use super::manifests::{self, Manifests, Parsed};
use super::record::NAME;
use super::report::ObjectKey;
use super::source::{Source, View};

/// How many objects a record names; the others follow when these have gone.
const RECORDED: usize = 100;

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

    /// What all but that one say now, and what is recorded of those that others follow.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub(super) async fn say(&self, set: &ApplySet, client: &Client, view: View) -> Result<Others, Error> {
        let others: Vec<(String, Neighbour)> = (self.all().iter())
            .filter(|(id, _)| **id != set.id)
            .map(|(id, neighbour)| (id.clone(), neighbour.clone()))
            .collect();
        let mut parsed = Vec::new();
        for (id, Neighbour { name, source }) in others {
            // What cannot be read names nothing, and has let go of nothing.
            let (files, is_whole) = match source.read(view).await {
                Ok(snapshot) => (manifests::parse(&snapshot.files), snapshot.complete()),
                Err(error) => {
                    tracing::debug!(source = name, %error, "a neighbour cannot be read");
                    (Parsed::default(), false)
                }
            };
            parsed.push((id, name, files, is_whole));
        }
        let versions: BTreeSet<String> = (parsed.iter())
            .flat_map(|(_, _, files, _)| files.api_versions())
            .map(str::to_owned)
            .collect();
        let kinds = Kinds::discover(client, &versions).await?;
        let said = parsed.into_iter().map(|(id, name, files, is_whole)| {
            let manifests = manifests::resolve(files, &kinds);
            let said = Said {
                name,
                manifests,
                is_whole,
            };
            (id, said)
        });
        let said: BTreeMap<String, Said> = said.collect();
        let parents = Inventory::parents(client).await;
        let parents = parents.map_err(|error| Error::api("reading what is known of other sources", error))?;
        let books = parents.into_iter().filter_map(|parent| {
            let id = parent
                .labels()
                .get(ID)
                .filter(|id| **id != set.id && !said.contains_key(*id))?;
            let (id, name) = (id.clone(), parent.annotations().get(NAME).cloned());
            let record = Inventory::of(parent).record;
            let book = Book {
                name: name.unwrap_or_else(|| id.clone()),
                wants: record.wants.into_iter().collect(),
                gives: record.gives.into_iter().collect(),
            };
            Some((id, book))
        });
        let books = books.collect();
        Ok(Others { said, books })
    }
}

/// What the others say, by the ids of their sets.
#[derive(Debug, Default)]
pub struct Others {
    said: BTreeMap<String, Said>,
    books: BTreeMap<String, Book>,
}

/// What a source says that this process follows.
#[derive(Debug)]
struct Said {
    name: String,
    manifests: Manifests,
    /// Whether all of it could be read.
    is_whole: bool,
}

/// What is recorded of a source that this process does not follow.
#[derive(Debug)]
struct Book {
    name: String,
    wants: BTreeSet<ObjectKey>,
    gives: BTreeSet<ObjectKey>,
}

impl Others {
    /// Why an object that left a source is not deleted: another names it now, or may do so.
    pub fn want(&self, key: &ObjectKey) -> Option<String> {
        let books = self.books.values().filter(|book| book.wants.contains(key));
        let goes = |name: &str| format!("it goes over to the source {name}, which names it now");
        let said = self.said.values().find_map(|said| {
            let name = &said.name;
            match said.manifests.objects.contains_key(key) {
                true => Some(goes(name)),
                false => {
                    (said.manifests.may_declare(key, None)).map(|reason| format!("{reason}, in the source {name}"))
                }
            }
        });
        said.or_else(|| books.map(|book| goes(&book.name)).next())
    }

    /// The name of the source with that set's id, if it surely does not name the object any more.
    pub fn let_go(&self, id: &str, key: &ObjectKey) -> Option<&str> {
        let Some(said) = self.said.get(id) else {
            let book = self.books.get(id).filter(|book| book.gives.contains(key))?;
            return Some(&book.name);
        };
        let names = said.manifests.objects.contains_key(key) || said.manifests.may_declare(key, None).is_some();
        (said.is_whole && !names).then_some(said.name.as_str())
    }
}

/// What changes hands, for the record: sources that others follow read it there.
#[derive(Clone, Debug, Default)]
pub struct Handover {
    /// Objects that the source names and another has.
    pub wants: Vec<ObjectKey>,
    /// Objects that left it and that another wants.
    pub gives: Vec<ObjectKey>,
}

impl Handover {
    /// What of the objects that come from others and of those that leave is to be recorded.
    pub fn of<'a>(
        others: &Others,
        comes: impl Iterator<Item = (&'a ObjectKey, &'a str)>,
        leaves: impl Iterator<Item = &'a ObjectKey>,
    ) -> Self {
        let wants = comes.filter(|(key, id)| others.let_go(id, key).is_none());
        let gives = leaves.filter(|key| others.want(key).is_some());
        Self {
            wants: wants.map(|(key, _)| key.clone()).take(RECORDED).collect(),
            gives: gives.take(RECORDED).cloned().collect(),
        }
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
