//! What a provider tells its customers about the filtering of their class, in plain language.
//!
//! [`Facts::of`] reads from the policy what holds for a class, [`Disclosure::new`] puts it into
//! words of one [`Language`], and [`Disclosure::render`] writes them as text, HTML or Markdown. The
//! types of service are those of RFC 4084, which asks providers to name them and their exceptions.
//! Only what Lychgate does is told; what else a provider filters is for the provider to add.

mod phrases;
mod render;

use ipnet::{IpNet, Ipv4Net};

pub use phrases::Language;
pub use render::Format;

use crate::policy::{ClassId, Excess, Limit, Policy, Rule, window_text};
use phrases::Phrases;

/// The types of service of RFC 4084 §2 that a class can come near to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Nothing is filtered.
    Full,
    /// Servers work, within a limit on mail.
    Firewalled,
    /// Public addresses, but a mail server could not deliver.
    ClientPublic,
    /// Addresses that the internet can't reach.
    ClientPrivate,
}

impl Service {
    /// The name that RFC 4084 gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "Full Internet Connectivity",
            Self::Firewalled => "Firewalled Internet Connectivity",
            Self::ClientPublic => "Client only, public address",
            Self::ClientPrivate => "Client connectivity only, without a public address",
        }
    }
}

/// What a policy says for the customers of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The name of the class.
    pub class: String,
    /// The nearest type of service.
    pub service: Service,
    /// Port 25.
    pub smtp: Rule,
    /// Ports 587 and 465.
    pub submission: Rule,
    /// How attempts are refused.
    pub excess: Excess,
    /// Whether there are relays.
    pub relays: bool,
    /// The limit towards them.
    pub relay_limit: Option<Limit>,
    /// Whether nothing is refused at present.
    pub observe: bool,
}

impl Facts {
    /// What holds for a class of the policy.
    #[must_use]
    pub fn of(policy: &Policy, id: ClassId) -> Self {
        let class = policy.class(id);
        let observe = class.observe || policy.observe();
        let mut pools = policy.pools().iter().filter(|pool| pool.class == id);
        let mut private = pools.next().is_some_and(|pool| is_private(pool.prefix));
        private &= pools.all(|pool| is_private(pool.prefix));
        let service = match (class.smtp, class.submission) {
            _ if private => Service::ClientPrivate,
            _ if observe => Service::Full,
            (Rule::Allow, Rule::Allow) => Service::Full,
            (Rule::Block, _) => Service::ClientPublic,
            _ => Service::Firewalled,
        };
        Self {
            class: class.name.clone(),
            service,
            smtp: class.smtp,
            submission: class.submission,
            excess: class.excess,
            relays: !policy.relays().is_empty(),
            relay_limit: policy.relay_limit(),
            observe,
        }
    }
}

/// Whether the internet can't reach a pool: RFC 1918 and the shared space of RFC 6598.
fn is_private(prefix: IpNet) -> bool {
    let nets = [
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([100, 64, 0, 0], 10),
    ];
    nets.iter()
        .map(|&(address, length)| IpNet::V4(Ipv4Net::new_assert(address.into(), length)))
        .any(|net| net.contains(&prefix))
}

/// What customers are told: a heading, and for each matter a sentence or a few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// The language's tag, as in HTML's `lang`.
    pub language: &'static str,
    /// The heading.
    pub heading: String,
    /// Matter and what is said of it.
    pub items: Vec<(&'static str, String)>,
}

impl Disclosure {
    /// Puts facts into words. `contact` says whom to ask.
    #[must_use]
    pub fn new(facts: &Facts, language: Language, contact: Option<&str>) -> Self {
        let phrases = language.phrases();
        let [
            service,
            smtp,
            submission,
            relays,
            excess,
            rest,
            privacy,
            why,
            whom,
        ] = phrases.matters;
        let mut items = vec![
            (service, phrases.service(facts.service)),
            (why, phrases.why.to_owned()),
            (smtp, phrases.smtp(facts)),
            (submission, phrases.submission(facts)),
        ];
        if facts.relays {
            items.push((relays, phrases.relays(facts.relay_limit)));
        }
        if let Some(text) = phrases.excess(facts) {
            items.push((excess, text));
        }
        items.push((rest, phrases.rest.to_owned()));
        items.push((privacy, phrases.privacy.to_owned()));
        if let Some(contact) = contact {
            items.push((whom, contact.to_owned()));
        }
        Self {
            language: language.tag(),
            heading: phrases.heading.replace("{class}", &facts.class),
            items,
        }
    }
}

impl Phrases {
    fn service(&self, service: Service) -> String {
        let meaning = match service {
            Service::Full => self.full,
            Service::Firewalled => self.firewalled,
            Service::ClientPublic => self.client_public,
            Service::ClientPrivate => self.client_private,
        };
        format!(
            "{} {meaning}",
            self.nearest.replace("{name}", service.name())
        )
    }

    fn smtp(&self, facts: &Facts) -> String {
        match (facts.smtp, facts.relays) {
            (Rule::Allow, _) => self.smtp_open.to_owned(),
            (Rule::Block, false) => self.smtp_closed.to_owned(),
            (Rule::Block, true) => format!("{} {}", self.smtp_closed, self.but_relays),
            (Rule::Limit(limit), _) => {
                format!("{} {}", self.limit(limit), self.smtp_limited)
            }
        }
    }

    fn submission(&self, facts: &Facts) -> String {
        match facts.submission {
            Rule::Allow => self.submission_open.to_owned(),
            Rule::Block => self.submission_closed.to_owned(),
            Rule::Limit(limit) => self.limit(limit),
        }
    }

    fn relays(&self, limit: Option<Limit>) -> String {
        let limit = limit.map(|limit| format!(" {}", self.limit(limit)));
        format!("{}{}", self.relays_open, limit.unwrap_or_default())
    }

    /// What becomes of what is refused, if anything is.
    fn excess(&self, facts: &Facts) -> Option<String> {
        let open = facts.smtp == Rule::Allow && facts.submission == Rule::Allow;
        if open && (facts.relay_limit.is_none() || !facts.relays) {
            return None;
        }
        let text = match (facts.observe, facts.excess) {
            (true, _) => self.observed,
            (false, Excess::Drop) => self.dropped,
            (false, Excess::Reset) => self.reset,
        };
        Some(text.to_owned())
    }

    fn limit(&self, limit: Limit) -> String {
        let (template, count) = match limit.connections {
            1 => (self.limit_one, String::new()),
            many => (self.limit_many, many.to_string()),
        };
        template
            .replace("{n}", &count)
            .replace("{window}", &self.window(limit))
    }

    /// A window in the language's words, in the unit that the policy would use.
    fn window(&self, limit: Limit) -> String {
        let text = window_text(limit.window);
        let (number, unit) = text.split_at(text.len() - 1);
        let [seconds, minutes, hours, days] = self.units;
        let (one, many) = match unit {
            "d" => days,
            "h" => hours,
            "m" => minutes,
            _ => seconds,
        };
        format!("{number} {}", if number == "1" { one } else { many })
    }
}

#[cfg(test)]
mod tests;
