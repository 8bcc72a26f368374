//! A record's text → its terms, or what a receiver can't make sense of.

use ipnet::IpNet;
use thiserror::Error;

/// What a term says of the addresses that it matches (its qualifier).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `+` or nothing: may send.
    Pass,
    /// `-`: may not.
    Fail,
    /// `~`: rather not.
    SoftFail,
    /// `?`: nothing is said.
    Neutral,
}

impl Outcome {
    /// Every result, what lets through first.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::SoftFail, Self::Neutral];

    /// What receivers and RFC 7208 call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
        }
    }
}

/// What a term matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// `ip4` or `ip6`: these addresses.
    Addresses(IpNet),
    /// `all`: whoever is left.
    All,
    /// What only the DNS knows: `a`, `mx`, `include`, `exists`, `ptr`, and `redirect`.
    AsksDns,
}

/// One term of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// As it is written.
    pub text: String,
    /// What it says.
    pub outcome: Outcome,
    /// Of whom.
    pub mechanism: Mechanism,
}

/// A record that receivers understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The text, strings joined.
    pub text: String,
    /// The terms, in turn; modifiers that match nobody are left out.
    pub terms: Vec<Term>,
    /// The last word, if no term matches: another domain's record.
    pub redirect: Option<String>,
}

/// Why a receiver would refuse a record whole (a "permerror").
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{term}`: {why}")]
pub struct Mistake {
    /// What can't be understood.
    pub term: String,
    /// Why, and what would be right.
    pub why: String,
}

/// Reads a record, as one text or as quoted strings such as a zone file or `dig` shows.
///
/// # Errors
///
/// The first term that no receiver understands: such a record is refused whole.
pub fn read(text: &str) -> Result<Record, Mistake> {
    let text = joined(text);
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let version = words.next().unwrap_or_default();
    if !version.eq_ignore_ascii_case("v=spf1") {
        return Err(mistake(version, "a record begins with `v=spf1`"));
    }
    let mut record = Record {
        text: text.clone(),
        terms: Vec::new(),
        redirect: None,
    };
    let mut explained = false;
    for word in words {
        if let Some((name, value)) = modifier(word) {
            let twice = match name.to_ascii_lowercase().as_str() {
                "redirect" => record.redirect.replace(word.to_owned()).is_some(),
                "exp" => std::mem::replace(&mut explained, true),
                _ => continue,
            };
            if twice {
                return Err(mistake(word, "it is there twice; keep one"));
            }
            if value.is_empty() {
                return Err(mistake(word, "it names no domain"));
            }
        } else {
            record.terms.push(term(word)?);
        }
    }
    Ok(record)
}

/// Quoted strings put together; a text without quotes as it is.
fn joined(text: &str) -> String {
    let text = text.trim();
    if !text.starts_with('"') {
        return text.to_owned();
    }
    text.split('"').skip(1).step_by(2).collect()
}

/// Name and value of `name=value`.
fn modifier(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let mut letters = name.chars();
    let fine = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    fine.then_some((name, value))
}

fn term(word: &str) -> Result<Term, Mistake> {
    let (outcome, rest) = match word.split_at_checked(1) {
        Some(("+", rest)) => (Outcome::Pass, rest),
        Some(("-", rest)) => (Outcome::Fail, rest),
        Some(("~", rest)) => (Outcome::SoftFail, rest),
        Some(("?", rest)) => (Outcome::Neutral, rest),
        _ => (Outcome::Pass, word),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, argument) = rest.split_at(end);
    let value = argument.strip_prefix(':');
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "ip4" | "ip6" => Mechanism::Addresses(prefix(word, name, value)?),
        "all" if argument.is_empty() => Mechanism::All,
        "all" => return Err(mistake(word, "`all` takes nothing behind it")),
        "include" | "exists" if value.is_none_or(str::is_empty) => {
            return Err(mistake(word, format!("write it as `{name}:` and a domain")));
        }
        "include" | "exists" | "a" | "mx" | "ptr" => Mechanism::AsksDns,
        _ => {
            return Err(mistake(
                word,
                "there is no such mechanism; there are all, include, a, mx, ptr, ip4, ip6, exists",
            ));
        }
    };
    Ok(Term {
        text: word.to_owned(),
        outcome,
        mechanism,
    })
}

fn prefix(word: &str, name: &str, value: Option<&str>) -> Result<IpNet, Mistake> {
    let v6 = name.eq_ignore_ascii_case("ip6");
    let example = if v6 {
        "ip6:2001:db8::/32"
    } else {
        "ip4:192.0.2.0/24"
    };
    let wrong = || mistake(word, format!("write it like `{example}`"));
    let value = value.ok_or_else(wrong)?;
    let prefix = match value.parse::<IpNet>() {
        Ok(prefix) => prefix,
        Err(_) => IpNet::from(value.parse::<std::net::IpAddr>().map_err(|_| wrong())?),
    };
    if matches!(prefix, IpNet::V6(_)) != v6 {
        return Err(wrong());
    }
    Ok(prefix.trunc())
}

fn mistake(term: &str, why: impl Into<String>) -> Mistake {
    Mistake {
        term: term.to_owned(),
        why: why.into(),
    }
}
