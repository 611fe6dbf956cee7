//! Compressed request bodies. `tower-http` reads the first member of a gzip body and drops what follows, so that
//! half of what was sent would pass for the whole.

use std::io;

use async_compression::tokio::bufread::GzipDecoder;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::TryStreamExt as _;
use tokio_util::io::{ReaderStream, StreamReader};

/// Decompresses a gzip body, all of its members (RFC 1952 section 2.2); what is no member is an error for who
/// reads the body. Any other coding is 415, and the answer says what is taken (RFC 9110 section 12.5.3).
pub async fn inflate(mut request: Request, next: Next) -> Response {
    let codings = request.headers().get_all(header::CONTENT_ENCODING);
    let mut codings = codings
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"));
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(one), None)
            if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") =>
        {
            let headers = request.headers_mut();
            headers.remove(header::CONTENT_ENCODING);
            // Of the compressed body.
            headers.remove(header::CONTENT_LENGTH);
            request = request.map(decoded);
        }
        _ => {
            let accepted = (header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, [accepted]).into_response();
        }
    }
    next.run(request).await
}

fn decoded(body: Body) -> Body {
    let compressed = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let mut decoder = GzipDecoder::new(compressed);
    decoder.multiple_members(true);
    Body::from_stream(ReaderStream::new(decoder))
}
