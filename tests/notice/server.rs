//! The program, started on a free port, and visits to it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ureq::{Agent, http};

pub const CLEANED: &str = "I have checked every device, and everything harmful is gone.";
const PATIENT: Duration = Duration::from_secs(60);

pub struct Server {
    child: Child,
    bases: Vec<String>,
    agent: Agent,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
    headers: http::HeaderMap,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }
}

/// The question, as a browser holds it.
#[derive(Clone, Default)]
pub struct Form {
    pub token: String,
    pub cookie: String,
    pub cookie_line: String,
    /// What the answers say, and their values.
    answers: Vec<(String, String)>,
}

fn command(folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lychgate"));
    command.current_dir(folder).arg("notice").args(options);
    command
}

/// Runs it to its end: code, standard output, standard error.
pub fn run(folder: &Path, options: &[&str]) -> (i32, String, String) {
    let output = command(folder, options).output().expect("output");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    let code = output.status.code().expect("a code");
    (code, text(output.stdout), text(output.stderr))
}

impl Server {
    /// Starts it at a free port of 127.0.0.1, and wherever else the options say.
    pub fn start(folder: &Path, options: &[&str]) -> Self {
        let mut command = command(folder, &["-p", "isp.toml", "--listen", "127.0.0.1:0"]);
        let child = command.args(options).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the program");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let expected = 1 + options
            .iter()
            .filter(|option| **option == "--listen")
            .count();
        let bases = lines
            .take(expected)
            .map(|line| {
                let line = line.expect("text");
                let base = line.strip_prefix("listening at ").expect("an address");
                base.trim_end_matches('/').to_owned()
            })
            .collect();
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build();
        Self {
            child,
            bases,
            agent: config.into(),
        }
    }

    /// Where its first address is.
    pub fn base(&self) -> &str {
        &self.bases[0]
    }

    pub fn get(&self, at: usize, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.bases[at]));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        taken(request.call().expect("an answer"))
    }

    /// Asks as a server before this one does for a visitor.
    pub fn visit(&self, who: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("x-forwarded-for", who)], headers].concat();
        self.get(0, path, &headers)
    }

    /// The question that a visitor gets; an empty one, if none.
    pub fn question(&self, who: &str) -> Form {
        let page = self.visit(who, "/clean", &[]);
        if page.status != 200 {
            return Form::default();
        }
        let cookie_line = page.header("set-cookie").to_owned();
        let cookie = cookie_line.split(';').next().expect("a cookie").to_owned();
        let token = between(&page.body, "name=\"token\" value=\"", "\"").expect("a token");
        let labels = page.body.split("<label>").skip(1);
        let answers = labels.map(|label| {
            let value = between(label, "value=\"", "\"").expect("a value");
            let text = between(label, "<span>", "</span>").expect("a text");
            (text.replace("&#39;", "’"), value)
        });
        Form {
            token,
            cookie,
            cookie_line,
            answers: answers.collect(),
        }
    }

    pub fn answer(&self, who: &str, form: &Form, answer: &str) -> Answer {
        self.send_from(who, form, answer, "same-origin")
    }

    pub fn send_from(&self, who: &str, form: &Form, answer: &str, site: &str) -> Answer {
        let chosen = form.answers.iter().find(|(text, _)| text == answer);
        let value = chosen.map_or("", |(_, value)| value);
        let request = self
            .agent
            .post(format!("{}/clean", self.bases[0]))
            .header("x-forwarded-for", who)
            .header("sec-fetch-site", site)
            .header("cookie", format!("other=1; {}", form.cookie))
            .content_type("application/x-www-form-urlencoded");
        // All of it is made of letters that stand for themselves.
        let body = format!("lang=en&token={}&answer={value}", form.token);
        taken(request.send(body).expect("an answer"))
    }

    /// Asks it to end, and gives its code.
    pub fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        self.child.wait().expect("it ended").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn taken(response: http::Response<ureq::Body>) -> Answer {
    let (parts, mut body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        body: body.read_to_string().expect("text"),
        headers: parts.headers,
    }
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    Some(found.to_owned())
}
