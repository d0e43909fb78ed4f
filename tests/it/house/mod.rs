//! The rules of the house, held by reading the program, its registries and its documents.

pub mod architecture;
pub mod authorisation;
pub mod clients;
pub mod config;
pub mod documents;
pub mod examples;
pub mod homes;
pub mod registry;
pub mod replies;
pub mod words;
