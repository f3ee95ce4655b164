//! The storefront's settings: the seller's profile, where buyers transfer to, and who may see it. The catalog is listed
//! below; it is edited through the API.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use maud::{Markup, html};
use serront_core::orders::instructions::{BANK_ACCOUNTS_MAX, BankAccount};
use serront_core::orders::order::PricingType;
use serront_core::primitives::rejection::Rejection;
use serront_core::primitives::text::{WhatsAppNumber, has_national_zero, is_blank, visible};
use serront_core::primitives::tier::Tier;
use serront_core::service::Failure;
use serront_core::shop::storefront::StorefrontInput;
use serront_core::views::{ServiceView, StorefrontView};

use super::super::Shown;
use super::super::form::Form;
use super::super::layout::{Section, dashboard};
use super::super::parts::{Field, Input, Tone, alert, copy_button, copy_refusal, hidden, notice, pill};
use super::super::say::{Say, rupiah};
use super::super::session::Seller;
use super::super::visit::{Trouble, Turn, Visit};
use crate::body::Intake;
use crate::query::Query;
use crate::state::Host;

const PATH: &str = "/dashboard/storefront";

/// How many services are listed: more would make the page heavy, and the API has them all.
const SERVICES_SHOWN: usize = 30;

pub(super) fn routes() -> Router<Arc<Host>> {
    Router::new().route(PATH, get(settings).post(save))
}

/// The fields of a bank account, as the service names them; in the form, the group's number follows.
const COLUMNS: [&str; 3] = ["bankName", "accountNumber", "accountHolder"];

/// What stands in the fields of one bank account, in the order of [`COLUMNS`].
type Group = [String; COLUMNS.len()];

fn is_empty(group: &Group) -> bool {
    group.iter().all(|text| is_blank(text))
}

/// What stands in the form, as it was typed.
#[derive(Default)]
struct Draft {
    slug: String,
    display_name: String,
    bio: String,
    whatsapp_number: String,
    /// As many as there may be bank accounts, empty ones among them.
    groups: Vec<Group>,
    instructions: String,
    hide_branding: bool,
    published: bool,
}

impl Draft {
    /// Of what is stored; empty before the first time.
    fn of(stored: Option<&StorefrontView>) -> Self {
        let mut draft = stored.map(Self::stored).unwrap_or_default();
        draft.groups.resize_with(BANK_ACCOUNTS_MAX, Group::default);
        draft
    }

    fn stored(stored: &StorefrontView) -> Self {
        let groups = stored.manual_bank_accounts.iter().cloned();
        Self {
            slug: stored.slug.to_string(),
            display_name: stored.display_name.clone(),
            bio: stored.bio.clone().unwrap_or_default(),
            whatsapp_number: stored.whatsapp_number.as_ref().map_or("", WhatsAppNumber::as_str).to_owned(),
            groups: groups
                .map(|BankAccount { bank_name, account_number, account_holder }| {
                    [bank_name, account_number, account_holder]
                })
                .collect(),
            instructions: stored.manual_instructions.clone().unwrap_or_default(),
            hide_branding: stored.hide_branding,
            published: stored.published,
        }
    }

    fn read(form: &Form) -> Self {
        let text = |name: &str| form.text(name).to_owned();
        let group = |index| COLUMNS.map(|column| text(&format!("{column}{index}")));
        Self {
            slug: text("slug"),
            display_name: text("displayName"),
            bio: text("bio"),
            whatsapp_number: text("whatsappNumber"),
            groups: (0..BANK_ACCOUNTS_MAX).map(group).collect(),
            instructions: text("manualInstructions"),
            hide_branding: form.ticked("hideBranding"),
            published: form.ticked("published"),
        }
    }

    /// The WhatsApp number, without what people put between its digits.
    fn number(&self) -> String {
        visible(&self.whatsapp_number).replace(
            |character: char| character.is_whitespace() || "-.()\u{2010}\u{2011}\u{2013}".contains(character),
            "",
        )
    }

    /// What the service is asked for: without empty groups, and without what people put between the digits of a phone
    /// number.
    fn input(&self) -> StorefrontInput {
        let given = |text: &str| Some(text.trim().replace("\r\n", "\n")).filter(|text| !is_blank(text));
        let number = self.number();
        let groups = self.groups.iter().filter(|group| !is_empty(group)).cloned();
        let accounts = groups.map(|[bank_name, account_number, account_holder]| BankAccount {
            bank_name,
            account_number,
            account_holder,
        });
        StorefrontInput {
            // A phone's keyboard begins with a capital letter.
            slug: visible(&self.slug).trim().to_lowercase(),
            display_name: self.display_name.clone(),
            bio: given(&self.bio),
            whatsapp_number: given(&number),
            manual_bank_accounts: Some(accounts.collect()),
            manual_instructions: given(&self.instructions),
            hide_branding: Some(self.hide_branding),
            published: Some(self.published),
        }
    }

    /// How the service names a field of this group, which it counts only with those that are filled in; no name if it does
    /// not know the group.
    fn param(&self, index: usize, column: &str) -> String {
        if self.groups.get(index).is_none_or(is_empty) {
            return String::new();
        }
        let before = self.groups.iter().take(index).filter(|group| !is_empty(group)).count();
        format!("manualBankAccounts[{before}].{column}")
    }
}

async fn settings(State(host): State<Arc<Host>>, seller: Seller, query: Query) -> Shown {
    let stored = seller.caller.commands().storefront(seller.caller.account()).await?;
    let say = seller.visit.say;
    let done = match query.one("done")? {
        Some("saved") => Some(say.of("Etalase disimpan.", "The storefront is saved.")),
        _ => None,
    };
    show(&host, &seller, stored.as_ref(), &Draft::of(stored.as_ref()), done, None).await
}

async fn save(State(host): State<Arc<Host>>, seller: Seller, intake: Intake) -> Shown {
    let form = seller.form(&intake).await?;
    let draft = Draft::read(&form);
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    match commands.put_storefront(account, &draft.input(), None).await {
        Ok(_) => Ok(seller.visit.go(&format!("{PATH}?done=saved"))),
        Err(failure) => {
            let trouble = trouble_of(seller.visit.say, failure)?;
            let stored = commands.storefront(account).await?;
            Ok(trouble.on(show(&host, &seller, stored.as_ref(), &draft, None, Some(&trouble)).await?))
        }
    }
}

/// Why it was not saved, beside the field that it is about, also where the service has no field to name.
fn trouble_of(say: Say, failure: Failure) -> Result<Trouble, Turn> {
    let is_taken = matches!(&failure, Failure::Rejected(Rejection::Conflict(_)));
    let is_gated = matches!(&failure, Failure::Rejected(Rejection::UpgradeRequired { .. }));
    let mut trouble = Trouble::of(say, failure)?;
    if is_taken {
        trouble = Trouble { param: Some("slug".to_owned()), text: format!("{}.", taken(say)).into(), ..trouble };
    } else if is_gated {
        trouble.param = Some("hideBranding".to_owned());
    }
    Ok(trouble)
}

fn taken(say: Say) -> &'static str {
    say.of("Alamat ini sudah dipakai toko lain", "Another shop has this address already")
}

async fn show(
    host: &Host,
    seller: &Seller,
    stored: Option<&StorefrontView>,
    draft: &Draft,
    done: Option<&str>,
    trouble: Option<&Trouble>,
) -> Shown {
    let visit = &seller.visit;
    let say = visit.say;
    let (commands, account) = (seller.caller.commands(), seller.caller.account());
    let tier = commands.account(account).await?.state.tier;
    let services = commands.services(account).await?;
    let title = say.of("Etalase", "Storefront");
    let body = html! {
        h1 { (title) }
        (notice(done))
        (alert(trouble))
        @match stored {
            Some(stored) => (public_card(host, visit, stored)),
            None => (welcome(say)),
        }
        form method="post" action=(visit.to(PATH)) data-once="" {
            (hidden(seller))
            (profile_card(host, say, draft, trouble))
            (transfer_card(say, draft, trouble))
            (visibility_card(say, tier, draft, trouble))
            p.actions { button type="submit" { (say.of("Simpan etalase", "Save the storefront")) } }
        }
        (services_card(say, &services))
    };
    Ok(dashboard(seller, Section::Storefront, title, body))
}

/// What a storefront is, before there is one.
fn welcome(say: Say) -> Markup {
    html! {
        section.card aria-labelledby="welcome-title" {
            h2 #welcome-title { (say.of("Buka etalase Anda", "Open your storefront")) }
            p {
                (say.of(
                    "Etalase adalah halaman toko Anda: pembeli melihat layanan, memesan, lalu mendapat petunjuk pembayaran. \
                     Isi formulir ini, terbitkan, lalu bagikan alamatnya.",
                    "The storefront is your shop's page: buyers look at your services, place an order, and are then told how to \
                     pay. Fill in this form, publish it, and share its address.",
                ))
            }
        }
    }
}

/// Where the storefront is, once it is published.
fn public_card(host: &Host, visit: &Visit, stored: &StorefrontView) -> Markup {
    let say = visit.say;
    let address = format!("{}/s/{}", host.public_url(), stored.slug);
    html! {
        section.card aria-labelledby="public-title" {
            div.row {
                h2 #public-title { (say.of("Halaman publik", "Public page")) }
                @if stored.published { (pill(Tone::Good, say.of("Terbit", "Published"))) }
                @else { (pill(Tone::Calm, say.of("Belum terbit", "Not published"))) }
            }
            @if stored.published {
                p { (say.of("Bagikan alamat ini kepada pembeli:", "Share this address with buyers:")) }
                p.row data-copies {
                    a.lines data-copied href=(visit.to(&format!("/s/{}", stored.slug))) { (address) }
                    (copy_button(say, &address, Some(say.of("Salin alamat etalase", "Copy the storefront's address"))))
                    (copy_refusal())
                }
            } @else {
                p {
                    (say.of(
                        "Pembeli belum bisa membuka etalase ini. Centang “Terbitkan etalase” di bawah bila sudah siap.",
                        "Buyers can't open this storefront yet. Tick “Publish the storefront” below when it is ready.",
                    ))
                }
            }
        }
    }
}

fn profile_card(host: &Host, say: Say, draft: &Draft, trouble: Option<&Trouble>) -> Markup {
    let is_taken = trouble.is_some_and(|trouble| trouble.status == StatusCode::CONFLICT);
    let address = say.of(
        format!(
            "Huruf kecil, angka, dan tanda hubung. Etalase dibuka di {}/s/alamat; bila diganti, alamat lama tidak berlaku lagi",
            host.public_url()
        ),
        format!(
            "Small letters, digits and hyphens. The storefront opens at {}/s/address; once it is changed, the old one is no \
             longer valid",
            host.public_url()
        ),
    );
    let name = Field::text("displayName", say.of("Nama toko", "Shop's name"), &draft.display_name)
        .required()
        .rule(say.of("Paling banyak 100 huruf", "At most 100 characters"));
    let slug = Field::text("slug", say.of("Alamat etalase", "Storefront's address"), &draft.slug)
        .required()
        .rule(if is_taken { taken(say) } else { &address });
    let bio = Field::text("bio", say.of("Tentang toko", "About the shop"), &draft.bio)
        .rule(say.of("Paling banyak 2.000 huruf", "At most 2,000 characters"))
        .input(Input::Lines(4));
    let whatsapp = Field::text("whatsappNumber", say.of("Nomor WhatsApp", "WhatsApp number"), &draft.whatsapp_number)
        .rule(say.of(
            "Diawali kode negara, misalnya +62 812 3456 7890",
            "With the country's code, such as +62 812 3456 7890",
        ))
        .wrong(if has_national_zero(&draft.number()) {
            say.of(
                "Hapus angka 0 sesudah kode negara: +62 812…, bukan +62 0812…",
                "Leave out the 0 behind the country's code: +62 812…, not +62 0812…",
            )
        } else {
            ""
        })
        .input(Input::Line { kind: "tel", autocomplete: "off" });
    html! {
        section.card aria-labelledby="profile-title" {
            h2 #profile-title { (say.of("Profil", "Profile")) }
            div.pair {
                (name.show(say, trouble))
                (whatsapp.show(say, trouble))
            }
            (slug.show(say, trouble))
            (bio.show(say, trouble))
        }
    }
}

fn transfer_card(say: Say, draft: &Draft, trouble: Option<&Trouble>) -> Markup {
    // The filled groups and one more; the others open when they are wanted.
    let filled = draft.groups.iter().rposition(|group| !is_empty(group)).map_or(0, |index| index + 1);
    let groups = || draft.groups.iter().enumerate();
    let instructions =
        Field::text("manualInstructions", say.of("Petunjuk transfer", "Instructions"), &draft.instructions)
            .rule(say.of(
                "Misalnya berita transfer yang diharapkan. Paling banyak 2.000 huruf",
                "Such as the text that a transfer should carry. At most 2,000 characters",
            ))
            .input(Input::Lines(3));
    html! {
        section.card aria-labelledby="accounts-title" {
            h2 #accounts-title { (say.of("Rekening untuk transfer", "Bank accounts for transfers")) }
            p.honest {
                (say.of(
                    "Rekening hanya tampil di halaman pesanan, selama pembayarannya belum dikonfirmasi. Di etalase tidak pernah.",
                    "Bank accounts are shown only on an order's page, while its payment is not confirmed. Never on the \
                     storefront.",
                ))
            }
            p.muted {
                (say.of(
                    "Paling banyak lima. Isi ketiga kolom tiap rekening; nomor ditampilkan persis seperti yang Anda ketik.",
                    "Five at most. Fill in all three fields of each; the number is shown just as you type it.",
                ))
            }
            @for (index, group) in groups().take(filled + 1) { (account_group(say, draft, index, group, trouble)) }
            @if filled + 1 < BANK_ACCOUNTS_MAX {
                details.more-accounts {
                    summary { (say.of("Tambah rekening lain", "Add other accounts")) }
                    @for (index, group) in groups().skip(filled + 1) { (account_group(say, draft, index, group, trouble)) }
                }
            }
            (instructions.show(say, trouble))
        }
    }
}

fn account_group(say: Say, draft: &Draft, index: usize, group: &Group, trouble: Option<&Trouble>) -> Markup {
    let label = |column| match column {
        "bankName" => say.of("Nama bank", "Bank"),
        "accountNumber" => say.of("Nomor rekening", "Account number"),
        _ => say.of("Atas nama", "Account holder"),
    };
    html! {
        fieldset.account {
            legend {
                (say.of("Rekening", "Account")) " " (index + 1)
                " " span.optional { (say.of("(boleh kosong)", "(optional)")) }
            }
            div.trio {
                @for (column, value) in COLUMNS.into_iter().zip(group) {
                    @let param = draft.param(index, column);
                    @let rule = if column == "accountNumber" { say.of("Angka, spasi, dan tanda hubung", "Digits, spaces and hyphens") } else { "" };
                    (Field::text(&format!("{column}{index}"), label(column), value).param(&param).rule(rule).show(say, trouble))
                }
            }
        }
    }
}

/// The first plan that may hide our name, and what it costs.
fn plan_without_branding() -> Option<(&'static str, String)> {
    let terms = Tier::ALL.into_iter().map(Tier::terms).find(|terms| terms.branding_removal)?;
    Some((terms.name, rupiah(terms.price_idr)))
}

fn visibility_card(say: Say, tier: Tier, draft: &Draft, trouble: Option<&Trouble>) -> Markup {
    let is_allowed = tier.terms().branding_removal;
    // What the plan does not allow can't be asked for, unless it was, just now: then it can be taken back.
    let is_refused = trouble.is_some_and(|trouble| trouble.param.as_deref() == Some("hideBranding"));
    let gate = match plan_without_branding() {
        Some((name, price)) if !is_allowed => say.of(
            format!("Tersedia mulai paket {name} ({price} per bulan). Paket Anda sekarang: {}", tier.terms().name),
            format!("Available from the {name} plan up ({price} a month). Your plan now: {}", tier.terms().name),
        ),
        _ => say.of("Termasuk dalam paket Anda", "Included in your plan").to_owned(),
    };
    let publish = Tick {
        name: "published",
        label: say.of("Terbitkan etalase", "Publish the storefront"),
        rule: say.of(
            "Semua orang yang punya alamatnya bisa melihat etalase dan memesan",
            "Everybody who has its address can see it and place orders",
        ),
        is_ticked: draft.published,
        is_closed: false,
    };
    let branding = Tick {
        name: "hideBranding",
        label: say
            .of("Sembunyikan tulisan “Serront” di kaki halaman", "Hide the name “Serront” at the foot of the pages"),
        rule: &gate,
        is_ticked: draft.hide_branding && (is_allowed || is_refused),
        is_closed: !is_allowed && !is_refused,
    };
    html! {
        section.card aria-labelledby="visibility-title" {
            h2 #visibility-title { (say.of("Tampilan", "Visibility")) }
            (publish.show(say, trouble))
            (branding.show(say, trouble))
        }
    }
}

/// A box to tick.
struct Tick<'a> {
    name: &'a str,
    label: &'a str,
    rule: &'a str,
    is_ticked: bool,
    /// Whether it can't be ticked.
    is_closed: bool,
}

impl Tick<'_> {
    fn show(&self, say: Say, trouble: Option<&Trouble>) -> Markup {
        let Self { name, label, rule, is_ticked, is_closed } = *self;
        let is_wrong = trouble.is_some_and(|trouble| trouble.param.as_deref() == Some(name));
        let (hint, error) = (format!("{name}-hint"), format!("{name}-error"));
        let described = if is_wrong { format!("{error} {hint}") } else { hint.clone() };
        html! {
            div.field {
                label.check for=(name) {
                    input id=(name) name=(name) type="checkbox" value="1" checked[is_ticked] disabled[is_closed]
                        aria-invalid=[is_wrong.then_some("true")] aria-describedby=(described);
                    span { (label) }
                }
                @if is_wrong { p.error #(error) { (say.of("Hilangkan centang ini untuk menyimpan.", "Untick this to save.")) } }
                p.hint #(hint) { (rule) "." }
            }
        }
    }
}

/// The catalog, to look at.
fn services_card(say: Say, services: &[ServiceView]) -> Markup {
    let left_out = services.len().saturating_sub(SERVICES_SHOWN);
    html! {
        section.card #services aria-labelledby="services-title" {
            h2 #services-title { (say.of("Layanan", "Services")) }
            p.muted {
                (say.of("Layanan ditambah dan diubah lewat API, di ", "Services are added and changed through the API, at "))
                code { "/api/v1/services" } "."
            }
            @if services.is_empty() {
                p.empty { (say.of("Belum ada layanan, jadi belum ada yang bisa dipesan.", "There is no service yet, so there is nothing to order.")) }
            } @else {
                ul.rows { @for service in services.iter().take(SERVICES_SHOWN) { (service_row(say, service)) } }
                @if left_out > 0 {
                    p.muted.small { (say.of(format!("Dan {left_out} layanan lainnya."), format!("And {left_out} more."))) }
                }
            }
        }
    }
}

fn service_row(say: Say, service: &ServiceView) -> Markup {
    html! {
        li.entry {
            div.what {
                p.title { (service.name) }
                @for package in service.packages.iter().flatten() {
                    p.muted.small { (package.name) " · " span.money { (package.price_idr.to_string()) } }
                }
                p.pills {
                    @if service.active { (pill(Tone::Good, say.of("Bisa dipesan", "Can be ordered"))) }
                    @else { (pill(Tone::Calm, say.of("Tidak ditampilkan", "Not shown"))) }
                }
            }
            @if let Some(price) = service.price_idr {
                p.price {
                    (price.to_string())
                    @if service.pricing_type == PricingType::Hourly { span.per { (say.of("/jam", "/hour")) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(bank: &str, number: &str) -> Group {
        [bank.to_owned(), number.to_owned(), "Renata".to_owned()]
    }

    #[test]
    fn a_refusal_stands_at_its_own_group_also_behind_empty_ones() {
        let mut draft = Draft { slug: "s".into(), display_name: "S".into(), ..Draft::of(None) };
        draft.groups = vec![
            Group::default(),
            group("BCA", "1"),
            [" ".to_owned(), "\t".to_owned(), String::new()],
            group("BRI", "12a"),
            Group::default(),
        ];
        let input = draft.input();
        assert_eq!(input.manual_bank_accounts.as_ref().map(Vec::len), Some(2));
        let param = input.validate().unwrap_err().param;
        let named: Vec<_> =
            (0..BANK_ACCOUNTS_MAX).filter(|index| draft.param(*index, "accountNumber") == param).collect();
        assert_eq!(named, [3]);
    }

    #[test]
    fn what_people_put_around_a_number_and_a_slug_is_taken_off() {
        // Phones copy numbers out of contacts with marks of direction around them (#16).
        let copied = Draft { whatsapp_number: "\u{202a}+62\u{a0}812‑3456\u{202c}".into(), ..Draft::of(None) };
        assert_eq!(copied.input().whatsapp_number.as_deref(), Some("+628123456"));
        let draft = Draft {
            slug: " Studio-renata ".into(),
            whatsapp_number: "+62 (812) 3456-7890".into(),
            bio: " a\r\nb ".into(),
            instructions: " \r\n".into(),
            ..Draft::of(None)
        };
        let input = draft.input();
        assert_eq!(input.slug, "studio-renata");
        assert_eq!(input.whatsapp_number.as_deref(), Some("+6281234567890"));
        assert_eq!((input.bio.as_deref(), input.manual_instructions), (Some("a\nb"), None));
    }
}
