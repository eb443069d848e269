//! The domains of one label: a number for each value that nodes have, so that asking about a node compares no texts.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;

/// The number of a domain, as long as a node has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DomainId(NonZeroU32);

/// What is in a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Domain {
    /// How many nodes have its value.
    labelled: usize,
    /// How many of those count; the domain is one only while some do.
    pub counting: usize,
    /// How many pods count.
    pub pods: i64,
}

/// Domains by value.
#[derive(Clone, Debug, Default)]
pub(super) struct Domains {
    ids: HashMap<String, DomainId>,
    /// By their numbers, of which the first is 1.
    domains: Vec<Domain>,
    /// Numbers that no value has any more.
    free: Vec<DomainId>,
}

impl DomainId {
    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Domains {
    /// The domain of that number.
    pub(super) fn get(&self, id: DomainId) -> &Domain {
        &self.domains[id.index()]
    }

    /// The domain of that number.
    pub(super) fn get_mut(&mut self, id: DomainId) -> &mut Domain {
        &mut self.domains[id.index()]
    }

    /// A node more with that value.
    pub(super) fn enter(&mut self, value: &str) -> DomainId {
        let id = match self.ids.get(value) {
            Some(id) => *id,
            None => {
                let id = self.free.pop().unwrap_or_else(|| self.add());
                self.ids.insert(value.to_owned(), id);
                id
            }
        };
        self.get_mut(id).labelled += 1;
        id
    }

    /// A node less with that value.
    pub(super) fn leave(&mut self, value: &str) {
        let Some(id) = self.ids.get(value).copied() else { return };
        let domain = self.get_mut(id);
        domain.labelled -= 1;
        if domain.labelled == 0 {
            *domain = Domain::default();
            self.ids.remove(value);
            self.free.push(id);
        }
    }

    /// The domains in which nodes count, by value.
    pub(super) fn counting(&self) -> BTreeMap<&str, (usize, i64)> {
        let domains = self.ids.iter().map(|(value, id)| (value.as_str(), self.get(*id)));
        let counting = domains.filter(|(_, domain)| domain.counting > 0);
        counting
            .map(|(value, domain)| (value, (domain.counting, domain.pods)))
            .collect()
    }

    fn add(&mut self) -> DomainId {
        self.domains.push(Domain::default());
        let number = u32::try_from(self.domains.len()).ok().and_then(NonZeroU32::new);
        DomainId(number.expect("there are fewer domains than nodes, and fewer nodes than four thousand million"))
    }
}
