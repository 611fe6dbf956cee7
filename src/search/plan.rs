//! From a parsed query to what one SQL statement selects: scopes become conditions
//! ([`narrowing`]), `patient=X` becomes the patient column ([`patient`]), chains on `_id` become
//! references ([`chain`]), and one condition is chosen to lead ([`driver`]).

pub mod chain;
pub mod driver;
pub mod narrowing;
pub mod patient;

use super::query::{Condition, Types};
use crate::fhir::definitions::TypeId;
use crate::keys::Keys;
use crate::visibility::{Access, Visibility};
use narrowing::{Group, Way};

/// Visible resources of some types under conditions.
#[derive(Clone, Debug)]
pub struct Plan {
    pub types: Types,
    /// All must hold, the leading one apart.
    pub conditions: Vec<Condition>,
    /// The condition whose index is walked; None: the resource table itself.
    pub driver: Option<Condition>,
    /// How selective the driver promises to be.
    pub rank: u32,
    /// How many rows the driver really has, where the database was asked.
    pub sounding: Sounding,
    /// What restricts the patient column throughout.
    pub pin: Option<Pin>,
    /// Where the ways in differ: a row must fit one group, and one way of it. Empty: no more
    /// limits than the conditions.
    pub groups: Vec<Group>,
}

/// What the database said of the driver ([`sound`](mod@super::sound)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sounding {
    /// It was not asked.
    #[default]
    None,
    /// Few: they can be read and sorted.
    Few,
    /// Many, and so of every condition: an index that has the order is walked until the page is full.
    Many,
}

/// A restriction of the patient column that leads every index with the patient in front.
#[derive(Clone, Debug)]
pub enum Pin {
    Keys(Vec<i64>),
    /// The keys of the patients who satisfy this.
    Where(Box<Condition>),
}

/// No scope opens this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden(pub TypeId);

/// Plans a selection.
///
/// # Errors
/// [`Forbidden`] when no scope opens any of the types.
pub fn plan(
    visibility: &Visibility,
    keys: &Keys,
    access: Access,
    types: &Types,
    conditions: Vec<Condition>,
) -> Result<Plan, Forbidden> {
    let mut plan = open(visibility, access, types)?;
    plan.conditions
        .extend(conditions.into_iter().flat_map(flat));
    if let Types::One(type_id) = plan.types {
        plan.conditions = plan
            .conditions
            .into_iter()
            .flat_map(|condition| patient::rewrite(keys, type_id, chain::rewrite(condition)))
            .collect();
    } else {
        plan.conditions = patient::rewrite_all(keys, plan.types.as_slice(), plan.conditions);
    }
    let mut seen = Vec::with_capacity(plan.conditions.len());
    plan.conditions.retain(|condition| {
        let first = !seen.contains(condition);
        if first {
            seen.push(condition.clone());
        }
        first
    });
    plan.take_pin();
    let pinned = plan.pin.is_some();
    driver::choose(&mut plan, pinned);
    Ok(plan)
}

/// `_filter=a and b` is two conditions, each of which may lead.
fn flat(condition: Condition) -> Vec<Condition> {
    match condition {
        Condition::All(all) => all.into_iter().flat_map(flat).collect(),
        other => vec![other],
    }
}

/// A plan over what is visible, without further conditions and without a driver.
///
/// # Errors
/// [`Forbidden`] when no scope opens any of the types.
pub fn open(visibility: &Visibility, access: Access, types: &Types) -> Result<Plan, Forbidden> {
    let mut groups = narrowing::groups(visibility, access, types.as_slice());
    let Some(first) = types.as_slice().first() else {
        return Err(Forbidden(0));
    };
    let mut conditions = Vec::new();
    let types = match types {
        Types::One(_) if groups.is_empty() => return Err(Forbidden(*first)),
        Types::One(one) => Types::One(*one),
        Types::Many(_) => {
            let mut open: Vec<TypeId> = groups.iter().flat_map(|g| g.types.clone()).collect();
            open.sort_unstable();
            if open.is_empty() {
                return Err(Forbidden(*first));
            }
            Types::Many(open)
        }
    };
    if let [group] = groups.as_mut_slice() {
        // All ways about the same patient: that patient is a condition of the whole.
        let patients: Vec<Option<i64>> = group.ways.iter().map(|way| way.patient).collect();
        if let Some(Some(patient)) = patients.first().copied()
            && patients.iter().all(|own| *own == Some(patient))
        {
            conditions.push(Condition::Patient(vec![patient]));
            for way in &mut group.ways {
                way.patient = None;
            }
        }
        if let [only] = group.ways.as_mut_slice() {
            if only.patient.is_none() {
                conditions.append(&mut only.conditions);
                groups.clear();
            }
        } else if group.ways.iter().any(Way::is_open) {
            groups.clear();
        }
    }
    Ok(Plan {
        types,
        conditions,
        driver: None,
        rank: 0,
        sounding: Sounding::None,
        pin: None,
        groups,
    })
}

impl Plan {
    /// Chooses the driver again, after conditions came or went.
    pub fn lead(&mut self) {
        self.conditions.extend(self.driver.take());
        self.rank = 0;
        let pinned = self.pin.is_some();
        driver::choose(self, pinned);
    }

    /// Makes room for another restriction of the patient column: the present one becomes a
    /// condition, and the driver is chosen again.
    pub fn repin(&mut self) {
        match self.pin.take() {
            Some(Pin::Keys(keys)) => self.conditions.push(Condition::Patient(keys)),
            Some(Pin::Where(condition)) => self.conditions.push(Condition::PatientIs(condition)),
            None => {}
        }
        self.conditions.extend(self.driver.take());
        driver::choose(self, true);
    }

    /// Takes the most telling condition on the patient column out of the conditions.
    fn take_pin(&mut self) {
        if let Some(at) = self
            .conditions
            .iter()
            .position(|condition| matches!(condition, Condition::Patient(_)))
        {
            if let Condition::Patient(keys) = self.conditions.remove(at) {
                self.pin = Some(Pin::Keys(keys));
            }
            return;
        }
        let best = self
            .conditions
            .iter()
            .enumerate()
            .filter_map(|(at, condition)| match condition {
                Condition::PatientIs(own) => Some((driver::rank(own, false), at)),
                _ => None,
            })
            .max();
        if let Some((rank, at)) = best
            && rank >= driver::SELECTIVE
            && let Condition::PatientIs(condition) = self.conditions.remove(at)
        {
            self.pin = Some(Pin::Where(condition));
        }
    }
}
