//! Many rows in one round trip: arrays through `unnest` on PostgreSQL, multi-row prepared statements
//! on SQLite (design.md section 3, 5).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, Value};

/// Type of a column in an insert.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Small,
    Int,
    Big,
    Double,
    Text,
    Blob,
    /// For full text search: a tsvector on PostgreSQL, given as text.
    Words,
}

impl Kind {
    fn array(self) -> (ArrayType, &'static str) {
        match self {
            Self::Small => (ArrayType::SmallInt, "smallint"),
            Self::Int => (ArrayType::Int, "integer"),
            Self::Big => (ArrayType::BigInt, "bigint"),
            Self::Double => (ArrayType::Double, "double precision"),
            Self::Text | Self::Words => (ArrayType::String, "text"),
            Self::Blob => (ArrayType::Bytes, "bytea"),
        }
    }
}

/// Rows that wait to be inserted into one table.
#[derive(Debug)]
pub(super) struct Insert {
    table: &'static str,
    columns: &'static [(&'static str, Kind)],
    /// What follows the rows, such as `ON CONFLICT DO NOTHING`.
    tail: &'static str,
    /// How many leading columns rows are sorted by on SQLite.
    sorted_by: usize,
    /// Whether its transaction ends with it when it fails.
    is_final: bool,
    values: Vec<Value>,
}

/// Rows in one SQLite statement: few sizes, so that few statements for each table are prepared.
const SQLITE_CHUNK: usize = 64;
const SQLITE_FEW: usize = 8;

impl Insert {
    pub(super) fn new(
        table: &'static str,
        columns: &'static [(&'static str, Kind)],
        tail: &'static str,
    ) -> Self {
        Self {
            table,
            columns,
            tail,
            sorted_by: 0,
            is_final: false,
            values: Vec::new(),
        }
    }

    /// On SQLite rows go in by their first `columns` columns, the order of the table itself, so that
    /// neighbours meet in one page. On PostgreSQL they go in as they come, by id: its indexes by id
    /// are then full, and no other order fills the others better.
    pub(super) fn sorted_by(self, columns: usize) -> Self {
        Self {
            sorted_by: columns,
            ..self
        }
    }

    /// For inserts whose failure ends the whole transaction, or takes it back to a savepoint: on SQLite
    /// the statement then keeps no copy of each page that it changes, by which it alone could be undone.
    pub(super) fn all_or_nothing(self) -> Self {
        Self {
            is_final: true,
            ..self
        }
    }

    /// Adds a row; as many values as columns, in their order.
    pub(super) fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.columns.len(), "{}", self.table);
        self.values.extend(row);
    }

    fn sort(&mut self) {
        let (width, by) = (self.columns.len(), self.sorted_by);
        if by == 0 {
            return;
        }
        let value = |row: usize, column: usize| self.values.get(row * width + column);
        let mut order: Vec<usize> = (0..self.values.len() / width).collect();
        order.sort_by(|a, b| {
            (0..by)
                .map(|column| compare(value(*a, column), value(*b, column)))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        let mut sorted = Vec::with_capacity(self.values.len());
        for row in order {
            let row = self.values.iter_mut().skip(row * width).take(width);
            sorted.extend(row.map(|value| std::mem::replace(value, Value::Bool(None))));
        }
        self.values = sorted;
    }

    pub(super) async fn run(self, on: &impl ConnectionTrait) -> Result<(), DbErr> {
        if self.values.is_empty() {
            return Ok(());
        }
        Self::run_all([self], on).await
    }

    /// Inserts into different tables: on PostgreSQL in one statement, whose text does not depend on
    /// which of them have rows.
    pub(super) async fn run_all<const N: usize>(
        inserts: [Self; N],
        on: &impl ConnectionTrait,
    ) -> Result<(), DbErr> {
        if inserts.iter().all(|insert| insert.values.is_empty()) {
            return Ok(());
        }
        if on.get_database_backend() == DbBackend::Postgres {
            on.execute_raw(unnest(inserts.into())).await?;
            return Ok(());
        }
        let mut statements = inserts.into_iter().flat_map(Self::statements);
        let mut next = statements.next();
        while let Some(statement) = next {
            // SQLite works on a thread of its own; the next one is made meanwhile.
            let (done, after) =
                tokio::join!(on.execute_raw(statement), async { statements.next() });
            done?;
            next = after;
        }
        Ok(())
    }

    fn head(&self, verb: &str) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("{verb} INTO {} ({})", self.table, names.join(", "))
    }

    /// The statement for PostgreSQL, its parameters from `$first` on. Arrays are taken apart in the
    /// list of what is selected: `FROM UNNEST(…)` copies each into a store of its own, which made
    /// an insert cost a fifth more.
    fn text_unnest(&self, first: usize) -> String {
        let selected: Vec<String> = (first..)
            .zip(self.columns)
            .map(|(place, (_, kind))| match kind {
                // An array of bytes has no NULL in the driver, so an empty one stands for it: a
                // body that is there is never empty.
                Kind::Blob => format!("NULLIF(unnest(${place}::bytea[]), ''::bytea)"),
                Kind::Words => format!("unnest(${place}::text[])::tsvector"),
                kind => format!("unnest(${place}::{}[])", kind.array().1),
            })
            .collect();
        format!(
            "{} SELECT {} {}",
            self.head("INSERT"),
            selected.join(", "),
            self.tail
        )
    }

    /// One array for each column.
    fn arrays(self) -> impl Iterator<Item = Value> {
        let width = self.columns.len();
        let mut lists: Vec<Vec<Value>> = vec![Vec::new(); width];
        for list in &mut lists {
            list.reserve_exact(self.values.len() / width);
        }
        for (at, value) in self.values.into_iter().enumerate() {
            if let Some(list) = lists.get_mut(at % width) {
                list.push(match value {
                    Value::Bytes(None) => Value::Bytes(Some(Vec::new())),
                    value => value,
                });
            }
        }
        let kinds = self.columns.iter().map(|(_, kind)| kind.array().0);
        kinds
            .zip(lists)
            .map(|(kind, list)| Value::Array(kind, Some(Box::new(list))))
    }

    fn statements(mut self) -> impl Iterator<Item = Statement> {
        self.sort();
        let width = self.columns.len();
        let texts = self.texts();
        let mut values = self.values.into_iter();
        std::iter::from_fn(move || {
            let left = values.len() / width;
            let (text, rows) = match left {
                0 => return None,
                left if left >= SQLITE_CHUNK => (&texts.many, SQLITE_CHUNK),
                left if left >= SQLITE_FEW => (&texts.few, SQLITE_FEW),
                _ => (&texts.one, 1),
            };
            let list: Vec<Value> = values.by_ref().take(rows * width).collect();
            let text = text.as_str();
            Some(Statement::from_sql_and_values(
                DbBackend::Sqlite,
                text,
                list,
            ))
        })
    }

    /// The statements for this table, made on first use.
    fn texts(&self) -> Arc<Texts> {
        static KNOWN: LazyLock<RwLock<Known>> = LazyLock::new(RwLock::default);
        // One table is written with one list of columns; tests may differ.
        let name = (self.table, self.columns.as_ptr() as usize, self.tail);
        let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(texts) = known.get(&name) {
            return texts.clone();
        }
        drop(known);
        let texts = Arc::new(Texts {
            many: self.text(SQLITE_CHUNK),
            few: self.text(SQLITE_FEW),
            one: self.text(1),
        });
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(name, texts.clone());
        texts
    }

    /// The parameters have no names: the driver asks SQLite for the name of each, and SQLite walks a
    /// list of all names for each answer.
    fn text(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let rows = vec![row; rows].join(", ");
        let verb = if self.is_final {
            "INSERT OR FAIL"
        } else {
            "INSERT"
        };
        format!("{} VALUES {rows} {}", self.head(verb), self.tail)
    }
}

/// All inserts in one statement of PostgreSQL: each but the last is a `WITH` of its own, which runs
/// whether or not anybody looks at it.
fn unnest(inserts: Vec<Insert>) -> Statement {
    let mut text = String::new();
    let mut values = Vec::new();
    let last = inserts.len() - 1;
    for (at, insert) in inserts.into_iter().enumerate() {
        let own = insert.text_unnest(values.len() + 1);
        match (at, at == last) {
            (_, true) => text.push_str(&own),
            (0, _) => text.push_str(&format!("WITH i0 AS ({own})")),
            (_, _) => text.push_str(&format!(", i{at} AS ({own})")),
        }
        if at + 1 == last {
            text.push(' ');
        }
        values.extend(insert.arrays());
    }
    Statement::from_sql_and_values(DbBackend::Postgres, text, values)
}

/// The order of two values of one column, as both databases' indexes have it.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::SmallInt(a)), Some(Value::SmallInt(b))) => a.cmp(b),
        (Some(Value::Int(a)), Some(Value::Int(b))) => a.cmp(b),
        (Some(Value::BigInt(a)), Some(Value::BigInt(b))) => a.cmp(b),
        (Some(Value::Double(Some(a))), Some(Value::Double(Some(b)))) => a.total_cmp(b),
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

/// Statements by table, by where its list of columns stands and by what follows the rows.
type Known = HashMap<(&'static str, usize, &'static str), Arc<Texts>>;

/// The statements that insert into a table on SQLite, by their number of rows.
#[derive(Debug)]
struct Texts {
    many: String,
    few: String,
    one: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_by_their_key() {
        const COLUMNS: &[(&str, Kind)] = &[
            ("param", Kind::Small),
            ("norm", Kind::Text),
            ("low", Kind::Double),
            ("text", Kind::Text),
        ];
        let mut insert = Insert::new("idx", COLUMNS, "").sorted_by(3);
        let rows: [(i16, &str, f64, &str); 4] = [
            (2, "a", 0.0, "fourth"),
            (1, "b", 0.5, "third"),
            (1, "b", -1.0, "second"),
            (1, "a", 9.0, "first"),
        ];
        for (param, norm, low, text) in rows {
            insert.push([param.into(), norm.into(), low.into(), text.into()]);
        }
        insert.sort();
        let texts: Vec<Value> = insert.values.iter().skip(3).step_by(4).cloned().collect();
        assert_eq!(
            texts,
            ["first", "second", "third", "fourth"].map(Value::from)
        );
        assert_eq!(insert.values.len(), 16);
    }

    #[test]
    fn inserts_into_several_tables_are_one_statement_of_postgres() {
        let mut first = Insert::new(
            "a",
            &[("x", Kind::Small), ("b", Kind::Blob)],
            "ON CONFLICT DO NOTHING",
        );
        first.push([1_i16.into(), None::<Vec<u8>>.into()]);
        let second = Insert::new("b", &[("w", Kind::Words)], "");
        let third = Insert::new("c", &[("y", Kind::Big)], "");
        let statement = unnest(vec![first, second, third]);
        assert_eq!(
            statement.sql,
            "WITH i0 AS (INSERT INTO a (x, b) SELECT unnest($1::smallint[]), \
             NULLIF(unnest($2::bytea[]), ''::bytea) ON CONFLICT DO NOTHING), \
             i1 AS (INSERT INTO b (w) SELECT unnest($3::text[])::tsvector ) \
             INSERT INTO c (y) SELECT unnest($4::bigint[]) "
        );
        let values = statement.values.unwrap().0;
        assert_eq!(values.len(), 4);
        let empty = Value::Bytes(Some(Vec::new()));
        assert_eq!(
            values[1],
            Value::Array(ArrayType::Bytes, Some(Box::new(vec![empty])))
        );
    }

    #[test]
    fn parameters_have_no_names() {
        let insert = Insert::new(
            "idx",
            &[("a", Kind::Big), ("b", Kind::Big)],
            "ON CONFLICT DO NOTHING",
        );
        assert_eq!(
            insert.text(2),
            "INSERT INTO idx (a, b) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING"
        );
    }
}
