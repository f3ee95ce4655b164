//! The storage conformance suite: what [`Storage`](serront_core::ports::Storage) and
//! [`WorkStorage`](serront_core::ports::WorkStorage) guarantee, with one named test per guarantee.
//!
//! An adapter implements [`Harness`] and calls [`storage_conformance!`](crate::storage_conformance) once, as
//! `tests/memory_conformance.rs` of this crate does.
//!
//! The list of cases is in that macro, so that no adapter can omit one. A test of this crate compares the list with the
//! functions in the files.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "test support: a failed expectation ends the test"
)]

mod bench;
mod harness;

pub mod accounts;
pub mod checkouts;
pub mod claims;
pub mod clocks;
pub mod commits;
pub mod discards;
pub mod durability;
pub mod faults;
pub mod guards;
pub mod installation;
pub mod leases;
pub mod ledger;
pub mod numbers;
pub mod pages;
pub mod payouts;
pub mod pruning;
pub mod retries;
pub mod secrets;
pub mod shares;
pub mod subscriptions;
pub mod tokens;
pub mod workers;

pub use self::harness::Harness;

/// Expands to one `#[tokio::test]` for each case of the suite. The expression creates a
/// [`Harness`](crate::conformance::Harness); it is evaluated once per test, and may await.
///
/// The crate that calls it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! storage_conformance {
    ($fresh:expr) => {
        $crate::storage_conformance! { @cases $fresh;
            accounts::another_accounts_rows_are_not_written,
            accounts::another_accounts_things_read_as_nothing,
            checkouts::a_merchant_belongs_to_one_account,
            checkouts::a_missing_checkout_is_never_written,
            checkouts::a_notification_is_stored_once,
            checkouts::a_session_finds_its_checkout_and_parked_notifications,
            checkouts::checkouts_of_closed_orders_are_read,
            checkouts::live_checkouts_come_with_their_order,
            checkouts::parking_and_minting_meet,
            claims::a_deleted_key_opens_nothing_and_frees_its_hash,
            claims::a_duplicate_answers_the_kept_outcome,
            claims::a_released_name_can_be_claimed_again,
            claims::an_expired_outcome_is_replaced,
            claims::each_kind_of_name_is_claimed_once,
            claims::names_across_accounts_and_names_within,
            claims::of_many_orders_under_one_key_one_is_placed,
            claims::the_first_of_two_taken_names_is_reported,
            claims::only_its_holder_releases_a_name,
            clocks::a_keys_lifetime_ignores_the_hosts_clocks,
            clocks::a_repeated_key_is_answered_by_hosts_with_other_clocks,
            clocks::a_replaced_secrets_lifetime_ignores_the_hosts_clock,
            clocks::ages_are_by_the_storages_clock,
            clocks::effects_are_due_by_the_storages_clock,
            clocks::the_storage_answers_its_time,
            commits::a_change_set_lands_once_across_a_reopen,
            commits::a_change_set_lands_once_in_sequence,
            commits::a_change_set_lands_once_side_by_side,
            commits::a_failing_guard_leaves_nothing,
            commits::a_failing_write_leaves_nothing,
            commits::a_missing_row_is_never_written,
            commits::a_second_first_write_is_a_conflict,
            commits::a_taken_claim_leaves_nothing,
            commits::an_inconsistent_change_set_leaves_nothing,
            commits::failing_commits_do_not_affect_concurrent_ones,
            commits::the_outcome_of_a_change_set_can_be_asked_for,
            discards::a_discard_needs_a_reason_and_something_given_up,
            discards::an_effect_is_discarded_once,
            discards::what_was_discarded_can_be_tried_again,
            discards::what_was_discarded_is_off_the_list_and_on_record,
            durability::everything_is_there_after_a_reopen,
            durability::payouts_come_back_as_they_went,
            durability::values_come_back_as_they_went,
            faults::a_single_caller_does_not_wait,
            faults::dropped_calls_do_not_block_others,
            faults::concurrent_commits_fail_independently,
            faults::lost_answers_change_nothing,
            guards::a_guard_without_a_write_holds_as_well,
            guards::a_settings_witness_sees_every_change,
            guards::a_storefront_is_put_first_only_once,
            guards::an_absent_guard_wants_no_row,
            guards::an_exact_guard_wants_its_version,
            guards::contradicting_commits_never_both_land,
            guards::ordering_and_deleting_a_service_never_both_land,
            guards::services_below_counts_the_catalog,
            guards::the_last_free_place_is_given_once,
            installation::a_key_check_is_replaced_by_one,
            installation::hosts_that_start_at_once_agree_on_an_id,
            installation::the_row_says_what_is_there,
            leases::a_late_record_is_refused,
            leases::a_log_holds_every_attempt,
            leases::a_record_lands_once,
            leases::a_retry_waits_for_its_time,
            leases::a_target_is_read_when_it_is_taken,
            leases::an_expired_lease_raises_the_fence,
            leases::an_expired_lease_without_a_new_holder_can_be_recorded,
            leases::an_unknown_effect_has_no_lease,
            leases::each_effect_is_taken_once,
            leases::each_lane_is_taken_separately,
            leases::finished_effects_are_not_taken_again,
            leases::nothing_is_due_before_its_time,
            leases::the_longest_due_comes_first,
            ledger::a_settlement_is_booked_once,
            ledger::an_unbalanced_transaction_leaves_nothing,
            ledger::entries_are_paged_and_filtered,
            ledger::exceptions_are_resolved_once,
            ledger::folders_side_by_side_count_once,
            ledger::settlements_at_once_sum_up,
            numbers::counts_are_kept,
            numbers::each_account_counts_for_itself,
            numbers::orders_placed_at_once_are_numbered_without_gaps,
            numbers::the_number_is_filled_in_everywhere,
            pages::an_order_is_found_by_its_number,
            pages::deliveries_of_one_moment_are_paged_by_id,
            pages::each_filter_of_deliveries_selects,
            pages::each_filter_of_orders_selects,
            pages::lists_come_in_their_order,
            pages::pages_of_orders_hold_each_once,
            pages::pages_stay_whole_while_orders_come,
            pages::what_is_found_is_paged,
            pages::rare_and_frequent_words_are_found_in_pages_of_any_length,
            pages::words_are_found_by_how_they_begin,
            payouts::a_missing_payout_is_never_written,
            payouts::a_payout_goes_to_the_default_account_of_its_moment,
            payouts::a_payout_is_there_as_it_was_written,
            payouts::a_reference_is_compared_as_it_looks,
            payouts::a_repeated_request_asks_for_one_payout,
            payouts::a_resolution_is_on_the_payments_trail,
            payouts::an_adjustment_counts_once,
            payouts::cancelling_and_transferring_have_one_winner,
            payouts::debits_meet_on_the_funds,
            payouts::entries_between_two_times,
            payouts::operators_have_keys_of_their_own,
            payouts::payouts_are_paged_and_filtered,
            payouts::a_verification_reports_differences,
            payouts::thirty_requests_at_once_share_what_there_is,
            payouts::what_a_seller_does_lands_while_the_module_is_on,
            payouts::what_is_paid_is_posted_in_the_same_commit,
            payouts::what_was_decided_long_ago_is_not_posted,
            pruning::a_keys_last_use_only_goes_forward,
            pruning::named_uploads_are_those_of_payments,
            pruning::only_old_and_finished_rows_are_pruned,
            pruning::the_limit_of_a_prune_holds,
            retries::a_late_record_of_what_was_queued_again_is_refused,
            retries::a_log_keeps_its_latest_attempts_and_counts_on,
            retries::a_repeated_key_queues_a_delivery_once,
            retries::an_effect_is_queued_again_once,
            retries::nothing_is_queued_again_for_a_paused_subscription,
            retries::only_what_is_over_is_queued_again,
            retries::what_can_be_read_is_not_set_aside,
            retries::what_is_over_can_be_queued_again,
            retries::what_was_given_up_is_listed_page_by_page,
            retries::what_was_queued_again_is_not_pruned,
            secrets::a_secret_at_rest_is_sealed_for_its_row,
            secrets::secrets_are_resealed_under_a_new_key,
            secrets::secrets_of_an_earlier_version_are_read_and_sealed,
            secrets::resealing_during_rotations_keeps_the_last_secret,
            secrets::without_its_key_a_delivery_waits_and_nothing_is_lost,
            shares::a_hundred_dead_endpoints_delay_no_others,
            shares::a_long_queue_hides_nothing,
            shares::a_subscription_has_so_many_at_once,
            shares::a_subscriptions_deliveries_begin_in_their_order,
            shares::an_account_keeps_to_its_share,
            shares::an_account_keeps_to_its_share_of_a_thousand,
            shares::failing_subscriptions_share_a_part,
            shares::failing_subscriptions_share_a_part_of_a_thousand,
            shares::slow_subscriptions_among_a_thousand_are_held_back,
            shares::slow_subscriptions_are_held_back_like_failing_ones,
            shares::what_has_no_subscription_is_given_out,
            subscriptions::a_failing_subscription_is_switched_off_once,
            subscriptions::attempts_that_fail_at_the_same_time_are_all_counted,
            subscriptions::failed_attempts_in_a_row_are_counted,
            subscriptions::a_rotated_secret_signs_together_with_the_previous_one,
            subscriptions::a_pause_or_deletion_gives_up_what_is_queued,
            subscriptions::deliveries_are_given_up_only_with_their_subscription,
            tokens::a_new_token_is_claimed,
            tokens::a_rotated_token_opens_nothing_and_is_never_given_again,
            tokens::rotations_at_once_leave_one_token,
            tokens::what_a_buyer_does_with_an_old_token_never_lands,
            workers::a_repeated_key_acts_once,
            workers::dispatchers_side_by_side_send_everything_once,
            workers::many_workers_confirm_the_same_orders_once,
        }
    };
    (@cases $fresh:expr; $($module:ident::$name:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let harness = $fresh;
            $crate::conformance::$module::$name(&harness).await;
        }
    )*};
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_holds_every_case() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/conformance");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<(String, String)> = files
            .map(|file| {
                (file.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(file).unwrap())
            })
            .collect();
        let mut functions: Vec<String> = files
            .iter()
            .flat_map(|(module, text)| text.lines().map(move |line| (module, line)))
            .filter_map(|(module, line)| Some((module, line.strip_prefix("pub async fn ")?.split('(').next()?)))
            .map(|(module, name)| format!("{module}::{name}"))
            .collect();
        functions.sort();
        let mut listed: Vec<_> = include_str!("mod.rs")
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .filter(|line| !line.starts_with("clippy"))
            .filter(|line| line.contains("::") && line.chars().all(|c| c.is_ascii_lowercase() || "_:".contains(c)))
            .map(str::to_owned)
            .collect();
        listed.sort();
        assert_eq!(listed, functions);
    }
}
