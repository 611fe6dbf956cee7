//! SQL text with its parameters, in the words that SQLite and PostgreSQL share: `$1`, `$2`, ...

use sea_orm::sea_query::ArrayType;
use sea_orm::{DbBackend, Statement, Value};

/// Longer lists are bound as one value: both databases limit how many a statement has.
const MANY: usize = 200;

/// A statement under construction. Values never become text: [`Sql::bind`] hands out `$n`.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    pub text: String,
    pub values: Vec<Value>,
    /// Full text queries, in the words of both engines.
    engines: Vec<Words>,
}

#[derive(Clone, Debug)]
struct Words {
    /// Of the bound value.
    place: usize,
    column: &'static str,
    fts5: String,
    tsquery: String,
}

impl Sql {
    /// The column of `idx_text` with the surrogate id, which FTS5 calls otherwise.
    pub const TEXT_ID: &'static str = "{text id}";

    /// A statement that starts with `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
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
    /// matches nothing. A long list becomes one value; what stands for it must follow `IN `.
    pub fn bind_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> String {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if values.is_empty() {
            return "(NULL)".to_owned();
        }
        if values.len() > MANY
            && let Some(kind) = values.first().and_then(array_type)
        {
            let all = self.bind(Value::Array(kind, Some(Box::new(values))));
            return format!("{{list {all}}}");
        }
        let list: Vec<String> = values.into_iter().map(|value| self.bind(value)).collect();
        format!("({})", list.join(", "))
    }

    /// Takes a full text query in the words of FTS5 and of PostgreSQL and returns a SELECT of the
    /// surrogate ids that it finds in a column of `idx_text`.
    pub fn bind_words(&mut self, column: &'static str, fts5: String, tsquery: String) -> String {
        self.bind("");
        self.engines.push(Words {
            place: self.values.len(),
            column,
            fts5,
            tsquery,
        });
        format!("{{words {}}}", self.engines.len())
    }

    /// The finished statement for a database.
    #[must_use]
    pub fn statement(mut self, backend: DbBackend) -> Statement {
        let is_postgres = backend == DbBackend::Postgres;
        if self.text.contains('{') {
            for (at, value) in self.values.iter_mut().enumerate() {
                let Value::Array(_, Some(list)) = value else {
                    continue;
                };
                let own = format!("IN {{list ${}}}", at + 1);
                if !self.text.contains(&own) {
                    continue;
                }
                let place = at + 1;
                if is_postgres {
                    self.text = self.text.replace(&own, &format!("= ANY(${place})"));
                } else {
                    let elements = format!("IN (SELECT value FROM json_each(${place}))");
                    self.text = self.text.replace(&own, &elements);
                    *value = json_list(list).into();
                }
            }
            for (number, words) in (1..).zip(std::mem::take(&mut self.engines)) {
                let own = format!("{{words {number}}}");
                let (true, Some(value)) = (
                    self.text.contains(&own),
                    self.values.get_mut(words.place - 1),
                ) else {
                    continue;
                };
                let (place, column) = (words.place, words.column);
                let found = if is_postgres {
                    *value = words.tsquery.into();
                    format!(
                        "SELECT w.id FROM idx_text w WHERE w.{column} @@ CAST(${place} AS TEXT)::tsquery"
                    )
                } else {
                    *value = words.fts5.into();
                    format!("SELECT rowid FROM idx_text WHERE idx_text MATCH ${place}")
                };
                self.text = self.text.replace(&own, &found);
            }
            let text_id = if is_postgres { "id" } else { "rowid" };
            self.text = self.text.replace(Self::TEXT_ID, text_id);
        }
        Statement::from_sql_and_values(backend, self.text, self.values)
    }
}

/// The type of a list of such values; none for what lists do not hold.
fn array_type(value: &Value) -> Option<ArrayType> {
    match value {
        Value::BigInt(_) => Some(ArrayType::BigInt),
        Value::Int(_) => Some(ArrayType::Int),
        Value::SmallInt(_) => Some(ArrayType::SmallInt),
        Value::String(_) => Some(ArrayType::String),
        _ => None,
    }
}

/// A list as the JSON array that SQLite takes apart.
fn json_list(values: &[Value]) -> String {
    let list: Vec<serde_json::Value> = values
        .iter()
        .map(|value| match value {
            Value::BigInt(Some(number)) => (*number).into(),
            Value::Int(Some(number)) => (*number).into(),
            Value::SmallInt(Some(number)) => (*number).into(),
            Value::String(Some(text)) => text.as_str().into(),
            _ => serde_json::Value::Null,
        })
        .collect();
    serde_json::Value::Array(list).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_one_value() {
        let finished = |backend| {
            let mut sql = Sql::default();
            let one = sql.bind(1_i64);
            let list = sql.bind_list((0..=200).map(i64::from));
            sql.text = format!("SELECT {one} WHERE x IN {list} AND y IN {list}");
            sql.statement(backend)
        };
        let postgres = finished(DbBackend::Postgres);
        assert_eq!(postgres.sql, "SELECT $1 WHERE x = ANY($2) AND y = ANY($2)");
        let sqlite = finished(DbBackend::Sqlite);
        assert_eq!(
            sqlite.sql,
            "SELECT $1 WHERE x IN (SELECT value FROM json_each($2)) \
             AND y IN (SELECT value FROM json_each($2))"
        );
        assert_eq!(sqlite.values.map(|values| values.0.len()), Some(2));
    }
}
