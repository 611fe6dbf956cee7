//! Passwords: argon2id, 19 MiB, two passes (the OWASP minimum), and NIST 800-63B-4's rules for new
//! ones: at least 15 characters, no rules of composition, nothing that is guessed first (common passwords,
//! words, names, patterns of keyboards: zxcvbn's lists).

use std::sync::LazyLock;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use thiserror::Error;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;
use url::Url;

/// Fewest characters of a password that is the only factor (NIST 800-63B-4 section 3.1.1.2).
pub const SHORTEST: usize = 15;
const LONGEST: usize = 256;
/// Shorter parts of names say nothing: every sentence has them.
const SHORTEST_WORD: usize = 3;
/// What is found sooner than this is refused: with 100 tries in a row nobody comes near.
const FEWEST_GUESSES: u64 = 1_000_000_000;

/// Each computation takes 19 MiB and a core: more at once would only be slower for everybody.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Why a password is refused, or could not be computed.
#[derive(Debug, Error)]
pub enum PasswordError {
    #[error("a password has at least {SHORTEST} characters; a sentence is a good one")]
    TooShort,
    #[error("a password has at most {LONGEST} characters")]
    TooLong,
    #[error("this password is among the first that would be guessed: choose another")]
    Guessable,
    #[error("the password could not be computed")]
    Failed,
}

/// What somebody tries first who guesses at an account here: its name, who runs the server, where it is
/// (NIST 800-63B-4 section 3.1.1.2, "context-specific words").
#[must_use]
pub fn words(username: &str, brand: &str, public_url: &str) -> Vec<String> {
    let host = Url::parse(public_url).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
    let parts = [brand, host].into_iter().flat_map(|name| {
        let joined: String = name.chars().filter(|one| one.is_alphanumeric()).collect();
        let parts = name.split(|one: char| !one.is_alphanumeric());
        parts.map(str::to_owned).chain([name.to_owned(), joined])
    });
    let mut words = vec![username.to_lowercase()];
    for part in parts.map(|part| part.to_lowercase()) {
        if part.chars().count() >= SHORTEST_WORD && !words.contains(&part) {
            words.push(part);
        }
    }
    words
}

/// The hash to store for a new password, as a PHC string. `words`: what is guessed first.
pub async fn hash_new(words: &[String], password: &str) -> Result<String, PasswordError> {
    let password = check(words, password)?;
    compute(move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash: PasswordHash| hash.to_string())
            .map_err(|_| PasswordError::Failed)
    })
    .await?
}

/// Refuses a password that none should have; returns it in its normal form.
pub fn check(words: &[String], password: &str) -> Result<String, PasswordError> {
    let password = normal(password);
    let length = password.chars().count();
    if length < SHORTEST {
        return Err(PasswordError::TooShort);
    }
    if length > LONGEST {
        return Err(PasswordError::TooLong);
    }
    if is_guessable(words, &password) {
        return Err(PasswordError::Guessable);
    }
    Ok(password)
}

/// Whether the password is the one of this hash. Without a hash (no such account) it takes as long
/// and says no.
pub async fn verify(password: &str, hash: Option<&str>) -> Result<bool, PasswordError> {
    // Of a password that nobody has: 256 random bits, forgotten.
    static NOBODY: LazyLock<Option<String>> = LazyLock::new(|| {
        let password = super::secret::random_token();
        let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes()).ok()?;
        Some(hash.to_string())
    });
    let password = normal(password);
    let stored = hash.map(str::to_owned);
    compute(move || {
        let exists = stored.is_some();
        let Some(hash) = stored.or_else(|| NOBODY.clone()) else {
            return Err(PasswordError::Failed);
        };
        if password.chars().count() > LONGEST {
            return Ok(false);
        }
        let hash = PasswordHash::new(&hash).map_err(|_| PasswordError::Failed)?;
        let matches = Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok();
        Ok(matches && exists)
    })
    .await?
}

/// Makes the hash that stands for unknown accounts, so that the first sign-in does not take longer.
pub(super) async fn warm_up() {
    // Only its side effect is wanted; a failure shows again at the first sign-in.
    let _ = verify("", None).await;
}

async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let _turn = TURNS.acquire().await.map_err(|_| PasswordError::Failed)?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| PasswordError::Failed)
}

/// The same characters typed on another keyboard are the same password (NIST: NFKC).
fn normal(password: &str) -> String {
    password.nfkc().collect()
}

fn is_guessable(words: &[String], password: &str) -> bool {
    const COMMON: &[&str] = &[
        "password", "passwort", "qwerty", "letmein", "iloveyou", "welcome",
    ];
    let inputs: Vec<&str> = words.iter().map(String::as_str).collect();
    if zxcvbn::zxcvbn(password, &inputs).guesses() < FEWEST_GUESSES {
        return true;
    }
    let lower = password.to_lowercase();
    let distinct: std::collections::HashSet<char> = lower.chars().collect();
    let runs = lower
        .chars()
        .zip(lower.chars().skip(1))
        .filter(|(one, next)| u32::from(*next).abs_diff(u32::from(*one)) == 1)
        .count();
    // What is left of it without its guessable part must still be a password.
    let left = |part: &str| {
        let rest: String = lower.replace(part, "");
        rest.chars().collect::<std::collections::HashSet<_>>().len() < 5
    };
    distinct.len() < 5
        || runs + 4 > lower.chars().count()
        || inputs
            .iter()
            .filter(|word| word.chars().count() >= SHORTEST_WORD)
            .chain(COMMON)
            .any(|part| lower.contains(part) && left(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_alone() {
        let hash = hash_new(&["ana".to_owned()], "correct horse battery staple")
            .await
            .unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            verify("correct horse battery staple", Some(&hash))
                .await
                .unwrap()
        );
        assert!(
            !verify("correct horse battery stable", Some(&hash))
                .await
                .unwrap()
        );
        assert!(!verify("correct horse battery staple", None).await.unwrap());
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        for bad in [
            "aaaaaaaaaaaaaaaaaaa",
            "abcdefghijklmnopqrs",
            "passwordpassword1",
            "anaruizanaruiz1234",
            "123456789123456789",
            "qwertyuiopasdfghjkl",
            "iloveyouiloveyou",
            "1q2w3e4r5t6y7u8i9o0p",
            "superman superman",
            "december december",
        ] {
            assert!(is_guessable(&["anaruiz".to_owned()], bad), "{bad}");
        }
        for good in [
            "correct horse battery staple",
            "my cat eats blue fish",
            "a long walk by the sea",
            "el gato come pescado azul",
            "áéíóú ñandú çedilla ß",
        ] {
            assert!(!is_guessable(&["anaruiz".to_owned()], good), "{good}");
        }
    }

    #[test]
    fn names_of_the_place_are_guessed_first() {
        let url = "https://records.ostrava-clinic.example/candor";
        let here = words("anaruiz", "St. Zdislava Hospital", url);
        let elsewhere = words("anaruiz", "Candor", "http://127.0.0.1:8080");
        for bad in [
            "St. Zdislava Hospital",
            "stzdislavahospital",
            "StZdislavaHospital2026",
            "zdislavazdislava1",
            "records.ostrava-clinic.example",
            "recordsostravaclinicexample",
            "ostravaostrava!!",
        ] {
            assert!(is_guessable(&here, bad), "{bad}");
        }
        for good in [
            "St. Zdislava Hospital",
            "records.ostrava-clinic.example",
            "correct horse battery staple",
        ] {
            assert!(!is_guessable(&elsewhere, good), "{good}");
        }
        for good in [
            "the clinic has a blue fish",
            "zdislava swims far out to sea",
        ] {
            assert!(!is_guessable(&here, good), "{good}");
        }
        assert!(is_guessable(&elsewhere, "candorcandorcandor"));
    }
}
