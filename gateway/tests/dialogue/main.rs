//! Order entry and its strategies, line by line: what they say to an exchange whose every answer is written
//! down here, byte by byte from the specification's tables.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod account;
mod carried;
mod crossings;
mod desk;
mod exchange;
mod limits;
mod orders;
mod past;
mod quoter;
mod stage;
mod table;
mod terms;
