//! Guessing passwords: many tries at once, from many places, and who must not suffer from it.

use std::sync::Arc;

use candor::smart::users;

use crate::smart_support::{Browser, Form, PASSWORD, Server, each_smart_database};

/// A sign-in form of a browser, filled in.
async fn form(server: &Server, browser: &Browser, username: &str, password: &str) -> Form {
    let mut login = browser.open(&server.url("/login")).await.page();
    if login.url.path() == "/apps" {
        // Signed in still; what the browser is known by stays.
        browser.submit(&login.form("/logout")).await.page();
        login = browser.open(&server.url("/login")).await.page();
    }
    let mut form = login.form("/login");
    form.set("username", username);
    form.set("password", password);
    form
}

/// Posts it from an address: 303 is a success.
async fn post(server: &Server, browser: &Browser, form: &Form, address: &str) -> u16 {
    let request = browser
        .http
        .post(server.url("/login"))
        .header("x-forwarded-for", address)
        .header("sec-fetch-site", "same-origin")
        .form(&form.fields);
    request.send().await.unwrap().status().as_u16()
}

async fn try_from(server: &Server, address: &str, username: &str, password: &str) -> u16 {
    let browser = Browser::new(server);
    let form = form(server, &browser, username, password).await;
    post(server, &browser, &form, address).await
}

each_smart_database! {
async fn guesses_at_the_same_moment_are_counted_each(server: Server) {
    let user = server.add_patient().await;
    let browser = Browser::new(server);
    let wrong = Arc::new(form(server, &browser, &user.username, "not the password").await);
    let tries: Vec<_> = (0..20)
        .map(|_| {
            let (browser, wrong) = (browser.clone(), wrong.clone());
            let url = server.url("/login");
            tokio::spawn(async move {
                let request = browser.http.post(url).header("sec-fetch-site", "same-origin");
                request.form(&wrong.fields).send().await.unwrap().status().as_u16()
            })
        })
        .collect();
    let mut looked_at = 0;
    for one in tries {
        looked_at += usize::from(one.await.unwrap() == 400);
    }
    // One more, should it take longer than the first wait.
    assert!((6..=7).contains(&looked_at), "{looked_at}");
}

async fn no_spelling_of_a_name_is_a_fresh_start(server: Server) {
    let user = server.add_patient().await;
    let loud = user.username.to_uppercase();
    let wide = user.username.replace('a', "\u{ff41}");
    let mut last = 0;
    for name in [&user.username, &loud, &wide].iter().cycle().take(9) {
        last = try_from(server, "198.51.100.1", name, "no").await;
    }
    assert_eq!(last, 429);
}

async fn an_account_is_guessed_at_a_hundred_times_and_its_owner_still_signs_in(server: Server) {
    let user = server.add_patient().await;
    let name = user.username.as_str();
    let home = Browser::new(server);
    let right = form(server, &home, name, PASSWORD).await;
    assert_eq!(post(server, &home, &right, "192.0.2.10").await, 303);
    // From elsewhere each time; for the name of nobody it looks the same.
    for name in [name, "nobody-at-all"] {
        assert_eq!(try_from(server, "198.51.100.1", name, "no").await, 400);
        server.sql("UPDATE sign_in SET failures = 99").await;
        assert_eq!(try_from(server, "198.51.100.2", name, "no").await, 400);
        assert_eq!(try_from(server, "198.51.100.3", name, "no").await, 429, "{name}");
        assert_eq!(try_from(server, "198.51.100.4", name, "no").await, 429, "{name}");
    }
    // Not even the right password helps a stranger; it helps the owner at home, in any browser, and
    // in the browser that was at home, anywhere.
    server.sql("UPDATE sign_in SET failures = 101").await;
    assert_eq!(try_from(server, "198.51.100.5", name, PASSWORD).await, 429);
    let right = form(server, &home, name, PASSWORD).await;
    assert_eq!(post(server, &home, &right, "203.0.113.1").await, 303);
    server.sql("UPDATE sign_in SET failures = 101").await;
    assert_eq!(try_from(server, "198.51.100.5", name, PASSWORD).await, 429);
    assert_eq!(try_from(server, "203.0.113.1", name, PASSWORD).await, 303);
    // A new password is a new beginning, and nobody is known any more.
    server.sql("UPDATE sign_in SET failures = 101").await;
    let new = "another walk by the lake";
    users::set_password(&server.store, name, new).await.unwrap();
    assert_eq!(try_from(server, "198.51.100.6", name, new).await, 303);
    server.sql("UPDATE sign_in SET failures = 101").await;
    // The sessions ended with the old password.
    let stale = form(server, &home, name, new).await;
    assert_eq!(post(server, &home, &stale, "198.51.100.7").await, 429);
    // What is kept of a name that nobody has goes after a day.
    server.advance(2 * 86_400_000);
    assert!(candor::smart::sweep(&server.state).await.unwrap() >= 1);
}

async fn a_stranger_at_a_shared_address_does_not_keep_others_out(server: Server) {
    let user = server.add_patient().await;
    let ward = "192.0.2.20";
    assert_eq!(try_from(server, ward, &user.username, PASSWORD).await, 303);
    let browser = Browser::new(server);
    let mut guess = form(server, &browser, "x", "no").await;
    let mut waits = 0;
    for at in 0..61 {
        guess.set("username", &format!("somebody-{at}"));
        if post(server, &browser, &guess, ward).await == 429 {
            waits += 1;
            server.advance(16_000);
        }
    }
    assert!(waits >= 3, "{waits}");
    assert_eq!(post(server, &browser, &guess, ward).await, 429);
    assert_eq!(try_from(server, ward, &user.username, PASSWORD).await, 303);
    let newcomer = server.add_patient().await;
    assert_eq!(try_from(server, ward, &newcomer.username, PASSWORD).await, 429);
    server.advance(60_000);
    assert_eq!(try_from(server, ward, &newcomer.username, PASSWORD).await, 303);
}
}
