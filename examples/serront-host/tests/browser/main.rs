//! The pages in a real browser: Debian's Chromium, driven through everything that a buyer, a seller and an operator do.
//!
//! ```text
//! test ─▶ Browser ─▶ chromedriver ─▶ chromium ─▶ the real binary ─▶ SQLite
//!           └─ axe-core, screenshots                └─▶ a sandbox of Plugipay, with its hosted page
//! ```
//!
//! Each browser is a separate process with a fresh profile, in one language, on one screen, with scripts or without. Tests don't
//! sleep: they wait for a condition, and fail after a generous time. If a tool is missing, the test fails and names it. Images of
//! each page are saved in `screenshots/` in the build folder, for people to look at.
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
