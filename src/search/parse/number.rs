//! Numbers and their prefixes: `lt5.40`, `1e2` (FHIR R4 search, 3.1.1.4.6).

use crate::search::query::{NumberTest, Prefix};

/// What a number looks like, for error messages.
pub const EXPECTED: &str =
    "a number such as 5.4 or 1e2, with an optional prefix (eq, ne, gt, lt, ge, le, sa, eb, ap)";

/// Takes the prefix off a value; no prefix is `eq`.
pub fn prefix(text: &str) -> (Prefix, &str) {
    let prefix = match text.get(..2) {
        Some("eq") => Prefix::Eq,
        Some("ne") => Prefix::Ne,
        Some("gt") => Prefix::Gt,
        Some("lt") => Prefix::Lt,
        Some("ge") => Prefix::Ge,
        Some("le") => Prefix::Le,
        Some("sa") => Prefix::Sa,
        Some("eb") => Prefix::Eb,
        Some("ap") => Prefix::Ap,
        _ => return (Prefix::Eq, text),
    };
    (prefix, text.get(2..).unwrap_or_default())
}

/// One value with its prefix and the range its digits imply (half a unit of the last digit to
/// either side). None when it is no number, or one beyond 18 digits or 10^±300.
pub fn parse(text: &str) -> Option<NumberTest> {
    let (prefix, rest) = prefix(text);
    let (mantissa, exponent) = decimal(rest)?;
    // `1e2` is "to one significant figure" and yet [95, 105) in the specification: as `1.0e2`.
    let (mantissa, exponent) = if rest.contains(['e', 'E']) && !rest.contains('.') {
        (mantissa * 10, exponent - 1)
    } else {
        (mantissa, exponent)
    };
    // Written out so that the float nearest to the decimal is found, not the sum of two roundings.
    let float = |mantissa: i128, exponent: i32| format!("{mantissa}e{exponent}").parse().ok();
    let value: f64 = float(mantissa, exponent)?;
    let (mut low, mut high): (f64, f64) = (
        float(mantissa * 10 - 5, exponent - 1)?,
        float(mantissa * 10 + 5, exponent - 1)?,
    );
    if prefix == Prefix::Ap {
        let slack = value.abs() / 10.0;
        low = low.min(value - slack);
        high = high.max(value + slack);
    }
    Some(NumberTest::within(prefix, value, low, high))
}

/// A decimal as mantissa and exponent of ten.
fn decimal(text: &str) -> Option<(i128, i32)> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty()
        || (number.contains('.') && fraction.is_empty())
        || !digits.bytes().all(|byte| byte.is_ascii_digit())
        || digits.trim_start_matches('0').len() > 18
        || fraction.len() > 300
        || exponent.abs() > 300
    {
        return None;
    }
    let mantissa: i128 = digits.parse().ok()?;
    Some((
        sign * mantissa,
        exponent - i32::try_from(fraction.len()).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_imply_a_range() {
        let range = |text| parse(text).map(|test| (test.low, test.high));
        assert_eq!(range("100"), Some((99.5, 100.5)));
        assert_eq!(range("100.00"), Some((99.995, 100.005)));
        assert_eq!(range("1e2"), Some((95.0, 105.0)));
        assert_eq!(range("1.0e2"), Some((95.0, 105.0)));
        assert_eq!(range("-5.4"), Some((-5.45, -5.35)));
        assert_eq!(range("ap100"), Some((90.0, 110.0)));
        assert_eq!(
            parse("gt0.1").map(|test| (test.prefix, test.value)),
            Some((Prefix::Gt, 0.1))
        );
    }

    #[test]
    fn many_digits_mean_the_number_itself() {
        // (bits of a float, more than the digits that a float has)
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        let mut found = 0;
        for _ in 0..20_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let stored = f64::from_bits(bits);
            if !stored.is_finite() || stored.abs() > 1e290 || stored.abs() < 1e-280 {
                continue;
            }
            // `{:e}` is the shortest text that is this float; 17 digits always are.
            for text in [format!("{stored:e}"), format!("{stored:.16e}")] {
                let test = parse(&text).unwrap();
                assert!(test.low <= stored && stored < test.high, "{text}");
                found += 1;
            }
        }
        assert!(found > 30_000, "{found}");
        let test = parse("6.216860551611904").unwrap();
        assert!(test.low <= 6.216860551611904 && 6.216860551611904 < test.high);
        let test = parse("0.62168605516119041").unwrap();
        assert!(test.low <= test.value && test.value < test.high);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for bad in [
            "", "x", "1.", ".5", "1e999", "NaN", "inf", "1e", "--1", "1,0", "gtgt1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse(&"9".repeat(40)), None);
    }
}
