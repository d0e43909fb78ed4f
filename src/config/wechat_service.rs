//! The variables of `WeChat`'s customer service, whose messages become tickets.

use super::keys::source;
use super::{KeySource, Reader};

/// An account whose customers' messages are pushed here.
#[derive(Clone, Debug)]
pub struct WechatService {
    /// Token that signs.
    pub token: KeySource,
    /// In secure mode the app's id, and the key that messages are encrypted with.
    pub secure: Option<(String, KeySource)>,
}

pub(super) fn read(env: &mut Reader<'_>) -> Option<WechatService> {
    let token = source(
        env,
        ("GUILDHALL_TICKET_WECHAT_TOKEN", "GUILDHALL_TICKET_WECHAT_TOKEN_FILE"),
        "token of WeChat's message push, as its console has it; customers' messages become tickets",
    );
    let key = source(
        env,
        ("GUILDHALL_TICKET_WECHAT_KEY", "GUILDHALL_TICKET_WECHAT_KEY_FILE"),
        "EncodingAESKey of the same, 43 letters and digits, for secure mode; messages that are not encrypted are refused then",
    );
    let app = env.optional(
        "GUILDHALL_TICKET_WECHAT_APP",
        "none",
        "id of the app (appid) that encrypted messages are for; required with the key",
        |text| Ok(text.trim().to_owned()),
    );
    if app.is_some() != key.is_some() || (key.is_some() && token.is_none()) {
        env.fault(
            "GUILDHALL_TICKET_WECHAT_KEY",
            "is set up in part: secure mode takes token, key and the app's id",
        );
    }
    Some(WechatService { token: token?, secure: app.zip(key) })
}
