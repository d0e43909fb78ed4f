//! `/meta/*`: what this is, for tools.

use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::action::{Action, Route};
use crate::api::caller::Anyone;
use crate::api::openapi;
use crate::app::App;
use crate::base::error::Result;
use crate::base::version::BUILD;

/// Version of the server that answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Version {}

/// A version.
#[derive(Serialize, JsonSchema)]
pub struct VersionInfo {
    name: &'static str,
    /// The published version's number, `$LATEST`, or the build where there is none.
    version: String,
    /// The package's version.
    package: &'static str,
    /// The package's version with the commit behind it, where a release built it.
    build: &'static str,
}

impl Action for Version {
    const ROUTE: Route = Route::get("/meta/version");
    type Caller = Anyone;
    type Reply = VersionInfo;

    async fn run(self, app: &App, _: Anyone) -> Result<VersionInfo> {
        let version = app.config.version.clone();
        Ok(VersionInfo { name: "guildhall", version, package: env!("CARGO_PKG_VERSION"), build: BUILD })
    }
}

/// This API as an OpenAPI 3.1 document, in `data`; `guildhall openapi` prints the same, bare.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenApi {}

impl Action for OpenApi {
    const ROUTE: Route = Route::get("/meta/openapi");
    type Caller = Anyone;
    type Reply = &'static Value;

    async fn run(self, app: &App, _: Anyone) -> Result<&'static Value> {
        // Made once: anybody may ask for it, and making it takes 3 ms.
        static DOCUMENTS: [OnceLock<Value>; 2] = [OnceLock::new(), OnceLock::new()];
        let latest = app.config.is_latest();
        Ok(DOCUMENTS[usize::from(latest)]
            .get_or_init(|| openapi::document(super::ACTIONS, super::about, latest)))
    }
}
