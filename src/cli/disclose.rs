//! `lychgate disclose`: what a provider tells its customers about filtering.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum, ValueHint};

use super::load_policy;
use crate::{
    disclosure::{Disclosure, Facts, Format, Language},
    policy::{ClassId, Policy},
};

const EXAMPLES: &str = "\
Examples:
  lychgate disclose -p isp.toml                                    every class, in English
  lychgate disclose -p isp.toml --class residential --lang de --format html > filtering.html

The types of service are those of RFC 4084. Only what Lychgate does is told: add what else you
filter, and have the page read by whoever answers for it.";

/// Tell customers in plain language what is filtered
///
/// Writes for each class what its customers should know, for the web site or a contract: the nearest
/// type of service of RFC 4084, what is limited and how much, what stays open, and what is looked at.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DiscloseArgs {
    /// The policy that is told
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,

    /// Only this class; may be given several times
    #[arg(long, value_name = "NAME")]
    class: Vec<String>,

    /// The language
    #[arg(long, value_name = "LANGUAGE", default_value = "en")]
    lang: Lang,

    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Style,

    /// Whom customers may ask: a phone number, an address, a page
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lang {
    /// English
    En,
    /// German
    De,
    /// Spanish
    Es,
    /// French
    Fr,
    /// Māori
    Mi,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Style {
    /// Plain lines
    Text,
    /// A section to put into a page
    Html,
    /// Markdown
    Markdown,
}

/// Writes the disclosures.
pub fn run(args: DiscloseArgs) -> anyhow::Result<ExitCode> {
    let policy = load_policy(&args.policy, true)?.policy;
    let language = match args.lang {
        Lang::En => Language::English,
        Lang::De => Language::German,
        Lang::Es => Language::Spanish,
        Lang::Fr => Language::French,
        Lang::Mi => Language::Maori,
    };
    let format = match args.format {
        Style::Text => Format::Text,
        Style::Html => Format::Html,
        Style::Markdown => Format::Markdown,
    };
    let texts: Vec<String> = chosen(&policy, &args.class)?
        .into_iter()
        .map(|id| {
            let facts = Facts::of(&policy, id);
            Disclosure::new(&facts, language, args.contact.as_deref()).render(format)
        })
        .collect();
    write!(io::stdout().lock(), "{}", texts.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The classes of these names, or all of them.
fn chosen(policy: &Policy, names: &[String]) -> anyhow::Result<Vec<ClassId>> {
    let classes = policy.classes();
    let id = |index: usize| ClassId(u16::try_from(index).unwrap_or(u16::MAX));
    if names.is_empty() {
        return Ok((0..classes.len()).map(id).collect());
    }
    let known = || {
        let names: Vec<_> = classes.iter().map(|class| class.name.as_str()).collect();
        names.join(", ")
    };
    names
        .iter()
        .map(|name| {
            let index = classes.iter().position(|class| class.name == *name);
            index.map(id).ok_or_else(|| {
                anyhow::anyhow!(
                    "there is no class \"{name}\" in the policy; there are: {}",
                    known()
                )
            })
        })
        .collect()
}
