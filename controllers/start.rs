//! `/`: what somebody sees who opens the server's address in a browser.

use crate::api::action::Verb;
use crate::api::page::{Document, Page, PageRequest};
use crate::app::App;
use crate::base::error::Result;
use crate::base::version::BUILD;

/// The page; `{build}` is the program's version.
const PAGE: &str = include_str!("start.html");

/// Says what runs here, and where to go on.
pub struct Start;

impl Page for Start {
    const NAME: &'static str = "start";
    const METHOD: Verb = Verb::Get;
    const PATH: &'static str = "/";

    async fn answer(_: &App, _: PageRequest<'_>) -> Result<Document> {
        Ok(Document::html(PAGE.replace("{build}", BUILD)))
    }
}
