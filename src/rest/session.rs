//! One viewer at work: the store, what exists for the viewer, and the checks that every
//! interaction begins with. Free of HTTP: `candor import` and the entries of a bundle use it too.

use std::sync::Arc;

use serde_json::Value;

use super::RestError;
use super::audit::{Events, Touched};
use crate::clock::Millis;
use crate::fhir::definitions::{TypeId, definitions};
use crate::store::{Origin, Store};
use crate::visibility::{Access, Viewer, ViewerClass, Visibility};

/// Bounds on what one request may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request body, decompressed.
    pub body_bytes: usize,
    /// Entries of a page when the client names no `_count`.
    pub page: u32,
    /// Entries of a page at most.
    pub max_page: u32,
    pub conditional_delete: ConditionalDelete,
    /// Whether each request that writes leaves a Provenance of this server's making.
    pub provenance: bool,
    /// Whether a reference must name something that exists for whoever writes it.
    pub check_references: bool,
}

/// What a conditional deletion may take (`CapabilityStatement.rest.resource.conditionalDelete`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalDelete {
    /// One match; more are 412.
    #[default]
    Single,
    /// All that match, up to a bound.
    Multiple,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            page: 20,
            max_page: 1000,
            conditional_delete: ConditionalDelete::Single,
            provenance: false,
            check_references: false,
        }
    }
}

/// A viewer with a store.
#[derive(Clone, Debug)]
pub struct Session {
    pub store: Store,
    pub viewer: Arc<Viewer>,
    pub visibility: Visibility,
    pub limits: Arc<Limits>,
    pub origin: Origin,
    /// What the audit log is to know of this request; none where there is no log.
    pub touched: Option<Touched>,
    /// The AuditEvents that may be looked for.
    pub(super) events: Events,
    /// `X-Provenance`, checked.
    pub provenance: Option<Arc<Value>>,
}

impl Session {
    /// A session as of now.
    #[must_use]
    pub fn new(
        store: Store,
        viewer: impl Into<Arc<Viewer>>,
        limits: Arc<Limits>,
        origin: Origin,
    ) -> Self {
        let viewer = viewer.into();
        let now = store.clock().now();
        let visibility = Visibility::of(&viewer, store.keys(), now, now);
        Self {
            store,
            viewer,
            visibility,
            limits,
            origin,
            touched: None,
            events: Events::default(),
            provenance: None,
        }
    }

    /// Notes resources for the audit log.
    pub(super) fn touch<'i>(&self, resources: impl IntoIterator<Item = (TypeId, &'i str)>) {
        if let Some(touched) = &self.touched {
            let keys = self.store.keys();
            touched.add(
                resources
                    .into_iter()
                    .map(|(type_id, id)| keys.reference(definitions().type_name(type_id), id)),
            );
        }
    }

    /// What exists on a page: now, but for holds the instant that the first page's cursor fixed.
    pub(super) fn visibility_on_page(&self, instant: Option<Millis>) -> Visibility {
        match instant {
            Some(instant) => Visibility::of(
                &self.viewer,
                self.store.keys(),
                self.visibility.now(),
                instant,
            ),
            None => self.visibility.clone(),
        }
    }

    /// 403 unless some scope opens this access to the type. The answer depends on the token alone.
    pub(super) fn require(&self, type_id: TypeId, access: Access) -> Result<(), RestError> {
        if self.visibility.allows(type_id, access) {
            return Ok(());
        }
        let verb = match access {
            Access::Create => "create",
            Access::Read => "read",
            Access::Update => "update",
            Access::Delete => "delete",
            Access::Search => "search",
        };
        Err(RestError::Forbidden(format!(
            "The token's scopes do not allow to {verb} {}.",
            definitions().type_name(type_id)
        )))
    }

    /// Whether a patch of this type is of something that the token may not read. Its answer holds nothing of
    /// it then.
    pub(super) fn patches_blindly(&self, type_id: TypeId) -> bool {
        !self.visibility.allows(type_id, Access::Read)
    }

    /// 403 for a patch by whose outcome a token would learn what it may not read. `u` is for patches too
    /// (SMART App Launch 2.2, "Scopes for requesting FHIR Resources"), and for their changes only:
    /// `is_blind` of a patch that asks nothing. Where some resources of the type may be searched, a patch could
    /// make any of them one of those.
    pub(super) fn require_patcher(&self, type_id: TypeId, is_blind: bool) -> Result<(), RestError> {
        if !self.patches_blindly(type_id) {
            return Ok(());
        }
        let searches_some = self.visibility.allows(type_id, Access::Search)
            && !self.is_unlimited(type_id, Access::Search);
        if is_blind && !searches_some {
            return Ok(());
        }
        let type_name = definitions().type_name(type_id);
        Err(RestError::Forbidden(format!(
            "The token's scopes do not allow to read {type_name}. Without that a patch only names what it changes: \
             it has no `test`, no condition and no function in a path or selector, is no change of meta by an \
             operation, and needs that all or none of {type_name} may be searched."
        )))
    }

    /// 403 for viewers who never write: patients and those who act for them ask for changes
    /// through the portal (45 CFR 164.526), they do not write into the record.
    pub(super) fn require_writer(&self) -> Result<(), RestError> {
        if self.viewer.class.is_patient_side() {
            return Err(RestError::Forbidden(
                "Patients and their representatives do not write to the record through this API. \
                 Ask for an amendment through the portal."
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// 403 for whoever is no system, staff or administrator and wants to change what everybody
    /// searches with.
    pub(super) fn require_definer(&self, type_id: TypeId) -> Result<(), RestError> {
        let may = matches!(
            self.viewer.class,
            ViewerClass::System | ViewerClass::Staff | ViewerClass::Admin
        );
        if may || definitions().type_name(type_id) != "SearchParameter" {
            return Ok(());
        }
        Err(RestError::Forbidden(
            "A SearchParameter changes what everybody searches with: systems, staff and \
             administrators write it."
                .to_owned(),
        ))
    }

    /// Whether everything of the type lies open for this access: no scope limit, no holds.
    pub(super) fn is_unlimited(&self, type_id: TypeId, access: Access) -> bool {
        !self.visibility.is_subject_to_holds() && self.is_unbounded(type_id, access)
    }

    /// Whether no scope limits this access to some resources of the type.
    pub(super) fn is_unbounded(&self, type_id: TypeId, access: Access) -> bool {
        self.visibility
            .branches(type_id, access)
            .iter()
            .any(|branch| branch.patient.is_none() && branch.narrowing.is_none())
    }

    /// Whether this viewer may create a resource under an id of their own choosing.
    ///
    /// Ids are the one place where a write could tell a hidden resource from none: a PUT to an
    /// unknown id creates, a PUT to somebody else's does not. So only a viewer from whom nothing of
    /// the type can be hidden may choose ids. For all others a PUT to an id that does not exist for
    /// them, hidden or not, gives one and the same answer; they create with POST, where the server
    /// chooses.
    ///
    /// A PUT that creates is an update to the scopes (SMART App Launch 2.2, "Scopes for requesting FHIR
    /// Resources").
    pub(super) fn may_choose_ids(&self, type_id: TypeId) -> bool {
        self.is_unlimited(type_id, Access::Update)
    }
}
