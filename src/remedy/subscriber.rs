//! Who a case is about, in terms that outlive an address.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Role};

/// Who a case is about. The name counts where there is one: it stays when addresses change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    /// The name that the policy gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The accounting key, as it was when the case last changed.
    pub prefix: IpNet,
}

/// Why somebody is no subscriber.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// It is nothing that a subscriber could be called.
    #[error(
        "\"{0}\" is no address, no prefix, and no subscriber's name in the policy; \
         write an address like 203.0.113.66, or the name as the policy has it"
    )]
    Unreadable(String),
    /// It is an address in no pool.
    #[error("{0} is no subscriber's: it is in no pool of the policy")]
    Stranger(IpAddr),
    /// It is a server's of the provider.
    #[error("{0} is no subscriber's: the policy has it among the provider's own servers")]
    Server(IpAddr),
    /// It is more than one subscriber's.
    #[error("{0} is more than one subscriber's; the first of them is {1}")]
    Wide(IpNet, IpNet),
}

impl Subscriber {
    /// The subscriber with an accounting key of this policy.
    #[must_use]
    pub fn with_key(policy: &Policy, key: IpNet) -> Self {
        let name = policy.name_of(key).map(str::to_owned);
        Self { name, prefix: key }
    }

    /// The subscriber whom somebody means by a name, an address or a prefix.
    ///
    /// # Errors
    ///
    /// The policy has none such.
    pub fn find(policy: &Policy, text: &str) -> Result<Self, Unknown> {
        if let Some(key) = policy.key_of(text) {
            return Ok(Self::with_key(policy, key));
        }
        let net = match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
            (Ok(address), _) => IpNet::from(address.to_canonical()),
            (_, Ok(net)) => net.trunc(),
            _ => return Err(Unknown::Unreadable(text.to_owned())),
        };
        match policy.role(net.addr()) {
            Role::Subscriber(member) => {
                let is_part = member.key.contains(&net) || policy.name_of(member.key).is_some();
                match is_part {
                    true => Ok(Self::with_key(policy, member.key)),
                    false => Err(Unknown::Wide(net, member.key)),
                }
            }
            Role::Stranger => Err(Unknown::Stranger(net.addr())),
            Role::Relay | Role::Concentrator => Err(Unknown::Server(net.addr())),
        }
    }

    /// The accounting key under which this policy has the subscriber. `None`: it has not. A named
    /// subscriber's former address may be somebody else's by now, so it counts for nothing.
    #[must_use]
    pub fn key(&self, policy: &Policy) -> Option<IpNet> {
        match &self.name {
            Some(name) => policy.key_of(name),
            None => policy.member(self.prefix.addr()).map(|member| member.key),
        }
    }

    /// What the case is kept under. A name can't be taken for a prefix.
    #[must_use]
    pub fn id(&self) -> String {
        match &self.name {
            Some(name) => format!("name:{name}"),
            None => self.prefix.to_string(),
        }
    }
}

impl fmt::Display for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.prefix),
            None => write!(f, "{}", self.prefix),
        }
    }
}
