//! An object of the answer while it is put together: `@flatten` brings values from several places
//! under one name.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::wrong;
use crate::rest::RestError;

/// The names of an object, in order, with their values.
#[derive(Debug, Default)]
pub(super) struct Shape {
    slots: Vec<Slot>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    is_list: bool,
    type_name: &'static str,
    values: Vec<Value>,
}

impl Shape {
    /// Makes a list, empty for now.
    pub(super) fn list(&mut self, name: &str, type_name: &'static str) {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.to_owned(), self.slots.len());
            self.slots.push(Slot {
                name: name.to_owned(),
                is_list: true,
                type_name,
                values: Vec::new(),
            });
        }
    }

    /// Adds a value. Refused are two where one belongs, and two types under one name (R4 GraphQL,
    /// "Flattening a node").
    pub(super) fn add(
        &mut self,
        name: String,
        is_list: bool,
        type_name: &'static str,
        value: Value,
    ) -> Result<(), RestError> {
        let slot = self
            .by_name
            .get(&name)
            .and_then(|at| self.slots.get_mut(*at));
        match slot {
            None => {
                self.by_name.insert(name.clone(), self.slots.len());
                self.slots.push(Slot {
                    name,
                    is_list,
                    type_name,
                    values: vec![value],
                });
            }
            Some(slot) if slot.type_name != type_name => {
                return Err(wrong(&format!(
                    "Values of several types come together as `{name}`; give them aliases."
                )));
            }
            Some(slot) if !(slot.is_list && is_list) => {
                return Err(wrong(&format!(
                    "`{name}` is one value, and there are several."
                )));
            }
            Some(slot) => slot.values.push(value),
        }
        Ok(())
    }

    /// The object.
    pub(super) fn into_value(self) -> Value {
        let mut object = Map::with_capacity(self.slots.len());
        for slot in self.slots {
            let value = if slot.is_list {
                Value::Array(slot.values)
            } else {
                slot.values.into_iter().next().unwrap_or(Value::Null)
            };
            object.insert(slot.name, value);
        }
        Value::Object(object)
    }
}
