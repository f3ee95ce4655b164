//! Values that both hand-written sides store.

pub(crate) const BANK: &str =
    r#"{"bankCode":null,"bankName":"Bank Contoh","bankAccountNumber":"123-456-789","bankAccountHolder":"Renata"}"#;
pub(crate) const ACTOR: &str = r#"{"kind":"host","name":"bench"}"#;
