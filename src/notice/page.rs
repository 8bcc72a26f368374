//! From a [`Standing`] and the [`Wording`] to a page. Pure: the same in, the same octets out.

use std::net::IpAddr;

use askama::Template;
use jiff::Timestamp;

use super::{
    desk::{Held, Standing},
    texts::{self, List, Message, Texts, fill},
    token::{Answer, Form, Rejected},
    wording::{Device, Provider, Wording, dialled},
};
use crate::policy::steps::Scope;

/// For whom a page is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub wording: &'a Wording,
    /// Index of the language.
    pub language: usize,
    /// The address to name, if it is a subscriber's.
    pub address: Option<IpAddr>,
}

/// What a short page says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Say {
    Done,
    Rejected(Rejected),
    NotYet,
    Help,
    Limit,
    Busy,
    Nothing,
    Elsewhere,
}

/// What every page has.
struct Frame<'a> {
    tag: &'a str,
    texts: &'a Texts,
    provider: &'a Provider,
    dialled: String,
    menu: Vec<MenuItem<'a>>,
    /// Where this page is, in any language.
    path: &'static str,
    heading: String,
    address: Option<String>,
}

struct MenuItem<'a> {
    tag: &'a str,
    name: &'a str,
}

impl Frame<'_> {
    fn is_reachable(&self) -> bool {
        self.provider.phone.is_some() || self.provider.mail.is_some()
    }
}

#[derive(Template)]
#[template(path = "notice_case.html")]
struct CasePage<'a> {
    frame: Frame<'a>,
    state: &'static str,
    lead: &'a str,
    found: String,
    turns: Option<String>,
    lists: [&'a List; 4],
    tools: Vec<ToolLink<'a>>,
    server: Option<String>,
    is_garden: bool,
    clean: &'a str,
    /// `None`: the customer can't end it any more.
    left: Option<&'a str>,
}

struct ToolLink<'a> {
    name: &'a str,
    url: &'a str,
    device: &'a str,
}

#[derive(Template)]
#[template(path = "notice_confirm.html")]
struct ConfirmPage<'a> {
    frame: Frame<'a>,
    token: &'a str,
    answers: Vec<(&'a str, &'a str)>,
    wait: String,
}

#[derive(Template)]
#[template(path = "notice_message.html")]
struct MessagePage<'a> {
    frame: Frame<'a>,
    state: &'static str,
    text: &'a str,
    /// Where to go on, and how that is called.
    way: Option<(&'static str, &'a str)>,
}

impl<'a> Reader<'a> {
    fn texts(&self) -> &'a Texts {
        &self.wording.languages[self.language].1
    }

    fn frame(&self, path: &'static str, heading: &str) -> Frame<'a> {
        let (tag, texts) = &self.wording.languages[self.language];
        let languages = self.wording.languages.iter();
        let menu = languages.map(|(tag, texts)| MenuItem {
            tag,
            name: &texts.language.name,
        });
        let provider = &self.wording.provider;
        let address = self.address.map(|address| address.to_string());
        let address = address.map(|address| fill(&texts.contact.address, &[("address", &address)]));
        Frame {
            tag,
            texts,
            provider,
            dialled: provider.phone.as_deref().map(dialled).unwrap_or_default(),
            menu: menu.collect(),
            path,
            heading: heading.to_owned(),
            address,
        }
    }

    /// The page at the front: what holds for this visitor now.
    ///
    /// # Errors
    ///
    /// Those of the template engine.
    pub(super) fn front(&self, standing: &Standing) -> askama::Result<String> {
        match standing {
            Standing::Held(held) => self.case(held),
            Standing::Elsewhere => self.say(Say::Elsewhere),
            Standing::Clear => self.say(Say::Nothing),
            Standing::Cleared => self.say(Say::Done),
        }
    }

    fn case(&self, held: &Held) -> askama::Result<String> {
        let texts = self.texts();
        let (lead, turning, clean) = match held.scope {
            Some(Scope::Mail) => (
                &texts.blocked.mail,
                &texts.happened.ends,
                &texts.clean.blocked,
            ),
            Some(Scope::Garden) => (
                &texts.blocked.garden,
                &texts.happened.ends,
                &texts.clean.blocked,
            ),
            None => (
                &texts.blocked.warned,
                &texts.happened.planned,
                &texts.clean.warned,
            ),
        };
        let turns = held.turns.map(|moment| self.moment(moment));
        let steps = &texts.steps;
        let provider = &self.wording.provider;
        let server = provider.submission.as_deref();
        CasePage {
            frame: self.frame("/", &texts.blocked.heading),
            state: "alarm",
            lead,
            found: self.found(held),
            turns: turns.map(|date| fill(turning, &[("date", &date)])),
            lists: [&steps.windows, &steps.mac, &steps.phone, &steps.things],
            tools: self.tools(),
            server: server.map(|server| fill(&texts.mail.server, &[("server", server)])),
            is_garden: held.scope == Some(Scope::Garden),
            clean,
            left: match held.left {
                0 => None,
                1 => Some(&texts.clean.once),
                _ => Some(&texts.clean.twice),
            },
        }
        .render()
    }

    fn tools(&self) -> Vec<ToolLink<'a>> {
        let texts = &self.texts().tools;
        let tools = self.wording.provider.tool.iter();
        let link = |tool: &'a super::wording::Tool| ToolLink {
            name: &tool.name,
            url: &tool.url,
            device: match tool.device {
                Device::Windows => &texts.windows,
                Device::Mac => &texts.mac,
                Device::Phone => &texts.phone,
                Device::All => &texts.all,
            },
        };
        tools.map(link).collect()
    }

    /// What was seen, and when.
    fn found(&self, held: &Held) -> String {
        let texts = &self.texts().happened;
        let Some(finding) = &held.finding else {
            return fill(&texts.staff, &[("date", &self.moment(held.since))]);
        };
        let sentence = match (finding.conclusive, finding.destinations) {
            (false, _) => &texts.complaint,
            (true, 2..) => &texts.servers,
            (true, _) => &texts.attempts,
        };
        let values = [
            ("date", &*self.moment(finding.time)),
            ("attempts", &*self.number(finding.attempts)),
            ("destinations", &*self.number(finding.destinations)),
        ];
        fill(sentence, &values)
    }

    /// The question before a case is ended.
    ///
    /// # Errors
    ///
    /// Those of the template engine.
    pub(super) fn confirm(&self, form: &Form, seconds: u64) -> askama::Result<String> {
        let texts = &self.texts().confirm;
        let label = |answer: Answer| match answer {
            Answer::Cleaned => &*texts.cleaned,
            Answer::NotYet => &texts.not_yet,
            Answer::Help => &texts.help,
        };
        let answers = form.answers.iter();
        let answers = answers.map(|(answer, value)| (label(*answer), value.as_str()));
        ConfirmPage {
            frame: self.frame("/clean", &texts.heading),
            token: &form.token,
            answers: answers.collect(),
            wait: fill(&texts.wait, &[("seconds", &seconds.to_string())]),
        }
        .render()
    }

    /// A short page.
    ///
    /// # Errors
    ///
    /// Those of the template engine.
    pub(super) fn say(&self, what: Say) -> askama::Result<String> {
        let texts = self.texts();
        let home = ("/", &*texts.end.home);
        let back = ("/clean", &*texts.end.again);
        let (message, state, way): (&Message, _, _) = match what {
            Say::Done => (&texts.done, "good", None),
            Say::Nothing => (&texts.nothing, "good", None),
            Say::Elsewhere => (&texts.elsewhere, "plain", None),
            Say::Rejected(Rejected::Early) => (&texts.early, "plain", Some(back)),
            Say::Rejected(Rejected::Unanswered) => (&texts.unanswered, "plain", Some(back)),
            Say::Rejected(Rejected::Stale) => (&texts.stale, "plain", Some(home)),
            Say::NotYet => (&texts.not_yet, "plain", Some(("/", &*texts.confirm.back))),
            Say::Help => (&texts.help, "plain", Some(("/", &*texts.confirm.back))),
            Say::Limit => (&texts.limit, "plain", Some(home)),
            Say::Busy => (&texts.busy, "plain", Some(home)),
        };
        MessagePage {
            frame: self.frame("/", &message.heading),
            state,
            text: &message.text,
            way,
        }
        .render()
    }

    /// A moment as people of this language write it, in the provider's time.
    fn moment(&self, moment: Timestamp) -> String {
        let language = &self.texts().language;
        let there = moment.to_zoned(self.wording.zone.clone());
        let month = usize::from(there.month().unsigned_abs()) - 1;
        let zone = match self.wording.provider.time_zone.as_str() {
            "UTC" => " UTC",
            _ => "",
        };
        let values = [
            ("day", &*there.day().to_string()),
            ("month", &*language.months[month]),
            ("year", &*there.year().to_string()),
            (
                "time",
                &*format!("{:02}:{:02}{zone}", there.hour(), there.minute()),
            ),
        ];
        texts::fill(&language.moment, &values)
    }

    fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        let mut grouped = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push_str(&self.texts().language.thousands);
            }
            grouped.push(digit);
        }
        grouped
    }
}
