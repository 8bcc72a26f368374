//! What is answered to which request.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | what holds for this visitor |
//! | `GET /clean` | the question before a case is ended |
//! | `POST /clean` | what becomes of the answer |
//! | `GET /.well-known/captive-portal` | the same for devices (RFC 8908) |
//! | `GET /notice.css` | how the pages look; with `?read`, the notice was read |
//! | anything else, for any host | the way to the page |

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{
    Extension, Form, Router,
    extract::{
        DefaultBodyLimit, FromRequestParts, Query, Request, State, rejection::FormRejection,
    },
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use ipnet::IpNet;
use serde::Deserialize;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{
    Address,
    desk::{Desk, Held, Standing},
    languages,
    limits::Limit,
    page::{Reader, Say},
    token::{Answer, Rejected, Seal},
    wording::Wording,
};

const CSS: &str = include_str!("notice.css");
/// A form has three short fields.
const BODY_MAX: usize = 4_096;
/// So many visitors are looked up or wait at once.
const LOOKUPS_MAX: usize = 32;
/// How long a visitor waits for a turn.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Pages of one subscriber in a minute: a household of devices that all look whether they are online.
const PAGES_MAX: u32 = 240;
/// Answers of one subscriber in an hour.
const ANSWERS_MAX: u32 = 10;
const COOKIE: &str = "lychgate";

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub IpAddr);

/// Everything that answers need.
#[derive(Debug)]
pub(super) struct Site {
    desk: Desk,
    wording: Wording,
    seal: Seal,
    url: Option<Address>,
    proxies: Vec<IpNet>,
    started: Instant,
    lookups: Semaphore,
    pages: Limit<IpNet>,
    answers: Limit<IpNet>,
}

/// What a link to a page may say.
#[derive(Debug, Default, Deserialize)]
struct Wish {
    lang: Option<String>,
}

/// The fields of the form.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent {
    lang: Option<String>,
    token: String,
    answer: String,
}

/// Whoever asks: address and language.
#[derive(Clone, Copy, Debug)]
struct Visitor {
    address: IpAddr,
    language: usize,
}

/// Whoever asks for a page, and has not asked for too many.
impl FromRequestParts<Arc<Site>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        site: &Arc<Site>,
    ) -> Result<Self, Self::Rejection> {
        let peer = Extension::<Peer>::from_request_parts(parts, site).await;
        let Extension(peer) = peer.map_err(IntoResponse::into_response)?;
        let wish = Query::<Wish>::from_request_parts(parts, site).await;
        let Query(wish) = wish.map_err(IntoResponse::into_response)?;
        let visitor = site.visitor(peer, &parts.headers, wish.lang.as_deref());
        let visitor = visitor.ok_or_else(unknown_visitor)?;
        if site.is_greedy(visitor) {
            return Err(site.say(visitor, StatusCode::TOO_MANY_REQUESTS, Say::Limit));
        }
        Ok(visitor)
    }
}

impl Site {
    pub(super) fn new(
        desk: Desk,
        wording: Wording,
        url: Option<Address>,
        proxies: Vec<IpNet>,
        reading: Duration,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            desk,
            wording,
            seal: Seal::new(reading)?,
            url,
            proxies,
            started: Instant::now(),
            lookups: Semaphore::new(LOOKUPS_MAX),
            pages: Limit::new(PAGES_MAX, Duration::from_secs(60)),
            answers: Limit::new(ANSWERS_MAX, Duration::from_secs(3_600)),
        })
    }

    /// Whether an address is that of a server which stands before this one.
    pub(super) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|proxy| proxy.contains(&address))
    }

    fn visitor(
        &self,
        Peer(peer): Peer,
        headers: &HeaderMap,
        lang: Option<&str>,
    ) -> Option<Visitor> {
        let address = match self.is_proxy(peer) {
            true => forwarded(headers)?,
            false => peer,
        };
        let offered: Vec<&str> = self.wording.tags().collect();
        let accepted = headers.get(header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        Some(Visitor {
            address,
            language: languages::choose(&offered, lang, accepted),
        })
    }

    fn reader(&self, visitor: Visitor, is_subscriber: bool) -> Reader<'_> {
        Reader {
            wording: &self.wording,
            language: visitor.language,
            address: is_subscriber.then_some(visitor.address),
        }
    }

    fn tag(&self, visitor: Visitor) -> &str {
        &self.wording.languages[visitor.language].0
    }

    fn say(&self, visitor: Visitor, status: StatusCode, what: Say) -> Response {
        let is_subscriber = !matches!(what, Say::Elsewhere);
        let page = self.reader(visitor, is_subscriber).say(what);
        self.page(visitor, status, page)
    }

    fn page(&self, visitor: Visitor, status: StatusCode, page: askama::Result<String>) -> Response {
        let Ok(page) = page else {
            // Only a template that fails does this, and tests render them all.
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let mut response = (status, Html(page)).into_response();
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::from_str(self.tag(visitor)) {
            headers.insert(header::CONTENT_LANGUAGE, tag);
        }
        let wait = match status {
            StatusCode::TOO_MANY_REQUESTS => Some("3600"),
            StatusCode::SERVICE_UNAVAILABLE => Some("60"),
            _ => None,
        };
        if let Some(wait) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(wait));
        }
        response
    }

    fn busy(&self, visitor: Visitor, error: &anyhow::Error) -> Response {
        eprintln!("lychgate: notice: {error:#}");
        self.say(visitor, StatusCode::SERVICE_UNAVAILABLE, Say::Busy)
    }

    /// Whether the visitor has asked for too many pages.
    fn is_greedy(&self, visitor: Visitor) -> bool {
        let account = self.desk.account(visitor.address);
        account.is_some_and(|account| !self.pages.admits(account, self.started.elapsed()))
    }
}

/// Does something that may wait for the box or a disk, when it is its turn.
async fn look_up<T: Send + 'static>(
    site: &Arc<Site>,
    work: impl FnOnce(&Desk) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let turn = timeout(TURN_MAX, site.lookups.acquire()).await;
    let _turn = turn.context("too many visitors wait for the box")??;
    let site = Arc::clone(site);
    spawn_blocking(move || work(&site.desk)).await?
}

/// The last address that a server before this one wrote down: it saw that one itself.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let address = last.to_str().ok()?.rsplit(',').next()?.trim();
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>()
        .ok()
        .map(|found| found.to_canonical())
}

/// Every request's way to its answer.
pub(super) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/clean", get(ask).post(answer))
        .route("/notice.css", get(css))
        .fallback(lead)
        .method_not_allowed_fallback(lead)
        .layer(middleware::from_fn_with_state(Arc::clone(&site), host))
        .route("/.well-known/captive-portal", get(captive))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::map_response(secure))
        .with_state(site)
}

async fn front(State(site): State<Arc<Site>>, visitor: Visitor) -> Response {
    match look_up(&site, move |desk| desk.standing(visitor.address)).await {
        Ok(standing) => {
            let is_subscriber = standing != Standing::Elsewhere;
            let page = site.reader(visitor, is_subscriber).front(&standing);
            site.page(visitor, StatusCode::OK, page)
        }
        Err(error) => site.busy(visitor, &error),
    }
}

/// The question before a case is ended.
async fn ask(State(site): State<Arc<Site>>, visitor: Visitor) -> Response {
    let held = match look_up(&site, move |desk| desk.standing(visitor.address)).await {
        Ok(Standing::Held(held)) if held.left > 0 => held,
        Ok(_) => return see_other(&format!("/?lang={}", site.tag(visitor))),
        Err(error) => return site.busy(visitor, &error),
    };
    let form = match site.seal.write(&held.case, site.started.elapsed()) {
        Ok(form) => form,
        Err(error) => return site.busy(visitor, &error),
    };
    let seconds = site.seal.reading().as_secs();
    let page = site.reader(visitor, true).confirm(&form, seconds);
    let mut response = site.page(visitor, StatusCode::OK, page);
    let secure = match &site.url {
        Some(url) if url.is_https() => "; Secure",
        _ => "",
    };
    let cookie = format!(
        "{COOKIE}={}; Path=/clean; Max-Age=1800; HttpOnly; SameSite=Strict{secure}",
        form.cookie
    );
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// What becomes of an answer.
async fn answer(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    sent: Result<Form<Sent>, FormRejection>,
) -> Response {
    let sent = sent.map(|Form(sent)| sent).unwrap_or_default();
    let Some(visitor) = site.visitor(peer, &headers, sent.lang.as_deref()) else {
        return unknown_visitor();
    };
    let account = site.desk.account(visitor.address);
    if account.is_some_and(|account| !site.answers.admits(account, site.started.elapsed())) {
        return site.say(visitor, StatusCode::TOO_MANY_REQUESTS, Say::Limit);
    }
    let held = match look_up(&site, move |desk| desk.standing(visitor.address)).await {
        Ok(Standing::Held(held)) => held,
        Ok(_) => return stale(&site, visitor),
        Err(error) => return site.busy(visitor, &error),
    };
    match read(&site, &headers, &sent, &held) {
        Ok(_) if held.left == 0 => {
            let page = site.reader(visitor, true).front(&Standing::Held(held));
            site.page(visitor, StatusCode::FORBIDDEN, page)
        }
        Ok(Answer::Cleaned) => release(&site, visitor).await,
        Ok(Answer::NotYet) => site.say(visitor, StatusCode::OK, Say::NotYet),
        Ok(Answer::Help) => site.say(visitor, StatusCode::OK, Say::Help),
        Err(Rejected::Unanswered) => {
            let what = Say::Rejected(Rejected::Unanswered);
            site.say(visitor, StatusCode::BAD_REQUEST, what)
        }
        Err(why) => site.say(visitor, StatusCode::FORBIDDEN, Say::Rejected(why)),
    }
}

fn stale(site: &Site, visitor: Visitor) -> Response {
    site.say(
        visitor,
        StatusCode::FORBIDDEN,
        Say::Rejected(Rejected::Stale),
    )
}

async fn release(site: &Arc<Site>, visitor: Visitor) -> Response {
    match look_up(site, move |desk| desk.release(visitor.address)).await {
        Ok(true) => see_other(&format!("/?lang={}", site.tag(visitor))),
        // Somebody else was quicker: staff, or the same form sent twice.
        Ok(false) => stale(site, visitor),
        Err(error) => site.busy(visitor, &error),
    }
}

/// What a form says, if it is ours.
fn read(site: &Site, headers: &HeaderMap, sent: &Sent, held: &Held) -> Result<Answer, Rejected> {
    let from = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if from.is_some_and(|from| from != b"same-origin" && from != b"none") {
        return Err(Rejected::Stale);
    }
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let cookie = pairs.find_map(|(name, value)| (name == COOKIE).then_some(value));
    let cookie = cookie.ok_or(Rejected::Stale)?;
    let sent = (&*sent.token, cookie, &*sent.answer);
    site.seal.read(sent, &held.case, site.started.elapsed())
}

/// RFC 8908: devices ask whether they are captive, and where the page is.
async fn captive(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let Some(visitor) = site.visitor(peer, &headers, None) else {
        return unknown_visitor();
    };
    if site.is_greedy(visitor) {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let standing = match look_up(&site, move |desk| desk.standing(visitor.address)).await {
        Ok(standing) => standing,
        Err(error) => {
            eprintln!("lychgate: notice: {error:#}");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    let is_captive = matches!(&standing, Standing::Held(held) if held.scope.is_some());
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let here = || format!("http://{}/", host.unwrap_or_default());
    let url = site.url.as_ref().map_or_else(here, Address::to_string);
    let answer = serde_json::json!({
        "captive": is_captive,
        "user-portal-url": url,
        "can-extend-session": false,
    });
    let kind = [(header::CONTENT_TYPE, "application/captive+json")];
    (kind, answer.to_string()).into_response()
}

/// How the pages look. The page about a case asks for it as `/notice.css?read`: so the notice counts
/// as read when a browser shows it, and not when some program follows the redirect.
async fn css(
    State(site): State<Arc<Site>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if uri.query() == Some("read")
        && let Some(visitor) = site.visitor(peer, &headers, None)
        && site.desk.account(visitor.address).is_some()
        && !site.is_greedy(visitor)
    {
        // The page doesn't wait for a disk.
        tokio::spawn(async move {
            let read = look_up(&site, move |desk| desk.read(visitor.address)).await;
            if let Err(error) = read {
                eprintln!("lychgate: notice: {error:#}");
            }
        });
    }
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], CSS).into_response()
}

/// Whoever looked for something else is led to the page.
async fn lead(State(site): State<Arc<Site>>, method: Method) -> Response {
    let to = site.url.as_ref().map(Address::to_string);
    redirect(&method, to.as_deref().unwrap_or("/"))
}

/// Whoever asked another host is led to the page's own: what stands under a foreign name could be
/// taken for that host's.
async fn host(
    State(site): State<Arc<Site>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let Some(url) = &site.url else {
        return next.run(request).await;
    };
    let asked = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let header = request.headers().get(header::HOST);
    let asked = asked.or_else(|| header.and_then(|host| host.to_str().ok()));
    // What stands before this server may call it by another name.
    if site.is_proxy(peer) || asked.is_some_and(|asked| url.is_at(asked)) {
        return next.run(request).await;
    }
    redirect(request.method(), &url.to_string())
}

fn redirect(method: &Method, to: &str) -> Response {
    let status = match *method {
        Method::GET | Method::HEAD => StatusCode::FOUND,
        _ => StatusCode::SEE_OTHER,
    };
    (status, [(header::LOCATION, to.to_owned())]).into_response()
}

fn see_other(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to.to_owned())]).into_response()
}

/// A server that stands before this one didn't say for whom it asks.
fn unknown_visitor() -> Response {
    eprintln!("lychgate: notice: a request from a --proxy has no X-Forwarded-For header");
    StatusCode::BAD_GATEWAY.into_response()
}

async fn secure(mut response: Response) -> Response {
    const HEADERS: [(&str, &str); 8] = [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        (
            "permissions-policy",
            "camera=(), geolocation=(), microphone=()",
        ),
        ("vary", "accept-language"),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
