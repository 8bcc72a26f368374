//! Sockets and connections: bounded in number, in time, and per peer.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

use super::site::{Peer, Site};

/// Connections at once, of all and of one peer.
const CONNECTIONS_MAX: usize = 1_024;
const PER_PEER_MAX: usize = 32;
/// How long a peer may take for its headers, and how long a connection may last.
const HEADERS_MAX: Duration = Duration::from_secs(10);
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// How long open connections may go on after a stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long to wait after the system had no socket to give.
const BREATH: Duration = Duration::from_millis(100);

/// A socket that listens. IPv6 sockets take IPv6 only, so that `[::]:80` and `0.0.0.0:80` go
/// together.
pub(super) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || -> io::Result<TcpListener> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1_024)?;
        TcpListener::from_std(socket.into())
    };
    open().with_context(|| {
        format!("{address}: cannot listen there; look for another server at this port, for the address on this machine, and for the right to use ports below 1024")
    })
}

/// Who has how many connections.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    all: Arc<Semaphore>,
    peers: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place; given back when dropped.
struct Place {
    doors: Doors,
    peer: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Doors {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            peers: Arc::default(),
        }
    }

    /// A place for a connection of this peer, if there is one. `None` as a peer is not counted.
    fn enter(&self, peer: Option<IpAddr>) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        if let Some(peer) = peer {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            let count = peers.entry(peer).or_insert(0);
            if *count >= PER_PEER_MAX {
                return None;
            }
            *count += 1;
        }
        Some(Place {
            doors: self.clone(),
            peer,
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(peer) = self.peer else {
            return;
        };
        let peers = &self.doors.peers;
        let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&peer);
            }
        }
    }
}

/// Takes connections until it is told to stop, then lets those that are open finish.
pub(super) async fn serve(
    listener: TcpListener,
    (site, router): (Arc<Site>, Router),
    doors: Doors,
    mut stop: watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The sender never goes before it has told.
            _ = stop.wait_for(|is_over| *is_over) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = peer.ip().to_canonical();
                let counted = Some(peer).filter(|peer| !site.is_proxy(*peer));
                if let Some(place) = doors.enter(counted) {
                    attend(stream, peer, router.clone(), place, &graceful);
                }
            }
            // Out of files or memory: others will finish. A peer that is gone already is no matter.
            Err(_) => sleep(BREATH).await,
        }
    }
    drop(listener);
    let _ = timeout(DRAIN_MAX, graceful.shutdown()).await;
}

fn attend(
    stream: TcpStream,
    peer: IpAddr,
    router: Router,
    place: Place,
    graceful: &GracefulShutdown,
) {
    let service = TowerToHyperService::new(router.layer(Extension(Peer(peer))));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // How a visitor's connection ends is the visitor's business.
        let _ = timeout(CONNECTION_MAX, connection).await;
        drop(place);
    });
}
