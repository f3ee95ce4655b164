//! Statements that run one after another in one piece: between this process's tasks and the engine's thread, each piece costs
//! two switches, however many statements it has.

use serront_core::primitives::ids::AccountId;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Sqlite};

use crate::sql::error::Failed;

/// A text of statements, and the values for their places, in order.
#[derive(Default)]
pub(super) struct Script {
    sql: String,
    arguments: SqliteArguments,
    unsendable: bool,
}

impl Script {
    /// Begins the next statement.
    pub(super) fn add(&mut self, statement: &str) -> &mut Self {
        if !self.sql.is_empty() {
            self.sql.push_str(";\n");
        }
        self.sql.push_str(statement);
        self
    }

    /// Goes on with the present one.
    pub(super) fn push(&mut self, more: &str) -> &mut Self {
        self.sql.push_str(more);
        self
    }

    /// Gives the next place its value.
    pub(super) fn bind<'t, T>(&mut self, value: T) -> &mut Self
    where
        T: sqlx::Encode<'t, Sqlite> + sqlx::Type<Sqlite>,
    {
        self.unsendable |= self.arguments.add(value).is_err();
        self
    }

    /// Gives a text with a marked place its values: what is before, whose number, and what is after.
    pub(super) fn marked(&mut self, account: AccountId, before: String, after: Option<&str>) -> &mut Self {
        self.bind(before);
        if let Some(after) = after {
            self.bind(account.to_string()).bind(after.to_owned());
        }
        self
    }

    /// Runs the statements up to the first that fails, and answers their rows.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if self.unsendable {
            return Err(sqlx::Error::InvalidArgument("a value can't be sent".to_owned()));
        }
        sqlx::query_with(AssertSqlSafe(self.sql), self.arguments).fetch_all(connection).await
    }

    /// Runs one statement of one row.
    pub(super) async fn row(self, connection: &mut SqliteConnection) -> Result<SqliteRow, Failed> {
        self.run(connection).await?.into_iter().next().ok_or(Failed::Unreadable("row"))
    }
}
