//! What words say: whether they speak of something, and whether they assert or deny it.
//!
//! Patterns are whole words in lower case, several for a phrase; `*` at either end of a word stands for
//! any letters.

use super::resource::plain;

/// Whether `text` holds one of `patterns`, outside the phrases of `except`.
pub(crate) fn mentions(text: &str, patterns: &[String], except: &[String]) -> bool {
    let plain = plain(text);
    let mut words: Vec<&str> = plain.split_whitespace().collect();
    mask(&mut words, except);
    (0..words.len()).any(|at| patterns.iter().any(|one| length(&words, at, one).is_some()))
}

/// Whether `text` says one of `patterns` without denying it, outside the phrases of `except`. A pattern may
/// begin with a negation of its own ("not safe").
pub(crate) fn asserts(text: &str, patterns: &[String], except: &[String]) -> bool {
    let joined = text.to_lowercase().replace(['\'', '’'], "");
    let mut words = tokens(&joined);
    mask(&mut words, except);
    let denied = denials(&words);
    (0..words.len()).any(|at| {
        !denied.get(at).is_some_and(|denied| *denied)
            && patterns.iter().any(|one| {
                length(&words, at, one).is_some_and(|length| !is_denied_after(&words, at + length))
            })
    })
}

/// Words, and the marks between them: `,` and `:` as they are, `.` for any other that ends a phrase.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = first.is_alphanumeric();
        let end = rest
            .find(|one: char| one.is_alphanumeric() != is_word)
            .unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        if is_word {
            found.push(piece);
        } else if piece.contains(['.', ';', '!', '?', '(', ')', '\n', '\r'])
            || ["-", "–", "—"].contains(&piece.trim())
                && piece.starts_with(' ')
                && piece.ends_with(' ')
        {
            found.push(".");
        } else if piece.contains(':') {
            found.push(":");
        } else if piece.contains(',') {
            found.push(",");
        }
    }
    found
}

/// Puts a word that nothing finds in place of each word of the phrases.
fn mask(words: &mut [&str], phrases: &[String]) {
    for at in 0..words.len() {
        let longest = phrases
            .iter()
            .filter_map(|one| length(words, at, one))
            .max();
        for word in words.iter_mut().skip(at).take(longest.unwrap_or(0)) {
            *word = "_";
        }
    }
}

/// How many words from `at` on are the pattern; none if they are not.
fn length(words: &[&str], at: usize, pattern: &str) -> Option<usize> {
    let mut count = 0;
    for part in pattern.split(' ') {
        let word = words.get(at + count)?;
        let fits = match (part.strip_prefix('*'), part.strip_suffix('*')) {
            (Some(_), Some(_)) => word.contains(part.trim_matches('*')),
            (Some(ending), None) => word.ends_with(ending),
            (None, Some(beginning)) => word.starts_with(beginning),
            (None, None) => *word == part,
        };
        if !fits {
            return None;
        }
        count += 1;
    }
    Some(count)
}

/// Which words stand under a denial: those that follow it in its phrase, up to where a new thought begins.
fn denials(words: &[&str]) -> Vec<bool> {
    const NO: [&str; 19] = [
        "no", "not", "without", "denies", "denied", "deny", "denying", "never", "nor", "neither",
        "none", "doesnt", "didnt", "dont", "isnt", "wasnt", "hasnt", "wont", "negative",
    ];
    // "Not only", "no doubt", "cannot" and "not rule out" deny nothing.
    const NONE: [&str; 9] = [
        "only", "just", "merely", "doubt", "question", "rule", "ruled", "exclude", "excluded",
    ];
    let mut denied = Vec::with_capacity(words.len());
    let mut by: Option<&str> = None;
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).copied().unwrap_or_default();
        let ends = match *word {
            "." | ":" => true,
            // "No plan, intent or attempt" goes on; "no relief, suicidal since" does not.
            "," => !goes_on(words.get(at + 1..).unwrap_or_default()),
            "and" | "or" => begins(next),
            "he" | "she" | "they" | "patient" => by == Some("without"),
            _ => turns(word),
        };
        if ends {
            by = None;
        }
        let only_this = at > 0 && words.get(at - 1) == Some(&"non");
        denied.push(by.is_some() || only_this);
        if NO.contains(word) && !NONE.contains(&next) {
            by = Some(word);
        }
    }
    denied
}

/// Words with which what was denied is over.
fn turns(word: &str) -> bool {
    const TURNS: [&str; 18] = [
        "but", "however", "yet", "although", "though", "because", "since", "if", "when", "unless",
        "until", "while", "whereas", "despite", "except", "then", "who", "which",
    ];
    TURNS.contains(&word)
}

/// Words with which a new sentence begins after an "and".
fn begins(word: &str) -> bool {
    const BEGINS: [&str; 27] = [
        "he",
        "she",
        "they",
        "i",
        "we",
        "patient",
        "his",
        "her",
        "husband",
        "wife",
        "has",
        "had",
        "is",
        "was",
        "will",
        "would",
        "may",
        "might",
        "could",
        "says",
        "said",
        "told",
        "threatens",
        "threatened",
        "plans",
        "owns",
        "now",
    ];
    BEGINS.contains(&word) || turns(word)
}

/// Whether a list that was denied goes on after a comma: an "or" comes before anything else begins.
fn goes_on(rest: &[&str]) -> bool {
    for word in rest {
        match *word {
            "or" | "nor" => return true,
            "." | ":" => return false,
            word if begins(word) => return false,
            _ => {}
        }
    }
    false
}

/// Whether what was said is denied in the words after it: "suicide risk: none", "self-harm was ruled out".
fn is_denied_after(words: &[&str], end: usize) -> bool {
    const NO: [&str; 8] = [
        "denied", "absent", "excluded", "unlikely", "none", "negative", "low", "minimal",
    ];
    const BEFORE: [&str; 13] = [
        "is", "was", "are", "were", "be", "been", "remains", "risk", "ideation", "thoughts",
        "plan", "intent", ":",
    ];
    for place in end..end + 5 {
        let Some(word) = words.get(place) else {
            return false;
        };
        let next = words.get(place + 1);
        match *word {
            "." | "," | "not" | "cannot" | "cant" | "never" => return false,
            "ruled" => return next == Some(&"out"),
            word if NO.contains(&word) => {
                let before = place.checked_sub(1).and_then(|place| words.get(place));
                return place == end || before.is_some_and(|before| BEFORE.contains(before));
            }
            _ => {}
        }
    }
    false
}
