//! The table: Parquet derived from the journal, which is what people query.

pub mod decode;
pub mod encode;
pub mod partition;
pub mod row;
pub mod schema;
