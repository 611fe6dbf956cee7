//! Candor: a FHIR R4 server that gives patients their record the moment it is final, and can prove
//! why anything was held back.
//!
//! `ARCHITECTURE.md` draws the path a record takes; the modules below are listed bottom to top, and
//! a module uses only those above it in this list (`tests/it/architecture.rs` holds that).

pub mod clock;
pub mod config;
pub mod keys;
pub mod sql;

pub mod fhir;
pub mod fhirpath;

pub mod release;

pub mod visibility;

pub mod store;

pub mod search;

pub mod texts;

pub mod smart;

pub mod rest;

pub mod observe;

pub mod app;

pub mod cli;
