//! HTTP/1.1 by hand: a connection that sends any bytes as they are, and reads answers. A client
//! library would mend half of what is to be sent.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// No answer may take longer than the server's own limit and a little.
const LONGEST: Duration = Duration::from_secs(45);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut own = self.headers.iter().filter(|(own, _)| own == name);
        own.next().map(|(_, value)| value.as_str())
    }
}

/// A connection that is opened when it is needed.
#[derive(Debug)]
pub struct Wire {
    address: String,
    stream: Option<TcpStream>,
}

impl Wire {
    /// `address`: `127.0.0.1:port`.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
        }
    }

    /// Sends bytes and reads one answer; None when the server ended the connection without one,
    /// which it may do to what is no HTTP. `is_head`: the answer has no body.
    pub async fn send(&mut self, bytes: &[u8], is_head: bool) -> Result<Option<Reply>> {
        let kept = self.stream.is_some();
        let first = self.exchange(bytes, is_head).await?;
        if first.is_none() && kept {
            // It was idle and closed just then; once more on a new one.
            return self.exchange(bytes, is_head).await;
        }
        Ok(first)
    }

    async fn exchange(&mut self, bytes: &[u8], is_head: bool) -> Result<Option<Reply>> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.address).await;
                let stream = stream.context("the server takes no connection")?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        let all = async {
            // It may answer and close before it has read everything.
            let _ = stream.write_all(bytes).await;
            read(&mut stream, is_head).await
        };
        let reply = tokio::time::timeout(LONGEST, all)
            .await
            .context("no answer in 45 s")??;
        let closes = match &reply {
            None => true,
            Some(reply) => reply
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close")),
        };
        if !closes {
            self.stream = Some(stream);
        }
        Ok(reply)
    }

    /// Ends the connection: what was sent may have left something unread.
    pub fn close(&mut self) {
        self.stream = None;
    }
}

async fn read(stream: &mut TcpStream, is_head: bool) -> Result<Option<Reply>> {
    let mut bytes = Vec::with_capacity(8_192);
    let end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break end;
        }
        if !more(stream, &mut bytes).await {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|status| status.parse().ok())
        .context("an answer without a status")?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut reply = Reply {
        status,
        headers,
        body: bytes.split_off(end + 4),
    };
    if is_head || matches!(status, 204 | 304) {
        return Ok(Some(reply));
    }
    if let Some(length) = reply.header("content-length") {
        let length: usize = length.parse()?;
        while reply.body.len() < length {
            if !more(stream, &mut reply.body).await {
                bail!("the answer ends in the middle");
            }
        }
    } else if reply.header("transfer-encoding").is_some() {
        let mut body = Vec::new();
        loop {
            let Some(line) = find(&reply.body, b"\r\n") else {
                if !more(stream, &mut reply.body).await {
                    bail!("the answer ends in the middle");
                }
                continue;
            };
            let size = String::from_utf8_lossy(reply.body.get(..line).unwrap_or_default());
            let size = usize::from_str_radix(size.trim(), 16)?;
            while reply.body.len() < line + size + 4 {
                if !more(stream, &mut reply.body).await {
                    bail!("the answer ends in the middle");
                }
            }
            let rest = reply.body.split_off(line + size + 4);
            body.extend_from_slice(
                reply
                    .body
                    .get(line + 2..line + 2 + size)
                    .unwrap_or_default(),
            );
            reply.body = rest;
            if size == 0 {
                break;
            }
        }
        reply.body = body;
    }
    Ok(Some(reply))
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(bytes).await, Ok(1..))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
