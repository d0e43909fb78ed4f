//! The API's table of contents. An action that is not listed here can't be reached.
//!
//! One URL prefix a file or folder. A controller reads what is asked, has a service do it, and writes what is answered.
//! Knows what an action is (`api`), what the chat does (`service`), and the rooms below; no host, no other controller, and
//! no SQL.

use crate::api::action::Entry;
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
pub const ACTIONS: &[Entry] = &[
    Entry::of::<channel::CreateChannel>(),
    Entry::of::<channel::DirectChannel>(),
    Entry::of::<channel::JoinChannel>(),
    Entry::of::<channel::LeaveChannel>(),
    Entry::of::<channel::AddMembers>(),
    Entry::of::<channel::RemoveMembers>(),
    Entry::of::<channel::ChannelInfo>(),
    Entry::of::<channel::ChannelMembers>(),
    Entry::of::<channel::role::ChannelRole>(),
    Entry::of::<channel::online::ChannelOnline>(),
    Entry::of::<channel::Inbox>(),
    Entry::of::<channel::MarkRead>(),
    Entry::of::<message::SendMessage>(),
    Entry::of::<message::ListMessages>(),
    Entry::of::<message::SyncMessages>(),
    Entry::of::<message::RecallMessage>(),
    Entry::of::<message::MessageOriginals>(),
    Entry::by_get_too::<message::MessageOriginals>(),
    Entry::of::<announcement::CreateAnnouncement>(),
    Entry::of::<announcement::ActiveAnnouncements>(),
    Entry::of::<announcement::ListAnnouncements>(),
    Entry::of::<announcement::PreviewAnnouncement>(),
    Entry::of::<announcement::CancelAnnouncement>(),
    Entry::of::<schedule::CreateSchedule>(),
    Entry::of::<schedule::ListSchedules>(),
    Entry::of::<schedule::CancelSchedule>(),
    Entry::of::<device::RegisterDevice>(),
    Entry::of::<device::UnregisterDevice>(),
    Entry::of::<device::PreferDevice>(),
    Entry::of::<ticket::OpenTicket>(),
    Entry::of::<ticket::OwnTickets>(),
    Entry::of::<ticket::TicketQueue>(),
    Entry::of::<ticket::ClaimTicket>(),
    Entry::of::<ticket::ReplyToTicket>(),
    Entry::of::<ticket::CloseTicket>(),
    Entry::callback::<ticket::CheckWechat>(),
    Entry::callback::<ticket::TakeWechat>(),
    Entry::of::<rank::ReportRank>(),
    Entry::callback::<payment::PaymentCallback>(),
    Entry::callback::<payment::WechatPayment>(),
    Entry::of::<report::ReportMessage>(),
    Entry::of::<report::ReportPlayer>(),
    Entry::of::<case::CaseQueue>(),
    Entry::of::<case::ShowCase>(),
    Entry::of::<case::ClaimCase>(),
    Entry::of::<case::DecideCase>(),
    Entry::of::<appeal::SubmitAppeal>(),
    Entry::of::<appeal::OwnAppeals>(),
    Entry::of::<appeal::AppealQueue>(),
    Entry::of::<appeal::DecideAppeal>(),
    Entry::of::<player::OwnSanctions>(),
    Entry::of::<player::BlockPlayer>(),
    Entry::of::<player::UnblockPlayer>(),
    Entry::of::<player::OwnBlocks>(),
    Entry::of::<player::PlayerRecord>(),
    Entry::of::<player::PurgePlayer>(),
    Entry::of::<player::ExportPlayer>(),
    Entry::of::<player::ErasePlayer>(),
    Entry::of::<sanction::GiveSanction>(),
    Entry::of::<sanction::LiftSanction>(),
    Entry::of::<sanction::ListSanctions>(),
    Entry::of::<audit::ListAudit>(),
    Entry::of::<wordlist::WordlistStatus>(),
    Entry::of::<wordlist::TestWordlist>(),
    Entry::of::<wordlist::RefreshWordlist>(),
    Entry::of::<wordlist::WordlistHits>(),
    Entry::of::<task::SubmitTask>(),
    Entry::of::<task::TaskStatus>(),
    Entry::of::<task::ShowTask>(),
    Entry::of::<task::ListTasks>().preview(),
    Entry::of::<health::Live>(),
    Entry::of::<health::Ready>(),
    Entry::of::<meta::Version>(),
    Entry::of::<meta::OpenApi>(),
];
