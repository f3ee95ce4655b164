//! Paths, queries and pages.

use std::collections::BTreeMap;

use super::answers::Refusal;

/// Maximum rows of a page.
const LIMIT_MAX: usize = 100;

/// Decodes percent-encoding; `None` if the result is not UTF-8.
pub(super) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = (byte == b'%').then(|| {
            let mut ahead = rest.clone();
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(ahead.next())?, digit(ahead.next())?);
            rest = ahead;
            u8::try_from(high * 16 + low).ok()
        });
        bytes.push(escaped.flatten().unwrap_or(byte));
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// The parameters of a list.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn of(path: &str) -> Self {
        let pairs = path.split_once('?').map_or("", |(_, query)| query).split('&');
        let decoded = |text: &str| decoded(&text.replace('+', " "));
        Self(
            pairs
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether the query includes rows with this value.
    pub(super) fn takes(&self, name: &str, value: &str) -> bool {
        self.get(name).is_none_or(|wanted| wanted == value)
    }

    /// The requested page of these rows, which are oldest first with growing ids, and the next page's cursor.
    pub(super) fn page<T>(
        &self,
        rows: impl DoubleEndedIterator<Item = T>,
        id: impl Fn(&T) -> String,
        newest_first: bool,
        size: usize,
    ) -> Result<(Vec<T>, Option<String>), Refusal> {
        let limit = match self.get("limit").map(str::parse) {
            None => size,
            Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => limit,
            Some(_) => return Err(Refusal::invalid("limit must be from 1 to 100")),
        };
        let newest_first = match self.get("order") {
            None => newest_first,
            Some("desc") => true,
            Some("asc") => false,
            Some(_) => return Err(Refusal::invalid("order must be asc or desc")),
        };
        let after = match self.get("cursor") {
            None => None,
            Some(cursor) => {
                Some(cursor.strip_prefix("after:").ok_or_else(|| Refusal::invalid("cursor is none of ours"))?)
            }
        };
        let is_further = |row: &T| {
            after.is_none_or(|after| if newest_first { id(row).as_str() < after } else { id(row).as_str() > after })
        };
        let take = |rows: &mut dyn Iterator<Item = T>| rows.filter(is_further).take(limit.saturating_add(1)).collect();
        let mut rows = rows;
        let mut page: Vec<T> = if newest_first { take(&mut rows.rev()) } else { take(&mut rows) };
        let has_more = page.len() > limit;
        page.truncate(limit);
        let cursor = page.last().filter(|_| has_more).map(|row| format!("after:{}", id(row)));
        Ok((page, cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone() {
        for (text, expected) in
            [("a%2Fb", "a/b"), ("%e2%82%ac", "€"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%ff", "")]
        {
            assert_eq!(decoded(text), expected);
        }
        let query = Query::of("/x?a=1&b=two+words&c=%26&d");
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("1"), Some("two words"), Some("&")));
        assert_eq!(query.get("d"), None);
    }

    #[test]
    fn pages_join_without_gap_or_repetition() {
        let rows = || ["r1", "r2", "r3", "r4", "r5"].into_iter();
        for (order, expected) in [("asc", ["r1", "r2", "r3", "r4", "r5"]), ("desc", ["r5", "r4", "r3", "r2", "r1"])] {
            let mut path = format!("/x?limit=2&order={order}");
            let mut seen = Vec::new();
            loop {
                let (page, cursor) = Query::of(&path).page(rows(), |row| (*row).to_owned(), false, 50).unwrap();
                assert!(page.len() <= 2);
                seen.extend(page);
                let Some(cursor) = cursor else { break };
                path = format!("/x?limit=2&order={order}&cursor={cursor}");
            }
            assert_eq!(seen, expected);
        }
        for bad in ["limit=0", "limit=101", "limit=x", "order=up", "cursor=r2"] {
            assert!(Query::of(&format!("/x?{bad}")).page(rows(), |row| (*row).to_owned(), false, 50).is_err(), "{bad}");
        }
    }
}
