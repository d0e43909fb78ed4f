//! Where the log goes: one JSON line an event for a log service, something readable for a person.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::base::error::StartError;
use crate::config::Config;
use crate::store::LOG_FILTER;

/// One JSON line an event to a log service; something readable to a person.
pub(super) fn start(config: &Config) -> Result<(), StartError> {
    let filter = EnvFilter::try_new(format!("{LOG_FILTER},{}", config.log))
        .map_err(|fault| StartError::new("GUILDHALL_LOG", fault))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.compact().init();
    } else {
        log.json().flatten_event(true).with_current_span(true).with_span_list(false).init();
    }
    Ok(())
}
