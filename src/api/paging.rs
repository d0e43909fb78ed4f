//! How the router answers for pages: the same limits, log and figures as for actions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::ETAG;
use http::request::Parts;

use super::body::Body;
use super::head::client_ip;
use super::page::{Document, PageBody, PageEntry, PageRequest};
use super::router::{Answer, Exchange, Router};
use super::routes::PagesAt;
use crate::base::error::{Error, Result};
use crate::base::panic::caught;
use crate::base::{seat, trace};

impl Router {
    /// The pages of a request's path.
    pub(super) fn pages_of<'p>(&'p self, parts: &'p Parts) -> Option<PagesAt<'p>> {
        self.pages.at(self.path_of(parts))
    }

    /// Returns the most bytes of a body that a page takes piece by piece; none if no page takes it so.
    pub(super) fn page_body_limit(&self, parts: &Parts) -> Option<usize> {
        if !self.pages.take_bodies() {
            return None;
        }
        let limit = self.pages_of(parts)?.body_bytes();
        (limit > 0 && self.methods(parts).is_none()).then_some(limit)
    }

    /// Answers for a page.
    pub(super) async fn answer_page(
        &self,
        pages: PagesAt<'_>,
        exchange: &Exchange<'_>,
        body: Body,
        started: Instant,
    ) -> Answer {
        let page = pages.of(&exchange.parts.method);
        let result = match page {
            Some(page) => self.run_page(page, pages.rest, exchange, body).await,
            None => self.count(exchange).and(Err(Error::MethodNotAllowed { allow: pages.allowed() })),
        };
        let result = result.map(|document| document.unless_known(&exchange.parts.headers));
        let took = started.elapsed().saturating_sub(seat::waited());
        let outcome = result.as_ref().map(|document| document.status);
        let summary = self.log(page.map(Into::into), exchange, outcome, took);
        let mut answer = match result {
            Ok(Document { status, headers, body }) => {
                let mut answer = self.write(Ok(body), exchange.request_id);
                *answer.status_mut() = status;
                answer.headers_mut().extend(headers);
                answer
            }
            Err(error) => {
                let refusal = page.and_then(|page| (page.refusal)(&error));
                let mut answer = self.write(Err(error), exchange.request_id);
                if let Some(Document { headers, body, .. }) = refusal {
                    answer.headers_mut().extend(headers);
                    // An error is not to be taken for the page, later.
                    answer.headers_mut().remove(ETAG);
                    *answer.body_mut() = body;
                }
                answer
            }
        };
        if exchange.parts.method == http::Method::HEAD {
            *answer.body_mut() = Bytes::new();
        }
        if exchange.invocation.is_some() {
            answer.extensions_mut().insert(summary);
        }
        answer
    }

    async fn run_page(
        &self,
        page: &PageEntry,
        rest: &str,
        exchange: &Exchange<'_>,
        body: Body,
    ) -> Result<Document> {
        self.count(exchange)?;
        let Exchange { parts, request_id, notes, .. } = exchange;
        let body = if page.body_bytes == 0 { PageBody::none() } else { body.pieces()? };
        let asked = PageRequest {
            headers: &parts.headers,
            address: client_ip(parts, &self.app.config.trusted_proxies),
            query: self.query_of(parts)?,
            rest,
            body,
            notes,
        };
        let answering = caught(trace::with(request_id, (page.answer)(&self.app, asked)));
        match tokio::time::timeout(self.limit(parts, Duration::ZERO), answering).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Error::internal(panic)),
            Err(_) => Err(Error::Unavailable("this took too long")),
        }
    }
}
