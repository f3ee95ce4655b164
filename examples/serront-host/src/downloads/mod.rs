//! Files that both the API and the dashboard send.

mod ledger_csv;
mod receipt;

pub(crate) use ledger_csv::{entry_filter, ledger_csv};
pub(crate) use receipt::receipt;
