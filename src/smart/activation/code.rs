//! An activation code as people read and type it: twelve characters of Crockford's base 32, which are 60
//! random bits, and a thirteenth that tells a slip of the finger (Luhn's sum, modulo 32).

use std::fmt;

use rand::Rng as _;

/// Neither I, L, O nor U: nobody takes them for 1, 0 and V.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RANDOM: usize = 12;

/// A code whose check character is right.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::smart) struct Code(String);

// A secret.
impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Code")
    }
}

impl Code {
    /// A new one.
    pub(in crate::smart) fn random() -> Self {
        let mut bytes = [0_u8; RANDOM];
        rand::rng().fill_bytes(&mut bytes);
        let values: Vec<u8> = bytes.iter().map(|byte| byte % 32).collect();
        let mut text: String = values.iter().map(|value| letter(*value)).collect();
        text.push(letter(check(&values)));
        Self(text)
    }

    /// What somebody typed, in either case, with or without dashes and spaces. None: a character is
    /// missing, too many, or mistyped.
    pub(in crate::smart) fn parse(typed: &str) -> Option<Self> {
        let mut values = Vec::with_capacity(RANDOM + 1);
        for typed in typed.chars() {
            if typed.is_whitespace() || matches!(typed, '-' | '–' | '_' | '.') {
                continue;
            }
            let meant = match typed.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let at = ALPHABET.iter().position(|own| char::from(*own) == meant)?;
            values.push(u8::try_from(at).ok()?);
            if values.len() > RANDOM + 1 {
                return None;
            }
        }
        let (last, random) = values.split_last()?;
        if random.len() != RANDOM || check(random) != *last {
            return None;
        }
        Some(Self(values.iter().map(|value| letter(*value)).collect()))
    }

    /// As it is kept and compared.
    pub(in crate::smart) fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is printed: `7KQ2-M9XB-0HTW-5`.
    pub(in crate::smart) fn printed(&self) -> String {
        let mut text = String::new();
        for (at, letter) in self.0.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                text.push('-');
            }
            text.push(letter);
        }
        text
    }
}

fn letter(value: u8) -> char {
    char::from(ALPHABET[usize::from(value) % 32])
}

/// Luhn's sum modulo 32: one wrong character is always noticed, two that changed places nearly always.
fn check(values: &[u8]) -> u8 {
    let sum: u32 = values
        .iter()
        .rev()
        .enumerate()
        .map(|(at, value)| {
            let weighted = u32::from(*value) * if at % 2 == 0 { 2 } else { 1 };
            weighted / 32 + weighted % 32
        })
        .sum();
    u8::try_from((32 - sum % 32) % 32).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        for _ in 0..100 {
            let code = Code::random();
            let printed = code.printed();
            assert_eq!(printed.len(), 16, "{printed}");
            for typed in [
                printed.clone(),
                printed.to_lowercase(),
                printed.replace('-', " "),
                format!("  {}\n", code.as_str()),
                printed.replace('0', "o").replace('1', "l"),
                printed.replace('0', "O").replace('1', "I"),
            ] {
                assert_eq!(Code::parse(&typed), Some(code.clone()), "{typed}");
            }
        }
    }

    #[test]
    fn one_slip_is_noticed() {
        let code = Code::random();
        let right = code.as_str().to_owned();
        for at in 0..right.len() {
            for other in ALPHABET.iter().map(|own| char::from(*own)) {
                if right.as_bytes()[at] == other as u8 {
                    continue;
                }
                let mut wrong: Vec<char> = right.chars().collect();
                wrong[at] = other;
                let wrong: String = wrong.into_iter().collect();
                assert_eq!(Code::parse(&wrong), None, "{wrong} for {right}");
            }
        }
        assert_eq!(Code::parse(&right[1..]), None);
        assert_eq!(Code::parse(&format!("{right}0")), None);
        assert_eq!(Code::parse(""), None);
        assert_eq!(Code::parse("ÄÖÜ"), None);
        assert_eq!(Code::parse(&"0".repeat(100_000)), None);
    }
}
