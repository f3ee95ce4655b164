//! Plugipay's published API (wire contract, section 4): builds and signs calls, parses answers and notifications.
//!
//! It is not a client: the [`Plugipay`](crate::ports::Plugipay) port sends the calls. Parsing is strict for the fields
//! that we use, and ignores all others.

mod answers;
mod call;
mod calls;
mod signing;

pub use answers::{
    EndpointListed, Minted, Notification, Observation, ProviderEntry, Unreadable, Workspace, endpoint, endpoints,
    ledger_entries, named_merchant,
};
pub use call::{PlugipayAnswer, PlugipayCall, PlugipayMethod};
pub use calls::{
    EVENTS, NOTIFIED_PATH, Returns, cancel_session, create_endpoint, create_session, create_workspace, delete_endpoint,
    get_session, list_endpoints, list_ledger, session_request,
};
pub use signing::{EndpointSecret, authorization, verify};
