//! One call and its answer, as values.

/// The methods that Plugipay's API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlugipayMethod {
    /// GET.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

impl PlugipayMethod {
    /// The method's name, as sent and as signed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One call, with the exact bytes that will be signed. After an unknown outcome the identical bytes are sent again.
#[derive(Clone, PartialEq, Eq)]
pub struct PlugipayCall {
    /// The HTTP method.
    pub method: PlugipayMethod,
    /// Path and query.
    pub path: String,
    /// The merchant for which the call is made. `None` for provisioning.
    pub on_behalf_of: Option<String>,
    /// Our idempotency key for Plugipay, on calls that create something. Not the one that our caller sent.
    pub idempotency_key: Option<String>,
    /// The body. Empty if the call has none.
    pub body: String,
}

impl std::fmt::Debug for PlugipayCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PlugipayCall({:?}, …)", self.method)
    }
}

/// An answer from Plugipay.
#[derive(Clone, PartialEq, Eq)]
pub struct PlugipayAnswer {
    /// The envelope's `data`, as JSON text.
    pub data: String,
    /// The cursor of a list's next page. `None` on the last page and for other answers.
    pub cursor: Option<String>,
}

/// `Debug` does not show the data, which may contain a secret.
impl std::fmt::Debug for PlugipayAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PlugipayAnswer(…)")
    }
}
