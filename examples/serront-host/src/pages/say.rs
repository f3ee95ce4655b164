//! The pages' texts. Each text is written in Indonesian and English at the same place, so that no translation can be missing.

use chrono::{DateTime, Datelike as _, FixedOffset, Timelike as _};
use serront_core::accounts::actor::Actor;
use serront_core::changes::effect::EffectStatus;
use serront_core::funds::ledger::EntryCode;
use serront_core::funds::payout::PayoutStatus;
use serront_core::online::exception::ExceptionStatus;
use serront_core::orders::audit::Act;
use serront_core::orders::exception_kind::ExceptionKind;
use serront_core::orders::order::{Language, WorkStatus};
use serront_core::orders::payment::PaymentStatus;
use serront_core::primitives::image::ImageFault;
use serront_core::primitives::rejection::{Code, Rejection};
use serront_core::primitives::time::Timestamp;

/// Texts in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Say(pub(super) Language);

/// Western Indonesia Time, the pages' time zone. It has no summer time.
const WIB_SECONDS: i32 = 7 * 3_600;
const MONTHS_ID: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"];
const MONTHS_EN: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Say {
    /// The text in this language.
    pub(super) fn of<T>(self, indonesian: T, english: T) -> T {
        match self.0 {
            Language::Id => indonesian,
            Language::En => english,
        }
    }

    fn local(at: Timestamp) -> Option<DateTime<FixedOffset>> {
        let zone = FixedOffset::east_opt(WIB_SECONDS)?;
        Some(DateTime::from_timestamp_millis(at.millis())?.with_timezone(&zone))
    }

    /// A day in Western Indonesia: `23 Nov 2026`.
    pub(super) fn day(self, at: Timestamp) -> String {
        Self::local(at).map_or_else(String::new, |time| format!("{} {}", self.short_day(at), time.year()))
    }

    /// A day without its year: `23 Nov`.
    pub(super) fn short_day(self, at: Timestamp) -> String {
        let Some(time) = Self::local(at) else { return String::new() };
        let month = usize::try_from(time.month0()).ok();
        let name = month.and_then(|month| self.of(MONTHS_ID, MONTHS_EN).get(month).copied()).unwrap_or_default();
        format!("{} {name}", time.day())
    }

    /// A point in time in Western Indonesia: `23 Nov 2026, 14.36 WIB`.
    pub(super) fn moment(self, at: Timestamp) -> String {
        let Some(time) = Self::local(at) else { return String::new() };
        let between = self.of('.', ':');
        format!("{}, {:02}{between}{:02} WIB", self.day(at), time.hour(), time.minute())
    }

    pub(super) fn work(self, status: WorkStatus) -> &'static str {
        match status {
            WorkStatus::Requested => self.of("Menunggu jawaban", "Requested"),
            WorkStatus::Confirmed => self.of("Diterima", "Accepted"),
            WorkStatus::Declined => self.of("Ditolak", "Declined"),
            WorkStatus::InProgress => self.of("Sedang dikerjakan", "In progress"),
            WorkStatus::Delivered => self.of("Diserahkan", "Delivered"),
            WorkStatus::Completed => self.of("Selesai", "Completed"),
            WorkStatus::Canceled => self.of("Dibatalkan", "Canceled"),
        }
    }

    pub(super) fn payment(self, status: PaymentStatus) -> &'static str {
        match status {
            PaymentStatus::Unpaid => self.of("Belum dibayar", "Unpaid"),
            PaymentStatus::PaymentClaimed => self.of("Menunggu pengecekan", "Waiting for review"),
            PaymentStatus::PaymentConfirmed => self.of("Pembayaran dikonfirmasi", "Payment confirmed"),
        }
    }

    pub(super) fn payout(self, status: PayoutStatus) -> &'static str {
        match status {
            PayoutStatus::Pending => self.of("Menunggu diproses", "Pending"),
            PayoutStatus::InTransit => self.of("Sedang ditransfer", "In transit"),
            PayoutStatus::Paid => self.of("Sudah dibayarkan", "Paid"),
            PayoutStatus::Cancelled => self.of("Dibatalkan", "Cancelled"),
            PayoutStatus::Failed => self.of("Gagal", "Failed"),
        }
    }

    pub(super) fn delivery(self, status: EffectStatus) -> &'static str {
        match status {
            EffectStatus::Pending => self.of("Dalam antrean", "Queued"),
            EffectStatus::Succeeded => self.of("Terkirim", "Delivered"),
            EffectStatus::Failed => self.of("Gagal", "Failed"),
        }
    }

    pub(super) fn entry(self, code: EntryCode) -> &'static str {
        match code {
            EntryCode::Sale => self.of("Pembayaran online", "Online payment"),
            EntryCode::ModuleFee => self.of("Biaya pembayaran online", "Fee for online payment"),
            EntryCode::Payout => self.of("Pencairan", "Payout"),
            EntryCode::Adjustment => self.of("Penyesuaian", "Adjustment"),
        }
    }

    /// Why a payment could not confirm its order.
    pub(super) fn exception(self, kind: ExceptionKind) -> &'static str {
        match kind {
            ExceptionKind::AlreadyConfirmed => {
                self.of("Pesanan ini sudah dikonfirmasi sebelumnya", "The order was already confirmed")
            }
            ExceptionKind::OrderClosed => {
                self.of("Pesanan ini sudah ditolak atau dibatalkan", "The order was already declined or canceled")
            }
            ExceptionKind::AmountMismatch => {
                self.of("Jumlahnya tidak sama dengan tagihan", "The amount differs from the amount due")
            }
        }
    }

    pub(super) fn exception_status(self, status: ExceptionStatus) -> &'static str {
        match status {
            ExceptionStatus::Open => self.of("Perlu ditindaklanjuti", "Open"),
            ExceptionStatus::Resolved => self.of("Selesai", "Resolved"),
        }
    }

    pub(super) fn actor(self, actor: &Actor) -> String {
        match actor {
            Actor::Buyer { .. } => self.of("Pembeli", "The buyer").to_owned(),
            Actor::Key { id } => format!("{} {id}", self.of("Penjual, dengan kunci", "The seller, with the key")),
            Actor::Operator { id } => {
                format!("{} {id}", self.of("Operator, dengan kunci", "An operator, with the key"))
            }
            Actor::Plugipay { event_id } => match event_id {
                Some(event) => {
                    format!(
                        "{} {}",
                        self.of("Plugipay, lewat pemberitahuan", "Plugipay, by the notification"),
                        event.as_str()
                    )
                }
                None => self.of("Plugipay, saat ditanya", "Plugipay, when asked").to_owned(),
            },
            Actor::Host { name } => name.clone(),
            _ => String::new(),
        }
    }

    pub(super) fn act(self, act: &Act) -> String {
        match act {
            Act::Placed { quote } if quote.is_zero() => {
                self.of("Pesanan dibuat, belum ada harga", "Order placed, without a price yet").to_owned()
            }
            Act::Placed { quote } => self.of(format!("Pesanan dibuat: {quote}"), format!("Order placed: {quote}")),
            Act::Payment { to, .. } => match to {
                PaymentStatus::Unpaid => self.of("Pembayaran: belum dibayar", "Payment: unpaid"),
                PaymentStatus::PaymentClaimed => {
                    self.of("Pembeli menyatakan sudah transfer", "The buyer reported the payment")
                }
                PaymentStatus::PaymentConfirmed => self.of("Pembayaran dikonfirmasi", "Payment confirmed"),
            }
            .to_owned(),
            Act::Receipt { replaced_sha256: None, .. } => {
                self.of("Bukti transfer diunggah", "Receipt uploaded").to_owned()
            }
            Act::Receipt { .. } => self.of("Bukti transfer diganti", "Receipt replaced").to_owned(),
            Act::Quote { from, to } => {
                self.of(format!("Harga diubah: {from} → {to}"), format!("Price changed: {from} → {to}"))
            }
            Act::Settled { amount, fee, exception, .. } => {
                let text = self.of(
                    format!("Pembayaran online {amount} diterima, biaya {fee}"),
                    format!("Online payment of {amount} arrived, fee {fee}"),
                );
                exception.map_or(text.clone(), |kind| format!("{text}. {}", self.exception(kind)))
            }
            Act::Resolved { .. } => self.of("Masalah pembayaran diselesaikan", "Payment exception resolved").to_owned(),
            Act::Work { from, to } => {
                format!("{}: {} → {}", self.of("Pengerjaan", "Work"), self.work(*from), self.work(*to))
            }
            Act::TokenRotated { .. } => {
                self.of("Alamat halaman pembeli diganti", "The address of the buyer's page was changed").to_owned()
            }
            _ => String::new(),
        }
    }

    /// The text of a refusal. A refusal of a field is shown at the field instead.
    pub(super) fn refusal(self, rejection: &Rejection) -> String {
        if let Rejection::InsufficientBalance { available } = rejection {
            let available = rupiah(*available);
            return self.of(
                format!("Saldo tidak cukup: yang tersedia {available}."),
                format!("The balance is too low: {available} is available."),
            );
        }
        if let Rejection::LimitReached { limit, .. } = rejection {
            return self.of(
                format!("Batas paket Anda sudah tercapai: {limit}."),
                format!("You have reached the limit of your plan: {limit}."),
            );
        }
        if let Rejection::UnsupportedMediaType(fault) = rejection {
            return self.image(*fault).to_owned();
        }
        self.code(rejection.code()).to_owned()
    }

    /// Why a file is not accepted as a receipt, and what to send instead.
    fn image(self, fault: ImageFault) -> &'static str {
        match fault {
            ImageFault::Empty => {
                self.of("Berkas ini kosong. Pilih berkas lain.", "This file is empty. Choose another one.")
            }
            ImageFault::Heic => self.of(
                "Ini foto HEIC dari iPhone, yang tidak bisa dibuka penjual. Unggah tangkapan layar dari foto ini, atau ubah dulu \
                 ke JPEG: Pengaturan > Kamera > Format > Paling Kompatibel, lalu foto ulang.",
                "This is an iPhone HEIC photo, which the seller can't open. Upload a screenshot of it, or switch to JPEG \
                 (Settings > Camera > Formats > Most Compatible) and take the photo again.",
            ),
            ImageFault::Pdf => self.of(
                "Ini berkas PDF, bukan gambar. Buka PDF itu, lalu unggah tangkapan layarnya.",
                "This is a PDF, not an image. Open it and upload a screenshot of it.",
            ),
            ImageFault::OtherFormat => self.of(
                "Format gambar ini tidak didukung. Kirim sebagai PNG, JPEG, WebP atau GIF, atau unggah tangkapan layarnya.",
                "This image format is not supported. Send it as PNG, JPEG, WebP or GIF, or upload a screenshot of it.",
            ),
            ImageFault::Incomplete => self.of(
                "Gambar ini tidak lengkap: sebagian isinya hilang atau rusak. Unduh atau foto ulang, lalu coba lagi.",
                "This image is incomplete: a part of it is missing or damaged. Download it or take the photo again, then retry.",
            ),
            ImageFault::TooManyPixels => self.of(
                "Gambar ini terlalu besar: paling besar 120 megapiksel. Unggah tangkapan layarnya.",
                "This image is too large: at most 120 megapixels. Upload a screenshot of it.",
            ),
            ImageFault::NotAnImage
            | ImageFault::TwoKinds
            | ImageFault::DeclaredUnknown
            | ImageFault::DeclaredOther
            | _ => self.code(Code::UnsupportedMediaType),
        }
    }

    /// The text of a code on a page.
    pub(super) fn code(self, code: Code) -> &'static str {
        match code {
            Code::ValidationError => self.of("Ada isian yang belum sesuai.", "A field is not filled in correctly."),
            Code::Unauthorized => self.of("Silakan masuk dahulu.", "Please sign in first."),
            Code::InvalidSignature => self.of("Tanda tangan tidak cocok.", "The signature is not valid."),
            Code::UpgradeRequired => self.of(
                "Paket Anda belum mencakup fitur ini. Tersedia mulai paket Starter.",
                "Your plan does not include this. It is available from the Starter plan up.",
            ),
            Code::LimitReached => {
                self.of("Batas paket Anda sudah tercapai.", "You have reached the limit of your plan.")
            }
            Code::OperatorOnly => self.of("Hanya operator yang boleh melakukan ini.", "Only an operator may do this."),
            Code::NotFound => self.of(
                "Halaman ini tidak ada, atau alamatnya tidak lengkap.",
                "This page does not exist, or the address is incomplete.",
            ),
            Code::MethodNotAllowed => {
                self.of("Halaman ini tidak bisa dibuka begitu.", "This page can't be opened in this way.")
            }
            Code::InvalidTransition => self.of(
                "Statusnya sudah berubah, jadi langkah ini tidak berlaku lagi.",
                "The state has changed, so this step is no longer possible.",
            ),
            Code::PaymentModuleDisabled => {
                self.of("Pembayaran online sedang tidak aktif.", "Online payment is switched off.")
            }
            Code::OrderClosed => {
                self.of("Pesanan ini sudah ditolak atau dibatalkan.", "This order was declined or canceled.")
            }
            Code::NoQuote => self.of("Penjual belum menentukan harganya.", "The seller has not set the price yet."),
            Code::InsufficientBalance => self.of("Saldo tidak cukup.", "The available balance is too low."),
            Code::BankAccountRequired => {
                self.of("Isi rekening tujuan pencairan dahulu.", "Fill in the bank account for payouts first.")
            }
            Code::Conflict => self.of("Nama ini sudah dipakai.", "This name is already taken."),
            Code::IdempotencyKeyInUse => {
                self.of("Formulir ini sudah dikirim sebelumnya.", "This form was already sent.")
            }
            Code::AlreadyQueued => self.of(
                "Kiriman ini masih dalam antrean dan dicoba lagi dengan sendirinya.",
                "This delivery is already queued and will be retried automatically.",
            ),
            Code::EndpointDisabled => self.of(
                "Webhook tujuannya sedang dijeda atau sudah dihapus, jadi tidak ada yang dikirim ke sana.",
                "The delivery's webhook is paused or deleted, so nothing is sent to it.",
            ),
            Code::PayloadTooLarge => {
                self.of("Berkas terlalu besar: paling besar 5 MB.", "The file is too large: at most 5 MB.")
            }
            Code::UnsupportedMediaType => self.of(
                "Berkas ini bukan gambar. Pakai foto atau tangkapan layar: PNG, JPEG, WebP atau GIF.",
                "This file is not an image. Use a photo or a screenshot: PNG, JPEG, WebP or GIF.",
            ),
            Code::RateLimited => self.of(
                "Terlalu banyak permintaan dari sini. Tunggu sebentar, lalu coba lagi.",
                "Too many requests from your address. Wait a moment, then try again.",
            ),
            Code::PlugipayError => self.of(
                "Penyedia pembayaran sedang tidak bisa dihubungi. Coba lagi sebentar lagi.",
                "The payment provider is not available at the moment. Try again shortly.",
            ),
            Code::NotConfigured => {
                self.of("Pembayaran online belum disiapkan di sini.", "Online payment is not set up here.")
            }
            Code::Busy => self.of("Sedang ramai. Coba lagi sebentar lagi.", "The service is busy. Try again shortly."),
            Code::InternalError | _ => {
                self.of("Ada yang gagal di pihak kami. Coba lagi.", "Something failed on our side. Try again.")
            }
        }
    }
}

/// An amount, possibly negative, as written in Indonesia: `−Rp 2.250`.
pub(super) fn rupiah(amount: i64) -> String {
    let digits = amount.unsigned_abs().to_string();
    let mut text = String::from(if amount < 0 { "−Rp " } else { "Rp " });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('.');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_western_indonesia_time() {
        // 2026-11-22T17:05:00Z is a day later there.
        let at = Timestamp::from_millis(1_795_367_100_000);
        assert_eq!(at.to_string(), "2026-11-22T17:05:00.000Z");
        assert_eq!(Say(Language::Id).moment(at), "23 Nov 2026, 00.05 WIB");
        assert_eq!(Say(Language::En).moment(at), "23 Nov 2026, 00:05 WIB");
        assert_eq!(Say(Language::Id).short_day(at), "23 Nov");
    }

    #[test]
    fn amounts_below_zero_carry_a_sign() {
        for (amount, text) in
            [(0, "Rp 0"), (-2_250, "−Rp 2.250"), (747_750, "Rp 747.750"), (i64::MIN, "−Rp 9.223.372.036.854.775.808")]
        {
            assert_eq!(rupiah(amount), text);
        }
    }
}
