//! Just enough of HTML to fill in a form as a person without JavaScript would.

/// A form on a page.
#[derive(Debug, Clone)]
pub struct Form {
    pub action: String,
    pub fields: Vec<Field>,
    /// Its markup.
    pub text: String,
}

/// A control of a form.
#[derive(Debug, Clone)]
pub struct Field {
    pub name: String,
    pub kind: String,
    pub value: String,
    pub checked: bool,
}

impl Form {
    /// What a browser would send: all fields, ticked boxes and chosen radios, no button.
    pub fn defaults(&self) -> Vec<(String, String)> {
        self.fields
            .iter()
            .filter(|field| match field.kind.as_str() {
                "checkbox" | "radio" => field.checked,
                "submit" | "button" => false,
                _ => true,
            })
            .map(|field| (field.name.clone(), field.value.clone()))
            .collect()
    }

    /// The first field of a type.
    pub fn of_kind(&self, kind: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.kind == kind)
    }
}

/// The first link of a page whose address begins so.
pub fn link_to(page: &str, start: &str) -> Option<String> {
    page.split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(|address| address.replace("&#38;", "&").replace("&amp;", "&"))
        .find(|address| address.starts_with(start))
}

/// The forms of a page, in order.
pub fn forms(page: &str) -> Vec<Form> {
    let mut forms = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find("<form") {
        let from = &rest[start..];
        let end = from.find("</form>").unwrap_or(from.len());
        forms.push(form(&from[..end]));
        rest = &from[end..];
    }
    forms
}

fn form(text: &str) -> Form {
    let head = &text[..text.find('>').unwrap_or(text.len())];
    let mut fields = Vec::new();
    for tag in ["<input", "<button", "<select"] {
        let mut rest = text;
        while let Some(start) = rest.find(tag) {
            let from = &rest[start..];
            let end = from.find('>').unwrap_or(from.len());
            let own = &from[..end];
            let kind = attribute(own, "type").unwrap_or_else(|| match tag {
                "<button" => "submit".to_owned(),
                "<select" => "select".to_owned(),
                _ => "text".to_owned(),
            });
            if let Some(name) = attribute(own, "name") {
                fields.push((
                    start + (text.len() - rest.len()),
                    Field {
                        name,
                        kind,
                        value: attribute(own, "value").unwrap_or_default(),
                        checked: own
                            .split_ascii_whitespace()
                            .any(|word| word == "checked" || word.starts_with("checked=")),
                    },
                ));
            }
            rest = &from[end..];
        }
    }
    fields.sort_by_key(|(at, _)| *at);
    Form {
        action: attribute(head, "action").unwrap_or_default(),
        text: text.to_owned(),
        fields: fields.into_iter().map(|(_, field)| field).collect(),
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let pattern = format!("{name}=\"");
    let at = tag.match_indices(&pattern).find(|(at, _)| {
        *at > 0
            && tag
                .as_bytes()
                .get(at - 1)
                .is_some_and(u8::is_ascii_whitespace)
    })?;
    let from = &tag[at.0 + pattern.len()..];
    let value = &from[..from.find('"')?];
    Some(
        value
            .replace("&#38;", "&")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&quot;", "\"")
            .replace("&#60;", "<")
            .replace("&#62;", ">")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}
