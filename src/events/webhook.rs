//! A web hook: each event is posted to a URL.

use std::time::Duration;

use ureq::{
    Agent, Error,
    tls::{RootCerts, TlsConfig},
};

use super::{Event, Failure, Writer};

/// How long one attempt may take, from looking up the name to the answer.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

/// Posts each event as `application/json`. Any 2xx means that it was taken.
#[derive(Debug)]
pub struct Webhook {
    url: String,
    agent: Agent,
}

impl Webhook {
    /// Posts to this URL. Certificates are checked against those that the system trusts.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .timeout_global(Some(ATTEMPT_MAX))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("Lychgate/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Self {
            url: url.to_owned(),
            agent: config.into(),
        }
    }

    fn failure(&self, why: impl std::fmt::Display, again: bool) -> Failure {
        Failure {
            why: format!("cannot post to {}: {why}", self.url),
            again,
        }
    }
}

impl Writer for Webhook {
    fn write(&mut self, event: &Event) -> Result<(), Failure> {
        let line = event.line().map_err(|error| self.failure(error, false))?;
        let request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json");
        let answer = request.send(line.as_bytes()).map_err(|error| {
            let hopeless = matches!(error, Error::BadUri(_) | Error::Http(_));
            self.failure(error, !hopeless)
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // What the other side calls our mistake stays one; being busy or broken passes.
        let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        Err(self.failure(format!("the answer is {status}"), again))
    }
}
