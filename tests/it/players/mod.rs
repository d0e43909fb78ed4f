//! What players have besides chat: who they are, ranks, devices, payments, tickets.

pub mod auth;
pub mod devices;
pub mod identity;
pub mod payment_google;
pub mod payment_providers;
pub mod payments;
pub mod push_services;
pub mod rank;
pub mod tickets;
pub mod tickets_wechat;
