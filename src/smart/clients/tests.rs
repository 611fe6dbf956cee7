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
        "https://@app.example/",
        "http://user:word@127.0.0.1/done",
        "https:app.example/done",
        "https:///app.example/done",
        "https:\\\\app.example\\done",
        "HTTPS://app.example/done",
        "HTTP://127.0.0.1/done",
        "http://127.1/done",
        "http://0x7f000001/done",
        "http://127.0.0.1:/done",
        "http://127.0.0.1:http/done",
        "https://*.app.example/done",
        "https://app.example/*",
        " https://app.example/done",
        "https://app.example/done\t",
        "https://app.example/do\r\nne",
        "https://app.example/do ne",
        "https://app.example/\u{7f}",
        "https://app.example/hecho/\u{f1}",
        "https://app.example/\"",
        "https://app.example/<x>",
        "com.example.app:/do\r\nne",
        "com.example.app:/\u{f1}",
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
        ("http://127.0.0.1/cb", "http://127.1:5000/cb"),
        ("http://127.0.0.1/cb", "http://2130706433:5000/cb"),
        ("http://127.0.0.1/cb", "HTTP://127.0.0.1:5000/cb"),
        ("http://127.0.0.1/cb", "http:127.0.0.1:5000/cb"),
        ("http://127.0.0.1/cb", "http:\\\\127.0.0.1:5000\\cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/x/../cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/./cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/%63b"),
        ("http://127.0.0.1/cb", " http://127.0.0.1:5000/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/c\tb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/c\r\nb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:5000/cb#x"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:+80/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb"),
        ("http://127.0.0.1/cb", "http://127.0.0.1:1:2/cb"),
        ("http://127.0.0.1/", "http://127.0.0.1:5000"),
        ("http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]:2/cb"),
        ("http://127.0.0.1/cb", "https://127.0.0.1/cb"),
        ("http://localhost:1/cb", "http://localhost:2/cb"),
        ("https://app.example/cb", "https://app.example:444/cb"),
    ] {
        assert!(!is_same_but_for_port(registered, asked), "{asked}");
    }
}
