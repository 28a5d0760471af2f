//! Log files are reopened.

use super::*;
use crate::admin::wire::request::number;

/// All clients that asked get the result of the next reopening.
#[test]
fn log_files_are_reopened_before_the_answer() {
    let mut admin = Admin::pair();
    admin.ask(A, Ask::ReopenLogFiles);
    admin.ask(B, Ask::ReopenLogFiles);
    assert!(!admin.is_answered());
    assert_eq!(admin.orders(), [Order::ReopenLogs, Order::ReopenLogs]);
    admin.cluster.disconnect(1, B);
    admin.tell(1, |stack, now, world| stack.logs_reopened(now, Status::NotExist, world));
    assert_eq!(admin.verdict(A, number::REOPEN_LOG_FILES), Status::NotExist);
    admin.tell(1, |stack, now, world| stack.logs_reopened(now, Status::Ok, world));
    assert!(!admin.is_answered());
}
