//! The policy in force: swapped whole while workers judge.
//!
//! A worker looks once a batch, with one relaxed load, and changes over between two batches. What
//! it has counted stays, and so do the windows of the source table: they belong to no policy.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::{Engine, stage::Terms};
use crate::{detect::Observer, policy::Policy};

/// A policy, with what comes and goes with it.
#[derive(Clone, Debug)]
pub struct Edition {
    /// What frames are judged by.
    pub policy: Arc<Policy>,
    /// Watches for zombies, if a class asks for it.
    pub observer: Option<Arc<Observer>>,
    /// The generation that leases under it have. Before there are leases it says nothing.
    pub generation: u32,
}

/// The edition in force. Clones are handles of the same.
#[derive(Clone, Debug)]
pub struct InForce(Arc<ArcSwap<Edition>>);

impl InForce {
    /// This one, from the start.
    #[must_use]
    pub fn new(edition: Edition) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(edition)))
    }

    /// The edition, as it is now.
    #[must_use]
    pub fn edition(&self) -> Arc<Edition> {
        self.0.load_full()
    }

    /// Its policy.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.0.load().policy)
    }

    /// Every engine that follows judges by this one from its next batch on. Its classes must be
    /// numbered after those before it ([`Policy::numbered_after`]).
    pub fn replace(&self, edition: Edition) {
        self.0.store(Arc::new(edition));
    }
}

/// One engine's view of it, which stays the same for a batch.
#[derive(Debug)]
pub(super) struct Followed {
    cache: Cache<Arc<ArcSwap<Edition>>, Arc<Edition>>,
    seen: Arc<Edition>,
}

impl Followed {
    pub fn new(in_force: &InForce) -> Self {
        let mut cache = Cache::new(Arc::clone(&in_force.0));
        let seen = Arc::clone(cache.load());
        Self { cache, seen }
    }

    pub fn seen(&self) -> &Edition {
        &self.seen
    }

    /// Another edition, if there is one since.
    #[inline]
    fn news(&mut self) -> Option<Arc<Edition>> {
        let now = self.cache.load();
        if Arc::ptr_eq(now, &self.seen) {
            return None;
        }
        self.seen = Arc::clone(now);
        Some(Arc::clone(now))
    }
}

impl Engine {
    /// Takes up what changed since the last batch.
    ///
    /// Whoever is quarantined is looked at first: it is never the list of a later policy than the
    /// one that is looked at then. After a change of policy it is looked at again.
    #[inline]
    pub(super) fn renew(&mut self) {
        self.quarantine.renew(&self.policy);
        if let Some(edition) = self.followed.as_mut().and_then(Followed::news) {
            self.adopt(&edition);
            self.quarantine.renew_under(&self.policy);
        }
    }

    /// Rare: here something is allocated.
    #[cold]
    fn adopt(&mut self, edition: &Edition) {
        let policy = &edition.policy;
        let classes = policy.classes().iter();
        self.terms = classes.map(|class| Terms::new(class, policy)).collect();
        self.counters.widen(policy.classes().len());
        self.observer.clone_from(&edition.observer);
        if let Some(leasing) = &mut self.leasing {
            leasing.generation = edition.generation;
        }
        self.policy = Arc::clone(policy);
    }
}

#[cfg(test)]
mod tests;
