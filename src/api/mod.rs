//! A request's way, whoever brings it: its action is found, its caller recognised, its input read, and its answer written.
//!
//! `router` takes a request from a host and answers it; `action` is what an action is and how one is run; `page` is what is
//! answered otherwise than in JSON; `caller` has
//! the types by which actions say who may ask; `path`
//! removes what gateways put in front; `head` and `body` read what came, within bounds; `cors` tells browsers whose
//! pages may call; `invoke` asks for an action otherwise than by HTTP; `openapi` writes the
//! registry down as a document. The registry itself is handed in from above: nothing here names an action.
//!
//! Knows the application (`app`) and the rooms below it; no host, no controller, no task.

pub mod action;
mod body;
pub mod caller;
mod cors;
pub mod head;
pub mod invoke;
mod line;
pub mod openapi;
pub mod page;
mod paging;
pub mod path;
mod refused;
pub mod router;
mod routes;
pub mod schemas;
