//! `lychgate notice`: the page that a quarantined customer reads.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use clap::{Args, ValueHint};
use ipnet::IpNet;

use super::{load_policy, parse_duration};
use crate::notice::{self, Address, Desk, Options, Wording};

const EXAMPLES: &str = "\
Examples:
  lychgate notice --write-texts texts            the sentences, as files to edit
  lychgate notice --check-texts texts            are they whole?
  lychgate notice -p isp.toml --listen 192.0.2.80:80 --listen [2001:db8::80]:80 \\
      --url http://notice.isp.example/ --texts texts
  lychgate notice -p isp.toml --listen 127.0.0.1:8080 --proxy 127.0.0.1 \\
      --url https://notice.isp.example/          behind a server that speaks TLS

A visitor is known by the address alone, and sees that subscriber's own case. The running box is
asked through its control socket; where none runs, the store itself is opened. Run it as the user
who runs the box. docs/notice.md tells the rest.

Exit status: 0 stopped by SIGTERM or SIGINT, or the texts are good; 2 it cannot start, and the
message says why.";

/// Serve the page that quarantined customers read, and release themselves on.
///
/// It says in plain words and in the visitor's language what happened, what to do about it, and how
/// to reach a person. A button ends the quarantine, twice at most; then staff must.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct NoticeArgs {
    /// The policy of the box: it says where cases are kept, and who is who
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, required_unless_present_any = ["write_texts", "check_texts"])]
    policy: Option<PathBuf>,

    /// Where to listen; may be given several times, for IPv4 and IPv6
    #[arg(long, value_name = "ADDR:PORT", required_unless_present_any = ["write_texts", "check_texts"])]
    listen: Vec<SocketAddr>,

    /// The page's own address, if it isn't the `url` of the policy's `[notice]`; whoever asks for
    /// anything else is led there
    #[arg(long, value_name = "URL")]
    url: Option<Address>,

    /// A folder with your own texts; what it lacks is as compiled in
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    texts: Option<PathBuf>,

    /// Control socket of the box, if it isn't the one that the policy says
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    socket: Option<PathBuf>,

    /// A server before this one, whose X-Forwarded-For is believed: an address or a prefix; may be
    /// given several times
    #[arg(long, value_name = "ADDRESS", value_parser = parse_proxy)]
    proxy: Vec<IpNet>,

    /// How long somebody must read the question before an answer counts
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    reading: Duration,

    /// Write the texts as files to edit, and end
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, exclusive = true)]
    write_texts: Option<PathBuf>,

    /// Check the texts in a folder, and end
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, exclusive = true)]
    check_texts: Option<PathBuf>,
}

/// Runs `lychgate notice`.
pub fn run(args: NoticeArgs) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.write_texts {
        for file in Wording::write(folder)? {
            writeln!(io::stdout(), "{file}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &args.check_texts {
        return check(folder);
    }
    let Some(policy) = &args.policy else {
        bail!("--policy is missing");
    };
    let policy = load_policy(policy, true)?.policy;
    let wording = Wording::load(args.texts.as_deref())?;
    if let Some(lacks) = wording.lacks() {
        eprintln!("lychgate: {lacks}");
    }
    let url = match (args.url, policy.notice()) {
        (Some(url), _) => Some(url),
        (None, Some(notice)) => Some(page_at(&notice.url)?),
        (None, None) => None,
    };
    let desk = Desk::new(policy, args.socket)?;
    let options = Options {
        listen: args.listen,
        url,
        proxies: args.proxy,
        reading: args.reading,
    };
    notice::serve(desk, wording, options, &mut |address| {
        // Whoever started it may have gone.
        let _ = writeln!(io::stdout(), "listening at http://{address}/");
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Where the policy sends people. This program serves its page at `/`.
fn page_at(url: &str) -> anyhow::Result<Address> {
    url.parse().map_err(|_| {
        anyhow::anyhow!(
            "[notice] url in the policy is \"{url}\", and this page is at / of its host: \
             write it without a path, or give --url"
        )
    })
}

fn check(folder: &Path) -> anyhow::Result<ExitCode> {
    let wording = Wording::load(Some(folder))?;
    let tags: Vec<&str> = wording.tags().collect();
    writeln!(io::stdout(), "the texts are good: {}", tags.join(", "))?;
    if let Some(lacks) = wording.lacks() {
        writeln!(io::stdout(), "{lacks}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_proxy(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    let net = address.or_else(|_| text.parse::<IpNet>());
    net.map_err(|_| "write an address or a prefix, like 127.0.0.1 or 192.0.2.0/28".to_owned())
}
