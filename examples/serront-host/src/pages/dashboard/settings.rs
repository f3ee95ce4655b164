//! Common parts of the settings pages: a secret that is shown once, and a long list in parts.

use maud::{Markup, html};
use serront_core::primitives::rejection::Rejection;
use serront_core::service::Failure;

use crate::pages::parts::{copy_button, copy_refusal};
use crate::pages::visit::{Trouble, Turn, Visit};

/// Items on a page: what a phone scrolls through, and far below 50 kB.
const THINGS_ON_A_PAGE: usize = 10;

/// A part of a list, newest first.
pub(super) struct Part<'a, T> {
    pub(super) shown: Vec<&'a T>,
    /// The last item shown, if more follow.
    pub(super) last: Option<&'a T>,
}

impl<'a, T> Part<'a, T> {
    /// A part of things listed oldest first: those after this id, or the newest if the id is unknown.
    pub(super) fn of(things: &'a [T], id_of: impl Fn(&T) -> String, after: Option<&str>) -> Self {
        let begin = after.and_then(|after| things.iter().rev().position(|thing| id_of(thing) == after));
        let rest = things.iter().rev().skip(begin.map_or(0, |index| index + 1));
        let mut shown: Vec<_> = rest.take(THINGS_ON_A_PAGE + 1).collect();
        let has_more = shown.len() > THINGS_ON_A_PAGE;
        shown.truncate(THINGS_ON_A_PAGE);
        let last = shown.last().copied().filter(|_| has_more);
        Self { shown, last }
    }
}

/// Why nothing was created. If the form was sent before, it was created then; its secret can't be shown again.
pub(super) fn not_made(visit: &Visit, failure: Failure) -> Result<Trouble, Turn> {
    let say = visit.say;
    let is_sent_before = matches!(&failure, Failure::Rejected(Rejection::IdempotencyKeyInUse(_)));
    let trouble = Trouble::of(say, failure)?;
    if !is_sent_before {
        return Ok(trouble);
    }
    let text = say.of(
        "Formulir ini sudah dikirim sebelumnya, dan rahasianya hanya ditampilkan sekali. Bila belum sempat disimpan, \
         buat yang baru, dan hapus yang tidak dipakai.",
        "This form was already sent, and the secret is shown only once. If you have not saved it, create a new one, and \
         delete the unused one.",
    );
    Ok(Trouble { text: text.into(), ..trouble })
}

/// A secret that is shown once, with its use below.
pub(super) fn shown_once(visit: &Visit, secret: &str, use_for: &Markup, back: &str) -> Markup {
    let say = visit.say;
    html! {
        p.caution {
            (say.of(
                "Simpan sekarang di tempat yang aman. Setelah halaman ini ditutup, teks ini tidak bisa ditampilkan lagi.",
                "Save it in a safe place now. After you close this page, it can't be shown again.",
            ))
        }
        div.copies data-copies {
            p.secret #secret data-copied { (secret) }
            p.actions {
                (copy_button(say, secret, None))
                a.button.secondary href=(visit.to(back)) { (say.of("Sudah saya simpan", "I have saved it")) }
            }
            (copy_refusal())
        }
        (use_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(things: &[u32], after: Option<&str>) -> (Vec<u32>, Option<u32>) {
        let part = Part::of(things, u32::to_string, after);
        (part.shown.into_iter().copied().collect(), part.last.copied())
    }

    #[test]
    fn a_long_list_is_shown_in_parts_and_nothing_is_left_out() {
        let things: Vec<u32> = (1..=23).collect();
        assert_eq!(part(&things, None), ((14..=23).rev().collect(), Some(14)));
        assert_eq!(part(&things, Some("14")), ((4..=13).rev().collect(), Some(4)));
        assert_eq!(part(&things, Some("4")), (vec![3, 2, 1], None));
        assert_eq!(part(&things, Some("1")), (vec![], None));
        assert_eq!(part(&[], None), (vec![], None));
        assert_eq!(part(&things[..10], None), ((1..=10).rev().collect(), None), "nothing follows a full page");
        assert_eq!(part(&things, Some("gone")).1, Some(14), "an unknown id leads to the beginning");
    }
}
