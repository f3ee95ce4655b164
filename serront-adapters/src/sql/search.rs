//! The ways in which an order can match a search. Either the service's name has some of the words and the order's texts
//! have the rest, or one word is the order's number.
//!
//! The index of orders does not hold the names of services, so that renaming a service does not reindex its orders. An
//! account has few services, which are searched here. The index does not hold numbers either: a search has few numbers,
//! so their orders are read and compared one by one.

use std::collections::BTreeSet;

use serront_core::orders::order::{Order, OrderNumber, WorkStatus};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::page::{Limit, Page};
use serront_core::primitives::search::{has_word, words_of};
use serront_core::snapshots::{OrderFilter, OrderRow};

/// One way to match. An order that matches in two ways is found twice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// `None` if any service matches.
    pub(crate) service: Option<String>,
    /// `None` if any state of work matches.
    pub(crate) status: Option<WorkStatus>,
    /// `None` if any state of payment matches.
    pub(crate) payment_status: Option<PaymentStatus>,
    /// Each of them is the beginning of a word in the order's texts.
    pub(crate) words: Vec<String>,
    /// The order has one of these numbers; empty if any number matches.
    pub(crate) numbers: Vec<OrderNumber>,
}

impl Way {
    /// The condition on the number, to append to others; empty if any number matches.
    pub(crate) fn number_condition(&self) -> String {
        if self.numbers.is_empty() { String::new() } else { format!(" AND o.number IN ({})", listed(&self.numbers)) }
    }
}

/// Numbers as a list in SQL.
pub(crate) fn listed(numbers: &[OrderNumber]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The orders among these that match the whole search, by number.
pub(crate) fn found_by_number(filter: &OrderFilter, rows: &[OrderRow]) -> Vec<OrderNumber> {
    let rows = rows.iter().filter(|row| filter.has_words(&row.order, row.number, &row.service.name));
    rows.map(|row| row.number).collect()
}

/// The states that a page is merged from, so that each part is read in order from an index. There is one part if an
/// index begins with the filtered columns, otherwise one for each value of the state between them.
fn states(filter: &OrderFilter, by_service: bool) -> Vec<(Option<WorkStatus>, Option<PaymentStatus>)> {
    match (by_service, filter.status, filter.payment_status) {
        (_, None, None) | (false, None, Some(_)) | (_, Some(_), Some(_)) => {
            vec![(filter.status, filter.payment_status)]
        }
        (_, Some(status), None) => PaymentStatus::ALL.map(|payment| (Some(status), Some(payment))).to_vec(),
        (true, None, Some(payment)) => WorkStatus::ALL.map(|status| (Some(status), Some(payment))).to_vec(),
    }
}

/// The ways to match a filter. `services` are the account's ids and names, and `numbers` the result of
/// [`found_by_number`]. Both are needed only for a search for words.
pub(crate) fn ways(filter: &OrderFilter, services: &[(String, String)], numbers: &[OrderNumber]) -> Vec<Way> {
    let wanted = filter.service_id.map(|id| id.to_string());
    let mut found = Vec::new();
    let mut add = |service: Option<&String>, words: &[String]| {
        // A search reads all matches, in any order.
        let states = if words.is_empty() {
            states(filter, service.is_some())
        } else {
            vec![(filter.status, filter.payment_status)]
        };
        found.extend(states.into_iter().map(|(status, payment_status)| Way {
            service: service.cloned(),
            status,
            payment_status,
            words: words.to_vec(),
            numbers: Vec::new(),
        }));
    };
    add(wanted.as_ref(), &filter.words);
    if filter.words.is_empty() {
        return found;
    }
    for (id, name) in services.iter().filter(|(id, _)| wanted.as_ref().is_none_or(|wanted| wanted == id)) {
        let rest: Vec<String> = filter.words.iter().filter(|word| !has_word(name, word)).cloned().collect();
        if rest.len() < filter.words.len() {
            add(Some(id), &rest);
        }
    }
    if !numbers.is_empty() {
        found.push(Way {
            service: wanted,
            status: filter.status,
            payment_status: filter.payment_status,
            words: Vec::new(),
            numbers: numbers.to_vec(),
        });
    }
    found
}

/// Most orders that a search looks at before it asks the index of words.
const LOOKED_AT_MAX: usize = 4_096;

/// A page of orders. A search first looks at the newest orders themselves, so that a word which many orders have does not
/// read all of them from the index. It goes on as long as matches are frequent enough to fill the page soon, and then asks
/// the index for the rest.
#[derive(Debug)]
pub(crate) struct Newest<'f> {
    filter: &'f OrderFilter,
    limit: Limit,
    wanted: usize,
    below: i64,
    found: Vec<OrderRow>,
    looked_at: usize,
    /// How many orders to look at next.
    asks: usize,
    /// All orders that match are found, or as many as the page needs.
    complete: bool,
}

impl<'f> Newest<'f> {
    pub(crate) fn new(filter: &'f OrderFilter, after: Option<OrderNumber>, limit: Limit) -> Self {
        // One more, to know whether the page is the last.
        let wanted = usize::try_from(limit.get()).unwrap_or(usize::MAX).saturating_add(1);
        let below = after.map_or(i64::MAX, |number| i64::from(number.0));
        Self { filter, limit, wanted, below, found: Vec::new(), looked_at: 0, asks: wanted, complete: false }
    }

    /// How many orders to read next, below [`Newest::below`]; `None` if the page is complete or the index has to be asked.
    pub(crate) fn asks(&self) -> Option<i64> {
        (!self.complete && self.asks > 0).then(|| i64::try_from(self.asks).unwrap_or(i64::MAX))
    }

    pub(crate) const fn below(&self) -> i64 {
        self.below
    }

    /// The ways to read orders without regard to words.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let all = OrderFilter { words: Vec::new(), ..self.filter.clone() };
        ways(&all, &[], &[])
    }

    /// Takes the orders that were asked for.
    pub(crate) fn add(&mut self, rows: Vec<OrderRow>) {
        let read = rows.len();
        self.complete = read < self.asks;
        if let Some(last) = rows.last() {
            self.below = i64::from(last.number.0);
        }
        let filter = self.filter;
        let matches = |row: &OrderRow| filter.has_words(&row.order, row.number, &row.service.name);
        self.found.extend(rows.into_iter().filter(|row| filter.words.is_empty() || matches(row)));
        self.looked_at = self.looked_at.saturating_add(read);
        let missing = self.wanted.saturating_sub(self.found.len());
        self.complete |= missing == 0;
        // As many as hold the missing ones, if matches stay as frequent; none if there was no match.
        let expected = missing.saturating_mul(self.looked_at).checked_div(self.found.len()).unwrap_or(usize::MAX);
        let is_near = self.looked_at.saturating_add(expected) <= LOOKED_AT_MAX;
        // At least as many as before, so that a page is not filled order by order.
        self.asks = if is_near { expected.max(self.looked_at) } else { 0 };
    }

    /// How many orders are wanted of the index; `None` if the page is complete.
    pub(crate) fn left(&self) -> Option<i64> {
        let missing = self.wanted.saturating_sub(self.found.len());
        (!self.complete).then(|| i64::try_from(missing).unwrap_or(i64::MAX))
    }

    /// Takes what the index answered.
    pub(crate) fn finish(&mut self, rows: Vec<OrderRow>) {
        self.found.extend(rows);
    }

    pub(crate) fn page(self) -> Page<OrderRow> {
        Page::cut(self.found, self.limit)
    }
}

/// The prefix of an account's words in the index, which separates them from those of other accounts.
fn mark(account: AccountId) -> String {
    account.ulid().to_string().to_ascii_lowercase()
}

/// The words of an order's texts as the index holds them, separated by spaces.
pub(crate) fn indexed(order: &Order) -> String {
    let texts = [&order.buyer.name, order.buyer.email.as_str(), order.notes.as_deref().unwrap_or_default()];
    indexed_texts(order.account_id, texts)
}

/// The same for given texts: the buyer's name and address, and the notes.
pub(crate) fn indexed_texts(account: AccountId, texts: [&str; 3]) -> String {
    joined(account, texts.into_iter().flat_map(words_of))
}

/// The words as earlier versions stored them, with accents.
#[cfg(feature = "sqlite")]
pub(crate) fn indexed_before_folding(account: AccountId, texts: [&str; 3]) -> String {
    const WORD_CHARACTERS_MAX: usize = 64;
    let texts = texts.map(str::to_lowercase);
    let words = texts.iter().flat_map(|text| text.split(|character: char| !character.is_alphanumeric()));
    joined(account, words.filter(|word| !word.is_empty()).map(|word| word.chars().take(WORD_CHARACTERS_MAX).collect()))
}

fn joined(account: AccountId, words: impl Iterator<Item = String>) -> String {
    let mark = mark(account);
    let words: BTreeSet<String> = words.map(|word| format!("{mark}{word}")).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// Words as they are searched for in the index.
pub(crate) fn marked(account: AccountId, words: &[String]) -> impl Iterator<Item = String> + '_ {
    let mark = mark(account);
    words.iter().map(move |word| format!("{mark}{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_has_a_word_spares_the_order_the_word() {
        let services = [("svc_a".to_owned(), "Jasa Logo".to_owned()), ("svc_b".to_owned(), "Undangan".to_owned())];
        let search = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            ways(&OrderFilter { words, ..OrderFilter::default() }, &services, &[])
                .into_iter()
                .map(|way| (way.service, way.words.join(" ")))
                .collect::<Vec<_>>()
        };
        let of = |service: Option<&str>, words: &str| (service.map(str::to_owned), words.to_owned());
        assert_eq!(search(&[]), [of(None, "")]);
        assert_eq!(search(&["budi"]), [of(None, "budi")]);
        assert_eq!(search(&["logo", "budi"]), [of(None, "logo budi"), of(Some("svc_a"), "budi")]);
        assert_eq!(search(&["lo", "jasa"]), [of(None, "lo jasa"), of(Some("svc_a"), "")]);
        assert_eq!(search(&["u"]), [of(None, "u"), of(Some("svc_b"), "")]);
    }

    #[test]
    fn each_part_of_a_page_is_read_from_one_index() {
        let parts = |service: bool, status: bool, payment: bool| {
            let filter = OrderFilter {
                status: status.then_some(WorkStatus::Requested),
                payment_status: payment.then_some(PaymentStatus::Unpaid),
                service_id: service.then(|| "svc_01jtestvect0r0000000000000".parse().unwrap()),
                words: Vec::new(),
            };
            ways(&filter, &[], &[]).len()
        };
        let cases = [(false, false, false), (false, false, true), (false, true, false), (false, true, true)];
        assert_eq!(cases.map(|(service, status, payment)| parts(service, status, payment)), [1, 1, 3, 1]);
        assert_eq!(cases.map(|(_, status, payment)| parts(true, status, payment)), [1, 7, 3, 1]);
    }
}
