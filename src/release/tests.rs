//! Tables over the engine; the numbers in the names are those of the release cases.

mod kit;
mod packs;
mod psychotherapy;
mod shipped;
