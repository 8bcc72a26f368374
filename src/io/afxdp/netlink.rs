//! What only rtnetlink tells: which kind of interface, what it is part of, and that something about
//! some interface has changed.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkInfo, LinkMessage},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind,
        netlink::SocketAddrNetlink, recv, send, socket_with,
    },
};

use super::{
    error::{Error, Result},
    netdev::Interface,
};

/// `RTMGRP_LINK` of linux/rtnetlink.h.
const LINK_GROUP: u32 = 1;
/// Longer than any answer about one interface without its virtual functions.
const ANSWER_MAX: usize = 1 << 16;

/// An interface that another one is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Its name.
    pub name: String,
    /// What it is: `bridge`, `bond`, `team`, `vrf`, …
    pub kind: String,
}

/// What an interface is, and what it is part of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Belonging {
    /// For a virtual interface, which kind: `veth`, `vlan`, `bond`, …
    pub kind: Option<String>,
    /// What forwards its frames instead of us.
    pub controller: Option<Controller>,
}

impl Interface {
    /// What it is, and what it is part of.
    ///
    /// # Errors
    ///
    /// If the interface is gone.
    pub fn belonging(&self) -> Result<Belonging> {
        let failed = |cause: io::Error| Error::new(self, "ask what it is part of", cause);
        let link = ask(self.index()).map_err(failed)?;
        let controller = link
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::Controller(index) => Some(*index),
                _ => None,
            });
        let controller = controller.map(ask).transpose().map_err(failed)?;
        Ok(Belonging {
            kind: kind(&link),
            controller: controller.map(|link| Controller {
                name: name(&link),
                kind: kind(&link).unwrap_or_else(|| "controller".to_owned()),
            }),
        })
    }
}

fn kind(link: &LinkMessage) -> Option<String> {
    let info = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(info) => Some(info),
            _ => None,
        })?;
    info.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}

fn name(link: &LinkMessage) -> String {
    let name = link
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        });
    name.unwrap_or_else(|| format!("interface {}", link.header.index))
}

/// What the kernel says of one interface.
fn ask(index: u32) -> io::Result<LinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let payload = NetlinkPayload::from(RouteNetlinkMessage::GetLink(link));
    let mut request = NetlinkMessage::new(header, payload);
    request.finalize();
    let mut octets = vec![0; request.buffer_len()];
    request.serialize(&mut octets);

    let socket = open(0)?;
    send(&socket, &octets, SendFlags::empty())?;
    let mut answer = vec![0; ANSWER_MAX];
    let (_, length) = recv(&socket, &mut answer, RecvFlags::empty())?;
    let answer = NetlinkMessage::deserialize(&answer[..length]).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the kernel answered something else")),
    }
}

/// A socket on rtnetlink, in the calling thread's network namespace.
fn open(groups: u32) -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    // NETLINK_ROUTE is the protocol 0, which is what `None` stands for.
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// Tells that interfaces have changed. What is so now must be read anew: that way, no change is
/// missed if the kernel has more to tell than anybody listened to.
#[derive(Debug)]
pub struct LinkChanges(OwnedFd);

impl LinkChanges {
    /// Listens from now on, in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// If there are no sockets left.
    pub fn listen() -> Result<Self> {
        let subject = "link changes";
        open(LINK_GROUP)
            .map(Self)
            .map_err(|cause| Error::new(subject, "listen to rtnetlink", cause))
    }

    /// Waits until something has changed, at most so long. What was told by then is used up.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut sockets = [PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        match poll(&mut sockets, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut any = [0; 1];
        loop {
            match recv(&self.0, &mut any, RecvFlags::DONTWAIT) {
                // A message that nobody reads whole is gone all the same, and ENOBUFS says that
                // some were: the reader looks anew anyway.
                Ok(_) | Err(Errno::INTR | Errno::NOBUFS) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
