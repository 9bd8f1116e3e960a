//! The conformance tests that every log must pass, and fixtures for other tests of logs.

mod fixtures;
mod damaged_log;
mod subject;
pub mod appending;
pub mod reading;
pub mod retention;
pub mod rooms;
pub mod model;

pub use self::damaged_log::DamagedLog;
pub use self::fixtures::{at, change, post, post_without_id, published, room};
pub use self::subject::{Subject, trim_all};

/// The tests, for a log that `$open` creates (`fn(Retention) -> Subject`).
macro_rules! conformance_tests {
    ($open:expr) => {
        $crate::server::log::conformance::conformance_tests! { $open,
            appending {
                seqs_are_dense_in_each_room,
                a_known_id_is_not_stored_again,
                an_id_of_another_message_is_refused,
                an_id_outlives_its_message,
                time_never_decreases,
                time_does_not_decrease_after_all_messages_were_deleted,
                a_time_far_ahead_is_corrected,
            }
            reading {
                a_read_begins_anywhere_and_is_bounded,
                readers_see_whole_commits,
                a_part_of_history_is_read_from_one_state,
                history_is_read_from_both_ends,
            }
            retention {
                retention_by_count,
                retention_by_time,
                messages_dated_ahead_do_not_delay_retention,
                a_room_whose_messages_were_all_deleted_reports_it,
            }
            rooms {
                rooms_are_listed_in_order,
                unknown_rooms_are_not_found,
                a_room_is_created_by_its_first_message,
                rooms_that_were_only_looked_for_leave_nothing,
            }
            model {
                the_log_agrees_with_a_naive_model,
            }
        }
    };
    ($open:expr, $($module:ident { $($test:ident,)* })*) => {
        $($(#[test]
        fn $test() {
            $crate::server::log::conformance::$module::$test(&$open);
        })*)*
    };
}
pub(crate) use conformance_tests;
