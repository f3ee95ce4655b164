//! The storage's clock: the server's, which all hosts share, unless a test sets another.

use std::borrow::Cow;
use std::sync::Arc;

use serront_core::ports::Clock;

/// The server's time in milliseconds, the same in a whole statement.
const SERVERS: &str = "floor(extract(epoch FROM statement_timestamp()) * 1000)::int8";

/// The present time, as an SQL expression.
pub(super) fn now_sql(clock: Option<&Arc<dyn Clock>>) -> Cow<'static, str> {
    clock.map_or(Cow::Borrowed(SERVERS), |clock| format!("{}::int8", clock.now().millis()).into())
}
