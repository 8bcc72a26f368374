//! The page that a quarantined customer reads, and the button that ends the quarantine.
//!
//! A web server of its own process. It knows visitors by their address alone, asks the box how that
//! subscriber's case stands, and says so in plain words and in the visitor's language. It keeps
//! nothing, sets no cookie but the one that guards the form, and loads nothing from elsewhere.
//!
//! | file | what it holds |
//! |---|---|
//! | `server` | sockets and connections |
//! | `site` | which request gets which answer |
//! | `desk` | who is it, and how does the case stand? |
//! | `page` | from that to HTML (`pages/`) |
//! | `texts`, `wording` | the sentences, language by language (`texts/`), and the provider |
//! | `languages` | which language is shown |
//! | `token` | what protects the form |
//! | `limits` | how often one visitor may ask |

mod desk;
mod languages;
mod limits;
mod page;
mod server;
mod site;
mod texts;
mod token;
mod wording;

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use anyhow::Context;
use ipnet::IpNet;
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

pub use desk::Desk;
pub use wording::Wording;

use server::Doors;
use site::Site;

/// How the page is served.
#[derive(Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// The page's own address, if it has one: whoever asked for anything else is led there.
    pub url: Option<Address>,
    /// Servers that stand before this one and say for whom they ask (X-Forwarded-For).
    pub proxies: Vec<IpNet>,
    /// The least time between the question and the answer.
    pub reading: Duration,
}

/// The address of the page: `http://` or `https://`, a host, and nothing after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: &'static str,
    host: String,
}

impl Address {
    /// Whether it is reached through TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether a request's Host is this one.
    fn is_at(&self, host: &str) -> bool {
        let default = match self.scheme {
            "https" => ":443",
            _ => ":80",
        };
        let bare = |host: &str| host.strip_suffix(default).unwrap_or(host).to_lowercase();
        bare(host) == bare(&self.host)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/", self.scheme, self.host)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("\"{text}\" is no address of a page: write it like http://notice.isp.example/")
        };
        let split = text.split_once("://");
        let (scheme, rest) = match split {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            _ => return Err(wrong()),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(wrong());
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
        })
    }
}

/// Serves the page until SIGTERM or SIGINT. `listening` is told each address once it is open.
///
/// # Errors
///
/// An address can't be listened at, or the system gives no threads or signals.
pub fn serve(
    desk: Desk,
    wording: Wording,
    options: Options,
    listening: &mut dyn FnMut(SocketAddr),
) -> anyhow::Result<()> {
    let site = Site::new(desk, wording, options.url, options.proxies, options.reading)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("no runtime")?;
    let done = runtime.block_on(run(site, &options.listen, listening));
    // Whoever is being looked up at the disk is not waited for.
    runtime.shutdown_background();
    done
}

async fn run(
    site: Site,
    addresses: &[SocketAddr],
    listening: &mut dyn FnMut(SocketAddr),
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no signals")?;
    let listeners = addresses.iter().map(|address| server::listen(*address));
    let listeners = listeners.collect::<anyhow::Result<Vec<_>>>()?;
    for listener in &listeners {
        listening(listener.local_addr().context("no address")?);
    }
    let site = Arc::new(site);
    let router = site::router(Arc::clone(&site));
    let doors = Doors::new();
    let (stop, stopped) = watch::channel(false);
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let site = (Arc::clone(&site), router.clone());
            tokio::spawn(server::serve(
                listener,
                site,
                doors.clone(),
                stopped.clone(),
            ))
        })
        .collect();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let _ = stop.send(true);
    for server in servers {
        server.await.context("a server")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_and_a_host() {
        for (text, shown) in [
            ("http://notice.isp.example/", "http://notice.isp.example/"),
            ("https://notice.isp.example", "https://notice.isp.example/"),
            ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080/"),
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), shown);
        }
        for text in [
            "",
            "notice.isp.example",
            "ftp://x/",
            "http://",
            "http://x/y",
            "http://x y/",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_the_pages_own_with_or_without_the_usual_port() {
        let address: Address = "http://Notice.isp.example/".parse().expect("an address");
        assert!(address.is_at("notice.isp.example"));
        assert!(address.is_at("notice.isp.example:80"));
        assert!(!address.is_at("notice.isp.example:8080"));
        assert!(!address.is_at("isp.example"));
    }
}
