//! New passwords: forgotten, changed, and set by somebody else; and the address they are mailed to.

use candor::smart::authenticate;
use candor::smart::clients::ClientKind;
use candor::smart::users::{self, Role};
use oauth2::TokenResponse as _;

use crate::letters::Letter;
use crate::smart_activation::{events, happened};
use crate::smart_support::{App, Browser, PASSWORD, Page, Server, each_smart_database};

const NEW: &str = "another walk by the lake";
const MINUTE: i64 = 60_000;
const ADDRESS: &str = "ana@example.com";

async fn signed_in(server: &Server, username: &str) -> Browser {
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    let apps = browser.sign_in(&login, username, PASSWORD).await.page();
    assert_eq!(apps.url.path(), "/apps", "{}", apps.body);
    browser
}

async fn signs_in(server: &Server, username: &str, password: &str) -> bool {
    let browser = Browser::new(server);
    let login = browser.open(&server.url("/login")).await.page();
    browser
        .sign_in(&login, username, password)
        .await
        .page()
        .status
        == 200
}

async fn is_signed_in(server: &Server, browser: &Browser) -> bool {
    browser.open(&server.url("/apps")).await.page().url.path() == "/apps"
}

/// Asks for a link, and gives the page that comes.
async fn forgot(server: &Server, name: &str) -> Page {
    let browser = Browser::new(server);
    let mut form = browser
        .open(&server.url("/forgot"))
        .await
        .page()
        .form("/forgot");
    form.set("name", name);
    browser.submit(&form).await.page()
}

/// Uses a link.
async fn reset(browser: &Browser, link: &str, password: &str) -> Page {
    let page = browser.open(link).await.page();
    if page.status != 200 {
        return page;
    }
    let mut form = page.form("/reset");
    form.set("password", password);
    form.set("repeated", password);
    browser.submit(&form).await.page()
}

/// An account with a confirmed address; its letters so far are read.
async fn with_address(server: &Server, address: &str) -> String {
    let user = server.add_patient().await;
    server.confirm_email(&user.username, address).await;
    user.username
}

each_smart_database! {
async fn a_forgotten_password_is_replaced_by_a_mailed_link(server: Server) {
    let user = server.add_patient().await;
    server.confirm_email(&user.username, ADDRESS).await;
    let browser = signed_in(server, &user.username).await;
    let app = App::new(server, &server.add_client(ClientKind::Public, "patient/*.rs").await);
    let sent = app.start("launch/patient patient/*.rs");
    let answer = Browser::new(server).allow(&sent, &user, |_| ()).await;
    let token = app.exchange(&answer["code"], sent.verifier).await.unwrap();
    // In any case, however the name is typed.
    let page = forgot(server, &user.username.to_uppercase()).await;
    assert_eq!(page.status, 200);
    let letter = server.letters.next_to(ADDRESS).await;
    let link = letter.link();
    let kept = server.column("SELECT address FROM mailed_link WHERE purpose = 1").await;
    assert_eq!(kept, [ADDRESS]);
    let secret = link.split_once("token=").unwrap().1;
    assert_eq!(secret.len(), 43);
    // Mail programs that look at links use none up.
    let other = Browser::new(server);
    for _ in 0..3 {
        assert_eq!(other.open(&link).await.page().status, 200);
    }
    let shown = other.open(&link).await.page();
    assert!(shown.body.contains(&user.username), "who forgot the username reads it here");
    let weak = reset(&other, &link, "short").await;
    assert!(weak.status == 400 && weak.body.contains("at least 15"), "{}", weak.body);
    let done = reset(&other, &link, NEW).await;
    assert_eq!((done.status, done.url.path()), (200, "/login"));
    assert!(done.body.contains("Your password was changed"), "{}", done.body);
    let notice = server.letters.next_to(ADDRESS).await;
    assert!(notice.body.contains("was changed"), "{notice:?}");
    // Nobody is signed in any more; apps are as they were.
    assert!(!is_signed_in(server, &browser).await);
    assert!(!is_signed_in(server, &other).await);
    let access = token.access_token().secret();
    assert!(authenticate(&server.state, access).await.is_ok());
    assert!(!signs_in(server, &user.username, PASSWORD).await);
    assert!(signs_in(server, &user.username, NEW).await);
    // Once.
    let gone = reset(&other, &link, "a third walk by the river").await;
    assert!(gone.status == 400 && gone.body.contains("does not work any more"), "{}", gone.body);
    let unknown = other.open(&server.url("/reset?token=nonsense")).await.page();
    // But for the link to the page in Spanish.
    assert_eq!(unknown.body.replace("nonsense", secret), gone.body);
    let events = events(server).await;
    for what in ["reset-link", "password-reset", "email-confirmed"] {
        assert_eq!(happened(&events, what), 1, "{what}");
    }
}

async fn who_asks_for_a_link_learns_nothing(server: Server) {
    let name = with_address(server, ADDRESS).await;
    let silent = server.add_patient().await.username;
    let closed = with_address(server, "closed@example.com").await;
    users::set_disabled(&server.store, &closed, true).await.unwrap();
    let mut pages = Vec::new();
    for name in [
        name.as_str(),
        &silent,
        &closed,
        "nobody",
        "nobody@example.com",
        "",
        "%00\0",
        "closed@example.com",
    ] {
        let page = forgot(server, name).await;
        assert_eq!(page.status, 200, "{name}");
        pages.push(page.body);
    }
    assert!(pages.iter().all(|page| *page == pages[0]));
    server.letters.next_to(ADDRESS).await;
    server.letters.none().await;
    // Asked for twice, it comes once: the first is on its way.
    forgot(server, ADDRESS).await;
    server.letters.none().await;
    server.advance(6 * MINUTE);
    forgot(server, "ANA@Example.com").await;
    server.letters.next_to(ADDRESS).await;
}

async fn each_account_with_an_address_gets_its_own_link(server: Server) {
    let one = with_address(server, ADDRESS).await;
    let other = with_address(server, ADDRESS).await;
    forgot(server, ADDRESS).await;
    let letters = server.letters.next(2).await;
    let browser = Browser::new(server);
    let mut names = Vec::new();
    for letter in &letters {
        let page = browser.open(&letter.link()).await.page();
        let own = [&one, &other].into_iter().find(|name| page.body.contains(*name));
        names.push(own.unwrap().clone());
    }
    names.sort();
    let mut both = vec![one, other];
    both.sort();
    assert_eq!(names, both);
}

async fn a_link_is_good_for_half_an_hour(server: Server) {
    let name = with_address(server, ADDRESS).await;
    forgot(server, &name).await;
    let link = server.letters.next_to(ADDRESS).await.link();
    server.advance(30 * MINUTE - 1000);
    let browser = Browser::new(server);
    let form = browser.open(&link).await.page();
    assert_eq!(form.status, 200);
    server.advance(2000);
    assert_eq!(browser.open(&link).await.page().status, 400);
    let mut form = form.form("/reset");
    form.set("password", NEW);
    form.set("repeated", NEW);
    assert_eq!(browser.submit(&form).await.page().status, 400);
    assert!(signs_in(server, &name, PASSWORD).await);
}

async fn one_link_used_twice_at_once_is_used_once(server: Server) {
    let name = with_address(server, ADDRESS).await;
    forgot(server, &name).await;
    let link = server.letters.next_to(ADDRESS).await.link();
    let mut tries = Vec::new();
    for at in 0..4 {
        let (browser, link) = (Browser::new(server), link.clone());
        tries.push(tokio::spawn(async move {
            reset(&browser, &link, &format!("walk number {at} by the lake")).await.status == 200
        }));
    }
    let mut done = 0;
    for one in tries {
        done += usize::from(one.await.unwrap());
    }
    assert_eq!(done, 1);
}

async fn asking_for_links_is_limited_for_a_name_at_an_address(server: Server) {
    let ask = async |address: &str, name: &str| {
        let browser = Browser::new(server);
        let mut form = browser.open(&server.url("/forgot")).await.page().form("/forgot");
        form.set("name", name);
        let request = browser
            .http
            .post(server.url("/forgot"))
            .header("x-forwarded-for", address)
            .form(&form.fields);
        let response = request.send().await.unwrap();
        let wait = response.headers().get("retry-after").cloned();
        (response.status().as_u16(), wait)
    };
    let mut last = (200, None);
    for _ in 0..9 {
        last = ask("198.51.100.1", "ana").await;
    }
    assert_eq!(last.0, 429);
    let wait: u32 = last.1.unwrap().to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    // The owner elsewhere is not kept from it, nor another name here.
    assert_eq!(ask("198.51.100.2", "ana").await.0, 200);
    assert_eq!(ask("198.51.100.1", "ben").await.0, 200);
}

async fn a_changed_password_ends_other_sessions_and_keeps_this_one(server: Server) {
    let name = with_address(server, ADDRESS).await;
    let here = signed_in(server, &name).await;
    let there = signed_in(server, &name).await;
    let page = here.open(&server.url("/settings/password")).await.page();
    let change = async |current: &str, new: &str, repeated: &str| {
        let mut form = page.form("/settings/password");
        form.set("current", current);
        form.set("password", new);
        form.set("repeated", repeated);
        here.submit(&form).await.page()
    };
    for (current, new, repeated, words) in [
        ("not my password", NEW, NEW, "is not right"),
        (PASSWORD, NEW, "another walk by the lade", "not the same"),
        (PASSWORD, PASSWORD, PASSWORD, "the one you have now"),
        (PASSWORD, "too short", "too short", "at least 15"),
    ] {
        let page = change(current, new, repeated).await;
        assert!(page.status == 400 && page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(is_signed_in(server, &there).await);
    let done = change(PASSWORD, NEW, NEW).await;
    assert_eq!(done.url.path(), "/settings");
    assert!(done.body.contains("new password is saved"), "{}", done.body);
    assert!(is_signed_in(server, &here).await);
    assert!(!is_signed_in(server, &there).await);
    assert!(signs_in(server, &name, NEW).await);
    let notices: Vec<Letter> = server.letters.next(1).await;
    assert!(notices.iter().any(|letter| letter.body.contains("was changed")), "{notices:?}");
}

async fn guessing_the_current_password_in_an_open_browser_slows_down(server: Server) {
    let user = server.add_patient().await;
    let here = signed_in(server, &user.username).await;
    let mut form = here
        .open(&server.url("/settings/password"))
        .await
        .page()
        .form("/settings/password");
    form.set("password", NEW);
    form.set("repeated", NEW);
    let mut last = 0;
    for at in 0..8 {
        form.set("current", &format!("guess {at}"));
        last = here.submit(&form).await.page().status;
    }
    assert_eq!(last, 429);
}

async fn a_new_address_is_confirmed_and_the_old_one_told(server: Server) {
    let name = with_address(server, ADDRESS).await;
    let here = signed_in(server, &name).await;
    let page = here.open(&server.url("/settings/email")).await.page();
    assert!(page.body.contains(ADDRESS));
    let mut form = page.form("/settings/email");
    form.set("email", "new@example.com");
    form.set("current", "not my password");
    assert!(here.submit(&form).await.page().body.contains("is not right"));
    form.set("email", "no address");
    form.set("current", PASSWORD);
    assert!(here.submit(&form).await.page().body.contains("not an e-mail address"));
    server.letters.none().await;
    form.set("email", "new@example.com");
    let done = here.submit(&form).await.page();
    assert!(done.body.contains("sent a letter to the new address"), "{}", done.body);
    // Until it is confirmed, the old one counts.
    let letter = server.letters.next_to("new@example.com").await;
    forgot(server, &name).await;
    let old_link = server.letters.next_to(ADDRESS).await.link();
    let anywhere = Browser::new(server);
    let form = anywhere.open(&letter.link()).await.page().form("/confirm");
    assert_eq!(server.column("SELECT address FROM account_email").await, [ADDRESS]);
    let done = anywhere.submit(&form).await.page();
    assert!(done.body.contains("new@example.com from now on"), "{}", done.body);
    assert_eq!(anywhere.submit(&form).await.page().status, 400, "once");
    let told = server.letters.next_to(ADDRESS).await;
    assert!(told.body.contains("does not use this e-mail address any more"), "{told:?}");
    // For a day nobody resets by mail: neither with the link of before, nor with a new one.
    assert_eq!(anywhere.open(&old_link).await.page().status, 400);
    for name in [name.as_str(), "new@example.com"] {
        forgot(server, name).await;
    }
    server.letters.none().await;
    server.advance(24 * 60 * MINUTE + 1000);
    forgot(server, &name).await;
    server.letters.next_to("new@example.com").await;
}

async fn an_address_can_be_taken_out(server: Server) {
    let name = with_address(server, ADDRESS).await;
    let here = signed_in(server, &name).await;
    let page = here.open(&server.url("/settings/email")).await.page();
    // The second form of the page.
    let (_, rest) = page.body.split_once("</form>").unwrap();
    let (_, rest) = rest.split_once("</form>").unwrap();
    let second = Page { body: rest.to_owned(), ..page };
    let mut form = second.form("/settings/email");
    form.set("current", PASSWORD);
    let done = here.submit(&form).await.page();
    assert!(done.body.contains("was taken out"), "{}", done.body);
    server.letters.next_to(ADDRESS).await;
    forgot(server, &name).await;
    forgot(server, ADDRESS).await;
    server.letters.none().await;
}

async fn what_was_begun_with_the_old_password_ends_with_it(server: Server) {
    let name = with_address(server, ADDRESS).await;
    // Somebody who knows the password wants letters to go to a box of theirs.
    let intruder = signed_in(server, &name).await;
    let page = intruder.open(&server.url("/settings/email")).await.page();
    let mut form = page.form("/settings/email");
    form.set("email", "intruder@example.com");
    form.set("current", PASSWORD);
    intruder.submit(&form).await.page();
    let planted = server.letters.next_to("intruder@example.com").await.link();
    let anywhere = Browser::new(server);
    let opened = anywhere.open(&planted).await.page().form("/confirm");
    forgot(server, &name).await;
    let link = server.letters.next_to(ADDRESS).await.link();
    assert_eq!(reset(&Browser::new(server), &link, NEW).await.url.path(), "/login");
    server.letters.next_to(ADDRESS).await;
    assert_eq!(anywhere.open(&planted).await.page().status, 400);
    assert_eq!(anywhere.submit(&opened).await.page().status, 400);
    assert_eq!(server.column("SELECT address FROM account_email").await, [ADDRESS]);
}

async fn an_address_that_follows_one_taken_out_is_no_sooner_believed(server: Server) {
    let name = with_address(server, ADDRESS).await;
    server.advance(25 * 60 * MINUTE);
    let here = signed_in(server, &name).await;
    server.letters.none().await;
    let page = here.open(&server.url("/settings/email")).await.page();
    let mut form = page.form("/settings/email");
    form.set("current", PASSWORD);
    form.set("action", "remove");
    here.submit(&form).await.page();
    server.letters.next_to(ADDRESS).await;
    form.set("action", "");
    form.set("email", "new@example.com");
    here.submit(&form).await.page();
    let link = server.letters.next_to("new@example.com").await.link();
    let confirm = here.open(&link).await.page().form("/confirm");
    assert_eq!(here.submit(&confirm).await.page().status, 200);
    forgot(server, &name).await;
    server.letters.none().await;
    server.advance(24 * 60 * MINUTE + 1000);
    forgot(server, &name).await;
    server.letters.next_to("new@example.com").await;
}

async fn the_help_desk_has_a_link_sent_and_no_more(server: Server) {
    let name = with_address(server, ADDRESS).await;
    let helper = server.add_user(Role::Staff, Some("desk"), &[]).await;
    let desk = signed_in(server, &helper.username).await;
    let page = desk.open(&server.url("/staff/reset")).await.page();
    assert_eq!(page.status, 200);
    let ask = async |name: &str| {
        let mut form = page.form("/staff/reset");
        form.set("name", name);
        desk.submit(&form).await.page()
    };
    let (known, unknown) = (ask(&name).await, ask("nobody").await);
    assert_eq!(known.body, unknown.body);
    let letter = server.letters.next_to(ADDRESS).await;
    assert!(!known.body.contains("token=") && !known.body.contains(ADDRESS));
    assert_eq!(reset(&Browser::new(server), &letter.link(), NEW).await.url.path(), "/login");
    assert_eq!(happened(&events(server).await, "reset-link-by-staff"), 1);
    // Nobody else.
    for role in [Role::Patient, Role::Clinician, Role::Auditor] {
        let user = match role {
            Role::Patient => server.add_patient().await,
            role => server.add_user(role, Some("dr-lee"), &[]).await,
        };
        let other = signed_in(server, &user.username).await;
        assert_eq!(other.open(&server.url("/staff/reset")).await.page().status, 403);
        let settings = other.open(&server.url("/settings/password")).await.page();
        let mut form = settings.form("/settings/password");
        form.action = "/staff/reset".to_owned();
        form.set("name", &name);
        assert_eq!(other.submit(&form).await.page().status, 403);
    }
}

async fn who_must_choose_a_password_does_that_first(server: Server) {
    let user = server.add_patient().await;
    users::require_new_password(&server.store, &user.username).await.unwrap();
    let app = App::new(server, &server.add_client(ClientKind::Public, "patient/*.rs").await);
    let sent = app.start("launch/patient patient/*.rs");
    let browser = Browser::new(server);
    let login = browser.open(sent.url.as_str()).await.page();
    let must = browser.sign_in(&login, &user.username, PASSWORD).await.page();
    assert_eq!(must.url.path(), "/settings/password");
    assert!(must.body.contains("Somebody else set the password"), "{}", must.body);
    // Every other page leads back here.
    for path in ["/apps", "/settings", "/settings/email", "/settings/sessions", "/auth/record"] {
        let page = browser.open(&server.url(path)).await.page();
        assert_eq!(page.url.path(), "/settings/password", "{path}");
    }
    let request = login.form("/login").fields.iter().find(|(name, _)| name == "request").unwrap().1.clone();
    let consent = server.url(&format!("/auth/consent?request={request}"));
    assert_eq!(browser.open(&consent).await.page().url.path(), "/settings/password");
    let mut form = must.form("/settings/password");
    form.set("current", PASSWORD);
    form.set("password", PASSWORD);
    form.set("repeated", PASSWORD);
    assert_eq!(browser.submit(&form).await.page().status, 400, "the same is not another");
    form.set("password", NEW);
    form.set("repeated", NEW);
    // And then on where they were.
    let consent = browser.submit(&form).await.page();
    assert_eq!(consent.url.path(), "/auth/consent", "{}", consent.body);
    let mut form = consent.form("/auth/consent");
    form.set("action", "allow");
    assert!(browser.submit(&form).await.answer().contains_key("code"));
    assert!(signs_in(server, &user.username, NEW).await);
}

async fn a_sign_in_at_a_new_place_is_told(server: Server) {
    let name = with_address(server, ADDRESS).await;
    let home = Browser::new(server);
    let sign_in = async |browser: &Browser, address: &str| {
        let mut form = browser.open(&server.url("/login")).await.page().form("/login");
        form.set("username", &name);
        form.set("password", PASSWORD);
        let request = browser
            .http
            .post(server.url("/login"))
            .header("x-forwarded-for", address)
            .form(&form.fields);
        assert_eq!(request.send().await.unwrap().status(), 303);
        let apps = browser.open(&server.url("/apps")).await.page();
        browser.submit(&apps.form("/logout")).await.page();
    };
    sign_in(&home, "192.0.2.1").await;
    let letter = server.letters.next_to(ADDRESS).await;
    assert!(letter.body.contains("signed in"), "{letter:?}");
    // The same browser elsewhere, and the same place.
    sign_in(&home, "203.0.113.5").await;
    sign_in(&Browser::new(server), "203.0.113.5").await;
    server.letters.none().await;
    sign_in(&Browser::new(server), "198.51.100.9").await;
    server.letters.next_to(ADDRESS).await;
}
}
