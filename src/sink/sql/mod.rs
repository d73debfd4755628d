//! The SQL of both dialects, as pure functions: tables in, text out.

pub mod ddl;
pub mod dialect;
pub mod literal;
pub mod rows;
pub mod select;
pub mod times;
pub mod upsert;
