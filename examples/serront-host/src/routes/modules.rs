//! The switches of the optional modules.

use serde::Deserialize;
use serront_core::decide::ModuleSwitches;

use crate::answer::{Answer, Reply};
use crate::auth::Keyed;
use crate::body::Intake;

pub(super) async fn get(caller: Keyed) -> Reply {
    Answer::ok(&caller.online().modules(caller.account()).await?)
}

pub(super) async fn patch(caller: Keyed, intake: Intake) -> Reply {
    let (switches, request) = caller.input::<ModuleSwitches>(&intake).await?;
    Answer::done(&caller.online().switch_modules(caller.account(), switches, request).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Module {
    Payment,
    Marketing,
}

#[derive(Deserialize)]
struct Switch {
    module: Module,
    enabled: bool,
}

/// The same, with the module's name in the body.
pub(super) async fn switch(caller: Keyed, intake: Intake) -> Reply {
    let (switch, request) = caller.input::<Switch>(&intake).await?;
    let enabled = Some(switch.enabled);
    let switches = match switch.module {
        Module::Payment => ModuleSwitches { payment: enabled, marketing: None },
        Module::Marketing => ModuleSwitches { payment: None, marketing: enabled },
    };
    Answer::done(&caller.online().switch_modules(caller.account(), switches, request).await?)
}
