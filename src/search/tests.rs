//! The search on real databases: SQLite always, PostgreSQL where `CANDOR_TEST_POSTGRES` names one.

mod bed;
mod includes;
mod oracle;
mod pages;
mod parameters;
mod plans;
mod random;
mod soundings;
mod visible;
