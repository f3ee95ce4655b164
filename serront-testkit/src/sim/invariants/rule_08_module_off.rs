//! Rule 8: with the module off, online payment, ledger and payouts answer `PAYMENT_MODULE_DISABLED`; on again, everything
//! is what it was.
//!
//! There are no such routes yet, and no installation has what the module needs: it can't be switched on. When they come:
//! ask each route while it is off, and compare balance and history before and after.

use serde_json::Value;

use crate::sim::events::{Event, Invariant, Reply, Verb, Verdict, View};
use crate::sim::executor::at_once;

#[derive(Default)]
pub(super) struct ModuleOff;

impl Invariant for ModuleOff {
    fn name(&self) -> &'static str {
        "rule 8: module off"
    }

    fn not_yet(&self) -> Option<&'static str> {
        Some("the module has no routes; checked: it stays off, and says why")
    }

    fn see(&mut self, event: &Event<'_>, _view: &View<'_>) -> Verdict {
        let Event::Told { call, reply, .. } = event else { return Ok(()) };
        if !matches!(call.verb, Verb::SwitchPayment { .. }) {
            return Ok(());
        }
        match reply {
            Reply::Done { data, .. } => {
                let on = data.get("modules").and_then(|modules| modules.get("payment")).and_then(Value::as_bool);
                if on == Some(false) { Ok(()) } else { Err(format!("the module was switched on: {data}")) }
            }
            Reply::Refused(code) if ["NOT_CONFIGURED", "UPGRADE_REQUIRED", "UNAUTHORIZED"].contains(&code.as_str()) => {
                Ok(())
            }
            Reply::Refused(code) => Err(format!("switching the module answers {code}")),
            Reply::Bytes(_) | Reply::NotDone | Reply::Unknown => Ok(()),
        }
    }

    fn end(&mut self, view: &View<'_>) -> Verdict {
        for seller in view.sellers {
            let snapshot = at_once(view.storage.account(seller.account, None)).map_err(|error| error.to_string())?;
            if snapshot.is_some_and(|snapshot| snapshot.account.state.modules.payment) {
                return Err("a module is on that nothing is set up for".to_owned());
            }
        }
        Ok(())
    }
}
