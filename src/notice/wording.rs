//! What the page is worded with: the provider and its languages, compiled in or from a folder.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use anyhow::{Context, bail};
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::texts::{self, EMBEDDED, Texts};

const PROVIDER: &str = include_str!("provider.toml");
const PROVIDER_FILE: &str = "provider.toml";

/// Who the provider is, and the page in each language that it offers.
#[derive(Clone, Debug)]
pub struct Wording {
    pub(super) provider: Provider,
    pub(super) zone: TimeZone,
    /// Tag and texts in the menu's order. Never empty.
    pub(super) languages: Vec<(String, Texts)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    provider: Provider,
}

/// The provider, as customers know it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    pub name: Option<String>,
    pub phone: Option<String>,
    pub hours: Option<String>,
    pub mail: Option<String>,
    pub page: Option<String>,
    pub webmail: Option<String>,
    pub submission: Option<String>,
    pub privacy: Option<String>,
    pub languages: Vec<String>,
    pub time_zone: String,
    #[serde(default)]
    pub tool: Vec<Tool>,
}

/// A tool that cleans devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub name: String,
    pub url: String,
    pub device: Device,
}

/// What a tool is for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Device {
    Windows,
    Mac,
    Phone,
    All,
}

impl Wording {
    /// Reads the folder, where there is one; what it lacks is as compiled in.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the files, a line each.
    pub fn load(folder: Option<&Path>) -> anyhow::Result<Self> {
        let mut mistakes = Vec::new();
        let (file, text) = read(folder, PROVIDER_FILE)?
            .unwrap_or_else(|| (PROVIDER_FILE.to_owned(), PROVIDER.to_owned()));
        let provider = match toml::from_str::<ProviderFile>(&text) {
            Ok(read) => read.provider,
            Err(error) => bail!(texts::unreadable(&file, &text, &error)),
        };
        let zone = provider.check(&file, &text, &mut mistakes);
        let mut languages: Vec<(String, Texts)> = Vec::new();
        for tag in &provider.languages {
            match language(folder, tag, &file)? {
                Ok(texts) => languages.push((tag.clone(), texts)),
                Err(found) => mistakes.extend(found),
            }
        }
        if !mistakes.is_empty() {
            bail!("the texts are refused:\n{}", mistakes.join("\n"));
        }
        Ok(Self {
            provider,
            zone: zone.unwrap_or(TimeZone::UTC),
            languages,
        })
    }

    /// Writes the files that are compiled in, to be edited. None that is there is touched.
    ///
    /// # Errors
    ///
    /// A file is there already, or can't be written.
    pub fn write(folder: &Path) -> anyhow::Result<Vec<String>> {
        let name = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("{name}: cannot be made"))?;
        let texts = EMBEDDED.map(|(tag, text)| (format!("{tag}.toml"), text));
        let files: Vec<(String, &str)> = std::iter::once((PROVIDER_FILE.to_owned(), PROVIDER))
            .chain(texts)
            .collect();
        if let Some((there, _)) = files.iter().find(|(file, _)| folder.join(file).exists()) {
            bail!("{name}/{there} is there already; name an empty folder, or move the file away");
        }
        let mut written = Vec::new();
        for (file, text) in files {
            let path = folder.join(file);
            let name = path.display().to_string();
            File::create_new(&path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .with_context(|| format!("{name}: cannot be written"))?;
            written.push(name);
        }
        Ok(written)
    }

    /// What the provider should still fill in, if anything.
    #[must_use]
    pub fn lacks(&self) -> Option<&'static str> {
        let provider = &self.provider;
        match (&provider.name, &provider.phone, &provider.mail) {
            (None, ..) => Some("the page does not say whose it is: give `name` in provider.toml"),
            (_, None, None) => Some(
                "the page does not say how to reach you: give `phone` or `mail` in provider.toml",
            ),
            _ => None,
        }
    }

    /// The tags of the languages, in the menu's order.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.languages.iter().map(|(tag, _)| tag.as_str())
    }
}

impl Provider {
    /// Finds values that would not work on a page; gives the time zone.
    fn check(&self, file: &str, text: &str, mistakes: &mut Vec<String>) -> Option<TimeZone> {
        let mut mistake = |key: &str, value: &str, help: &str| {
            // Where the value stands is near enough to the key.
            let octet = text.find(value).unwrap_or(0);
            let line = texts::line_of(text, octet);
            mistakes.push(format!(
                "{file}:{line}: `{key}` cannot be \"{value}\": {help}"
            ));
        };
        let links = [
            ("page", &self.page),
            ("webmail", &self.webmail),
            ("privacy", &self.privacy),
        ];
        let tools = self.tool.iter().map(|tool| ("tool.url", &tool.url));
        for (key, url) in links
            .into_iter()
            .filter_map(|(key, url)| Some((key, url.as_ref()?)))
            .chain(tools)
        {
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                mistake(key, url, "write the whole link, with https://");
            }
        }
        if let Some(phone) = &self.phone
            && dialled(phone).len() < 3
        {
            mistake("phone", phone, "write a phone number");
        }
        if let Some(mail) = &self.mail
            && !is_mail(mail)
        {
            mistake("mail", mail, "write a mail address, like help@isp.example");
        }
        let named = [
            ("name", &self.name),
            ("hours", &self.hours),
            ("submission", &self.submission),
        ];
        for (key, value) in named {
            if let Some(value) = value
                && value.trim().is_empty()
            {
                mistake(key, value, "fill it in, or delete the line");
            }
        }
        if self.languages.is_empty() {
            mistake("languages", "[]", "name one language at least");
        }
        let zone = TimeZone::get(&self.time_zone);
        if zone.is_err() {
            let help = "write a name of the time zone database, like \"Europe/Berlin\"";
            mistake("time_zone", &self.time_zone, help);
        }
        zone.ok()
    }
}

/// What a phone dials.
pub(super) fn dialled(phone: &str) -> String {
    let keys = phone.chars().filter(|c| c.is_ascii_digit() || *c == '+');
    keys.collect()
}

fn is_mail(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || "<>?&#%\"".contains(c);
    matches!(text.split_once('@'), Some((name, domain)) if !name.is_empty() && domain.contains('.'))
        && !text.contains(odd)
}

/// A file of the folder: its name in messages, and its text. `None`: there is none.
fn read(folder: Option<&Path>, file: &str) -> anyhow::Result<Option<(String, String)>> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    if !folder.is_dir() {
        let name = folder.display();
        bail!("{name}: this is no folder; `lychgate notice --write-texts {name}` makes it");
    }
    let path = folder.join(file);
    let name = path.display().to_string();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some((name, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{name}: cannot be read")),
    }
}

/// The texts of a language, or what is wrong with them.
fn language(
    folder: Option<&Path>,
    tag: &str,
    provider: &str,
) -> anyhow::Result<Result<Texts, Vec<String>>> {
    let is_tag = tag.len() <= 35
        && !tag.is_empty()
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !is_tag {
        let help = "write a language tag, like \"en\" or \"pt-BR\"";
        return Ok(Err(vec![format!(
            "{provider}: `languages` cannot have \"{tag}\": {help}"
        )]));
    }
    if let Some((file, text)) = read(folder, &format!("{tag}.toml"))? {
        return Ok(texts::read(&file, &text));
    }
    match EMBEDDED.iter().find(|(known, _)| *known == tag) {
        Some((_, text)) => Ok(texts::read(&format!("{tag}.toml"), text)),
        None => Ok(Err(vec![format!(
            "{provider}: `languages` has \"{tag}\", and there is no file {tag}.toml beside it"
        )])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(provider: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(PROVIDER_FILE), provider).expect("a file");
        folder
    }

    fn refused(provider: &str) -> String {
        let folder = folder(provider);
        let error = Wording::load(Some(folder.path())).expect_err("it is wrong");
        error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    }

    const REST: &str = "languages = [\"de\", \"en\"]\ntime_zone = \"Europe/Berlin\"\n";

    #[test]
    fn what_is_compiled_in_can_be_used_as_it_is() {
        let wording = Wording::load(None).expect("good texts");
        assert_eq!(
            wording.tags().collect::<Vec<_>>(),
            ["en", "de", "es", "fr", "mi"]
        );
        assert!(wording.lacks().expect("a name").contains("`name`"));
    }

    #[test]
    fn what_is_written_is_read_back_and_never_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("texts");
        assert_eq!(Wording::write(&inner).expect("written").len(), 6);
        Wording::load(Some(&inner)).expect("good texts");
        let error = Wording::write(&inner).expect_err("there").to_string();
        assert!(error.contains("provider.toml is there already"), "{error}");
    }

    #[test]
    fn a_provider_chooses_languages_and_their_order() {
        let text = format!("[provider]\nname = \"Example Net\"\nphone = \"0800 1\"\n{REST}");
        let folder = folder(&text);
        let wording = Wording::load(Some(folder.path())).expect("good");
        assert_eq!(wording.tags().collect::<Vec<_>>(), ["de", "en"]);
        assert_eq!(wording.lacks(), None);
    }

    #[test]
    fn a_wrong_provider_is_refused_with_line_and_key() {
        for (lines, expected) in [
            ("nmae = \"x\"", "provider.toml:2: unknown field `nmae`"),
            (
                "mail = \"help at isp\"",
                "provider.toml:2: `mail` cannot be \"help at isp\"",
            ),
            (
                "phone = \"soon\"",
                "provider.toml:2: `phone` cannot be \"soon\"",
            ),
            (
                "\npage = \"javascript:alert(1)\"",
                "provider.toml:3: `page` cannot be",
            ),
            ("name = 3", "provider.toml:2: invalid type"),
        ] {
            let said = refused(&format!("[provider]\n{lines}\n{REST}"));
            assert!(said.contains(expected), "{said}");
        }
        let said = refused("[provider]\nlanguages = [\"tlh\"]\ntime_zone = \"Mars/Base\"\n");
        assert!(
            said.contains("there is no file tlh.toml beside it"),
            "{said}"
        );
        assert!(
            said.contains("provider.toml:3: `time_zone` cannot be \"Mars/Base\""),
            "{said}"
        );
        assert!(refused("[provider]\ntime_zone = \"UTC\"\n").contains("missing field `languages`"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_with_how_to_make_it() {
        let error = Wording::load(Some(Path::new("/nowhere"))).expect_err("no folder");
        assert!(
            error.to_string().contains("--write-texts /nowhere"),
            "{error}"
        );
    }
}
