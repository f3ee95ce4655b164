//! In which ways an order can match a search: its service's name has some of the words, its own texts have the rest; or one
//! word is its number.
//!
//! The names of services are not in the index of orders, so that renaming a service reindexes nothing but it. An account
//! has few services, and those are looked through here. An order's number is not in it either: a search holds few numbers, so
//! the orders of those are read, and looked at one by one.

use std::collections::BTreeSet;

use serront_core::orders::order::{Order, OrderNumber, WorkStatus};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::ids::AccountId;
use serront_core::primitives::search::{has_word, words_of};
use serront_core::snapshots::{OrderFilter, OrderRow};

/// One way to match. An order that matches in two ways is found twice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Of this service; `None`: of whichever.
    pub(crate) service: Option<String>,
    /// In this state of the work track.
    pub(crate) status: Option<WorkStatus>,
    /// In this state of the payment track.
    pub(crate) payment_status: Option<PaymentStatus>,
    /// These words begin words of the order's own texts.
    pub(crate) words: Vec<String>,
    /// Has one of these numbers; empty: whichever.
    pub(crate) numbers: Vec<OrderNumber>,
}

impl Way {
    /// The condition on the number, to stand behind others; empty if there is none.
    pub(crate) fn number_condition(&self) -> String {
        if self.numbers.is_empty() { String::new() } else { format!(" AND o.number IN ({})", listed(&self.numbers)) }
    }
}

/// Numbers as a list in SQL.
pub(crate) fn listed(numbers: &[OrderNumber]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Which of the orders that have a number among the words match the whole search.
pub(crate) fn found_by_number(filter: &OrderFilter, rows: &[OrderRow]) -> Vec<OrderNumber> {
    let rows = rows.iter().filter(|row| filter.has_words(&row.order, row.number, &row.service.name));
    rows.map(|row| row.number).collect()
}

/// The states that a page has to be merged from, so that each part is read in order from an index: one part where an index
/// begins with what is filtered, otherwise one for each value of the state in between.
fn states(filter: &OrderFilter, by_service: bool) -> Vec<(Option<WorkStatus>, Option<PaymentStatus>)> {
    match (by_service, filter.status, filter.payment_status) {
        (_, None, None) | (false, None, Some(_)) | (_, Some(_), Some(_)) => {
            vec![(filter.status, filter.payment_status)]
        }
        (_, Some(status), None) => PaymentStatus::ALL.map(|payment| (Some(status), Some(payment))).to_vec(),
        (true, None, Some(payment)) => WorkStatus::ALL.map(|status| (Some(status), Some(payment))).to_vec(),
    }
}

/// The ways to match a filter. `services` are the account's, by id and name, and `numbers` what [`found_by_number`] found; they
/// are needed only if words are searched for.
pub(crate) fn ways(filter: &OrderFilter, services: &[(String, String)], numbers: &[OrderNumber]) -> Vec<Way> {
    let wanted = filter.service_id.map(|id| id.to_string());
    let mut found = Vec::new();
    let mut add = |service: Option<&String>, words: &[String]| {
        // A search reads all that it finds, in whatever order.
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

/// What stands before each word in the index, so that one account's words are apart from another's.
fn mark(account: AccountId) -> String {
    account.ulid().to_string().to_ascii_lowercase()
}

/// The words of an order's own texts, as the index holds them, with blanks in between.
pub(crate) fn indexed(order: &Order) -> String {
    let texts = [&order.buyer.name, order.buyer.email.as_str(), order.notes.as_deref().unwrap_or_default()];
    indexed_texts(order.account_id, texts)
}

/// The same, of an order's texts: the buyer's name and address, and the notes.
pub(crate) fn indexed_texts(account: AccountId, texts: [&str; 3]) -> String {
    joined(account, texts.into_iter().flat_map(words_of))
}

/// The words as earlier versions made them, with the accents in them.
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

/// Words as they are looked for in the index.
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
