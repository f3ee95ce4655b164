//! Parts that several pages use.

use maud::{Markup, Render, html};
use serront_core::accounts::actor::Actor;
use serront_core::changes::effect::EffectStatus;
use serront_core::funds::payout::{BankDetails, PayoutAudit, PayoutStatus};
use serront_core::orders::order::WorkStatus;
use serront_core::orders::payment::PaymentStatus;

use super::form::{ONCE, TOKEN};
use super::say::Say;
use super::session::SignedIn;
use super::visit::Trouble;

#[derive(Clone, Copy)]
pub(super) enum Tone {
    /// Neutral.
    Calm,
    /// Needs an action.
    Waiting,
    Good,
    Bad,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Calm => "pill",
            Self::Waiting => "pill waiting",
            Self::Good => "pill good",
            Self::Bad => "pill bad",
        }
    }
}

/// A state in a word or two.
pub(super) fn pill(tone: Tone, text: &str) -> Markup {
    html! { span class=(tone.class()) { (text) } }
}

pub(super) fn work_pill(say: Say, status: WorkStatus) -> Markup {
    let tone = match status {
        WorkStatus::Requested => Tone::Waiting,
        WorkStatus::Confirmed | WorkStatus::InProgress => Tone::Calm,
        WorkStatus::Delivered | WorkStatus::Completed => Tone::Good,
        WorkStatus::Declined | WorkStatus::Canceled => Tone::Bad,
    };
    pill(tone, say.work(status))
}

pub(super) fn payment_pill(say: Say, status: PaymentStatus) -> Markup {
    let tone = match status {
        PaymentStatus::Unpaid => Tone::Calm,
        PaymentStatus::PaymentClaimed => Tone::Waiting,
        PaymentStatus::PaymentConfirmed => Tone::Good,
    };
    pill(tone, say.payment(status))
}

pub(super) fn payout_pill(say: Say, status: PayoutStatus) -> Markup {
    let tone = match status {
        PayoutStatus::Pending | PayoutStatus::InTransit => Tone::Waiting,
        PayoutStatus::Paid => Tone::Good,
        PayoutStatus::Cancelled => Tone::Calm,
        PayoutStatus::Failed => Tone::Bad,
    };
    pill(tone, say.payout(status))
}

pub(super) fn delivery_pill(say: Say, status: EffectStatus) -> Markup {
    let tone = match status {
        EffectStatus::Pending => Tone::Waiting,
        EffectStatus::Succeeded => Tone::Good,
        EffectStatus::Failed => Tone::Bad,
    };
    pill(tone, say.delivery(status))
}

/// The message after a form's redirect; screen readers read it out.
pub(super) fn notice(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.notice role="status" { (text) } } }
}

/// Why a form was refused, above it.
pub(super) fn alert(trouble: Option<&Trouble>) -> Markup {
    html! { @if let Some(trouble) = trouble { p.alert role="alert" { (trouble.text) } } }
}

/// The hidden token of every form in a session.
pub(super) fn hidden<W>(visitor: &SignedIn<W>) -> Markup {
    html! { input type="hidden" name=(TOKEN) value=(visitor.token); }
}

/// The hidden idempotency key of a form.
pub(super) fn once(text: &str) -> Markup {
    html! { input type="hidden" name=(ONCE) value=(text); }
}

/// A field of a form: a label above, a rule below, and the refusal.
pub(super) struct Field<'a> {
    /// The name in the form, and the element's id.
    pub(super) name: &'a str,
    /// The name in the service.
    pub(super) param: &'a str,
    pub(super) label: &'a str,
    /// Which values are allowed.
    pub(super) rule: &'a str,
    pub(super) value: &'a str,
    pub(super) input: Input<'a>,
    pub(super) is_required: bool,
    /// Why a value was refused, if the rule does not explain it.
    pub(super) wrong: &'a str,
}

#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Line {
        /// The `type`: `text`, `email`, `tel`, `password` or `url`.
        kind: &'a str,
        /// The `autocomplete` token.
        autocomplete: &'a str,
    },
    /// Digits.
    Amount,
    /// A day. A browser without a picker shows a line of text with the format as placeholder and pattern.
    Day,
    /// A text area with this many rows.
    Lines(u8),
}

/// Characters of an account number that fit on a small phone; a longer one scrolls.
const DIGITS_IN_SIGHT: usize = 18;
pub(super) const TEXT: Input<'static> = Input::Line { kind: "text", autocomplete: "off" };

impl<'a> Field<'a> {
    /// An optional line of text with the same name in the service.
    pub(super) const fn text(name: &'a str, label: &'a str, value: &'a str) -> Self {
        Self { name, param: name, label, rule: "", value, input: TEXT, is_required: false, wrong: "" }
    }

    pub(super) const fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    pub(super) const fn rule(self, rule: &'a str) -> Self {
        Self { rule, ..self }
    }

    pub(super) const fn wrong(self, wrong: &'a str) -> Self {
        Self { wrong, ..self }
    }

    pub(super) const fn input(self, input: Input<'a>) -> Self {
        Self { input, ..self }
    }

    pub(super) const fn param(self, param: &'a str) -> Self {
        Self { param, ..self }
    }

    /// Renders the field, with the refusal if it names this field.
    pub(super) fn show(&self, say: Say, trouble: Option<&Trouble>) -> Markup {
        let Field { name, param, label, rule, value, input, is_required, wrong } = *self;
        let is_wrong = trouble.is_some_and(|trouble| trouble.param.as_deref() == Some(param));
        let (hint, error) = (format!("{name}-hint"), format!("{name}-error"));
        // The refusal includes the rule.
        let described = match (is_wrong, rule.is_empty()) {
            (true, _) => Some(error.as_str()),
            (false, false) => Some(hint.as_str()),
            (false, true) => None,
        };
        let invalid = is_wrong.then_some("true");
        html! {
            div.field {
                label for=(name) {
                    (label)
                    @if !is_required { " " span.optional { (say.of("(boleh kosong)", "(optional)")) } }
                }
                @match input {
                    Input::Line { kind, autocomplete } => {
                        input id=(name) name=(name) type=(kind) value=(value) autocomplete=(autocomplete) required[is_required]
                            aria-invalid=[invalid] aria-describedby=[described];
                    }
                    Input::Amount => {
                        input id=(name) name=(name) type="text" inputmode="numeric" value=(value) autocomplete="off" required[is_required]
                            aria-invalid=[invalid] aria-describedby=[described];
                    }
                    Input::Day => {
                        input id=(name) name=(name) type="date" value=(value) autocomplete="off" required[is_required]
                            placeholder=(say.of("TTTT-BB-HH", "YYYY-MM-DD")) pattern="[0-9]{4}-[0-9]{2}-[0-9]{2}" title=(day_rule(say))
                            aria-invalid=[invalid] aria-describedby=[described];
                    }
                    Input::Lines(rows) => {
                        textarea id=(name) name=(name) rows=(rows) required[is_required]
                            aria-invalid=[invalid] aria-describedby=[described] { (value) }
                    }
                }
                @if is_wrong {
                    p.error #(error) {
                        @if !wrong.is_empty() { (wrong) "." }
                        @else if rule.is_empty() { (say.of("Isian ini terlalu panjang, atau berisi tanda yang tidak bisa dipakai.", "This text is too long, or contains characters that are not allowed.")) }
                        @else { (say.of("Periksa isian ini.", "Please check this field.")) " " (rule) "." }
                    }
                } @else if !rule.is_empty() {
                    p.hint #(hint) { (rule) "." }
                }
            }
        }
    }
}

/// The format of a day, for browsers without a picker.
pub(super) fn day_rule(say: Say) -> &'static str {
    say.of("Tulis tahun-bulan-tanggal, misalnya 2026-12-24", "Write year-month-day, such as 2026-12-24")
}

pub(super) fn facts(rows: &[(&str, &dyn Render)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in rows {
                div { dt { (name) } dd { (*value) } }
            }
        }
    }
}

/// The name of the ordered service, with the package if there is one.
pub(super) fn ordered(service: &str, package: Option<&str>) -> String {
    package.map_or_else(|| service.to_owned(), |package| format!("{service} · {package}"))
}

/// A text that a person wrote, under a label.
pub(super) fn quoted(name: &str, text: &str) -> Markup {
    html! { div { p.muted.small { (name) } p.lines { (text) } } }
}

/// A filter's list of values, after "all".
pub(super) fn choices<'a>(
    say: Say,
    name: &str,
    label: &str,
    chosen: &str,
    values: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { (say.of("Semua", "All")) }
                @for (value, text) in values { option value=(value) selected[value == chosen] { (text) } }
            }
        }
    }
}

/// The link to the next page of a list.
pub(super) fn more(say: Say, address: Option<String>) -> Markup {
    html! {
        @if let Some(address) = address {
            p.more { a.button.secondary href=(address) { (say.of("Berikutnya", "Next page")) } }
        }
    }
}

/// A button that copies this text. It is inside an element with `data-copies`, in which the text itself has `data-copied`. If the
/// browser refuses to copy, as within messengers, the script selects the text and shows a message in a [`copy_refusal`].
pub(super) fn copy_button(say: Say, text: &str, label: Option<&str>) -> Markup {
    html! {
        button.quiet[label.is_some()] type="button" data-copy=(text) data-done=(say.of("Tersalin", "Copied"))
            data-refused=(say.of("Browser ini tidak bisa menyalin. Teksnya sudah dipilih: salin sendiri.", "This browser can't copy. The text is selected: please copy it yourself."))
            aria-label=[label] hidden { (say.of("Salin", "Copy")) }
    }
}

/// The place of the message that the browser refuses to copy.
pub(super) fn copy_refusal() -> Markup {
    html! { span.hint.wide role="status" {} }
}

/// A bank account's number as it was typed, with a button that copies only its digits: banks' apps reject dashes.
pub(super) fn account_number(say: Say, bank_name: &str, number: &str) -> Markup {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let label = say.of(format!("Salin nomor rekening {bank_name}"), format!("Copy the account number of {bank_name}"));
    html! {
        p.number data-copies {
            span.digits data-copied tabindex=[(number.chars().count() > DIGITS_IN_SIGHT).then_some("0")] { (number) }
            (copy_button(say, &digits, Some(&label)))
            (copy_refusal())
        }
    }
}

/// The destination of a payout, with a button that copies the number.
pub(super) fn bank_details(say: Say, bank: &BankDetails) -> Markup {
    let BankDetails { bank_code, bank_name, bank_account_number, bank_account_holder } = bank;
    html! {
        div.bank-details {
            p.bank { (bank_name) @if let Some(code) = bank_code { " " span.muted { "(" (code) ")" } } }
            (account_number(say, bank_name, bank_account_number))
            p.muted { (say.of("a.n. ", "Holder: ")) (bank_account_holder) }
        }
    }
}

/// The steps of a payout, newest first, each with its actor as named by `who`.
pub(super) fn payout_history(say: Say, steps: &[PayoutAudit], who: impl Fn(&Actor) -> String) -> Markup {
    html! {
        section.card #history aria-labelledby="history-title" {
            h2 #history-title { (say.of("Riwayat", "History")) }
            ol.history {
                @for step in steps.iter().rev() {
                    li {
                        p.strong { @if step.from.is_none() { (say.of("Pencairan diminta", "Payout requested")) } @else { (say.payout(step.to)) } }
                        @if let Some(note) = &step.note { p.lines { (note) } }
                        p.muted.small { (say.moment(step.at)) " · " (who(&step.actor)) }
                    }
                }
            }
        }
    }
}
