//! The question before a step that nothing takes back.

use axum::response::Response;
use maud::{Markup, html};

use crate::pages::layout::Section;
use crate::pages::parts::{hidden, once};
use crate::pages::session::Seller;

/// Asks, on a page of its own, so that it works without scripts.
pub(super) struct Question<'a> {
    pub(super) section: Section,
    pub(super) title: &'a str,
    /// What is asked, and what it means.
    pub(super) body: Markup,
    /// The form's address.
    pub(super) action: &'a str,
    /// What makes one of the form sent twice, where the step itself does not.
    pub(super) once: Option<String>,
    pub(super) yes: &'a str,
    /// Whether something is gone after it.
    pub(super) is_destructive: bool,
    pub(super) no: &'a str,
    /// The page to go back to.
    pub(super) back: &'a str,
}

impl Question<'_> {
    pub(super) fn show(self, seller: &Seller) -> Response {
        let visit = &seller.visit;
        let class = if self.is_destructive { "danger wide" } else { "wide" };
        let body = html! {
            section.card.narrow {
                h1 { (self.title) }
                (self.body)
                form method="post" action=(visit.to(self.action)) data-once="" {
                    (hidden(seller))
                    @if let Some(fresh) = &self.once { (once(fresh)) }
                    button class=(class) type="submit" { (self.yes) }
                }
                a.button.secondary href=(visit.to(self.back)) { (self.no) }
            }
        };
        seller.page(self.section, self.title, body)
    }
}
