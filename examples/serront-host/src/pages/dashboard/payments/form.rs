//! What the forms of the payments page share: their place, a refusal, and the check that the module is on.

use serront_core::ids::ExceptionId;
use serront_core::rejection::{Code, Rejection};
use serront_core::service::Failure;

use crate::pages::form::Form;
use crate::pages::session::Seller;
use crate::pages::visit::{Trouble, Turn};

pub(super) const PATH: &str = "/dashboard/payments";

/// A form of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Request,
    BankAccount,
    Exception(ExceptionId),
}

/// A form that was not carried out: shown again as it was sent, with the reason.
pub(super) struct Refused {
    pub(super) place: Place,
    pub(super) form: Form,
    pub(super) trouble: Trouble,
}

impl Refused {
    pub(super) fn new(place: Place, form: Form, seller: &Seller, failure: Failure) -> Result<Self, Turn> {
        let is_too_much = matches!(&failure, Failure::Rejected(Rejection::InsufficientBalance { .. }));
        let mut trouble = Trouble::of(seller.visit.say, failure)?;
        if is_too_much {
            // The service names no field; here it is plain which one is meant.
            trouble.param = Some("amount".to_owned());
        }
        Ok(Self { place, form, trouble })
    }

    /// What was sent at this place, and why it was refused.
    pub(super) fn at(refused: Option<&Self>, place: Place) -> Option<(&Form, &Trouble)> {
        refused.filter(|refused| refused.place == place).map(|refused| (&refused.form, &refused.trouble))
    }
}

pub(super) async fn is_on(seller: &Seller) -> Result<bool, Turn> {
    match seller.caller.local().payment_module(seller.caller.account()).await {
        Ok(()) => Ok(true),
        Err(Failure::Rejected(rejection)) if rejection.code() == Code::PaymentModuleDisabled => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Sends to the page that says so if the module is off.
pub(super) async fn gate(seller: &Seller) -> Result<(), Turn> {
    if is_on(seller).await? { Ok(()) } else { Err(Turn::to(seller.visit.go(PATH))) }
}
