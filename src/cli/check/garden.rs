//! What a policy says about the notice page and the walled garden.

use ipnet::IpNet;
use serde::Serialize;

use super::join;
use crate::policy::{Garden, Notice, Policy, Redirecting};

#[derive(Serialize)]
pub(super) struct NoticeFacts<'a> {
    url: &'a str,
    addresses: &'a [IpNet],
    redirect: &'static str,
}

impl<'a> NoticeFacts<'a> {
    pub(super) fn of(notice: &'a Notice) -> Self {
        Self {
            url: &notice.url,
            addresses: &notice.addresses,
            redirect: notice.redirect.name(),
        }
    }

    pub(super) fn meaning(&self) -> String {
        let whom = [
            (
                Redirecting::Unread,
                "whoever is in the garden, and who is quarantined until the notice was read",
            ),
            (Redirecting::Always, "whoever is quarantined"),
            (Redirecting::Garden, "whoever is in the garden"),
        ];
        let whom = whom.iter().find(|(when, _)| when.name() == self.redirect);
        let whom = whom.map_or("", |(_, whom)| whom);
        let at = join(self.addresses);
        format!("plain HTTP of {whom} leads to {}, at {at}", self.url)
    }
}

#[derive(Serialize)]
pub(super) struct GardenFacts<'a> {
    open: &'a [IpNet],
    resolvers: Option<&'a [IpNet]>,
}

impl<'a> GardenFacts<'a> {
    /// Nothing of a policy that doesn't say anything.
    pub(super) fn of(policy: &'a Policy) -> Option<Self> {
        let garden = policy.garden();
        (*garden != Garden::default()).then(|| Self {
            open: &garden.open,
            resolvers: garden.resolvers.as_deref(),
        })
    }

    pub(super) fn meaning(&self) -> String {
        let open = match self.open {
            [] => "nothing but the notice page is open".to_owned(),
            open => format!("open are {} and the notice page", join(open)),
        };
        let resolvers = self
            .resolvers
            .map_or_else(|| "any resolver".to_owned(), join);
        format!("{open}; names from {resolvers}")
    }
}
