//! URIs and canonicals.

use super::{Lower, Row, Source, either};
use crate::fhir::definitions::SearchParam;
use crate::search::query::UriMode;

impl Lower<'_> {
    pub(super) fn uri_probe(
        &mut self,
        param: &SearchParam,
        mode: UriMode,
        values: &[String],
        row: &Row,
    ) -> String {
        let t = self.alias();
        let tests = self.uri_tests(&t, mode, values);
        format!(
            "EXISTS (SELECT 1 FROM idx_uri {t} WHERE {t}.id = {}.id AND {t}.param = {} AND {tests}{})",
            row.alias,
            param.id,
            row.fence()
        )
    }

    pub(super) fn uri_source(
        &mut self,
        param: &SearchParam,
        mode: UriMode,
        values: &[String],
        row: &Row,
    ) -> Source {
        let tests = self.uri_tests(&row.alias, mode, values);
        Source {
            table: "idx_uri".into(),
            conditions: vec![
                row.each_type(),
                format!("{}.param = {}", row.alias, param.id),
                tests,
            ],
            repeats: true,
        }
    }

    fn uri_tests(&mut self, t: &str, mode: UriMode, values: &[String]) -> String {
        let column = format!("{t}.value");
        let mut tests = Vec::new();
        for value in values {
            match mode {
                UriMode::Exact => {
                    let exact = self.sql.bind(value.as_str());
                    // Canonicals with a version have a row without it.
                    tests.push(format!("{column} = {exact}"));
                }
                // Of a canonical it is the version that is above or below: `1.2` has `1` above it.
                UriMode::Below if value.contains('|') => {
                    let exact = self.sql.bind(value.as_str());
                    tests.push(format!("{column} = {exact}"));
                    tests.push(self.begins_with(&column, &format!("{value}.")));
                }
                UriMode::Above if value.contains('|') => {
                    let above = self.equals(versions(value));
                    tests.push(format!("{column} {above}"));
                }
                UriMode::Below => {
                    let stem = value.trim_end_matches('/');
                    let exact = self.equals([stem, value.as_str()]);
                    tests.push(format!("{column} {exact}"));
                    tests.push(self.begins_with(&column, &format!("{stem}/")));
                }
                UriMode::Above => {
                    let above = self.equals(ancestors(value));
                    tests.push(format!("{column} {above}"));
                }
            }
        }
        either(&tests)
    }
}

/// The URI itself and every shorter one at a path boundary, with and without the final slash.
pub(in crate::search) fn ancestors(uri: &str) -> Vec<String> {
    let mut all = vec![uri.to_owned()];
    let authority = uri.find("://").map_or(0, |at| at + 3);
    for (at, _) in uri.match_indices('/').filter(|(at, _)| *at >= authority) {
        for end in [at, at + 1] {
            let part = uri.get(..end).unwrap_or_default();
            if end > authority && !all.iter().any(|own| own == part) {
                all.push(part.to_owned());
            }
        }
    }
    all
}

/// A canonical with its version and with every shorter one.
pub(in crate::search) fn versions(canonical: &str) -> Vec<String> {
    let start = canonical.find('|').unwrap_or(canonical.len());
    let mut all = vec![canonical.to_owned()];
    for (at, _) in canonical.match_indices('.').filter(|(at, _)| *at > start) {
        all.extend(canonical.get(..at).map(str::to_owned));
    }
    all
}

#[cfg(test)]
mod tests {
    #[test]
    fn ancestors_end_at_path_boundaries() {
        assert_eq!(
            super::ancestors("http://a/b/c"),
            [
                "http://a/b/c",
                "http://a",
                "http://a/",
                "http://a/b",
                "http://a/b/"
            ]
        );
        assert_eq!(super::ancestors("urn:oid:1.2"), ["urn:oid:1.2"]);
        assert_eq!(
            super::versions("http://a.b/c|1.2.3"),
            ["http://a.b/c|1.2.3", "http://a.b/c|1", "http://a.b/c|1.2"]
        );
    }
}
