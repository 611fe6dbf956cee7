//! Commands on a database, with and without a server on it.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{Database, T0, TestDatabase, candor};

fn run(url: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = candor()
        .args(arguments)
        .env("CANDOR_DATABASE_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn clients_and_users_are_added_closed_and_refused_in_words() {
    let database = TestDatabase::create(Database::Sqlite).await;
    let url = &database.url;
    let client = [
        "client",
        "add",
        "--name",
        "App",
        "--scope",
        "openid patient/*.rs",
    ];
    let public = [
        &client[..],
        &[
            "--type",
            "public",
            "--redirect-uri",
            "https://app.example/cb",
        ],
    ]
    .concat();
    let added: Value = serde_json::from_slice(&run(url, &public, "").stdout).unwrap();
    assert!(
        added["client_id"].is_string() && added.get("client_secret").is_none(),
        "{added}"
    );
    let confidential = [
        &client[..],
        &[
            "--type",
            "confidential",
            "--redirect-uri",
            "https://app.example/cb",
        ],
    ]
    .concat();
    let added: Value = serde_json::from_slice(&run(url, &confidential, "").stdout).unwrap();
    assert!(added["client_secret"].is_string(), "{added}");
    let id = added["client_id"].as_str().unwrap();
    for command in ["disable", "enable"] {
        assert!(
            run(url, &["client", command, "--client-id", id], "")
                .status
                .success()
        );
    }
    for (bad, reason) in [
        (
            &["client", "disable", "--client-id", "nobody"][..],
            "no client has the id nobody",
        ),
        (
            &[&client[..], &["--type", "public"]].concat(),
            "redirect URI",
        ),
        (
            &[
                &client[..],
                &["--type", "backend", "--jwks", "/no/such/file"],
            ]
            .concat(),
            "--jwks",
        ),
    ] {
        let output = run(url, bad, "");
        assert!(
            !output.status.success() && words(&output).contains(reason),
            "{output:?}"
        );
    }

    let user = [
        "user",
        "add",
        "--username",
        "ana",
        "--role",
        "patient",
        "--patient",
        "p1",
    ];
    let added: Value =
        serde_json::from_slice(&run(url, &user, "correct horse battery staple\n").stdout).unwrap();
    assert_eq!(
        (&added["username"], &added["patients"][0]),
        (&"ana".into(), &"p1".into())
    );
    for (arguments, input, reason) in [
        (&user[..], "correct horse battery staple", "taken"),
        (&user[..], "", "standard input"),
        (
            &[
                "user",
                "add",
                "--username",
                "bo",
                "--role",
                "patient",
                "--patient",
                "p2",
            ][..],
            "short",
            "15 characters",
        ),
        (
            &["user", "disable", "--username", "nobody"][..],
            "",
            "nobody",
        ),
        (
            &["user", "reset-factors", "--username", "nobody"][..],
            "",
            "nobody",
        ),
    ] {
        let output = run(url, arguments, input);
        assert!(
            !output.status.success() && words(&output).contains(reason),
            "{output:?}"
        );
    }
    assert!(
        run(
            url,
            &["user", "set-password", "--username", "ana"],
            "another long sentence\n"
        )
        .status
        .success()
    );
    for command in ["reset-factors", "disable"] {
        let output = run(url, &["user", command, "--username", "ana"], "");
        assert!(output.status.success(), "{output:?}");
    }
}

#[tokio::test]
async fn an_import_does_not_change_the_release_policy() {
    let database = TestDatabase::create(Database::Sqlite).await;
    let file = database.directory().join("p.json");
    std::fs::write(&file, r#"{"resourceType":"Patient","id":"p"}"#).unwrap();
    let file = file.to_str().unwrap();
    assert!(run(&database.url, &["import", file], "").status.success());
    let output = candor()
        .args(["import", file])
        .env("CANDOR_DATABASE_URL", &database.url)
        .env("CANDOR_JURISDICTION", "US-TX")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        words(&output).contains("another [release] configuration"),
        "{output:?}"
    );
    let store = database.store(::candor::clock::Clock::test(T0)).await;
    assert_eq!(store.verify_ledger().await.unwrap().broken_at, None);
}

#[test]
fn a_configuration_that_cannot_be_used_says_why() {
    let output = candor()
        .arg("serve")
        .env("CANDOR_BIND", "somewhere")
        .env("CANDOR_JURISDICITON", "US")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = words(&output);
    assert!(
        words.contains("bind") && words.contains("CANDOR_JURISDICITON"),
        "{words}"
    );
}

#[tokio::test]
async fn keys_are_rotated_and_clients_listed_with_their_clock() {
    let database = TestDatabase::create(Database::Sqlite).await;
    let url = &database.url;
    let json = |output: Output| -> Value {
        assert!(output.status.success(), "{}", words(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let first = json(run(url, &["keys", "rotate"], ""));
    let second = json(run(url, &["keys", "rotate"], ""));
    assert_eq!(first["made"].as_array().unwrap().len(), 2);
    assert_eq!(second["retired"].as_array().unwrap().len(), 2);
    let add = [
        "client",
        "add",
        "--name",
        "App",
        "--scope",
        "openid patient/*.rs",
        "--type",
        "public",
        "--redirect-uri",
        "https://app.example/cb",
        "--id-token-alg",
        "ES384",
        "--received",
    ];
    let added = json(run(url, &[&add[..], &["2026-01-05"]].concat(), ""));
    let listed = json(run(url, &["client", "list"], ""));
    assert_eq!(listed[0]["client_id"], added["client_id"]);
    assert_eq!(listed[0]["origin"], "operator");
    // The beginning of that day in New York.
    assert_eq!(listed[0]["received"], 1_767_589_200_000_i64);
    assert!(listed[0]["verified"].as_i64() > listed[0]["received"].as_i64());
    let late = run(url, &[&add[..], &["2999-01-01"]].concat(), "");
    assert!(words(&late).contains("in the future"), "{}", words(&late));
}
