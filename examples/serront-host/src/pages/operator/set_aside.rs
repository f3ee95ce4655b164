//! Rows that this version can't read. They need no action here: a version that can read a row takes it up.

use maud::{Markup, html};
use serront_core::service::Failure;
use serront_core::snapshots::set_aside::{SetAside, SetAsideKind};

use crate::pages::parts::{Tone, pill};
use crate::pages::say::Say;
use crate::pages::session::Staff;
use crate::pages::visit::Turn;

const SHOWN_MAX: u32 = 20;

/// The section, oldest first; empty if there are none, which is usual.
pub(super) async fn section(staff: &Staff) -> Result<Markup, Turn> {
    let say = staff.visit.say;
    let found = staff.caller.storage().set_aside(SHOWN_MAX).await.map_err(Failure::from)?;
    if found.count == 0 {
        return Ok(html! {});
    }
    Ok(html! {
        section.card #set-aside aria-labelledby="set-aside-title" {
            h2 #set-aside-title { (say.of("Data yang tidak terbaca", "Rows that can't be read")) }
            p.muted {
                (say.of(
                    "Ditulis oleh versi yang lebih baru, atau rusak. Data ini dikesampingkan dan tidak menahan yang lain. Setelah bisa dibaca, data ini diproses dengan sendirinya.",
                    "They were written by a newer version, or are damaged. They are set aside and delay nothing else. As soon as a row can be read, it is processed automatically.",
                ))
            }
            ul.cases { @for row in &found.rows { (case(say, row)) } }
            @if found.count > u64::from(SHOWN_MAX) {
                p.muted { (say.of(format!("{SHOWN_MAX} yang paling lama dari {}.", found.count), format!("The {SHOWN_MAX} oldest of {}.", found.count))) }
            }
        }
    })
}

fn case(say: Say, row: &SetAside) -> Markup {
    let SetAside { kind, id, account_id, what, since, tried_at } = row;
    html! {
        li {
            div.row { h3 { (name(say, *kind)) } (pill(Tone::Bad, say.of("Tidak terbaca", "Can't be read"))) }
            p { (say.of("Bagian: ", "Part: ")) code { (what) } }
            p.muted.small {
                (say.of("sejak ", "since ")) (say.moment(*since))
                (say.of(", terakhir dicoba ", ", last tried ")) (say.moment(*tried_at))
                " · " code { (account_id) } " · " code { (id) }
            }
        }
    }
}

fn name(say: Say, kind: SetAsideKind) -> &'static str {
    match kind {
        SetAsideKind::Effect => say.of("Email, webhook, atau penghapusan", "Mail, webhook or removal"),
        SetAsideKind::Errand => say.of("Permintaan ke Plugipay", "Errand at Plugipay"),
        SetAsideKind::Discard => say.of("Catatan yang dihapus dari daftar", "Record of something discarded"),
        SetAsideKind::Notification => say.of("Pemberitahuan Plugipay", "Notification from Plugipay"),
        SetAsideKind::Payout => say.of("Pencairan", "Payout"),
        SetAsideKind::Subscription => say.of("Langganan webhook", "Webhook subscription"),
        SetAsideKind::Endpoint => say.of("Alamat pemberitahuan di Plugipay", "Notification endpoint at Plugipay"),
        SetAsideKind::OrderCount => say.of("Jumlah pesanan", "Number of orders"),
        SetAsideKind::Balance => say.of("Saldo", "Balance"),
        SetAsideKind::Unknown => say.of("Jenis yang belum dikenal", "Unknown kind"),
    }
}
