//! Common parts of the payments page's forms: their place, a refusal, and the check that the module is on.

use serront_core::primitives::ids::ExceptionId;
use serront_core::primitives::rejection::{Code, Rejection};
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

/// A refused form, to be shown again as it was sent.
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
            // The service names no field; on this page it is the amount.
            trouble.param = Some("amount".to_owned());
        }
        Ok(Self { place, form, trouble })
    }

    /// The refused form, if it is the one at this place.
    pub(super) fn at(refused: Option<&Self>, place: Place) -> Option<(&Form, &Trouble)> {
        refused.filter(|refused| refused.place == place).map(|refused| (&refused.form, &refused.trouble))
    }
}

pub(super) async fn is_on(seller: &Seller) -> Result<bool, Turn> {
    match seller.caller.commands().payment_module(seller.caller.account()).await {
        Ok(()) => Ok(true),
        Err(Failure::Rejected(rejection)) if rejection.code() == Code::PaymentModuleDisabled => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// Redirects to the payments page if the module is off.
pub(super) async fn gate(seller: &Seller) -> Result<(), Turn> {
    if is_on(seller).await? { Ok(()) } else { Err(Turn::to(seller.visit.go(PATH))) }
}
