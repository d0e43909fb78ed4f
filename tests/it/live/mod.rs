//! Sockets, presence, and the bus between servers.

pub mod bus;
pub mod presence;
pub mod sockets;
pub mod sockets_broken;
pub mod sockets_protocol;
pub mod sockets_rights;
pub mod unreadable;
