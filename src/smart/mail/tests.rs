use super::*;

fn all() -> Vec<Letter> {
    let link = || "https://records.example/reset?token=abc".to_owned();
    vec![
        Letter::Confirm {
            link: link(),
            life: 24 * 60 * MINUTE,
        },
        Letter::Reset {
            link: link(),
            life: 30 * MINUTE,
        },
        Letter::Activated,
        Letter::PasswordChanged,
        Letter::AddressChanged,
        Letter::NewSignIn,
        Letter::FactorsChanged,
        Letter::RecoveryCodeUsed,
        Letter::Apps {
            apps: 3,
            link: link(),
        },
    ]
}

/// Portal.md A20: a letter can hold nothing out of a record, because its text has no place for it.
#[test]
fn letters_have_no_place_for_anything_of_a_record() {
    let allowed = [
        "$brand", "$link", "$minutes", "$hours", "$help", "$words", "$apps",
    ];
    let variable = regex::Regex::new(r"\$[A-Za-z][A-Za-z0-9_-]*").unwrap();
    for (language, file) in [
        ("en", include_str!("../../../locales/en/mail.ftl")),
        ("es", include_str!("../../../locales/es/mail.ftl")),
    ] {
        let mut found = 0;
        // That there is one, and that apps read it, is what this letter is for.
        let file = file.replace("read your record at { $brand }", "");
        for one in variable.find_iter(&file) {
            found += 1;
            assert!(
                allowed.contains(&one.as_str()),
                "{language}: {}",
                one.as_str()
            );
        }
        assert!(found > 10, "{language}");
        for word in [
            "record",
            "result",
            "doctor",
            "visit",
            "medical",
            "médic",
            "resultado",
        ] {
            assert!(!file.to_lowercase().contains(word), "{language}: {word}");
        }
    }
}

#[test]
fn each_letter_says_who_writes_and_what_to_do() {
    for language in Language::ALL {
        for letter in all() {
            let (subject, body) = letter.write(language, "Valley Hospital", "Call 555-0100.");
            assert!(subject.contains("Valley Hospital"), "{subject}");
            assert!(body.contains("Valley Hospital"), "{body}");
            assert!(body.contains("Call 555-0100."), "{body}");
            let has_link = body.contains("https://records.example/reset?token=abc\n");
            let needs = matches!(
                letter,
                Letter::Confirm { .. } | Letter::Reset { .. } | Letter::Apps { .. }
            );
            assert_eq!(has_link, needs, "{body}");
            assert!(!body.contains('<') && !body.contains('{'), "{body}");
            insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
                let name = letter.texts().1.trim_end_matches("-words");
                insta::assert_snapshot!(
                    format!("{name}-{}", language.tag()),
                    format!("{subject}\n\n{body}")
                );
            });
        }
    }
}

#[test]
fn addresses() {
    for good in ["ana@example.com", "ana.ruiz+portal@mail.example.org"] {
        assert!(is_address(good), "{good}");
    }
    for bad in [
        "",
        "ana",
        "ana@",
        "@example.com",
        "Ana <ana@example.com>",
        "ana@example.com, ben@example.com",
        "ana@example.com\r\nBcc: all@example.com",
    ] {
        assert!(!is_address(bad), "{bad}");
    }
    let long = format!("{}@example.com", "a".repeat(250));
    assert!(!is_address(&long));
}

#[tokio::test]
async fn letters_become_files_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let settings = MailSettings {
        url: format!("file://{}/letters", folder.path().display()),
        from: "Valley Hospital <noreply@valley.example>".to_owned(),
    };
    let outbox = Outbox::start(Some(&settings), "valley.example").unwrap();
    assert!(outbox.is_there());
    for letter in all() {
        outbox.post(
            "ana@example.com",
            Language::Spanish,
            &letter,
            "Valley",
            "Help.",
        );
    }
    outbox.stop().await;
    let letters = std::fs::read_dir(folder.path().join("letters"))
        .unwrap()
        .count();
    assert_eq!(letters, all().len());
    for (url, from) in [
        ("http://mail.example", "a@example.com"),
        ("smtp://", "a@example.com"),
        ("nonsense", "a@example.com"),
        ("smtp://mail.example", "nobody"),
    ] {
        let settings = MailSettings {
            url: url.to_owned(),
            from: from.to_owned(),
        };
        assert!(
            Outbox::start(Some(&settings), "x.example").is_err(),
            "{url}"
        );
    }
    assert!(!Outbox::start(None, "x.example").unwrap().is_there());
}
