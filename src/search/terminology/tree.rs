//! The hierarchy of a code system: concepts inside concepts, and the properties `parent` and `child`
//! (R4 CodeSystem, "Hierarchy"). Codes are folded, as they are in the index.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::super::extract::fold;

/// The code and all below it; the code alone where the system does not have it.
pub(super) fn below(system: &Value, code: &str) -> BTreeSet<String> {
    Tree::read(system).reach(code, |tree, code| tree.children.get(code))
}

/// The code and all above it.
pub(super) fn above(system: &Value, code: &str) -> BTreeSet<String> {
    Tree::read(system).reach(code, |tree, code| tree.parents.get(code))
}

/// Every code.
pub(super) fn codes(system: &Value) -> BTreeSet<String> {
    Tree::read(system).codes
}

/// Every concept of a code system, however deep.
pub(super) fn concepts<'v>(value: &'v Value, each: &mut impl FnMut(Option<&'v str>, &'v Value)) {
    fn walk<'v>(
        parent: Option<&'v str>,
        value: &'v Value,
        each: &mut impl FnMut(Option<&'v str>, &'v Value),
        depth: usize,
    ) {
        let list = value.get("concept").and_then(Value::as_array);
        for concept in list.into_iter().flatten() {
            each(parent, concept);
            if depth < 64 {
                let code = concept.get("code").and_then(Value::as_str);
                walk(code, concept, each, depth + 1);
            }
        }
    }
    walk(None, value, each, 0);
}

#[derive(Default)]
struct Tree {
    codes: BTreeSet<String>,
    children: HashMap<String, Vec<String>>,
    parents: HashMap<String, Vec<String>>,
}

impl Tree {
    fn read(system: &Value) -> Self {
        let mut tree = Self::default();
        concepts(system, &mut |parent, concept| {
            let Some(code) = concept.get("code").and_then(Value::as_str) else {
                return;
            };
            tree.codes.insert(fold(code).into_owned());
            if let Some(parent) = parent {
                tree.link(parent, code);
            }
            let properties = concept.get("property").and_then(Value::as_array);
            for property in properties.into_iter().flatten() {
                let other = ["valueCode", "valueString"]
                    .iter()
                    .find_map(|key| property.get(key).and_then(Value::as_str));
                match (property.get("code").and_then(Value::as_str), other) {
                    (Some("parent" | "subsumedBy"), Some(other)) => tree.link(other, code),
                    (Some("child"), Some(other)) => tree.link(code, other),
                    _ => {}
                }
            }
        });
        tree
    }

    fn link(&mut self, parent: &str, child: &str) {
        let (up, down) = (fold(parent).into_owned(), fold(child).into_owned());
        self.children
            .entry(up.clone())
            .or_default()
            .push(down.clone());
        self.parents.entry(down).or_default().push(up);
    }

    /// Circles end: each code is taken once.
    fn reach(
        &self,
        code: &str,
        next: impl for<'t> Fn(&'t Self, &str) -> Option<&'t Vec<String>>,
    ) -> BTreeSet<String> {
        let mut reached = BTreeSet::from([fold(code).into_owned()]);
        let mut waiting = vec![fold(code).into_owned()];
        while let Some(code) = waiting.pop() {
            for other in next(self, &code).into_iter().flatten() {
                if reached.insert(other.clone()) {
                    waiting.push(other.clone());
                }
            }
        }
        reached
    }
}
