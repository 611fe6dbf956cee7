use super::*;

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    Config::from_parts(
        Some((PathBuf::from("candor.toml"), file.to_owned())),
        environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
    .map_err(|error| error.to_string())
}

#[test]
fn environment_wins_over_file_and_file_over_defaults() {
    let config = load(
        "bind = '127.0.0.1:9000'\n[release]\njurisdiction = 'US-TX'\n[limits]\nconnections = 3",
        &[
            ("CANDOR_JURISDICTION", "US-KY"),
            ("CANDOR_BRAND", "smart.brand"),
            ("CANDOR_HELP", "smart.help"),
            ("CANDOR_LANGUAGE_LINE", "smart.language_line"),
            (
                "CANDOR_CLIENT_ADDRESS_HEADER",
                "smart.client_address_header",
            ),
            ("CANDOR_CONDITIONAL_DELETE", "multiple"),
            ("CANDOR_AUDIT", "false"),
            ("CANDOR_PROVENANCE", "false"),
            ("CANDOR_BODY_MEGABYTES", "5"),
            ("CANDOR_TEST_POSTGRES", "x"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!(config.bind.port(), 9000);
    assert_eq!(config.release.jurisdiction, "US-KY");
    assert_eq!(config.release.timezone, "America/New_York");
    assert_eq!(
        (config.limits.connections, config.limits.body_megabytes),
        (3, 5)
    );
    assert_eq!(
        (
            config.fhir.conditional_delete,
            config.fhir.audit,
            config.fhir.provenance
        ),
        (ConditionalDelete::Multiple, false, false)
    );
    assert_eq!(config.database_url, "sqlite://candor.db");
    assert_eq!(config.public_url(config.bind), "http://127.0.0.1:9000");
}

#[test]
fn letters_leave_encrypted_and_with_a_sender() {
    let from = "from = 'Valley <noreply@valley.example>'";
    for good in [
        "smtps://user:hunter2@mail.example",
        "smtp://mail.example:587?tls=required",
        "smtp://127.0.0.1:2525",
        "file:///var/spool/candor",
    ] {
        let config = load(&format!("[mail]\nurl = '{good}'\n{from}"), &[]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
    for bad in [
        "smtp://user:hunter2@mail.example",
        "https://mail.example/hunter2",
        "hunter2",
        "file://hunter2",
    ] {
        let message = load(&format!("[mail]\nurl = '{bad}'\n{from}"), &[]).unwrap_err();
        assert!(message.contains("mail.url"), "{bad}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let message = load("", &[("CANDOR_MAIL_URL", "smtps://mail.example")]).unwrap_err();
    assert!(message.contains("mail.from"), "{message}");
}

#[test]
fn unknown_keys_and_variables_are_named() {
    let message = load("bindd = 'x'", &[]).unwrap_err();
    assert!(message.contains("bindd"), "{message}");
    let message = load("[release]\njurisdicton = 'US'", &[]).unwrap_err();
    assert!(message.contains("jurisdicton"), "{message}");
    let message = load("", &[("CANDOR_BINDD", "x")]).unwrap_err();
    assert!(message.contains("CANDOR_BINDD is no variable"), "{message}");
}

#[test]
fn every_problem_is_said_at_once() {
    let message = load(
        "bind = '0.0.0.0:80'\ndatabase_url = 'mysql://root:hunter2@x'\n\
         [release]\njurisdiction = 'KY'\ntimezone = 'Mars/Olympus'\n\
         packs.TX = { on = false, signed_by = ' ' }\n[limits]\nbody_megabytes = 0",
        &[],
    )
    .unwrap_err();
    for part in [
        "database_url",
        "public_url",
        "release.jurisdiction",
        "release.timezone",
        "release.packs.TX.signed_by",
        "limits.body_megabytes",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_facility_says_what_and_where_it_is() {
    let whole = "[[smart.facilities]]\nname = 'Mercy'\ncity = 'Paris'\nstate = 'KY'\n";
    assert_eq!(load(whole, &[]).unwrap().smart.facilities.len(), 1);
    let message = load("[[smart.facilities]]\nidentifier = '1'", &[]).unwrap_err();
    for part in ["facilities.0.name", "identifier_system", "city and state"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let open = load("", &[("CANDOR_REGISTRATION", "open")]).unwrap();
    assert_eq!(open.smart.registration, Registration::Open);
}

#[test]
fn a_public_url_is_a_plain_base() {
    for bad in [
        "records.example.org",
        "https://x/?a",
        "https://x/fhir/r4",
        "ftp://x",
        "http://records.example.org",
        "http://127.0.0.1.example.org",
    ] {
        assert!(load("", &[("CANDOR_PUBLIC_URL", bad)]).is_err(), "{bad}");
    }
    let config = load("", &[("CANDOR_PUBLIC_URL", "https://x/candor/")]).unwrap();
    assert_eq!(config.public_url(config.bind), "https://x/candor");
    assert!(load("", &[("CANDOR_PUBLIC_URL", "http://localhost:9/")]).is_ok());
}

#[test]
fn a_proxy_that_does_not_say_who_calls_is_noticed() {
    let is_blind = |environment: &[(&str, &str)]| {
        let config = load("", environment).unwrap();
        config.callers_look_alike(config.bind)
    };
    let proxied = ("CANDOR_PUBLIC_URL", "https://records.example.org");
    assert!(is_blind(&[proxied]));
    let header = ("CANDOR_CLIENT_ADDRESS_HEADER", "x-forwarded-for");
    assert!(!is_blind(&[proxied, header]));
    assert!(!is_blind(&[]));
    assert!(!is_blind(&[("CANDOR_PUBLIC_URL", "http://127.0.0.1:8080")]));
}

#[test]
fn proxies_and_certificates_are_checked() {
    let config = load(
        "",
        &[
            ("CANDOR_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7"),
            ("CANDOR_KIOSK_ADDRESSES", "198.51.100.0/24"),
            ("CANDOR_TLS_CERTIFICATE", "/etc/candor/chain.pem"),
            ("CANDOR_TLS_KEY", "/etc/candor/key.pem"),
        ],
    )
    .unwrap();
    assert_eq!(config.smart.trusted_networks().len(), 2);
    assert_eq!(config.smart.kiosk_networks().len(), 1);
    assert_eq!(config.public_url(config.bind), "https://127.0.0.1:8080");
    let message = load(
        "[smart]\ntrusted_proxies = ['all']\nkiosk_addresses = ['lobby']\n[tls]\nkey = 'k.pem'",
        &[],
    );
    let message = message.unwrap_err();
    for wrong in ["\"all\" is no address", "\"lobby\" is no address"] {
        assert!(message.contains(wrong), "{message}");
    }
    assert!(
        message.contains("certificate and key go together"),
        "{message}"
    );
    let both = "public_url = 'http://127.0.0.1:8080'\n[tls]\nkey = 'k'\ncertificate = 'c'";
    let message = load(both, &[]).unwrap_err();
    assert!(message.contains("begins with https://"), "{message}");
}
