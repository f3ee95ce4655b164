//! The question before a step that can't be undone.

use axum::response::Response;
use maud::{Markup, html};

use crate::pages::layout::Section;
use crate::pages::parts::{hidden, once};
use crate::pages::session::Seller;

/// A question on a separate page, so that it works without scripts.
pub(super) struct Question<'a> {
    pub(super) section: Section,
    pub(super) title: &'a str,
    /// The question and its consequences.
    pub(super) body: Markup,
    pub(super) action: &'a str,
    /// The form's idempotency key, if the step itself is not idempotent.
    pub(super) once: Option<String>,
    pub(super) yes: &'a str,
    /// Whether the step deletes something.
    pub(super) is_destructive: bool,
    pub(super) no: &'a str,
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
