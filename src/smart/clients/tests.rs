use super::*;

#[test]
fn redirect_uris_that_may_be_registered() {
    for good in [
        "https://app.example/done",
        "http://127.0.0.1:4567/done",
        "http://[::1]/done",
        "http://localhost:3000/",
        "com.example.app:/done",
    ] {
        assert!(is_allowed_redirect_uri(good), "{good}");
    }
    for bad in [
        "http://app.example/done",
        "javascript:alert(1)",
        "data:text/html,x",
        "myapp:/done",
        "https://app.example/done#x",
        "https://user@app.example/",
        "/done",
        "",
    ] {
        assert!(!is_allowed_redirect_uri(bad), "{bad}");
    }
}

#[test]
fn only_the_port_of_a_loopback_address_is_free() {
    assert!(is_same_but_for_port(
        "http://127.0.0.1/cb",
        "http://127.0.0.1:5000/cb"
    ));
    assert!(is_same_but_for_port(
        "http://[::1]:1/cb",
        "http://[::1]:2/cb"
    ));
    for (registered, asked) in [
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/other"),
        ("http://127.0.0.1/cb", "http://127.0.0.2:5000/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb?x=1"),
        ("http://127.0.0.1/cb", "http://user@127.0.0.1:5000/cb"),
        ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
        ("http://localhost:1/cb", "http://localhost:2/cb"),
        ("https://app.example/cb", "https://app.example:444/cb"),
    ] {
        assert!(!is_same_but_for_port(registered, asked), "{asked}");
    }
}
