//! How sure this server is of a person: of who has an account (NIST SP 800-63A-4, IAL) and of how they signed in
//! (NIST SP 800-63B-4, AAL). Apps are told both in `acr`.

use super::factors::PASSWORD;

/// What every class begins with, as identity providers of the United States write them.
const BASE: &str = "http://idmanagement.gov/ns/assurance";

/// How whoever has an account was proven, by what `account.ial` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Somebody made the account who says nothing of it here: the operator, for staff and others.
    Unsaid,
    /// A code that the person was handed at a visit, and the birth date: IAL1. The hospital saw them, on site and
    /// attended; what papers it looked at is not known here, and IAL2 is for nobody to claim without.
    Visit,
    /// A provider who proofs identity said who they are, and it fitted one patient: IAL2.
    Provider,
}

impl Identity {
    /// The level, as the database has it.
    pub(super) fn level(self) -> i16 {
        match self {
            Self::Unsaid => 0,
            Self::Visit => 1,
            Self::Provider => 2,
        }
    }
}

/// The level of a sign-in by its methods (RFC 8176), where that is known: a provider's are not.
fn authenticator_level(methods: &str) -> Option<i16> {
    let has = |one| methods.split(' ').any(|method| method == one);
    if has("mfa") {
        Some(2)
    } else if has(PASSWORD) {
        Some(1)
    } else {
        None
    }
}

fn class(identity: Option<i16>, authenticator: Option<i16>) -> Option<String> {
    match (identity, authenticator) {
        (Some(ial), Some(aal)) => Some(format!("{BASE}/ial/{ial}/aal/{aal}")),
        (Some(ial), None) => Some(format!("{BASE}/ial/{ial}")),
        (None, Some(aal)) => Some(format!("{BASE}/aal/{aal}")),
        (None, None) => None,
    }
}

/// The class (`acr`, OpenID Connect Core 1.0 section 2) of a sign-in by these methods to an account of this level
/// of identity. None where neither is known.
pub(super) fn acr(ial: i16, methods: &str) -> Option<String> {
    class(
        Some(ial).filter(|ial| *ial > 0),
        authenticator_level(methods),
    )
}

/// Every class there is, for discovery.
pub(super) fn classes() -> Vec<String> {
    let identities = [None, Some(Identity::Visit), Some(Identity::Provider)];
    let levels = identities.map(|identity| identity.map(Identity::level));
    levels
        .into_iter()
        .flat_map(|ial| [None, Some(1), Some(2)].map(|aal| class(ial, aal)))
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_says_what_is_known() {
        let of = |ial, methods| acr(ial, methods).map(|all| all.replace(BASE, ""));
        for (ial, methods, expected) in [
            (0, "pwd", Some("/aal/1")),
            (0, "pwd otp mfa", Some("/aal/2")),
            (0, "pop user mfa", Some("/aal/2")),
            (0, "", None),
            (1, "pwd", Some("/ial/1/aal/1")),
            (2, "otp mfa", Some("/ial/2/aal/2")),
            (2, "", Some("/ial/2")),
        ] {
            let class = of(ial, methods);
            assert_eq!(class.as_deref(), expected, "{ial} {methods}");
            let is_told = acr(ial, methods).is_none_or(|class| classes().contains(&class));
            assert!(is_told, "{ial} {methods}");
        }
        assert_eq!(classes().len(), 8);
    }
}
