//! The schema's migrations. Their names are the same for every engine that lists them with `migrations!`.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

/// A migration's version, name and SQL.
pub(crate) type Step = (i64, &'static str, &'static str);

/// All migrations, in the order of their versions, from the engine's own folder. One that has landed is never edited: a
/// change is a new file.
macro_rules! migrations {
    () => {
        [
            (1, "first", include_str!("migrations/0001_first.sql")),
            (2, "online", include_str!("migrations/0002_online.sql")),
            (3, "payouts", include_str!("migrations/0003_payouts.sql")),
            (4, "given_up", include_str!("migrations/0004_given_up.sql")),
            (5, "webhooks", include_str!("migrations/0005_webhooks.sql")),
            (6, "outbox", include_str!("migrations/0006_outbox.sql")),
            (7, "queues", include_str!("migrations/0007_queues.sql")),
            (8, "slow", include_str!("migrations/0008_slow.sql")),
            (9, "installation", include_str!("migrations/0009_installation.sql")),
            (10, "set_aside", include_str!("migrations/0010_set_aside.sql")),
            (11, "text", include_str!("migrations/0011_text.sql")),
        ]
    };
}
pub(crate) use migrations;

/// The version of the newest one.
pub(crate) fn layout(steps: &[Step]) -> i64 {
    steps.iter().map(|(version, ..)| *version).max().unwrap_or(0)
}

/// As the driver applies them, with the schema before the tables' names.
pub(crate) fn in_schema(steps: &[Step], schema: &str) -> Vec<Migration> {
    let migration = |(version, name, sql): &Step| {
        let sql = AssertSqlSafe(sql.replace("@.", schema)).into_sql_str();
        Migration::new(*version, Cow::Borrowed(*name), MigrationType::Simple, sql, false)
    };
    steps.iter().map(migration).collect()
}
