//! Texts of strangers that people read on pages of ours: the names of apps and of their makers.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Whether a reader sees what a text says: no control or format character (Unicode's Cc and Cf: marks that turn
/// the direction of what follows, joiners, blanks of no width), no line or paragraph separator, and at least one
/// character that can be seen.
pub(super) fn is_shown(text: &str) -> bool {
    !text.chars().any(is_unseen) && text.chars().any(can_be_seen)
}

fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}'
            | '\u{600}'..='\u{605}'
            | '\u{61c}'
            | '\u{6dd}'
            | '\u{70f}'
            | '\u{890}'..='\u{891}'
            | '\u{8e2}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{110bd}'
            | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e007f}')
}

/// No blank, no mark upon another letter, and none of the letters that are drawn as nothing.
fn can_be_seen(letter: char) -> bool {
    !letter.is_whitespace()
        && !is_combining_mark(letter)
        && !matches!(
            letter,
            '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        )
}

/// Whether a reader takes two names for the same: blanks, case and width aside.
pub(super) fn is_same_name(one: &str, other: &str) -> bool {
    folded(one) == folded(other)
}

fn folded(name: &str) -> String {
    let folded: String = name.nfkc().flat_map(char::to_lowercase).collect();
    let words: Vec<&str> = folded.split_whitespace().collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_no_name() {
        for good in [
            "Bone Journal",
            "Día 1 – ¡Hola!",
            "\u{5d9}\u{5d5}\u{5de}\u{5df}",
            "健康",
            "नमस्ते",
            "🦴",
        ] {
            assert!(is_shown(good), "{good}");
        }
        for bad in [
            "",
            "  ",
            "\u{a0}\u{3000}",
            "\u{3164}\u{115f}",
            "\u{2800}",
            "\u{301}\u{fe0f}",
            "Bone\u{202e}lanruoJ",
            "Bone\u{2067}Journal",
            "Bone\u{200b}Journal",
            "Bone\u{ad}Journal",
            "Bone\u{feff}",
            "Bone\u{e0041}",
            "Bone\u{2028}Journal",
            "Bone\nJournal",
            "Bone\u{85}Journal",
        ] {
            assert!(!is_shown(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_the_same_in_other_clothes() {
        for same in [
            "mercy hospital",
            " MERCY\u{a0} \t Hospital ",
            "Ｍercy Hospital",
        ] {
            assert!(is_same_name("Mercy Hospital", same), "{same}");
        }
        assert!(!is_same_name("Mercy Hospital", "Mercy Hospital App"));
    }
}
