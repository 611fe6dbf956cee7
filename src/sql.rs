//! SQL text with its parameters, in the words that SQLite and PostgreSQL share: `$1`, `$2`, ...

use sea_orm::{DbBackend, Statement, Value};

/// A statement under construction. Values never become text: [`Sql::bind`] hands out `$n`.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    pub text: String,
    pub values: Vec<Value>,
}

impl Sql {
    /// A statement that starts with `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            values: Vec::new(),
        }
    }

    /// Appends SQL text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Takes a value and returns its placeholder.
    pub fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Takes values and returns `($1, $2, ...)` for `IN`. An empty list gives `(NULL)`, which
    /// matches nothing.
    pub fn bind_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> String {
        let list: Vec<String> = values.into_iter().map(|value| self.bind(value)).collect();
        if list.is_empty() {
            "(NULL)".to_owned()
        } else {
            format!("({})", list.join(", "))
        }
    }

    /// The finished statement for a database.
    #[must_use]
    pub fn statement(self, backend: DbBackend) -> Statement {
        Statement::from_sql_and_values(backend, self.text, self.values)
    }
}
