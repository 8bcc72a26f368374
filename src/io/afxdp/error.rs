//! What goes wrong between us and the kernel, told so that it can be put right.

use std::{error, fmt, io, thread, time::Duration};

/// An operation that the kernel refused: on what, which one, why, and what to do about it.
#[derive(Debug)]
pub struct Error {
    /// The interface, queue or file it happened on.
    subject: String,
    /// What was tried, to follow "cannot".
    attempt: String,
    cause: Box<dyn error::Error + Send + Sync>,
    remedy: Option<String>,
}

/// What a fallible operation of this module gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn new(
        subject: impl fmt::Display,
        attempt: impl Into<String>,
        cause: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            subject: subject.to_string(),
            attempt: attempt.into(),
            cause: cause.into(),
            remedy: None,
        }
    }

    /// Says what to do about it.
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The kernel's error number, if it gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        self.cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}: cannot {}: {:#}",
            self.subject, self.attempt, self.cause
        )?;
        match &self.remedy {
            Some(remedy) => write!(out, "\nremedy: {remedy}"),
            None => Ok(()),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.cause.source()
    }
}

/// Tries again for a second while the kernel says that something is in use: what a process held
/// is let go of in the background when it ends, and a child that it is starting holds it, too.
pub(super) fn until_let_go<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    const TRIES: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..TRIES {
        match attempt() {
            Err(error) if matches!(error.errno(), Some(libc::EBUSY | libc::EADDRINUSE)) => {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
    attempt()
}

/// What usually helps against an error number that any of these operations may give.
pub(super) fn usual_remedy(cause: &io::Error) -> Option<&'static str> {
    Some(match cause.raw_os_error()? {
        libc::EPERM | libc::EACCES => {
            "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_IPC_LOCK; in a \
             container, its seccomp profile and the kernel's lockdown mode must allow bpf(2)"
        }
        libc::EAFNOSUPPORT => "use a kernel with CONFIG_XDP_SOCKETS",
        libc::ENODEV | libc::ENXIO => "name an interface of this network namespace",
        libc::ENOMEM | libc::ENOBUFS => {
            "raise the memory or locked-memory limit, or choose smaller rings"
        }
        _ => return None,
    })
}
