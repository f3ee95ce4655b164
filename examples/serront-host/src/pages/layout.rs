//! The frame around every page: its head, navigation, language switch and foot.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};
use serront_core::orders::order::Language;
use serront_core::primitives::text::turns_direction;

use crate::pages::assets;
use crate::pages::form::TOKEN;
use crate::pages::visit::Visit;

/// The part of the site that a page belongs to, which decides its head.
pub(super) enum Area<'a> {
    /// Without navigation.
    Plain,
    /// A seller's pages for buyers. The name is not a link, since the storefront may not be published.
    Shop {
        name: &'a str,
        /// Whether the foot names Serront.
        is_branded: bool,
    },
    Dashboard {
        /// The forms' token, for signing out.
        token: &'a str,
        at: Section,
    },
    Operator {
        /// The forms' token, for signing out.
        token: &'a str,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Orders,
    Payments,
    Storefront,
    Integrations,
    Webhooks,
    Keys,
}

impl Section {
    const ALL: [Self; 6] =
        [Self::Orders, Self::Payments, Self::Storefront, Self::Integrations, Self::Webhooks, Self::Keys];

    const fn path(self) -> &'static str {
        match self {
            Self::Orders => "/dashboard",
            Self::Payments => "/dashboard/payments",
            Self::Storefront => "/dashboard/storefront",
            Self::Integrations => "/dashboard/integrations",
            Self::Webhooks => "/dashboard/webhooks",
            Self::Keys => "/dashboard/api-keys",
        }
    }

    fn name(self, visit: &Visit) -> &'static str {
        let say = visit.say;
        match self {
            Self::Orders => say.of("Pesanan", "Orders"),
            Self::Payments => say.of("Pembayaran", "Payments"),
            Self::Storefront => say.of("Etalase", "Storefront"),
            Self::Integrations => say.of("Integrasi", "Integrations"),
            Self::Webhooks => "Webhook",
            Self::Keys => say.of("Kunci API", "API keys"),
        }
    }
}

pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) area: Area<'a>,
    pub(super) body: Markup,
}

pub(super) fn show(visit: &Visit, page: Page<'_>) -> Response {
    let say = visit.say;
    let (name, is_branded) = match &page.area {
        Area::Shop { name, is_branded, .. } => (*name, *is_branded),
        Area::Plain | Area::Dashboard { .. } | Area::Operator { .. } => ("Serront", true),
    };
    let document = html! {
        (DOCTYPE)
        html lang=(say.0.as_str()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light";
                title { (page.title) " · " (name) }
                link rel="icon" type="image/svg+xml" href=(visit.to(&assets::address("icon.svg")));
                link rel="stylesheet" href=(visit.to(&assets::address("style.css")));
                script src=(visit.to(&assets::address("app.js"))) defer {}
            }
            body {
                a.skip href="#main" { (say.of("Langsung ke isi", "Skip to the content")) }
                (head(visit, &page.area))
                main #main tabindex="-1" { (page.body) }
                footer.foot {
                    @if is_branded { p { (say.of("Pembayaran diurus dengan ", "Payments are handled with ")) strong { "Serront" } } }
                }
            }
        }
    };
    // Text that people typed stands in our sentences, and must not change their direction.
    let mut document = document.into_string();
    document.retain(|character| !turns_direction(character));
    document.shrink_to_fit();
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], document).into_response()
}

fn head(visit: &Visit, area: &Area<'_>) -> Markup {
    let say = visit.say;
    html! {
        header.head {
            div.bar {
                @match area {
                    Area::Shop { name, .. } => span.brand { (name) },
                    Area::Plain => span.brand { "Serront" },
                    Area::Dashboard { .. } => a.brand href=(visit.to("/dashboard")) { "Serront" },
                    Area::Operator { .. } => a.brand href=(visit.to("/operator")) { "Serront " span.tag { "Operator" } },
                }
                div.tools {
                    (languages(visit))
                    @match area {
                        Area::Dashboard { token, .. } => (sign_out(visit, "/dashboard/logout", token)),
                        Area::Operator { token } => (sign_out(visit, "/operator/logout", token)),
                        Area::Plain | Area::Shop { .. } => {},
                    }
                }
            }
            @if let Area::Dashboard { at, .. } = area {
                nav.sections aria-label=(say.of("Bagian dasbor", "Dashboard sections")) {
                    ul {
                        @for section in Section::ALL {
                            li { a href=(visit.to(section.path())) aria-current=[(section == *at).then_some("page")] { (section.name(visit)) } }
                        }
                    }
                }
            }
        }
    }
}

fn languages(visit: &Visit) -> Markup {
    let other = match visit.say.0 {
        Language::Id => (Language::En, "English"),
        Language::En => (Language::Id, "Indonesia"),
    };
    html! { a.language href=(visit.switched(other.0)) hreflang=(other.0.as_str()) lang=(other.0.as_str()) { (other.1) } }
}

fn sign_out(visit: &Visit, path: &str, token: &str) -> Markup {
    html! {
        form.inline method="post" action=(visit.to(path)) {
            input type="hidden" name=(TOKEN) value=(token);
            button.quiet type="submit" { (visit.say.of("Keluar", "Sign out")) }
        }
    }
}
