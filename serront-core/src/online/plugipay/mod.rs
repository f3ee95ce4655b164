//! Plugipay's published wire (contract, section 4): how calls are signed, what they say, and how answers and
//! notifications are read.
//!
//! What it is not: a client. The [`Plugipay`](crate::ports::Plugipay) port sends; this module makes the calls that it is
//! given and reads what it answers. Answers are read strictly in what we use, and whatever else they hold is passed over.

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
