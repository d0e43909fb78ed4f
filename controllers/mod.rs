//! The API's table of contents. An action that is not listed here can't be reached.
//!
//! One URL prefix a file or folder. A controller reads what is asked, has a service do it, and writes what is answered.
//! Knows what an action is (`api`), what the chat does (`service`), and the rooms below; no host, no other controller, and
//! no SQL.

use crate::api::action::ActionEntry;
use crate::api::page::PageEntry;

pub mod announcement;
pub mod appeal;
pub mod audit;
pub mod case;
pub mod channel;
pub mod device;
pub mod health;
pub mod message;
pub mod meta;
pub mod payment;
pub mod player;
pub mod rank;
pub mod report;
pub mod sanction;
pub mod schedule;
pub mod start;
pub mod task;
pub mod ticket;
pub mod wordlist;

/// Returns the purpose of a controller, as the API's document says it.
pub fn about(controller: &str) -> String {
    let text = match controller {
        "announcement" => "Announcements of the game to many: now, at a time, or again and again.",
        "appeal" => "Objections of players to sanctions, which somebody looks at again.",
        "audit" => "Log of all that was done about players: by whom, and why.",
        "case" => "Reports that belong together, for moderators to decide.",
        "channel" => "Channels, their members, and read marks.",
        "device" => "Devices that are notified while their player is away.",
        "health" => "Health checks.",
        "message" => "Messages: send, read, wait for news, recall.",
        "meta" => "This document and the build, for tools.",
        "payment" => "Callbacks of payment providers.",
        "player" => "One player: blocks, sanctions, record, export and erasure of their data.",
        "rank" => "Values for boards that others keep.",
        "report" => "Reports of messages and players.",
        "sanction" => "Sanctions: given, lifted, proposed.",
        "schedule" => "Schedules: tasks at a time, or again and again.",
        "task" => "Slow tasks: enqueued, waiting, dead.",
        "ticket" => "Tickets: questions of players to the game's support.",
        "wordlist" => "The wordlist in use, and its verdict on a text.",
        _ => "",
    };
    text.to_owned()
}

/// Every page: answers that are not JSON.
pub const PAGES: &[PageEntry] = &[PageEntry::of::<start::Start>()];

/// Every action, by controller.
pub const ACTIONS: &[ActionEntry] = &[
    ActionEntry::of::<channel::CreateChannel>(),
    ActionEntry::of::<channel::DirectChannel>(),
    ActionEntry::of::<channel::JoinChannel>(),
    ActionEntry::of::<channel::LeaveChannel>(),
    ActionEntry::of::<channel::AddMembers>(),
    ActionEntry::of::<channel::RemoveMembers>(),
    ActionEntry::of::<channel::ChannelInfo>(),
    ActionEntry::of::<channel::ChannelMembers>(),
    ActionEntry::of::<channel::role::ChannelRole>(),
    ActionEntry::of::<channel::online::ChannelOnline>(),
    ActionEntry::of::<channel::Inbox>(),
    ActionEntry::of::<channel::MarkRead>(),
    ActionEntry::of::<message::SendMessage>(),
    ActionEntry::of::<message::ListMessages>(),
    ActionEntry::of::<message::SyncMessages>(),
    ActionEntry::of::<message::RecallMessage>(),
    ActionEntry::of::<message::MessageOriginals>(),
    ActionEntry::by_get_too::<message::MessageOriginals>(),
    ActionEntry::of::<announcement::CreateAnnouncement>(),
    ActionEntry::of::<announcement::ActiveAnnouncements>(),
    ActionEntry::of::<announcement::ListAnnouncements>(),
    ActionEntry::of::<announcement::PreviewAnnouncement>(),
    ActionEntry::of::<announcement::CancelAnnouncement>(),
    ActionEntry::of::<schedule::CreateSchedule>(),
    ActionEntry::of::<schedule::ListSchedules>(),
    ActionEntry::of::<schedule::CancelSchedule>(),
    ActionEntry::of::<device::RegisterDevice>(),
    ActionEntry::of::<device::UnregisterDevice>(),
    ActionEntry::of::<device::PreferDevice>(),
    ActionEntry::of::<ticket::OpenTicket>(),
    ActionEntry::of::<ticket::OwnTickets>(),
    ActionEntry::of::<ticket::TicketQueue>(),
    ActionEntry::of::<ticket::ClaimTicket>(),
    ActionEntry::of::<ticket::ReplyToTicket>(),
    ActionEntry::of::<ticket::CloseTicket>(),
    ActionEntry::callback::<ticket::CheckWechat>(),
    ActionEntry::callback::<ticket::TakeWechat>(),
    ActionEntry::of::<rank::ReportRank>(),
    ActionEntry::callback::<payment::PaymentCallback>(),
    ActionEntry::callback::<payment::WechatPayment>(),
    ActionEntry::of::<report::ReportMessage>(),
    ActionEntry::of::<report::ReportPlayer>(),
    ActionEntry::of::<case::CaseQueue>(),
    ActionEntry::of::<case::ShowCase>(),
    ActionEntry::of::<case::ClaimCase>(),
    ActionEntry::of::<case::DecideCase>(),
    ActionEntry::of::<appeal::SubmitAppeal>(),
    ActionEntry::of::<appeal::OwnAppeals>(),
    ActionEntry::of::<appeal::AppealQueue>(),
    ActionEntry::of::<appeal::DecideAppeal>(),
    ActionEntry::of::<player::OwnSanctions>(),
    ActionEntry::of::<player::BlockPlayer>(),
    ActionEntry::of::<player::UnblockPlayer>(),
    ActionEntry::of::<player::OwnBlocks>(),
    ActionEntry::of::<player::PlayerRecord>(),
    ActionEntry::of::<player::PurgePlayer>(),
    ActionEntry::of::<player::ExportPlayer>(),
    ActionEntry::of::<player::ErasePlayer>(),
    ActionEntry::of::<sanction::GiveSanction>(),
    ActionEntry::of::<sanction::LiftSanction>(),
    ActionEntry::of::<sanction::ListSanctions>(),
    ActionEntry::of::<audit::ListAudit>(),
    ActionEntry::of::<wordlist::WordlistStatus>(),
    ActionEntry::of::<wordlist::TestWordlist>(),
    ActionEntry::of::<wordlist::RefreshWordlist>(),
    ActionEntry::of::<wordlist::WordlistHits>(),
    ActionEntry::of::<task::SubmitTask>(),
    ActionEntry::of::<task::TaskStatus>(),
    ActionEntry::of::<task::ShowTask>(),
    ActionEntry::of::<task::ListTasks>().preview(),
    ActionEntry::of::<health::Live>(),
    ActionEntry::of::<health::Ready>(),
    ActionEntry::of::<meta::Version>(),
    ActionEntry::of::<meta::OpenApi>(),
];
