//! Databases: what `PostgreSQL` and SQLite do with our statements, migrations, growth, and how long rows live.

pub mod growth;
pub mod growth_known;
pub mod growth_rows;
pub mod growth_sqlite;
pub mod life;
pub mod migrations;
pub mod postgres;
pub mod postgres_faults;
pub mod postgres_hangups;
pub mod postgres_indexes;
pub mod postgres_known;
pub mod shards;
