//! Tables over the engine; the numbers in the names are those of the release cases.

mod copies;
mod delays;
mod directives;
mod holds;
mod kit;
mod merging;
mod packs;
mod profiles;
mod properties;
mod psychotherapy;
mod redaction;
mod research;
mod shipped;
mod words;
