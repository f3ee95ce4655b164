//! The fields of the storefront's form.

use axum::http::StatusCode;
use maud::{Markup, html};
use serront_core::orders::instructions::BANK_ACCOUNTS_MAX;
use serront_core::primitives::text::has_national_zero;
use serront_core::primitives::tier::Tier;

use super::draft::{COLUMNS, Draft, Group, is_empty};
use crate::pages::parts::{Field, Input};
use crate::pages::say::{Say, rupiah};
use crate::pages::visit::Trouble;
use crate::state::Host;

pub(super) fn profile_card(host: &Host, say: Say, draft: &Draft, trouble: Option<&Trouble>) -> Markup {
    let is_taken = trouble.is_some_and(|trouble| trouble.status == StatusCode::CONFLICT);
    let address = say.of(
        format!(
            "Huruf kecil, angka, dan tanda hubung. Etalase dibuka di {}/s/alamat; bila diganti, alamat lama tidak berlaku lagi",
            host.public_url()
        ),
        format!(
            "Lower-case letters, digits and hyphens. The storefront opens at {}/s/address; if you change it, the old address \
             stops working",
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
    let whatsapp =
        Field::text("whatsappNumber", say.of("Nomor WhatsApp", "WhatsApp number"), &draft.whatsapp_number)
            .rule(say.of(
                "Diawali kode negara, misalnya +62 812 3456 7890",
                "With the country code, such as +62 812 3456 7890",
            ))
            .wrong(if has_national_zero(&draft.number()) {
                say.of(
                    "Hapus angka 0 sesudah kode negara: +62 812…, bukan +62 0812…",
                    "Leave out the 0 after the country code: +62 812…, not +62 0812…",
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

pub(super) fn taken(say: Say) -> &'static str {
    say.of("Alamat ini sudah dipakai toko lain", "Another shop already uses this address")
}

pub(super) fn transfer_card(say: Say, draft: &Draft, trouble: Option<&Trouble>) -> Markup {
    // Shows the filled groups and one more; the others are folded.
    let filled = draft.groups.iter().rposition(|group| !is_empty(group)).map_or(0, |index| index + 1);
    let groups = || draft.groups.iter().enumerate();
    let instructions =
        Field::text("manualInstructions", say.of("Petunjuk transfer", "Instructions"), &draft.instructions)
            .rule(say.of(
                "Misalnya berita transfer yang diharapkan. Paling banyak 2.000 huruf",
                "For example, the reference to put on the transfer. At most 2,000 characters",
            ))
            .input(Input::Lines(3));
    html! {
        section.card aria-labelledby="accounts-title" {
            h2 #accounts-title { (say.of("Rekening untuk transfer", "Bank accounts for transfers")) }
            p.honest {
                (say.of(
                    "Rekening hanya tampil di halaman pesanan, selama pembayarannya belum dikonfirmasi. Di etalase tidak pernah.",
                    "Bank accounts are shown only on an order's page until its payment is confirmed, and never on the \
                     storefront.",
                ))
            }
            p.muted {
                (say.of(
                    "Paling banyak lima. Isi ketiga kolom tiap rekening; nomor ditampilkan persis seperti yang Anda ketik.",
                    "At most five. Fill in all three fields of each; the number is shown exactly as you type it.",
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

/// The cheapest plan that may hide our name, with its price.
fn plan_without_branding() -> Option<(&'static str, String)> {
    let terms = Tier::ALL.into_iter().map(Tier::terms).find(|terms| terms.branding_removal)?;
    Some((terms.name, rupiah(terms.price_idr)))
}

pub(super) fn visibility_card(say: Say, tier: Tier, draft: &Draft, trouble: Option<&Trouble>) -> Markup {
    let is_allowed = tier.terms().branding_removal;
    // If the plan does not allow it, the box is disabled, except after a refusal, so that it can be unticked.
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
            "Everyone who has its address can see it and place orders",
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

struct Tick<'a> {
    name: &'a str,
    label: &'a str,
    rule: &'a str,
    is_ticked: bool,
    /// Whether it is disabled.
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
