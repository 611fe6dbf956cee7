//! Search: index rows from resources ([`extract`]), and queries from URLs (parse -> plan -> SQL).

pub mod extract;
