//! The control socket: where staff and other programs of the box reach a running [`Casebook`].
//!
//! A unix socket that only its owner can open (mode 0600). One line of JSON in, a [`Request`]; one
//! line out, a [`Reply`]; as often as the caller likes. Where no box runs, [`ask`] opens the store
//! itself: it is locked, so there is never more than one who decides.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::Receiver,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::{
    Reloader,
    casebook::{Casebook, Cases, Reply, Request},
    findings,
    maildir::{Maildir, Taken},
};
use crate::{
    complaint::Complaint,
    detect::Flag,
    policy::{Keeping, Policy},
    remedy::Record,
    worker::monotonic,
};

/// The longest line that is read.
const LINE_MAX: u64 = 64 << 10;
/// How long a caller may take to say something, or to listen.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time is looked at so often at least: clocks can be put forward.
const NAP_MAX: Duration = Duration::from_secs(60);
/// Complaints are looked for so often.
const MAIL_NAP: Duration = Duration::from_secs(5);

/// A casebook that a running box keeps: its clock goes, and its socket answers.
#[derive(Debug)]
pub struct Counter {
    shared: Arc<Shared>,
    socket: PathBuf,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cases: Cases,
    /// What reads the policy again, once there is something.
    reloader: OnceLock<Reloader>,
    /// Rung when a case changed, so that the clock looks when the next one is due.
    changed: Condvar,
    is_over: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Casebook> {
        self.cases.lock()
    }

    /// Does what somebody asks. A reload takes its time, and changes cases itself.
    fn answer(&self, request: &Request) -> Reply {
        match request {
            Request::Reload { policy } => self.reload(policy),
            request => self.lock().answer(request, Timestamp::now()),
        }
    }

    fn reload(&self, policy: &Path) -> Reply {
        let Some(reloader) = self.reloader.get() else {
            let why = "the box is starting; ask again when it runs".to_owned();
            return Reply::Refused { why };
        };
        let file = reloader.file();
        if is_another(file, policy) {
            let (ours, theirs) = (file.display(), policy.display());
            let why = format!(
                "the box was started with {ours}, not with {theirs}\n\
                 remedy: name that file, or restart the box with the other one"
            );
            return Reply::Refused { why };
        }
        match reloader.reload() {
            Ok(changes) => Reply::Reloaded { changes },
            Err(mistakes) => Reply::Refused {
                why: mistakes.join("\n"),
            },
        }
    }
}

/// Whether these are two files. If one isn't there, its name decides.
fn is_another(ours: &Path, theirs: &Path) -> bool {
    let resolved = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    resolved(ours) != resolved(theirs)
}

/// Something that staff should see: a record of the audit trail, or what went wrong.
pub type Tell = dyn Fn(Result<&Record, &str>) + Send + Sync;

impl Counter {
    /// Opens the socket and starts the clock: what is overdue happens at once. What workers find
    /// becomes cases, until the last of those who send it is gone: drop them before the counter.
    ///
    /// # Errors
    ///
    /// The socket can't be made.
    pub fn open(
        cases: Cases,
        socket: &Path,
        findings: Receiver<Flag>,
        tell: Arc<Tell>,
    ) -> anyhow::Result<Self> {
        let complaints = cases.lock().complaints().map(Maildir::open).transpose()?;
        let listener = listen(socket)?;
        let shared = Arc::new(Shared {
            cases,
            reloader: OnceLock::new(),
            changed: Condvar::new(),
            is_over: AtomicBool::new(false),
        });
        let clock = (Arc::clone(&shared), Arc::clone(&tell));
        let desk = (Arc::clone(&shared), Arc::clone(&tell));
        let door = Arc::clone(&shared);
        let mut threads = Vec::new();
        if let Some(maildir) = complaints {
            let post = (Arc::clone(&shared), Arc::clone(&tell));
            let work = move || collect(&post.0, maildir, &*post.1);
            threads.push(spawn("cases-mail", work)?);
        }
        threads.extend([
            spawn("cases-clock", move || go(&clock.0, &*clock.1))?,
            spawn("cases-findings", move || take(&desk.0, &findings, &*desk.1))?,
            spawn("cases-socket", move || serve(&door, &listener, &*tell))?,
        ]);
        Ok(Self {
            shared,
            socket: socket.to_owned(),
            threads,
        })
    }

    /// Has callers reload the policy from now on. Only the first one counts.
    pub fn offer_reload(&self, reloader: Reloader) {
        let _ = self.shared.reloader.set(reloader);
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Under the lock, so that the clock is either asleep and hears it or sees the flag.
        drop(self.shared.lock());
        self.shared.changed.notify_all();
        // Wakes the one who waits for callers. It may be gone already.
        let _ = UnixStream::connect(&self.socket);
        for thread in self.threads.drain(..) {
            // A panic was told by its thread.
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.socket);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.with_context(|| format!("{name}: no thread"))
}

/// Makes the socket, for its owner only from the first moment. One that is left from a box that died
/// is replaced: whoever has the store is the only one.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    let name = path.display();
    if let Ok(found) = fs::symlink_metadata(path)
        && !found.file_type().is_socket()
    {
        bail!(
            "{name}: there is a file of another kind; name another control socket in [store] socket"
        );
    }
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    let cannot = || format!("{name}: the control socket cannot be made");
    let private = tempfile::Builder::new()
        .prefix(".lg")
        .tempdir_in(folder.unwrap_or(Path::new(".")))
        .with_context(cannot)?;
    let hidden = private.path().join("s");
    let listener = UnixListener::bind(&hidden).with_context(|| {
        format!("{name}: the control socket cannot be made; name a shorter path in [store] socket")
    })?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600)).with_context(cannot)?;
    fs::rename(&hidden, path).with_context(cannot)?;
    Ok(listener)
}

/// Does what is due, when it is due.
fn go(shared: &Shared, tell: &Tell) {
    let mut casebook = shared.lock();
    while !shared.is_over.load(Ordering::SeqCst) {
        match casebook.tick(Timestamp::now()) {
            Ok(records) => records.iter().for_each(|record| tell(Ok(record))),
            Err(error) => tell(Err(&error.to_string())),
        }
        let next = casebook.next().map(|next| until(next, Timestamp::now()));
        let nap = next.map_or(NAP_MAX, |left| {
            left.clamp(Duration::from_millis(1), NAP_MAX)
        });
        let woken = shared.changed.wait_timeout(casebook, nap);
        casebook = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Makes cases of what workers find.
fn take(shared: &Shared, findings: &Receiver<Flag>, tell: &Tell) {
    for flag in findings {
        let now = Timestamp::now();
        let finding = findings::finding(&flag, now, monotonic());
        let taken = shared.lock().found(flag.key, &finding, now);
        shared.changed.notify_all();
        match taken {
            Ok(records) => records.iter().for_each(|record| tell(Ok(record))),
            Err(error) => tell(Err(&format!("{}: {error}", flag.key))),
        }
    }
}

/// Holds the complaints that arrive in the maildir against whom they name.
fn collect(shared: &Shared, mut maildir: Maildir, tell: &Tell) {
    let mut trouble = String::new();
    loop {
        let take = |name: &str, complaints| hold(shared, name, complaints, tell);
        match maildir.collect(take) {
            Ok(unread) => {
                trouble.clear();
                unread.iter().for_each(|why| tell(Err(why)));
            }
            // Once, not every few seconds.
            Err(error) if trouble != format!("{error:#}") => {
                trouble = format!("{error:#}");
                tell(Err(&trouble));
            }
            Err(_) => {}
        }
        let is_on = |_: &mut Casebook| !shared.is_over.load(Ordering::SeqCst);
        let slept = shared
            .changed
            .wait_timeout_while(shared.lock(), MAIL_NAP, is_on);
        let (casebook, slept) = slept.unwrap_or_else(PoisonError::into_inner);
        drop(casebook);
        if !slept.timed_out() {
            return;
        }
    }
}

/// Holds the complaints of one mail. Those that are held against nobody are for people to look at.
fn hold(shared: &Shared, name: &str, complaints: Vec<Complaint>, tell: &Tell) -> Taken {
    let mut taken = if complaints.is_empty() {
        Taken::Nobody
    } else {
        Taken::Held
    };
    for complaint in complaints {
        let heard = shared.lock().complained(&complaint, Timestamp::now());
        shared.changed.notify_all();
        match heard {
            Ok(Ok(records)) => records.iter().for_each(|record| tell(Ok(record))),
            Ok(Err(_)) => taken = Taken::Nobody,
            Err(error) => {
                tell(Err(&format!("{name}: {error}")));
                return Taken::NotYet;
            }
        }
    }
    taken
}

fn until(next: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// Answers one caller after the other.
fn serve(shared: &Shared, listener: &UnixListener, tell: &Tell) {
    for caller in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let heard = caller.and_then(|caller| attend(shared, caller, tell));
        if let Err(error) = heard {
            tell(Err(&format!("control socket: {error}")));
        }
    }
}

fn attend(shared: &Shared, caller: UnixStream, tell: &Tell) -> io::Result<()> {
    caller.set_read_timeout(Some(PATIENCE))?;
    caller.set_write_timeout(Some(PATIENCE))?;
    let mut answers = caller.try_clone()?;
    let mut lines = BufReader::new(caller);
    loop {
        let mut line = String::new();
        let octets = Read::take(&mut lines, LINE_MAX).read_line(&mut line);
        match octets {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Whoever says nothing has said all.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let reply = match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                let reply = shared.answer(&request);
                shared.changed.notify_all();
                if let Reply::Done { records } = &reply {
                    records.iter().for_each(|record| tell(Ok(record)));
                }
                reply
            }
            Err(error) => Reply::Refused {
                why: format!("this is no request: {error}"),
            },
        };
        let mut text = serde_json::to_string(&reply)?;
        text.push('\n');
        answers.write_all(text.as_bytes())?;
    }
}

/// Asks the running box, or, where none runs, the store.
///
/// # Errors
///
/// The policy names no store, or neither can be reached.
pub fn ask(policy: &Arc<Policy>, request: &Request) -> anyhow::Result<Reply> {
    let Some(keeping) = policy.keeping() else {
        bail!(
            "the policy names no store; add [store] path = \"/var/lib/lychgate/cases.redb\" to it"
        );
    };
    match UnixStream::connect(&keeping.socket) {
        Err(error) if nobody_listens(&error) => open_and_answer(policy, keeping, request),
        stream => talk(&keeping.socket, stream, request),
    }
}

/// Asks the running box at a control socket, and nobody else.
///
/// # Errors
///
/// It can't be reached.
pub fn ask_box(socket: &Path, request: &Request) -> anyhow::Result<Reply> {
    talk(socket, UnixStream::connect(socket), request)
}

fn talk(socket: &Path, stream: io::Result<UnixStream>, request: &Request) -> anyhow::Result<Reply> {
    let name = socket.display();
    let stream = stream.with_context(|| {
        format!("{name}: the control socket cannot be opened; only the user who runs the box can")
    })?;
    call(stream, request).with_context(|| format!("{name}: no answer"))
}

fn nobody_listens(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused)
}

fn open_and_answer(
    policy: &Arc<Policy>,
    keeping: &Keeping,
    request: &Request,
) -> anyhow::Result<Reply> {
    let mut casebook = Casebook::open(Arc::clone(policy), keeping)?;
    Ok(casebook.answer(request, Timestamp::now()))
}

fn call(mut stream: UnixStream, request: &Request) -> anyhow::Result<Reply> {
    // Longer than a disk takes or a policy of a million subscribers, shorter than a person.
    stream.set_read_timeout(Some(12 * PATIENCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    serde_json::from_str(&answer).context("it said something else than an answer")
}

#[cfg(test)]
mod tests;
