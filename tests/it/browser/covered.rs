//! Which pages [`judge`](super::pages::judge) has seen: every route of a page has a name under which a test
//! judges it, so that a new page cannot stay unlooked at.

use url::Url;

use super::tools::folder;
use crate::smart_attacks_generated::pages;

/// Routes, each with the names of the pages that are judged there.
const JUDGED: &[(&str, &[&str])] = &[
    (
        "/activate",
        &[
            "activate",
            "activate-wrong",
            "activate-account",
            "activate-account-short",
            "activate-used",
            "activate-expired",
            "activate-providers",
            "problem-wait",
        ],
    ),
    ("/apps", &["apps", "connected-apps", "no-connected-apps"]),
    ("/apps/change", &["apps-change"]),
    ("/apps/directory", &["directory"]),
    (
        "/auth/authorize",
        &["unknown-app", "leave-chart", "leave-kiosk", "problem-busy"],
    ),
    (
        "/auth/consent",
        &[
            "consent",
            "consent-again",
            "consent-nothing-ticked",
            "consent-representative",
            "consent-spanish",
            "leave-done",
            "leave-at-once",
            "leave-late",
            "problem-gone",
        ],
    ),
    ("/auth/end-session", &["end-session"]),
    ("/auth/factor", &["factor"]),
    ("/auth/factor/enrol", &["enrol"]),
    ("/auth/record", &["record", "no-record"]),
    ("/auth/switch", &["switch"]),
    ("/confirm", &["confirm"]),
    ("/developers", &["developers"]),
    ("/developers/apps", &["developers-apps"]),
    ("/developers/apps/activity", &["developers-activity"]),
    (
        "/developers/apps/new",
        &["developers-new", "developers-registered"],
    ),
    (
        "/developers/apps/change",
        &["developers-change", "developers-change-refused"],
    ),
    ("/developers/apps/logo", &["developers-logo-refused"]),
    ("/developers/changes", &["developers-changes"]),
    ("/developers/scopes", &["scopes"]),
    ("/forgot", &["forgot-spanish", "forgot-asked-spanish"]),
    ("/idle", &["idle"]),
    (
        "/login",
        &[
            "sign-in",
            "sign-in-refused",
            "sign-in-wait",
            "sign-in-providers",
            "sign-in-spanish",
            "login-with-passkeys",
            "sign-in-kiosk",
            "problem-cookie",
        ],
    ),
    ("/login/back", &["problem-upstream"]),
    ("/login/with/{provider}", &["problem-provider"]),
    ("/policy/release", &["policy"]),
    ("/languages", &["languages"]),
    ("/representatives", &["representatives"]),
    ("/reset", &["reset-spanish", "link-gone-spanish"]),
    ("/resume", &["resume"]),
    (
        "/security",
        &["security", "security-with-a-passkey", "recovery-codes"],
    ),
    ("/settings", &["settings-activated", "settings-spanish"]),
    ("/settings/email", &["settings-email", "idle-dialog"]),
    ("/settings/letters", &["settings-letters"]),
    ("/settings/password", &["settings-password"]),
    ("/settings/sessions", &["settings-sessions"]),
    (
        "/signed-out",
        &["signed-out", "signed-out-idle", "signed-out-kiosk"],
    ),
    ("/staff/launch", &["staff-found", "staff-chosen"]),
    (
        "/staff/reset",
        &["staff-reset", "staff-reset-asked", "problem-role"],
    ),
];

/// Routes that answer with JSON, a file, or the way to another page.
const NO_PAGE: &[&str] = &[
    "/",
    "/apps/logo/{hash}",
    "/assets/candor.css",
    "/assets/candor.js",
    "/assets/passkey.js",
    "/auth/passkey",
    "/auth/passkey/options",
    "/draft",
    "/idle/left",
    "/logout",
    "/security/passkey/options",
];

/// Fails unless the name is one of the pages of the route at which the browser stands.
pub fn stands_where_it_says(name: &str, address: &Url) {
    let route = JUDGED.iter().find(|(_, names)| names.contains(&name));
    let Some((route, _)) = route else {
        panic!("{name} stands in no line of JUDGED");
    };
    let (start, is_whole) = match route.split_once('{') {
        Some((start, _)) => (start, false),
        None => (*route, true),
    };
    let path = address.path();
    let stands = if is_whole {
        path == start
    } else {
        path.starts_with(start)
    };
    assert!(
        stands,
        "{name} was to be judged at {route}, and the browser is at {path}"
    );
}

#[test]
fn every_page_is_judged_in_a_browser() {
    let own = folder().join("../it/browser");
    let mut sources = std::fs::read_to_string(folder().join("../it/browser.rs")).unwrap();
    for entry in std::fs::read_dir(own).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("covered.rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let routes: Vec<String> = pages().into_iter().map(|(path, _)| path).collect();
    for route in &routes {
        let is_judged = JUDGED.iter().any(|(judged, _)| judged == route);
        let has_none = NO_PAGE.contains(&route.as_str());
        assert!(
            is_judged != has_none,
            "{route} is to stand in JUDGED, with a test that judges it, or in NO_PAGE"
        );
    }
    let listed = JUDGED.iter().map(|(route, _)| route).chain(NO_PAGE);
    for route in listed {
        let is_there = routes.iter().any(|own| own == route);
        assert!(is_there, "{route} is no route");
    }
    for name in JUDGED.iter().flat_map(|(_, names)| *names) {
        let is_asked = sources.contains(&format!("\"{name}\")"));
        assert!(is_asked, "no test judges {name}");
    }
}
