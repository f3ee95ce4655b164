use serront_core::account::{Account, AccountState, Modules, Version};
