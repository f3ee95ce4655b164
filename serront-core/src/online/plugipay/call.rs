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

/// One call, with the exact bytes that will be signed: a call whose outcome is unknown is sent again byte by byte.
#[derive(Clone, PartialEq, Eq)]
pub struct PlugipayCall {
    /// Which method.
    pub method: PlugipayMethod,
    /// Path and query.
    pub path: String,
    /// For which merchant; `None` for provisioning.
    pub on_behalf_of: Option<String>,
    /// Our key towards the provider, on calls that create. Not the caller's idempotency key.
    pub idempotency_key: Option<String>,
    /// The body, empty if there is none.
    pub body: String,
}

impl std::fmt::Debug for PlugipayCall {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "PlugipayCall({:?}, …)", self.method)
    }
}

/// What Plugipay answered.
#[derive(Clone, PartialEq, Eq)]
pub struct PlugipayAnswer {
    /// The envelope's `data`, as JSON text.
    pub data: String,
    /// Where a list goes on; `None` on its last page and for everything else.
    pub cursor: Option<String>,
}

/// `Debug` does not show the data: it may hold a secret.
impl std::fmt::Debug for PlugipayAnswer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PlugipayAnswer(…)")
    }
}
