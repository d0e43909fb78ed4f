//! All that an action or a task may touch, built once, by one function, for the program and for its tests.

use std::sync::{Arc, Mutex};

use crate::access::rate::Rates;
use crate::access::token::Tokens;
use crate::base::clock::Clock;
use crate::base::error::{Error, Result, StartError};
use crate::chat::identity::{Identity, Scope};
use crate::chat::recent::RecentTexts;
use crate::chat::repeats::Repeats;
use crate::chat::said::NewMessage;
use crate::chat::screening::{Judged, Screen};
use crate::chat::values::Limit;
use crate::config::data_folder::{self, Presence};
use crate::config::{Config, Platform, WebhookConfig};
use crate::filter::{Budget, Finds};
use crate::outside::broker::Queue;
use crate::outside::bus::Bus;
use crate::outside::calls::Calls;
use crate::outside::held::Held;
use crate::outside::pace::Paced;
use crate::outside::payments::Payments;
use crate::outside::push::Push;
use crate::outside::webhooks::Poster;
use crate::outside::wechat_service::WechatService;
use crate::store::Db;
use crate::wordlist::in_use::{Blocklist, Loaded};

/// Most bytes of a send that is judged on the request's own thread: more could take a millisecond, in which others
/// wait.
const LONG_BYTES: usize = 512;
/// Callbacks of one address that are refused, before it is not listened to for a while.
const REFUSED_CALLBACKS: Option<Limit> = Some(Limit { count: 30, window_ms: 60_000 });

/// The application.
pub struct App {
    /// Settings, from the environment.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Verifier of callers' tokens.
    pub tokens: Tokens,
    /// Limit on callers' requests.
    pub rates: Rates,
    /// Limit on players' joining and leaving.
    pub joins: Rates,
    /// Limit on refused callbacks from one address.
    pub callbacks: Rates,
    /// Wordlist in use: words that may not be said.
    pub blocklist: Blocklist,
    /// Senders' texts of a moment ago.
    pub recent: RecentTexts,
    /// Texts that players say again and again.
    pub repeats: Repeats,
    /// Clock that tells the current time.
    pub clock: Clock,
    /// Is this the only process on the embedded default's folder, as far as was known at its start?
    pub alone: bool,
    /// Tells other processes what was stored, where there is a bus.
    pub bus: Option<Bus>,
    /// Carries tasks to workers, where there is a broker; else the outbox itself is the queue.
    pub queue: Option<Queue>,
    /// Makes calls to others' servers.
    pub calls: Arc<Calls>,
    /// Tasks that their receiver does not take, while it takes others.
    pub held: Mutex<Held>,
    /// Posts events to the game's server.
    pub webhooks: Option<Poster>,
    /// Tells players' devices.
    pub push: Push,
    /// Payment providers that call back.
    pub payments: Payments,
    /// `WeChat`'s customer service, if it is set up.
    pub wechat_service: Option<WechatService>,
    /// Tells ranks, so many a second.
    pub ranks: Option<Paced<Poster>>,
    _presence: Option<Presence>,
}

impl App {
    /// Opens, reads and checks everything that the configuration names.
    ///
    /// # Errors
    /// The first part that can't be used.
    pub async fn start(config: Config, clock: Clock) -> Result<Arc<Self>, StartError> {
        let secret = match &config.token_secret {
            Some(secret) => secret.clone(),
            None => data_folder::secret(&config.data)?,
        };
        let tokens = Tokens::new(&secret, &config.token_keys, config.token_audience.clone())
            .map_err(|fault| StartError::new("the environment", fault))?;
        let presence = match &config.database_url {
            None => {
                data_folder::prepare(&config.data)?;
                Some(data_folder::enter(&config.data)?)
            }
            Some(_) => None,
        };
        let alone = presence.as_ref().is_some_and(|presence| presence.alone);
        // Both ask others and wait for them, or compute: a cold start does both at once.
        let (db, blocklist) =
            tokio::join!(Db::open(&config, clock.clone()), Blocklist::start(&config, clock.clone()));
        let db = db.map_err(|fault| StartError::new("opening the database", fault))?;
        let calls = Calls::new(config.services.private_hosts.clone(), clock.clone()).map(Arc::new);
        let calls = calls.map_err(|fault| StartError::new("preparing calls to others", fault))?;
        let poster = |to: &WebhookConfig| Poster::new(Arc::clone(&calls), to.clone());
        let webhooks = config.webhook.as_ref().map(poster);
        let ranks = config.services.rank.as_ref().map(|rank| Paced::new(poster(&rank.provider), rank.per_s));
        let payments = Payments::new(&config.services.payments);
        let payments = payments.map_err(|fault| StartError::new("the environment", fault))?;
        let wechat_service = config.services.wechat_service.as_ref().map(WechatService::new).transpose();
        let wechat_service = wechat_service.map_err(|fault| StartError::new("the environment", fault))?;
        let push = Push::new(&config.services.push, &calls, clock.clone());
        let push = push.map_err(|fault| StartError::new("the environment", fault))?;
        let google = config.services.payments.google.is_some();
        // A function's first call will tell.
        if config.platform == Platform::Own
            && (webhooks.is_some() || ranks.is_some() || push.is_on() || google)
        {
            calls.prepare().map_err(|fault| StartError::new("preparing calls to others", fault))?;
        }
        let queue = queue(&config)?;
        let bus = match &config.bus {
            Some(bus) => Some(Bus::new(bus, config.is_latest(), db.hub()).await),
            None => None,
        };
        let bus = bus.transpose().map_err(|fault| StartError::new("preparing the bus's client", fault))?;
        let rates = Rates::new(config.rate);
        let joins = Rates::of(("joins", "too much coming and going"), config.moderation.join_limit);
        let callbacks = Rates::of(("callbacks", "too many callbacks that were refused"), REFUSED_CALLBACKS);
        let recent = RecentTexts::new(config.filter_window_ms);
        let repeats = Repeats::new(config.moderation.repeats);
        Ok(Arc::new(Self {
            rates,
            joins,
            callbacks,
            recent,
            repeats,
            config,
            db,
            tokens,
            blocklist,
            clock,
            bus,
            queue,
            calls,
            held: Mutex::default(),
            webhooks,
            push,
            payments,
            wechat_service,
            ranks,
            alone,
            _presence: presence,
        }))
    }

    /// Returns the filter and the settings by which names and sends are screened now.
    pub fn screen<'a>(&self, list: &'a Loaded) -> Screen<'a> {
        let Config { display_safety, filter_names, .. } = self.config;
        Screen { filter: &list.filter, wordlist: &list.version, display_safety, names: filter_names }
    }

    /// Judges a send by a list.
    ///
    /// # Errors
    /// The filter panicked.
    pub async fn judged(&self, list: &Arc<Loaded>, said: &NewMessage, sender: &Identity) -> Result<Judged> {
        if sender.scope == Scope::Server {
            return Ok(Judged::default());
        }
        let before = self.recent.of(said, sender, self.clock.now());
        if said.bytes() <= LONG_BYTES {
            return Ok(Judged::of(&list.filter, &before, said));
        }
        let (list, said) = (Arc::clone(list), said.clone());
        Self::aside(move || Judged::of(&list.filter, &before, &said)).await
    }

    /// Searches any text for the entries of a list.
    ///
    /// # Errors
    /// The filter panicked.
    pub async fn found(&self, list: &Arc<Loaded>, text: &str) -> Result<Finds> {
        let (list, text) = (Arc::clone(list), text.to_owned());
        Self::aside(move || list.filter.find(&text, &mut Budget::of(text.len()))).await
    }

    /// Does what takes a while beside the threads that answer requests.
    async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(work)).await.map_err(Error::internal)
    }
}

fn queue(config: &Config) -> Result<Option<Queue>, StartError> {
    let new = |kafka| Queue::new(kafka, config.tasks.remembered_ms);
    let queue = config.kafka.as_ref().map(new).transpose();
    queue.map_err(|fault| StartError::new("preparing the broker's client", fault))
}
