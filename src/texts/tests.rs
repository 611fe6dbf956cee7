use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fluent_bundle::FluentResource;

use super::*;

/// Every message with the variables and the elements in it. The files must parse and name nothing twice.
fn messages(areas: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for area in areas {
        FluentResource::try_new((*area).to_owned())
            .unwrap_or_else(|(_, errors)| panic!("{errors:?} in\n{area}"));
        let mut name = String::new();
        for line in area.lines().filter(|line| !line.starts_with('#')) {
            let starts = line.starts_with(|letter: char| letter.is_ascii_lowercase());
            if let Some((head, _)) = line.split_once('=').filter(|_| starts) {
                name = head.trim().to_owned();
                let before = all.insert(name.clone(), BTreeSet::new());
                assert!(before.is_none(), "{name} is there twice");
            }
            let Some(found) = all.get_mut(&name) else {
                continue;
            };
            found.extend(marks(line));
        }
    }
    all
}

/// Variables and HTML elements of a line.
fn marks(line: &str) -> Vec<String> {
    let pattern = regex::Regex::new(r"\$[a-z0-9-]+|</?[a-z]+").unwrap();
    let found = pattern.find_iter(line);
    found.map(|one| one.as_str().to_owned()).collect()
}

#[test]
fn both_languages_say_the_same_things() {
    let (english, spanish) = (messages(ENGLISH_AREAS), messages(SPANISH_AREAS));
    assert_eq!(
        english.keys().collect::<Vec<_>>(),
        spanish.keys().collect::<Vec<_>>()
    );
    for (name, marks) in &english {
        // A language may need a variable twice where another needs it once, but not another one.
        let of_moments = name.starts_with("date-");
        assert!(of_moments || marks == &spanish[name], "{name}");
    }
}

/// Files below a folder.
fn files(folder: &Path, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, all);
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "html" || end == "toml")
        {
            all.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_text_that_is_asked_for_exists_and_every_text_is_asked_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    files(&root.join("templates"), &mut sources);
    files(&root.join("src"), &mut sources);
    let english = messages(ENGLISH_AREAS);
    let asked =
        regex::Regex::new(r#"\.(?:t|with|html|plain)\(\s*"([a-z0-9]+(?:-[a-z0-9]+)+)""#).unwrap();
    for source in &sources {
        for found in asked.captures_iter(source) {
            let name = &found[1];
            assert!(english.contains_key(name), "{name} is asked for");
        }
    }
    let within = ENGLISH_AREAS.concat();
    for name in english.keys() {
        let quoted = format!("\"{name}\"");
        assert!(
            sources.iter().any(|source| source.contains(&quoted))
                || within.contains(&format!("{{ {name} }}")),
            "nobody asks for {name}"
        );
    }
}

#[test]
fn what_is_put_into_html_is_escaped() {
    let texts = Texts::of(Language::English);
    let said = texts.with("leave-link", "app", "<b>\"R&D\" 'x'</b>").0;
    assert_eq!(
        said,
        "Go back to “&lt;b&gt;&#34;R&amp;D&#34; &#39;x&#39;&lt;/b&gt;”"
    );
}

#[test]
fn days_and_moments_are_written_as_people_write_them() {
    let moment = jiff::civil::date(2026, 11, 25).at(14, 5, 0, 0);
    let midnight = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
    let english = Texts::of(Language::English);
    let spanish = Texts::of(Language::Spanish);
    assert_eq!(english.moment(moment), "November 25, 2026, 2:05 pm");
    assert_eq!(english.moment(midnight), "January 1, 2026, 12:00 am");
    assert_eq!(
        spanish.moment(moment),
        "25 de noviembre de 2026, 2:05 p. m."
    );
}

#[test]
fn plurals_follow_the_language() {
    let said = |language, seconds: i64| {
        Texts::of(language).plain("login-wait", [("seconds", seconds.into())])
    };
    assert!(said(Language::English, 1).contains("1 second,"));
    assert!(said(Language::English, 2).contains("2 seconds,"));
    assert!(said(Language::Spanish, 1).contains("1 segundo "));
}

/// Syllables by the vowels of a word, as Flesch and Kincaid are counted by machines.
fn syllables(word: &str) -> usize {
    let word = word.to_lowercase();
    let mut count = 0;
    let mut in_vowels = false;
    for letter in word.chars() {
        let is_vowel = "aeiouy".contains(letter);
        count += usize::from(is_vowel && !in_vowels);
        in_vowels = is_vowel;
    }
    if word.ends_with('e') && !word.ends_with("le") && count > 1 {
        count -= 1;
    }
    count.max(1)
}

#[test]
fn people_of_eight_years_of_school_read_every_area() {
    let marks = regex::Regex::new(r"<[^>]+>|\{[^}]*\}").unwrap();
    let ends = regex::Regex::new(r"[.!?:;](?:\s|$)").unwrap();
    let word = regex::Regex::new(r"[A-Za-z’']+").unwrap();
    for area in ENGLISH_AREAS {
        let lines = area.lines().filter(|line| !line.starts_with('#'));
        let texts = lines.filter_map(|line| line.split_once(" = ").map(|(_, text)| text));
        let (mut sentences, mut words, mut parts) = (0_u32, 0_u32, 0_u32);
        for text in texts {
            let text = marks.replace_all(text, "name");
            for sentence in ends.split(&text) {
                let found: Vec<&str> = word.find_iter(sentence).map(|one| one.as_str()).collect();
                // Labels are no sentences.
                if found.len() < 6 {
                    continue;
                }
                sentences += 1;
                words += u32::try_from(found.len()).unwrap();
                let count: usize = found.into_iter().map(syllables).sum();
                parts += u32::try_from(count).unwrap();
            }
        }
        if sentences == 0 {
            continue;
        }
        let (sentences, words, parts) = (f64::from(sentences), f64::from(words), f64::from(parts));
        let grade = 0.39 * words / sentences + 11.8 * parts / words - 15.59;
        assert!(grade <= 8.0, "grade {grade}: {area}");
    }
}

/// What stands in a template as it is, and no text of the catalogues: text between elements, and attributes
/// that people read or hear.
fn hard_coded(template: &str) -> Vec<String> {
    let ours = regex::Regex::new(r"(?s)\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}").unwrap();
    let read =
        regex::Regex::new(r#"\s(?:title|alt|placeholder|aria-label|label)="([^"]*)""#).unwrap();
    let element = regex::Regex::new(r"(?s)<[^>]*>|&[a-z]+;").unwrap();
    let word = regex::Regex::new(r"\p{L}{2,}[\p{L}_]*").unwrap();
    let template = ours.replace_all(template, " ");
    let mut said: Vec<String> = read
        .captures_iter(&template)
        .map(|found| found[1].to_owned())
        .collect();
    said.push(element.replace_all(&template, " ").into_owned());
    said.iter()
        .flat_map(|text| word.find_iter(text))
        .map(|found| found.as_str().to_owned())
        .collect()
}

/// In the place of a pseudo-locale: whatever is not asked of the catalogues is found where it is written.
#[test]
fn no_template_says_anything_that_is_not_in_the_catalogues() {
    // Words of OAuth, the same in every language.
    let protocol = [
        "client_id",
        "client_secret",
        "redirect_uri",
        "scope",
        "token_endpoint_auth_method",
    ];
    let mut templates = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    files(&root, &mut templates);
    assert!(templates.len() > 40);
    for template in &templates {
        let mut words = hard_coded(template);
        words.retain(|word| !protocol.contains(&word.as_str()));
        assert!(words.is_empty(), "{words:?} in\n{template}");
    }
    let caught = hard_coded(
        "<p>{{ a }} Hi <img alt=\"Logo\" src=\"x\"> <a href=\"/apps\">{% if b %}los{% endif %}</a>",
    );
    assert_eq!(caught, ["Logo", "Hi", "los"]);
}
