//! Who is quarantined: a snapshot beside the policy, swapped whole.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;
use ipnet::IpNet;

use super::Wall;
use crate::policy::{Policy, steps::Scope};

/// What is taken away from a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Restriction {
    /// How much.
    pub scope: Scope,
    /// Whether the subscriber has read why.
    pub is_told: bool,
}

impl From<Scope> for Restriction {
    /// Of a subscriber who has not read why.
    fn from(scope: Scope) -> Self {
        let is_told = false;
        Self { scope, is_told }
    }
}

/// Accounting keys with what is taken away from each.
type Snapshot = HashMap<IpNet, Restriction, RandomState>;

/// Who is quarantined. Clones are handles of the same; engines look at it once a batch.
#[derive(Clone, Debug, Default)]
pub struct Restrictions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    snapshot: ArcSwapOption<Snapshot>,
    listeners: Mutex<Vec<Listener>>,
}

/// Called after each change.
struct Listener(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Restrictions {
    /// From the next batch on, these accounting keys are restricted and no others.
    pub fn set<R: Into<Restriction>>(&self, restricted: impl IntoIterator<Item = (IpNet, R)>) {
        let restricted = restricted.into_iter();
        let snapshot: Snapshot = restricted.map(|(key, what)| (key, what.into())).collect();
        let is_empty = snapshot.is_empty();
        self.0
            .snapshot
            .store((!is_empty).then(|| Arc::new(snapshot)));
        let listeners = self.0.listeners.lock();
        for listener in &*listeners.unwrap_or_else(PoisonError::into_inner) {
            (listener.0)();
        }
    }

    /// Has `listener` called after each change from now on. It may not change anything itself.
    pub fn listen(&self, listener: impl Fn() + Send + Sync + 'static) {
        let mut listeners = self
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push(Listener(Box::new(listener)));
    }

    /// The walls that stand now, each with the addresses of the subscriber behind it.
    #[must_use]
    pub fn walls(&self, policy: &Policy) -> Vec<(IpNet, Wall)> {
        let snapshot = self.0.snapshot.load();
        let restricted = snapshot.iter().flat_map(|snapshot| snapshot.iter());
        let walls = restricted.filter_map(|(&key, &how)| Some((key, Wall::of(how, policy)?)));
        policy.prefixes_of(&walls.collect())
    }

    /// How many are restricted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0
            .snapshot
            .load()
            .as_ref()
            .map_or(0, |snapshot| snapshot.len())
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.snapshot.load().is_none()
    }
}

/// One worker's view of it, which stays the same for a batch.
#[derive(Debug, Default)]
pub(super) struct Pinned {
    of: Restrictions,
    snapshot: Option<Arc<Snapshot>>,
    has_walls: bool,
}

impl Pinned {
    pub fn new(of: Restrictions) -> Self {
        Self {
            of,
            ..Self::default()
        }
    }

    /// Takes what is there now. Where nothing changed, no shared counter is touched.
    #[inline]
    pub fn renew(&mut self, policy: &Policy) {
        let now = self.of.0.snapshot.load();
        let is_same = match (&*now, &self.snapshot) {
            (None, None) => true,
            (Some(now), Some(pinned)) => Arc::ptr_eq(now, pinned),
            _ => false,
        };
        if !is_same {
            self.snapshot.clone_from(&now);
            let mut restrictions = self.snapshot.iter().flat_map(|snapshot| snapshot.values());
            self.has_walls =
                restrictions.any(|&restriction| Wall::of(restriction, policy).is_some());
        }
    }

    /// Takes what is there now, under another policy.
    pub fn renew_under(&mut self, policy: &Policy) {
        self.snapshot = None;
        self.has_walls = false;
        self.renew(policy);
    }

    /// What is taken away from a subscriber.
    #[inline(always)]
    pub fn restriction(&self, key: IpNet) -> Option<Restriction> {
        look_up(self.snapshot.as_ref()?, key)
    }

    /// Whether anything but mail is taken away from anybody.
    #[inline(always)]
    pub fn has_walls(&self) -> bool {
        self.has_walls
    }
}

#[inline(never)]
fn look_up(snapshot: &Snapshot, key: IpNet) -> Option<Restriction> {
    snapshot.get(&key).copied()
}
