//! The letters that a server wrote into a folder.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

/// A folder, and which letters of it were read.
#[derive(Debug)]
pub struct Letters {
    pub folder: TempDir,
    read: Mutex<HashSet<String>>,
}

impl Default for Letters {
    fn default() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            read: Mutex::default(),
        }
    }
}

/// A letter, decoded.
#[derive(Debug)]
pub struct Letter {
    pub head: String,
    pub body: String,
}

impl Letter {
    fn parse(text: &str) -> Option<Self> {
        // Written while it is read: it is whole with the next look.
        let (head, body) = text
            .split_once("\r\n\r\n")
            .filter(|(_, body)| !body.is_empty())?;
        let lower = head.to_lowercase();
        let body = if lower.contains("content-transfer-encoding: base64") {
            let packed: String = body.split_ascii_whitespace().collect();
            String::from_utf8(STANDARD.decode(packed).ok()?).ok()?
        } else if lower.contains("content-transfer-encoding: quoted-printable") {
            quoted_printable(body)
        } else {
            body.to_owned()
        };
        Some(Self {
            head: head.to_owned(),
            body: body.replace("\r\n", "\n"),
        })
    }

    /// The link in it.
    pub fn link(&self) -> String {
        let line = self.body.lines().find(|line| line.starts_with("http"));
        line.unwrap_or_else(|| panic!("no link in {self:?}"))
            .to_owned()
    }

    pub fn is_to(&self, address: &str) -> bool {
        self.head
            .lines()
            .any(|line| line == format!("To: {address}"))
    }
}

fn quoted_printable(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        if *first == b'=' {
            let code = std::str::from_utf8(&more[..2]).unwrap();
            bytes.push(u8::from_str_radix(code, 16).unwrap());
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Letters {
    /// Those that came since the last look.
    fn new_ones(&self) -> Vec<Letter> {
        let mut read = self.read.lock().unwrap();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            if read.contains(&name) || !name.ends_with(".eml") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            if let Some(letter) = Letter::parse(&text) {
                read.insert(name);
                found.push(letter);
            }
        }
        found
    }

    /// Waits for this many letters, and gives all that came since the last look.
    pub async fn next(&self, count: usize) -> Vec<Letter> {
        let mut found = Vec::new();
        for _ in 0..400 {
            found.extend(self.new_ones());
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("waited for {count} letters, and there are {found:?}");
    }

    /// Waits for one letter, which must be to this address.
    pub async fn next_to(&self, address: &str) -> Letter {
        let mut found = self.next(1).await;
        assert_eq!(found.len(), 1, "{found:?}");
        let letter = found.remove(0);
        assert!(letter.is_to(address), "{letter:?}");
        letter
    }

    /// Nobody was written to, and it was time for it.
    pub async fn none(&self) {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let found = self.new_ones();
        assert!(found.is_empty(), "{found:?}");
    }
}
