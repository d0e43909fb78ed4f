//! Pages of browser games: which of them may call, and how browsers are told.
//!
//! No cookies are used, so nothing is allowed with credentials: a page needs a token like anybody else.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

use crate::config::Origins;

/// Response headers that pages may read beside the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("x-request-id, x-guildhall-version, retry-after");
/// Seconds for which a browser need not ask again.
const REMEMBERED_S: HeaderValue = HeaderValue::from_static("7200");

/// Does a browser ask whether a page may call?
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds to an answer what the request's page may know. Nothing for pages that may not call: then the browser stops them.
pub(super) fn allow(origins: &Origins, request: &HeaderMap, answer: &mut HeaderMap, preflight: bool) {
    let Origins::Some(known) = origins else {
        if matches!(origins, Origins::All) && request.contains_key(ORIGIN) {
            write(HeaderValue::from_static("*"), answer, preflight);
        }
        return;
    };
    // The answer depends on who asks, so caches must not give it to another.
    answer.append(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = request.get(ORIGIN)
        && known.iter().any(|known| known.as_bytes() == origin.as_bytes())
    {
        write(origin.clone(), answer, preflight);
    }
}

fn write(origin: HeaderValue, answer: &mut HeaderMap, preflight: bool) {
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    if preflight {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        let headers = HeaderValue::from_static("authorization, content-type, x-request-id");
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        answer.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED_S);
    }
}
