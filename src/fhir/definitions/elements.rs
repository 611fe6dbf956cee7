//! Element tables: what each type may contain, from `elements.tsv` and `codes.tsv`.
//!
//! Everything borrows from the embedded text, so that loading is one pass and no copying.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Place of a type in [`Elements`].
pub type TypeIndex = u16;

/// The primitive types of R4 (<https://hl7.org/fhir/R4/datatypes.html#primitive>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

impl Primitive {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "base64Binary" => Self::Base64Binary,
            "boolean" => Self::Boolean,
            "canonical" => Self::Canonical,
            "code" => Self::Code,
            "date" => Self::Date,
            "dateTime" => Self::DateTime,
            "decimal" => Self::Decimal,
            "id" => Self::Id,
            "instant" => Self::Instant,
            "integer" => Self::Integer,
            "markdown" => Self::Markdown,
            "oid" => Self::Oid,
            "positiveInt" => Self::PositiveInt,
            "string" => Self::String,
            "time" => Self::Time,
            "unsignedInt" => Self::UnsignedInt,
            "uri" => Self::Uri,
            "url" => Self::Url,
            "uuid" => Self::Uuid,
            "xhtml" => Self::Xhtml,
            _ => return None,
        })
    }
}

/// What sort of type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Primitive(Primitive),
    /// A datatype or backbone element.
    Complex,
    /// A concrete resource type.
    Resource,
    /// `Resource` or `DomainResource`: any resource may stand there.
    AnyResource,
}

/// An element of a type, inherited ones included.
#[derive(Debug)]
pub struct Element {
    /// As defined: `name`, `value[x]`.
    pub name: &'static str,
    pub min: u8,
    /// `None` is `*`; 0 forbids the element.
    pub max: Option<u8>,
    /// One type, or those of a choice; a content reference is the type it refers to.
    pub types: Vec<TypeIndex>,
    /// The value set of a required binding, by place in [`Elements::bindings`].
    pub binding: Option<u16>,
    pub is_summary: bool,
    pub is_modifier: bool,
    /// The types that a Reference may lead to, with commas; empty: any.
    targets: &'static str,
}

impl Element {
    /// Whether JSON writes the element as an array.
    #[must_use]
    pub fn is_array(&self) -> bool {
        self.max != Some(1)
    }

    /// The types that a Reference may lead to; none: any.
    pub fn targets(&self) -> impl Iterator<Item = &'static str> {
        self.targets.split(',').filter(|name| !name.is_empty())
    }
}

/// What a JSON property name of a type stands for.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Place in [`Type::elements`].
    pub element: u16,
    /// The type this name says: `valueQuantity` is a Quantity.
    pub type_index: TypeIndex,
}

/// A type: resource, datatype, or backbone element named by its path (`Patient.contact`).
#[derive(Debug)]
pub struct Type {
    pub name: &'static str,
    pub kind: Kind,
    /// In the order of the specification.
    pub elements: Vec<Element>,
    /// By JSON property name, choices spelt out.
    pub properties: FastMap<&'static str, Property>,
    /// Places of the elements with min > 0.
    pub mandatory: Vec<u16>,
}

/// The codes of a value set that is bound `required`.
#[derive(Debug, Default)]
pub struct Binding {
    /// Short name of R4's own value sets, canonical URL of others.
    pub name: &'static str,
    /// (system, its codes). Empty when the set cannot be enumerated (MIME types, UCUM, ...).
    pub systems: Vec<(&'static str, FastSet<&'static str>)>,
    /// What its codes look like, when that is all that can be told.
    pub format: Option<CodeFormat>,
}

/// The look of codes whose list lies outside the packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFormat {
    /// BCP 13.
    MimeType,
    /// BCP 47.
    Language,
    /// ISO 4217.
    Currency,
}

impl CodeFormat {
    fn of(value_set: &str) -> Option<Self> {
        match value_set {
            "mimetypes" | "http://www.rfc-editor.org/bcp/bcp13.txt" => Some(Self::MimeType),
            "all-languages" => Some(Self::Language),
            "currencies" => Some(Self::Currency),
            _ => None,
        }
    }
}

/// All types of R4.
#[derive(Debug, Default)]
pub struct Elements {
    types: Vec<Type>,
    by_name: FastMap<&'static str, TypeIndex>,
    bindings: Vec<Binding>,
}

impl Elements {
    /// A type by its name (`Patient`, `HumanName`, `Patient.contact`).
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<(TypeIndex, &Type)> {
        let index = *self.by_name.get(name)?;
        Some((index, self.get(index)?))
    }

    /// A type by its place.
    #[must_use]
    pub fn get(&self, index: TypeIndex) -> Option<&Type> {
        self.types.get(usize::from(index))
    }

    /// A value set by its place.
    #[must_use]
    pub fn binding(&self, index: u16) -> Option<&Binding> {
        self.bindings.get(usize::from(index))
    }

    /// Number of types and of value sets.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.types.len(), self.bindings.len())
    }

    /// Reads the two tables. Lines that do not have their columns are left out; a test compares
    /// what is read with what the derivation wrote.
    #[must_use]
    pub(super) fn parse(elements: &'static str, codes: &'static str) -> Self {
        let mut all = Self::default();
        let heads = elements.lines().filter(|line| !line.starts_with('\t'));
        for (index, head) in (0..).zip(heads) {
            all.by_name.insert(column(head, 0), index);
        }
        // Two passes over blocks, because a base may come after what is based on it.
        let mut own: Vec<(&'static str, &'static str, Vec<&'static str>)> = Vec::new();
        for line in elements.lines() {
            match line.strip_prefix('\t') {
                None => own.push((column(line, 0), line, Vec::new())),
                Some(row) => {
                    if let Some((_, _, rows)) = own.last_mut() {
                        rows.push(row);
                    }
                }
            }
        }
        let mut bindings: FastMap<&'static str, u16> = FastMap::default();
        for line in codes.lines() {
            let mut columns = line.split('\t');
            let (name, system) = (columns.next().unwrap_or(""), columns.next().unwrap_or(""));
            let place = all.binding_place(&mut bindings, name);
            if let Some(binding) = all.bindings.get_mut(usize::from(place)) {
                binding.systems.push((system, columns.collect()));
            }
        }
        for (name, head, _) in &own {
            let kind = match (column(head, 2), Primitive::parse(name)) {
                ("primitive", Some(primitive)) => Kind::Primitive(primitive),
                ("resource", _) => Kind::Resource,
                ("abstract", _) => Kind::AnyResource,
                _ => Kind::Complex,
            };
            let mut chain: Vec<&'static str> = Vec::new();
            let mut at = Some(*name);
            while let Some(place) = at.and_then(|name| all.by_name.get(name)) {
                let Some((_, head, rows)) = own.get(usize::from(*place)) else {
                    break;
                };
                // Bases first; the loop walks upwards.
                chain.splice(0..0, rows.iter().copied());
                at = Some(column(head, 1)).filter(|base| !base.is_empty() && chain.len() < 1000);
            }
            let mut one = Type {
                name,
                kind,
                elements: Vec::with_capacity(chain.len()),
                properties: FastMap::default(),
                mandatory: Vec::new(),
            };
            for row in chain {
                let binding = Some(column(row, 3))
                    .filter(|binding| !binding.is_empty())
                    .map(|binding| all.binding_place(&mut bindings, binding));
                all.add_element(&mut one, row, binding);
            }
            all.types.push(one);
        }
        all
    }

    fn binding_place(
        &mut self,
        places: &mut FastMap<&'static str, u16>,
        name: &'static str,
    ) -> u16 {
        let next = u16::try_from(self.bindings.len()).unwrap_or(u16::MAX);
        let bindings = &mut self.bindings;
        *places.entry(name).or_insert_with(|| {
            bindings.push(Binding {
                name,
                systems: Vec::new(),
                format: CodeFormat::of(name),
            });
            next
        })
    }

    fn add_element(&self, one: &mut Type, row: &'static str, binding: Option<u16>) {
        let name = column(row, 0);
        let (min, max) = column(row, 1).split_once("..").unwrap_or(("0", "*"));
        let flags = column(row, 4);
        let place = u16::try_from(one.elements.len()).unwrap_or(u16::MAX);
        let mut types = Vec::new();
        for type_name in column(row, 2).split('|') {
            let Some(&type_index) = self.by_name.get(type_name) else {
                continue;
            };
            types.push(type_index);
            let property = Property {
                element: place,
                type_index,
            };
            match name.strip_suffix("[x]") {
                None => one.properties.insert(name, property),
                Some(stem) => one
                    .properties
                    .insert(choice_name(stem, type_name), property),
            };
        }
        let min = min.parse().unwrap_or(0);
        if min > 0 {
            one.mandatory.push(place);
        }
        one.elements.push(Element {
            name,
            min,
            max: max.parse().ok(),
            types,
            binding,
            is_summary: flags.contains('s'),
            is_modifier: flags.contains('m'),
            targets: column(row, 5),
        });
    }
}

/// `value` and `dateTime` -> `valueDateTime`. Leaked: some 2 000 short names, made once for the life
/// of the process.
fn choice_name(stem: &str, type_name: &str) -> &'static str {
    let mut letters = type_name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    let name: String = stem.chars().chain(first).chain(letters).collect();
    Box::leak(name.into_boxed_str())
}

/// A column of a tab-separated line; empty when the line is shorter.
fn column(line: &'static str, at: usize) -> &'static str {
    line.split('\t').nth(at).unwrap_or("")
}

/// A map for short, trusted keys.
pub type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Fx>>;
/// A set of short, trusted keys.
pub type FastSet<K> = HashSet<K, BuildHasherDefault<Fx>>;

/// The multiply-and-rotate hash of rustc. The keys in the tables are fixed at build time, so nobody
/// can crowd a bucket, and validation looks up every property of every resource.
#[derive(Debug, Default, Clone, Copy)]
pub struct Fx(u64);

impl Fx {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        }
        let mut word = [0; 8];
        let rest = chunks.remainder();
        word[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(word));
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    // The table takes its control bits from the top; spread what multiplication left low.
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}
