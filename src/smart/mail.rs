//! Letters to account holders: through SMTP, or into files for tests and demonstrations.
//!
//! [`Letter`] lists all that there are; none has a place for anything out of a record. They wait in
//! memory, because the database keeps no link that still works; who asked and got none asks again.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::extension::ClientId;
use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::MINUTE;
use crate::clock::Millis;
use crate::texts::{Language, Texts};

/// Letters that wait for their first try.
const QUEUE: usize = 1000;
/// Letters on their way at once.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);
/// How long after a failure the next try comes. After the last nobody waits for the letter any more.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// How letters leave.
#[derive(Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// `smtps://user:password@host`, `smtp://host:587?tls=required`, or `file:///folder`.
    pub url: String,
    /// The sender, `Hospital <noreply@hospital.example>`.
    pub from: String,
}

// The URL may hold a password.
impl std::fmt::Debug for MailSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("MailSettings")
    }
}

/// Why no letter can be sent.
#[derive(Debug, Error)]
pub enum MailError {
    #[error("mail.from is no address such as Hospital <noreply@hospital.example>")]
    From,
    #[error("mail.url is no smtp, smtps or file URL that can be used")]
    Url,
    #[error("the folder for letters cannot be made")]
    Folder(#[source] std::io::Error),
}

/// Every letter that this server writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Somebody said that this is their address.
    Confirm {
        link: String,
        life: Millis,
    },
    /// Somebody asked for a new password.
    Reset {
        link: String,
        life: Millis,
    },
    /// An account was made with an activation code.
    Activated,
    PasswordChanged,
    /// To the address that was left.
    AddressChanged,
    /// In a browser that was not known.
    NewSignIn,
    /// An authenticator app, a passkey or recovery codes came or went.
    FactorsChanged,
    RecoveryCodeUsed,
    /// How many apps read while the person is away.
    Apps {
        apps: usize,
        link: String,
    },
}

impl Letter {
    /// Names of subject and words.
    fn texts(&self) -> (&'static str, &'static str) {
        match self {
            Self::Confirm { .. } => ("mail-confirm-subject", "mail-confirm-words"),
            Self::Reset { .. } => ("mail-reset-subject", "mail-reset-words"),
            Self::Activated => ("mail-activated-subject", "mail-activated-words"),
            Self::PasswordChanged => ("mail-password-subject", "mail-password-words"),
            Self::AddressChanged => ("mail-address-subject", "mail-address-words"),
            Self::NewSignIn => ("mail-sign-in-subject", "mail-sign-in-words"),
            Self::FactorsChanged => ("mail-factors-subject", "mail-factors-words"),
            Self::RecoveryCodeUsed => ("mail-code-used-subject", "mail-code-used-words"),
            Self::Apps { .. } => ("mail-apps-subject", "mail-apps-words"),
        }
    }

    /// Subject and text. The only variables are the hospital's own, a link, for how long it works, and how many
    /// apps there are.
    #[must_use]
    pub fn write(&self, language: Language, brand: &str, help: &str) -> (String, String) {
        let texts = Texts::of(language);
        let (link, life) = match self {
            Self::Confirm { link, life } | Self::Reset { link, life } => (link.as_str(), *life),
            Self::Apps { link, .. } => (link.as_str(), 0),
            _ => ("", 0),
        };
        let apps = match self {
            Self::Apps { apps, .. } => *apps,
            _ => 0,
        };
        let (subject, words) = self.texts();
        let words = texts.plain(
            words,
            [
                ("brand", brand.into()),
                ("link", link.into()),
                ("minutes", (life / MINUTE).into()),
                ("hours", (life / (60 * MINUTE)).into()),
                ("apps", apps.into()),
            ],
        );
        let frame = texts.plain(
            "mail-frame",
            [
                ("words", words.into()),
                ("brand", brand.into()),
                ("help", help.into()),
            ],
        );
        let frame = if language.is_reviewed() {
            frame
        } else {
            format!("{frame}\n\n{}", texts.plain("translation-unreviewed", []))
        };
        (texts.plain(subject, [("brand", brand.into())]), frame)
    }
}

enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Files(AsyncFileTransport<Tokio1Executor>),
}

impl Transport {
    fn new(url: &str, own_host: &str) -> Result<Self, MailError> {
        let parsed = Url::parse(url).map_err(|_| MailError::Url)?;
        if parsed.scheme() == "file" {
            let folder: PathBuf = parsed.to_file_path().map_err(|()| MailError::Url)?;
            std::fs::create_dir_all(&folder).map_err(MailError::Folder)?;
            return Ok(Self::Files(AsyncFileTransport::new(folder)));
        }
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
            .map_err(|_| MailError::Url)?
            .hello_name(ClientId::Domain(own_host.to_owned()))
            .timeout(Some(PATIENCE))
            .build();
        Ok(Self::Smtp(transport))
    }

    async fn send(&self, message: Message) -> Result<(), String> {
        match self {
            Self::Smtp(transport) => transport
                .send(message)
                .await
                .map(|_| ())
                .map_err(|error| kind(&error)),
            Self::Files(transport) => transport
                .send(message)
                .await
                .map(|_| ())
                .map_err(|_| "the file could not be written".to_owned()),
        }
    }
}

/// What went wrong without what the other side said, which may repeat the address.
fn kind(error: &lettre::transport::smtp::Error) -> String {
    let kind = if error.is_permanent() {
        "refused for good"
    } else if error.is_transient() {
        "refused for now"
    } else if error.is_timeout() {
        "no answer in time"
    } else if error.is_tls() {
        "no TLS"
    } else {
        "no connection"
    };
    match error.status() {
        Some(code) => format!("{kind}, {code}"),
        None => kind.to_owned(),
    }
}

/// Where letters are handed over. Without settings there is none, and nothing is sent.
#[derive(Debug)]
pub(super) struct Outbox(Option<Sending>);

#[derive(Debug)]
struct Sending {
    queue: mpsc::Sender<Message>,
    from: Mailbox,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Outbox {
    /// Starts the task that sends.
    pub(super) fn start(
        settings: Option<&MailSettings>,
        own_host: &str,
    ) -> Result<Self, MailError> {
        let Some(settings) = settings else {
            return Ok(Self(None));
        };
        let from = settings.from.parse().map_err(|_| MailError::From)?;
        let transport = Transport::new(&settings.url, own_host)?;
        let (queue, receiver) = mpsc::channel(QUEUE);
        let stop = CancellationToken::new();
        let task = tokio::spawn(send_all(transport, receiver, stop.clone()));
        Ok(Self(Some(Sending {
            queue,
            from,
            stop,
            task: Mutex::new(Some(task)),
        })))
    }

    /// Whether letters are sent at all.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// How many letters more can wait; none where none are sent.
    pub(super) fn room(&self) -> usize {
        self.0
            .as_ref()
            .map_or(0, |sending| sending.queue.capacity())
    }

    /// Hands a letter over.
    pub(super) fn post(
        &self,
        to: &str,
        language: Language,
        letter: &Letter,
        brand: &str,
        help: &str,
    ) {
        let Some(sending) = &self.0 else {
            return;
        };
        let (subject, body) = letter.write(language, brand, help);
        let Some(message) = message(&sending.from, to, language, &subject, body) else {
            tracing::error!("a letter could not be put into its form");
            return;
        };
        if sending.queue.try_send(message).is_err() {
            tracing::error!("a letter was dropped: too many wait");
        }
    }

    /// Sends what waits, once, and ends.
    pub(super) async fn stop(&self) {
        let Some(sending) = &self.0 else {
            return;
        };
        sending.stop.cancel();
        let task = {
            let mut task = sending.task.lock().unwrap_or_else(PoisonError::into_inner);
            task.take()
        };
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "sending letters ended badly");
        }
    }
}

/// Whether a text can be written to: one mailbox, without a name before it.
pub(super) fn is_address(text: &str) -> bool {
    text.len() <= 254 && text.parse::<lettre::Address>().is_ok()
}

fn message(
    from: &Mailbox,
    to: &str,
    language: Language,
    subject: &str,
    body: String,
) -> Option<Message> {
    let to: lettre::Address = to.parse().ok()?;
    let id = format!("<{}@{}>", Uuid::new_v4(), from.email.domain());
    let own = |builder: MessageBuilder, name: &'static str, value: &str| {
        let name = HeaderName::new_from_ascii_str(name);
        builder.raw_header(HeaderValue::new(name, value.to_owned()))
    };
    let builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .message_id(Some(id))
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    let builder = own(builder, "Content-Language", language.tag());
    // RFC 3834: nobody's holiday answer is wanted.
    let builder = own(builder, "Auto-Submitted", "auto-generated");
    builder.body(body).ok()
}

async fn send_all(
    transport: Transport,
    mut queue: mpsc::Receiver<Message>,
    stop: CancellationToken,
) {
    let transport = std::sync::Arc::new(transport);
    let mut under_way = JoinSet::new();
    loop {
        let message = tokio::select! {
            message = queue.recv(), if under_way.len() < AT_ONCE => message,
            _ = under_way.join_next(), if !under_way.is_empty() => continue,
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
        };
        let Some(message) = message else {
            break;
        };
        under_way.spawn(deliver(transport.clone(), message, stop.clone()));
    }
    while under_way.join_next().await.is_some() {}
}

async fn deliver(transport: std::sync::Arc<Transport>, message: Message, stop: CancellationToken) {
    for pause in AGAIN.iter().map(Some).chain([None]) {
        match transport.send(message.clone()).await {
            Ok(()) => {
                tracing::info!("letter sent");
                return;
            }
            Err(error) => tracing::warn!(error, "letter not sent"),
        }
        let Some(pause) = pause else {
            break;
        };
        tokio::select! {
            () = tokio::time::sleep(*pause) => {}
            () = stop.cancelled() => break,
        }
    }
    tracing::error!("a letter was given up");
}

#[cfg(test)]
mod tests;
