//! A database with hand-made rows.

use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::ConnectionTrait;

use crate::clock::Clock;
use crate::fhir::definitions::{TypeId, definitions};
use crate::keys::Keys;
use crate::search::extract::{
    CompositeRow, DateRow, IndexRows, NumberRow, QuantityRow, ReferenceRow, StringRow, TokenRow,
    UriRow, fold, is_folded, lacking, normalize, present, units,
};
use crate::search::{SearchError, SearchRequest, SearchResult, search};
use crate::sql::Sql;
use crate::store::{Store, StoreOptions};
use crate::visibility::scope::Scopes;
use crate::visibility::{Viewer, ViewerClass};

pub const NOW: i64 = 1_800_000_000_000;
pub const BASE: &str = "http://127.0.0.1:8080/fhir/r4";

/// An open store and where it lives.
pub struct Bed {
    pub store: Store,
    _folder: tempfile::TempDir,
}

/// A resource to insert.
#[derive(Clone, Debug)]
pub struct Doc {
    pub id: i64,
    pub type_id: TypeId,
    pub fhir_id: String,
    pub patient: Option<String>,
    pub updated: i64,
    pub rows: IndexRows,
}

/// A row of `hold`.
#[derive(Clone, Debug)]
pub struct Hold {
    pub doc: i64,
    pub audience: i64,
    pub starts: i64,
    pub ends: i64,
    pub exempt: i64,
    pub shown: i16,
}

pub fn type_id(name: &str) -> TypeId {
    definitions().type_id(name).unwrap()
}

pub fn viewer(class: ViewerClass, patient: Option<&str>, scopes: &str) -> Viewer {
    Viewer {
        class,
        person: patient.map(|id| format!("Patient/{id}")),
        patient: patient.map(str::to_owned),
        client_id: "app".to_owned(),
        client_device: None,
        level: crate::visibility::level::Level::Full,
        scopes: Scopes::parse(scopes),
    }
}

pub fn system() -> Viewer {
    viewer(ViewerClass::System, None, "system/*.cruds")
}

pub fn pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

/// Index rows in the making.
#[derive(Clone)]
pub struct Rows<'k> {
    keys: &'k Keys,
    type_id: TypeId,
    pub rows: IndexRows,
}

impl<'k> Rows<'k> {
    pub fn new(keys: &'k Keys, type_name: &str) -> Self {
        Self {
            keys,
            type_id: type_id(type_name),
            rows: IndexRows::default(),
        }
    }

    fn param(&self, code: &str) -> i16 {
        definitions().search_param(self.type_id, code).unwrap().id
    }

    pub fn token(mut self, code: &str, system: &str, value: &str) -> Self {
        let param = definitions().search_param(self.type_id, code).unwrap();
        let spelled = if is_folded(self.type_id, param) {
            fold(value)
        } else {
            value.into()
        };
        self.rows.tokens.push(TokenRow {
            param: param.id,
            code: self.keys.code(&spelled),
            system: self.keys.system(system),
            text: value.to_owned(),
        });
        self
    }

    /// The code that every resource must have, or what is there in its place.
    pub fn required(mut self, code: &str, value: Option<&str>) -> Self {
        let Some(value) = value else {
            let param = definitions().search_param(self.type_id, code).unwrap();
            self.rows.tokens.push(TokenRow {
                param: lacking(param),
                code: 0,
                system: 0,
                text: String::new(),
            });
            return self;
        };
        self.token(code, "urn:required", value)
    }

    pub fn string(mut self, code: &str, text: &str) -> Self {
        self.rows.strings.push(StringRow {
            param: self.param(code),
            norm: normalize(text),
            exact: text.to_owned(),
            more: String::new(),
        });
        self
    }

    pub fn date(mut self, code: &str, low: i64, high: i64) -> Self {
        self.rows.dates.push(DateRow {
            param: self.param(code),
            low,
            high,
        });
        self
    }

    /// A value of which nothing else is indexed.
    pub fn present(mut self, code: &str) -> Self {
        self.rows.tokens.push(TokenRow {
            param: self.param(code),
            code: present(self.keys),
            system: 0,
            text: String::new(),
        });
        self
    }

    pub fn number(mut self, code: &str, value: f64) -> Self {
        self.rows.numbers.push(NumberRow {
            param: self.param(code),
            low: value,
            high: value,
        });
        self
    }

    pub fn quantity(mut self, code: &str, value: f64, system: &str, unit: &str) -> Self {
        self.rows.quantities.push(QuantityRow {
            param: self.param(code),
            low: value,
            high: value,
            code: self.keys.code(unit),
            system: self.keys.system(system),
        });
        if let Some(canonical) = units::canonical(unit).filter(|_| system == units::UCUM) {
            self.rows.quantities.push(QuantityRow {
                param: self.param(code),
                low: canonical.convert(value),
                high: canonical.convert(value),
                code: canonical.code(self.keys),
                system: units::Canonical::system(self.keys),
            });
        }
        self
    }

    pub fn uri(mut self, code: &str, value: &str) -> Self {
        self.rows.uris.push(UriRow {
            param: self.param(code),
            value: value.to_owned(),
        });
        self
    }

    pub fn reference(mut self, code: &str, target_type: &str, id: &str) -> Self {
        self.rows.references.push(ReferenceRow {
            param: self.param(code),
            target: self.keys.reference(target_type, id),
            target_type: type_id(target_type),
            text: String::new(),
        });
        self
    }

    /// The same of a value that the composite leaves out.
    pub fn sampled(mut self, param: &str, of: (&str, &str), value: f64, unit: &str) -> Self {
        self = self.code_quantity(param, of, value, unit);
        if let Some(row) = self.rows.composites.last_mut() {
            row.param = -row.param;
        }
        self
    }

    pub fn code_quantity(
        mut self,
        param: &str,
        (system, code): (&str, &str),
        value: f64,
        unit: &str,
    ) -> Self {
        self.rows.composites.push(CompositeRow {
            param: self.param(param),
            code: self.keys.code(code),
            system: self.keys.system(system),
            code2: self.keys.code(unit),
            system2: self.keys.system("http://unitsofmeasure.org"),
            low: value,
            high: value,
            text: String::new(),
        });
        self
    }
}

impl Bed {
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("candor.db").display());
        Self::open(url, folder).await
    }

    /// A database of its own on the PostgreSQL server of `CANDOR_TEST_POSTGRES`, if there is one.
    pub async fn postgres() -> Option<Self> {
        let server = std::env::var("CANDOR_TEST_POSTGRES").ok()?;
        let name = format!(
            "search_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::SeqCst)
        );
        let admin = sea_orm::Database::connect(&server).await.unwrap();
        admin
            .execute_unprepared(&format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        admin.close().await.unwrap();
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        Some(Self::open(url.to_string(), tempfile::tempdir().unwrap()).await)
    }

    /// One of each database at hand.
    pub async fn all() -> Vec<Self> {
        let mut all = vec![Self::sqlite().await];
        all.extend(Self::postgres().await);
        all
    }

    async fn open(url: String, folder: tempfile::TempDir) -> Self {
        let options = StoreOptions {
            url,
            base: BASE.to_owned(),
            clock: Clock::test(NOW),
            connections: 2,
        };
        Self {
            store: Store::open(&options).await.unwrap(),
            _folder: folder,
        }
    }

    pub fn rows(&self, type_name: &str) -> Rows<'_> {
        Rows::new(self.store.keys(), type_name)
    }

    /// Inserts a base resource numbered `number` (surrogate id 16 × number).
    pub async fn put(
        &self,
        number: i64,
        type_name: &str,
        fhir_id: &str,
        patient: Option<&str>,
        rows: Rows<'_>,
    ) {
        let doc = Doc {
            id: number * 16,
            type_id: type_id(type_name),
            fhir_id: fhir_id.to_owned(),
            patient: patient.map(str::to_owned),
            updated: NOW - 1_000_000 + number * 1_000,
            rows: rows.rows,
        };
        self.insert(&[doc], &[]).await;
    }

    pub async fn insert(&self, docs: &[Doc], holds: &[Hold]) {
        let keys = self.store.keys();
        let tx = self.store.begin().await.unwrap();
        let mut batches: Vec<Batch> = TABLES.iter().map(|(t, c)| Batch::new(t, c)).collect();
        for doc in docs {
            let patient = doc
                .patient
                .as_deref()
                .map_or(0, |id| keys.reference("Patient", id));
            let (id, kind) = (doc.id, doc.type_id);
            let name = definitions().type_name(kind);
            let body = format!(
                r#"{{"resourceType":"{name}","id":"{}","rendition":{}}}"#,
                doc.fhir_id,
                id & 15
            );
            let r = &doc.rows;
            let mut add = |table: usize, values: Vec<sea_orm::Value>| batches[table].add(values);
            add(
                0,
                vec![
                    id.into(),
                    kind.into(),
                    i16::try_from(id & 15).unwrap().into(),
                    keys.reference(name, &doc.fhir_id).into(),
                    patient.into(),
                    1.into(),
                    doc.updated.into(),
                    0_i16.into(),
                    0_i16.into(),
                    doc.fhir_id.clone().into(),
                    body.into_bytes().into(),
                ],
            );
            for t in &r.tokens {
                add(
                    1,
                    vec![
                        kind.into(),
                        t.param.into(),
                        t.code.into(),
                        id.into(),
                        t.system.into(),
                        patient.into(),
                        t.text.clone().into(),
                    ],
                );
            }
            for s in &r.strings {
                add(
                    2,
                    vec![
                        kind.into(),
                        s.param.into(),
                        s.norm.clone().into(),
                        id.into(),
                        patient.into(),
                        s.exact.clone().into(),
                        s.more.clone().into(),
                    ],
                );
            }
            for d in &r.dates {
                add(
                    3,
                    vec![
                        kind.into(),
                        d.param.into(),
                        d.low.into(),
                        id.into(),
                        d.high.into(),
                        patient.into(),
                    ],
                );
            }
            for n in &r.numbers {
                add(
                    4,
                    vec![
                        kind.into(),
                        n.param.into(),
                        n.low.into(),
                        n.high.into(),
                        id.into(),
                        patient.into(),
                    ],
                );
            }
            for q in &r.quantities {
                add(
                    5,
                    vec![
                        kind.into(),
                        q.param.into(),
                        q.low.into(),
                        q.high.into(),
                        q.code.into(),
                        q.system.into(),
                        id.into(),
                        patient.into(),
                    ],
                );
            }
            for u in &r.uris {
                add(
                    6,
                    vec![
                        kind.into(),
                        u.param.into(),
                        u.value.clone().into(),
                        id.into(),
                        patient.into(),
                    ],
                );
            }
            for f in &r.references {
                add(
                    7,
                    vec![
                        f.target.into(),
                        kind.into(),
                        f.param.into(),
                        id.into(),
                        f.target_type.into(),
                        patient.into(),
                        f.text.clone().into(),
                    ],
                );
            }
            for c in &r.composites {
                add(
                    8,
                    vec![
                        kind.into(),
                        c.param.into(),
                        c.code.into(),
                        id.into(),
                        c.system.into(),
                        c.code2.into(),
                        c.system2.into(),
                        c.low.into(),
                        c.high.into(),
                        c.text.clone().into(),
                        patient.into(),
                    ],
                );
            }
        }
        for hold in holds {
            batches[9].add(vec![
                hold.doc.into(),
                hold.audience.into(),
                hold.starts.into(),
                hold.ends.into(),
                hold.exempt.into(),
                hold.shown.into(),
                2_i16.into(),
                0_i64.into(),
                "[]".into(),
            ]);
        }
        for batch in batches {
            batch.run(tx.connection()).await;
        }
        // Holds stand in the record of what they hold.
        tx.connection()
            .execute_unprepared(
                "UPDATE hold SET patient = COALESCE((SELECT r.patient FROM resource r WHERE r.id = hold.doc), 0)",
            )
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// The words of a row, for full text.
    pub async fn say(&self, id: i64, narrative: &str, content: &str) {
        let vector = |words: &str| match self.store.backend() {
            sea_orm::DbBackend::Postgres => format!("to_tsvector('simple', '{words}')"),
            _ => format!("'{words}'"),
        };
        let sql = Sql::new(format!(
            "INSERT INTO idx_text ({}, narrative, content) VALUES ({id}, {}, {})",
            Sql::TEXT_ID,
            vector(narrative),
            vector(content)
        ));
        let tx = self.store.begin().await.unwrap();
        let statement = sql.statement(self.store.backend());
        tx.connection().execute_raw(statement).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn search(
        &self,
        viewer: &Viewer,
        type_name: &str,
        query: &str,
    ) -> Result<SearchResult, SearchError> {
        let pairs = pairs(query);
        let request = SearchRequest {
            type_id: definitions().type_id(type_name),
            pairs: &pairs,
            compartment: None,
            strict: true,
        };
        search(&self.store, viewer, &request).await
    }

    /// FHIR ids of all entries.
    pub async fn ids(&self, viewer: &Viewer, type_name: &str, query: &str) -> Vec<String> {
        match self.search(viewer, type_name, query).await {
            Ok(result) => result.entries.into_iter().map(|e| e.fhir_id).collect(),
            Err(error) => panic!("{type_name}?{query}: {error:?}"),
        }
    }
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

const TABLES: &[(&str, &str)] = &[
    (
        "resource",
        "id, type, rendition, key, patient, version, updated, method, deleted, fhir_id, body",
    ),
    ("idx_token", "type, param, code, id, system, patient, text"),
    ("idx_string", "type, param, norm, id, patient, exact, more"),
    ("idx_date", "type, param, low, id, high, patient"),
    ("idx_number", "type, param, low, high, id, patient"),
    (
        "idx_quantity",
        "type, param, low, high, code, system, id, patient",
    ),
    ("idx_uri", "type, param, value, id, patient"),
    (
        "idx_reference",
        "target, type, param, id, target_type, patient, text",
    ),
    (
        "idx_composite",
        "type, param, code, id, system, code2, system2, low, high, text, patient",
    ),
    (
        "hold",
        "doc, audience, starts, ends, exempt, shown, mode, patient, detail",
    ),
];

/// Multi-row inserts.
struct Batch {
    head: String,
    rows: Vec<Vec<sea_orm::Value>>,
}

impl Batch {
    fn new(table: &str, columns: &str) -> Self {
        Self {
            head: format!("INSERT INTO {table} ({columns}) VALUES "),
            rows: Vec::new(),
        }
    }

    fn add(&mut self, values: Vec<sea_orm::Value>) {
        self.rows.push(values);
    }

    async fn run<C: ConnectionTrait>(self, connection: &C) {
        for chunk in self.rows.chunks(400) {
            let mut sql = Sql::new(self.head.clone());
            let rows: Vec<String> = chunk
                .iter()
                .map(|row| sql.bind_list(row.iter().cloned()))
                .collect();
            sql.push(&rows.join(", "));
            sql.push(" ON CONFLICT DO NOTHING");
            connection
                .execute_raw(sql.statement(connection.get_database_backend()))
                .await
                .unwrap();
        }
    }
}
