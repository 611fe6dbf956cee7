//! Bounds on what one query may ask for; beyond them it is refused with 400.

/// Parameters in one query.
pub const PARAMS: usize = 100;
/// Alternatives in one parameter.
pub const VALUES: usize = 500;
/// Alternatives in one query, all parameters together.
pub const ALL_VALUES: usize = 2_000;
/// Characters of one parameter, name or value (a list of 500 references with UUIDs fits).
pub const LENGTH: usize = 32_768;
/// Characters of one string or uri; index rows hold no more.
pub const TEXT: usize = 1_024;
/// Hops of a chain or of nested `_has`.
pub const DEPTH: usize = 4;
/// Keys of `_sort`.
pub const SORTS: usize = 5;
/// `_include` and `_revinclude` together.
pub const INCLUDES: usize = 40;
/// `_count` when the query does not say.
pub const DEFAULT_COUNT: u32 = 20;
/// The largest page.
pub const MAX_COUNT: u32 = 1_000;
