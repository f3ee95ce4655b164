//! The names and descriptions of event types, in both languages.

use serront_core::webhooks::event::EventType;

use crate::pages::say::Say;

pub(super) fn name(say: Say, event: EventType) -> &'static str {
    match event {
        EventType::OrderCreated => say.of("Pesanan baru", "New order"),
        EventType::OrderReplied => say.of("Pesan di pesanan", "Message on an order"),
        EventType::OrderStatusChanged => say.of("Pengerjaan berubah", "Work updated"),
        EventType::OrderPaymentConfirmed => say.of("Pembayaran dikonfirmasi", "Payment confirmed"),
        EventType::BillingSubscribed => say.of("Paket berganti", "Plan changed"),
        EventType::SubscriptionDisabled => say.of("Webhook dinonaktifkan", "Webhook switched off"),
        _ => event.as_str(),
    }
}

pub(super) fn description(say: Say, event: EventType) -> &'static str {
    let indonesian = match event {
        EventType::OrderCreated => "Pembeli membuat pesanan.",
        EventType::OrderReplied => "Seseorang menulis pesan di sebuah pesanan (belum dikirim).",
        EventType::OrderStatusChanged => "Pengerjaan sebuah pesanan maju atau berhenti.",
        EventType::OrderPaymentConfirmed => "Pembayaran sebuah pesanan dikonfirmasi.",
        EventType::BillingSubscribed => "Akun berganti paket (belum dikirim).",
        EventType::SubscriptionDisabled => "Sebuah webhook dinonaktifkan karena penerimanya terlalu lama gagal.",
        _ => event.description(),
    };
    say.of(indonesian, event.description())
}
