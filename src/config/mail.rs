//! `[mail]`: how letters to account holders leave.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// Letters about accounts: links for new passwords and notices, nothing of a record.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// `smtps://user:password@host`, `smtp://host:587?tls=required` (STARTTLS), or `file:///folder`. Absent:
    /// no letters are written.
    pub url: Option<String>,
    /// The sender, as in `Valley Hospital <noreply@valley.example>`.
    pub from: Option<String>,
}

// The URL may hold a password.
impl fmt::Debug for Mail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Mail");
        shown.field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mail {
    pub(super) fn check(&self, problems: &mut Vec<String>) {
        let Some(text) = &self.url else {
            return;
        };
        // The messages do not repeat the value: it may hold a password.
        match Url::parse(text) {
            Ok(url) if url.scheme() == "file" => {
                if url.to_file_path().is_err() {
                    problems.push(
                        "mail.url: name a whole path, as in file:///var/spool/candor.".to_owned(),
                    );
                }
            }
            Ok(url) if matches!(url.scheme(), "smtp" | "smtps") && url.has_host() => {
                let is_safe = url.scheme() == "smtps"
                    || matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
                    || url
                        .query_pairs()
                        .any(|(key, value)| key == "tls" && value == "required");
                if !is_safe {
                    problems.push(
                        "mail.url: links for new passwords would travel unencrypted. Use smtps://, or smtp://host:587?tls=required.".to_owned(),
                    );
                }
            }
            _ => problems.push(
                "mail.url: must be smtps://host, smtp://host:587?tls=required, or file:///folder."
                    .to_owned(),
            ),
        }
        if self.from.as_ref().is_none_or(|from| !from.contains('@')) {
            problems.push(
                "mail.from: say who sends the letters, as in Valley Hospital <noreply@valley.example>."
                    .to_owned(),
            );
        }
    }
}
