//! What pages and mail say, in the reader's language.
//!
//! The words are Fluent messages in `locales/en` and `locales/es`, one file for each area. A template asks
//! by name: `{{ frame.t("login-title") }}`, `{{ frame.with("login-app", "app", app) }}`. A message may hold
//! HTML of ours; what is put into it is escaped. [`Texts::plain`] is for what is escaped later or is no HTML.
//!
//! Both catalogues have the same messages with the same variables, every message is used, and every name
//! that is asked for exists: `src/texts/tests.rs` holds them to it.

mod language;
mod review;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use askama::filters::Safe;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::langid;

pub use language::{Https, Language, choose, page_here};

/// The areas of the catalogues. A new area is a line here and a file in each language.
macro_rules! catalogue {
    ($language:literal) => {
        [
            include_str!(concat!("../locales/", $language, "/frame.ftl")),
            include_str!(concat!("../locales/", $language, "/dates.ftl")),
            include_str!(concat!("../locales/", $language, "/sign-in.ftl")),
            include_str!(concat!("../locales/", $language, "/accounts.ftl")),
            include_str!(concat!("../locales/", $language, "/mail.ftl")),
            include_str!(concat!("../locales/", $language, "/factors.ftl")),
            include_str!(concat!("../locales/", $language, "/problem.ftl")),
            include_str!(concat!("../locales/", $language, "/release-policy.ftl")),
            include_str!(concat!("../locales/", $language, "/scopes.ftl")),
            include_str!(concat!("../locales/", $language, "/consent.ftl")),
            include_str!(concat!("../locales/", $language, "/apps.ftl")),
            include_str!(concat!("../locales/", $language, "/developers.ftl")),
            include_str!(concat!("../locales/", $language, "/staff.ftl")),
            include_str!(concat!("../locales/", $language, "/information.ftl")),
        ]
    };
}

const ENGLISH_AREAS: &[&str] = &catalogue!("en");
const SPANISH_AREAS: &[&str] = &catalogue!("es");

static ENGLISH: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(Language::English, ENGLISH_AREAS));
static SPANISH: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(Language::Spanish, SPANISH_AREAS));

/// A variable of a message.
#[derive(Clone, Debug)]
pub struct Arg {
    value: FluentValue<'static>,
    is_isolated: bool,
}

impl Arg {
    fn new(value: impl Into<FluentValue<'static>>) -> Self {
        Self {
            value: value.into(),
            is_isolated: false,
        }
    }

    /// A name that may be written in another direction than the words around it: in HTML it stands in
    /// `<bdi>`, so that it turns nothing but itself.
    #[must_use]
    pub fn isolated(name: &str) -> Self {
        Self {
            is_isolated: true,
            ..name.into()
        }
    }
}

impl From<&Self> for Arg {
    fn from(arg: &Self) -> Self {
        arg.clone()
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl From<&&str> for Arg {
    fn from(text: &&str) -> Self {
        (*text).into()
    }
}

impl From<&String> for Arg {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&&String> for Arg {
    fn from(text: &&String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Arg {
            fn from(number: $number) -> Self {
                Self::new(number)
            }
        }
        impl From<&$number> for Arg {
            fn from(number: &$number) -> Self {
                (*number).into()
            }
        }
        impl From<&&$number> for Arg {
            fn from(number: &&$number) -> Self {
                (**number).into()
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64, u32, u64, usize);

/// The words of one language. Cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts(Language);

impl Texts {
    /// The words of a language.
    #[must_use]
    pub fn of(language: Language) -> Self {
        Self(language)
    }

    /// The words for whoever sent the request that is being answered; English outside a request.
    #[must_use]
    pub fn here() -> Self {
        Self(Language::here())
    }

    /// The language.
    #[must_use]
    pub fn language(self) -> Language {
        self.0
    }

    /// A message as HTML.
    #[must_use]
    pub fn t(self, name: &str) -> Safe<String> {
        Safe(self.catalogue().format(name, None))
    }

    /// A message as HTML with one variable, which is escaped.
    #[must_use]
    pub fn with(self, name: &str, key: &str, value: impl Into<Arg>) -> Safe<String> {
        self.html(name, &[(key, value.into())])
    }

    /// A message as HTML with any number of variables, which are escaped.
    #[must_use]
    pub fn html(self, name: &str, args: &[(&str, Arg)]) -> Safe<String> {
        let args = args.iter().map(|(key, value)| (*key, escaped(value)));
        Safe(self.catalogue().format(name, Some(&collect(args))))
    }

    /// A message that holds no HTML: for text that is escaped later, for mail, and for machines.
    #[must_use]
    pub fn plain<const N: usize>(self, name: &str, args: [(&str, Arg); N]) -> String {
        self.catalogue().format(name, Some(&collect(args)))
    }

    /// A day as people write it: `November 25, 2026`, `25 de noviembre de 2026`.
    #[must_use]
    pub fn day(self, day: jiff::civil::Date) -> String {
        self.plain(
            "date-long",
            [
                ("day", i64::from(day.day()).into()),
                ("month", i64::from(day.month()).into()),
                ("year", i64::from(day.year()).into()),
            ],
        )
    }

    /// A day and a time of day as people write them: `November 25, 2026, 2:05 pm`.
    #[must_use]
    pub fn moment(self, moment: jiff::civil::DateTime) -> String {
        let hour = i64::from(moment.hour());
        self.plain(
            "date-moment",
            [
                ("day", self.day(moment.date()).into()),
                ("hour", hour.into()),
                ("hour12", ((hour + 11) % 12 + 1).into()),
                ("half", if hour < 12 { "am" } else { "pm" }.into()),
                ("minute", format!("{:02}", moment.minute()).into()),
            ],
        )
    }

    fn catalogue(self) -> &'static Catalogue {
        match self.0 {
            Language::English => &ENGLISH,
            Language::Spanish => &SPANISH,
        }
    }
}

fn collect<'a>(args: impl IntoIterator<Item = (&'a str, Arg)>) -> FluentArgs<'static> {
    let mut all = FluentArgs::new();
    for (key, Arg { value, .. }) in args {
        all.set(key.to_owned(), value);
    }
    all
}

fn escaped(arg: &Arg) -> Arg {
    let FluentValue::String(text) = &arg.value else {
        return arg.clone();
    };
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&#34;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    Arg::new(if arg.is_isolated {
        format!("<bdi>{safe}</bdi>")
    } else {
        safe
    })
}

/// The messages of one language.
struct Catalogue {
    bundle: FluentBundle<FluentResource>,
}

impl Catalogue {
    fn new(language: Language, areas: &[&str]) -> Self {
        let id = match language {
            Language::English => langid!("en-US"),
            Language::Spanish => langid!("es-US"),
        };
        let mut bundle = FluentBundle::new_concurrent(vec![id]);
        // Marks around variables would end up in attributes, titles and tests.
        bundle.set_use_isolating(false);
        for area in areas {
            // What a file with an error still holds is used; the tests find the error.
            let resource = match FluentResource::try_new((*area).to_owned()) {
                Ok(resource) | Err((resource, _)) => resource,
            };
            bundle.add_resource_overriding(resource);
        }
        Self { bundle }
    }

    /// A message; its name if there is none, which the tests rule out.
    fn format(&self, name: &str, args: Option<&FluentArgs<'_>>) -> String {
        let pattern = self.bundle.get_message(name).and_then(|one| one.value());
        let Some(pattern) = pattern else {
            tracing::error!(name, "a text is missing");
            return name.to_owned();
        };
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, args, &mut errors);
        if !errors.is_empty() {
            tracing::error!(name, ?errors, "a text lacks a variable");
        }
        text.into_owned()
    }
}
