//! The pages in a real browser: Debian's Chromium, driven through everything that a buyer, a seller and an operator do.
//!
//! ```text
//! test ─▶ Browser ─▶ chromedriver ─▶ chromium ─▶ the real binary ─▶ SQLite
//!           └─ axe-core, screenshots                └─▶ a sandbox of Plugipay, with its hosted page
//! ```
//!
//! Each browser is a process of its own with a fresh profile, in one language, on one screen, with scripts or without. Nothing
//! here is timed: what has to happen is waited for, and fails the test after a generous while. Where a tool is missing the test
//! fails and says which. Images of each page are left in `screenshots/` beside what is built, to be looked at by people.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod axe;
mod browser;
mod buyers;
mod chrome;
mod forms;
mod gallery;
mod money;
mod plain;
mod receipts;
mod scripts;
mod sellers;
mod sessions;
mod stage;
#[path = "../support/mod.rs"]
mod support;
