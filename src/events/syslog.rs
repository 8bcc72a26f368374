//! Syslog as RFC 5424 writes it, over UDP (RFC 5426) or to a local socket.
//!
//! The few octets of its header are made here: the crates for syslog stamp messages with the time
//! of sending, and ours carry the time of the event.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use super::{Event, Failure, Writer};
use crate::policy::SyslogAt;

/// Facility `daemon`, in its place in the priority.
const FACILITY: u8 = 3 << 3;

/// Sends each event as one datagram.
#[derive(Debug)]
pub struct Syslog {
    address: SyslogAt,
    socket: Socket,
    host: String,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixDatagram),
}

impl Syslog {
    /// A sender to this address.
    ///
    /// # Errors
    ///
    /// There is no socket to send from.
    pub fn new(address: &SyslogAt) -> io::Result<Self> {
        let socket = match address {
            SyslogAt::Udp(to) => {
                let from: SocketAddr = match to {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                Socket::Udp(UdpSocket::bind(from)?)
            }
            #[cfg(unix)]
            SyslogAt::Unix(_) => Socket::Unix(std::os::unix::net::UnixDatagram::unbound()?),
            #[cfg(not(unix))]
            SyslogAt::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(Self {
            address: address.clone(),
            socket,
            host: host(),
        })
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        match (&self.socket, &self.address) {
            (Socket::Udp(socket), SyslogAt::Udp(to)) => socket.send_to(message, to).map(|_| ()),
            #[cfg(unix)]
            (Socket::Unix(socket), SyslogAt::Unix(path)) => {
                socket.send_to(message, path).map(|_| ())
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Writer for Syslog {
    fn write(&mut self, event: &Event) -> Result<(), Failure> {
        let sent = message(event, &self.host).and_then(|message| self.send(message.as_bytes()));
        sent.map_err(|error| Failure {
            why: format!("cannot send to syslog at {}: {error}", self.address),
            again: true,
        })
    }
}

/// Header, no structured data, and the event as JSON, which is UTF-8 without a mark.
fn message(event: &Event, host: &str) -> io::Result<String> {
    let priority = FACILITY | event.severity() as u8;
    let time = event.time().strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
    let process = std::process::id();
    let (name, line) = (event.name(), event.line()?);
    Ok(format!(
        "<{priority}>1 {time} {host} lychgate {process} {name} - {line}"
    ))
}

/// This machine's name as syslog can carry it.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name
        .chars()
        .filter(char::is_ascii_graphic)
        .take(255)
        .collect();
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}
