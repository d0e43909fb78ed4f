//! Who may ask: the types that actions name as their callers.
//!
//! Permissions are types. An action says `type Caller = Server`, and can't be entered with less.

use std::ops::Deref;

use http::HeaderMap;

use crate::app::App;
use crate::base::error::{Error, Result};
use crate::chat::identity::{Identity, Scope};

/// Somebody whom an action may ask for.
pub trait Caller: Sized + Send {
    /// The scopes that are enough, as the OpenAPI document shows them; empty where nobody is asked.
    const SCOPES: &'static [Scope];

    /// Recognises the caller. The second half is what the log says of them.
    ///
    /// # Errors
    /// 401 without a good token, 403 with one that is not enough.
    fn recognise(app: &App, headers: &HeaderMap) -> Result<(Self, Option<Identity>)>;
}

/// Whoever asks; no token is looked at.
pub struct Anyone;

impl Caller for Anyone {
    const SCOPES: &'static [Scope] = &[];
    fn recognise(_: &App, _: &HeaderMap) -> Result<(Self, Option<Identity>)> {
        Ok((Self, None))
    }
}

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident: $($scope:ident),+;)*) => {$(
        $(#[$doc])*
        pub struct $name(Identity);

        impl Deref for $name {
            type Target = Identity;
            fn deref(&self) -> &Identity {
                &self.0
            }
        }

        impl Caller for $name {
            const SCOPES: &'static [Scope] = &[$(Scope::$scope),+];
            fn recognise(app: &App, headers: &HeaderMap) -> Result<(Self, Option<Identity>)> {
                let identity = allowed(app, headers, Self::SCOPES)?;
                Ok((Self(identity.clone()), Some(identity)))
            }
        }
    )*};
}

callers! {
    /// A person in the game: a player, or a moderator, who is one too.
    Player: Player, Moderator;
    /// A caller who keeps order: a moderator, or the game's server.
    Moderator: Moderator, Server;
    /// The game's own server.
    Server: Server;
    /// Anybody with a token.
    Known: Player, Moderator, Server;
}

fn allowed(app: &App, headers: &HeaderMap, scopes: &[Scope]) -> Result<Identity> {
    let identity = app.tokens.identify(headers, app.clock.now())?;
    if scopes.contains(&identity.scope) {
        return Ok(identity);
    }
    let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let message = format!("this needs a token whose scope is {}", words.join(" or "));
    Err(Error::Forbidden { reason: "scope", message })
}
