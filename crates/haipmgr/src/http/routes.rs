//! What is asked for, and what is answered. Nothing here can be ordered: every path only reads.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::events::events;
use super::health::{self, Health, chosen};
use super::looks::{Looks, MOST_SWITCHES};
use super::{metrics, token};
use crate::config::Password;
use crate::status::picture::Picture;

/// What is answered with.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

const PAGE: &str = include_str!("page.html");
/// What programs may count on in the answers to `/status.json` and `/history.json`, and in what hooks are told.
const SCHEMAS: [(&str, &str); 3] = [
    ("/status.schema.json", include_str!("../../../../docs/status.schema.json")),
    ("/history.schema.json", include_str!("../../../../docs/history.schema.json")),
    ("/hook.schema.json", include_str!("../../../../docs/hook.schema.json")),
];
const PLAIN: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const SCHEMA: &str = "application/schema+json";
/// The format of `/history.json`.
const HISTORY_FORMAT: u32 = 1;
/// The page loads nothing from anywhere, and sends nothing.
const PAGE_MAY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every answer is made from.
pub(super) struct Site {
    pub(super) looks: Arc<Looks>,
    pub(super) token: Option<Password>,
    /// Room for pages that are open.
    pub(super) pages: Arc<Semaphore>,
}

/// The query of an address: `lag=10&cluster=orders`. Names and values stand as they are, but for `%` escapes.
struct Query<'r>(&'r str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| unescaped(value))
    }
}

/// RFC 3986 section 2.1; what is no escape stays as it is.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        let escaped = (*byte == b'%').then(|| after.get(..2)).flatten();
        let escaped = escaped.and_then(|two| std::str::from_utf8(two).ok());
        if let Some(escaped) = escaped.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            bytes.push(escaped);
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Answers one request. Whatever it carries beside its address and its token is not read.
pub(super) async fn answer<B>(site: &Site, request: &Request<B>) -> Response<Body> {
    let path = request.uri().path();
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused =
            plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD: nothing can be changed here");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    if path == "/liveness" {
        return of_health(&health::liveness(&*site.looks.report().await));
    }
    if let Some(token) = &site.token {
        let shown = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if !token::is_shown(token, shown) {
            let mut refused = plain(
                StatusCode::UNAUTHORIZED,
                "send the token of listen_token_file: Authorization: Bearer TOKEN",
            );
            let asks = HeaderValue::from_static("Basic realm=\"haipmgr\", charset=\"UTF-8\"");
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, asks);
            return refused;
        }
    }
    let query = Query(request.uri().query().unwrap_or_default());
    match path {
        "/" => page(),
        "/metrics" => match site.looks.metrics().await {
            Ok(text) => with(StatusCode::OK, metrics::CONTENT_TYPE, text),
            Err(error) => failed(&error),
        },
        "/primary" | "/replica" | "/readiness" => host(site, path, &query).await,
        "/status.json" => match site.looks.whole().await {
            Ok(whole) => with(StatusCode::OK, JSON, whole.json.clone()),
            Err(error) => failed(&error),
        },
        "/history.json" => switches(site, &query).await,
        "/events" => stream(site, request.method() == Method::HEAD),
        _ => schema(path),
    }
}

/// What is at no other path.
fn schema(path: &str) -> Response<Body> {
    match SCHEMAS.iter().find(|(at, _)| *at == path) {
        Some((_, text)) => with(StatusCode::OK, SCHEMA, *text),
        None => plain(
            StatusCode::NOT_FOUND,
            "there are: / /metrics /primary /replica /readiness /liveness /status.json /history.json /events \
             /status.schema.json /history.schema.json /hook.schema.json",
        ),
    }
}

/// How this host is.
async fn host(site: &Site, path: &str, query: &Query<'_>) -> Response<Body> {
    let report = site.looks.report().await;
    let cluster = match chosen(&report, query.get("cluster").as_deref()) {
        Ok(cluster) => cluster,
        Err(words) => return plain(StatusCode::BAD_REQUEST, &words),
    };
    let health = match path {
        "/primary" => health::primary(cluster),
        "/readiness" => health::readiness(cluster),
        _ => {
            let most = match query.get("lag").map(|lag| lag.parse::<u64>()) {
                None => None,
                Some(Ok(most)) => Some(most),
                Some(Err(_)) => {
                    return plain(
                        StatusCode::BAD_REQUEST,
                        "lag: write how many transactions it may be behind, such as ?lag=100",
                    );
                }
            };
            let behind = match most {
                None => None,
                Some(_) => match site.looks.whole().await {
                    Ok(whole) => {
                        let picture = whole.pictures.iter().find(|picture| picture.cluster == cluster.name);
                        picture.and_then(Picture::own_queue)
                    }
                    Err(error) => return failed(&error),
                },
            };
            health::replica(cluster, most, behind)
        }
    };
    of_health(&health)
}

async fn switches(site: &Site, query: &Query<'_>) -> Response<Body> {
    let most = match query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => MOST_SWITCHES,
        Some(Ok(most)) => most,
        Some(Err(_)) => {
            return plain(StatusCode::BAD_REQUEST, "limit: write how many switches, such as ?limit=20");
        }
    };
    match site.looks.switches(query.get("cluster"), most).await {
        Ok(switches) => {
            let all = serde_json::json!({ "format": HISTORY_FORMAT, "switches": switches });
            with(StatusCode::OK, JSON, format!("{all}\n"))
        }
        Err(words) => plain(StatusCode::INTERNAL_SERVER_ERROR, &words),
    }
}

fn stream(site: &Site, only_head: bool) -> Response<Body> {
    let Ok(place) = Arc::clone(&site.pages).try_acquire_owned() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open here: close one");
    };
    let body = if only_head {
        Full::default().boxed_unsync()
    } else {
        StreamBody::new(events(Arc::clone(&site.looks), place)).boxed_unsync()
    };
    respond(StatusCode::OK, "text/event-stream", body)
}

fn page() -> Response<Body> {
    let mut page = with(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_MAY));
    page.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    page
}

fn of_health(health: &Health) -> Response<Body> {
    plain(if health.is_so { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health.words)
}

fn failed(error: &dyn core::fmt::Display) -> Response<Body> {
    plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

fn plain(status: StatusCode, words: &str) -> Response<Body> {
    with(status, PLAIN, format!("{words}\n"))
}

fn with(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Response<Body> {
    respond(status, kind, Full::new(content.into()).boxed_unsync())
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_by_name_and_its_escapes_are_undone() {
        let query = Query("lag=10&cluster=the%20orders%2&empty=&lag=11");
        assert_eq!(query.get("lag").as_deref(), Some("10"));
        assert_eq!(query.get("cluster").as_deref(), Some("the orders%2"));
        assert_eq!((query.get("empty").as_deref(), query.get("la")), (Some(""), None));
        assert_eq!(unescaped("%ff%"), "\u{fffd}%");
    }
}
