//! The manual, `default.toml`, read for its comments: what each key means.
//!
//! ```text
//! # What it means.          a key with a default
//! key = 1
//! # What it means.
//! # key = "example"         a key without one: it must be given
//! ```

use std::collections::BTreeMap;

use toml::Table;

/// What the manual says about keys and sections, by their path: `template.feed.af_xdp.mode`.
#[derive(Debug, Default)]
pub(crate) struct Manual {
    texts: BTreeMap<String, String>,
    defaults: Table,
}

impl Manual {
    /// Reads what has the form of `default.toml`. Text that is no TOML has no defaults.
    pub(crate) fn read(text: &str) -> Self {
        let mut manual = Self {
            texts: BTreeMap::new(),
            defaults: text.parse().unwrap_or_default(),
        };
        let mut section = String::new();
        let mut comment: Vec<&str> = Vec::new();
        let mut last = String::new();
        for line in text.lines() {
            match Line::of(line) {
                // What is said of a section is said of its first keys, where these have no words of their own.
                Line::Section(name) => {
                    name.clone_into(&mut section);
                    last = comment.join("\n");
                    comment.clear();
                    manual.texts.insert(section.clone(), last.clone());
                }
                Line::Key(name) => {
                    // Keys that follow one another share what stands before the first.
                    if !comment.is_empty() {
                        last = comment.join("\n");
                        comment.clear();
                    }
                    manual
                        .texts
                        .insert(format!("{section}.{name}"), last.clone());
                }
                Line::Comment(words) => comment.push(words),
                Line::Empty => {
                    comment.clear();
                    last.clear();
                }
            }
        }
        manual
    }

    /// What a key or a section means.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let text = self.texts.get(path)?;
        (!text.is_empty()).then_some(text.as_str())
    }

    /// A key's value where nobody gives one; none for a section, and for a key that must be given.
    pub(crate) fn default(&self, path: &str) -> Option<&toml::Value> {
        let (section, key) = path.rsplit_once('.')?;
        let mut table = &self.defaults;
        for part in section.split('.') {
            table = table.get(part)?.as_table()?;
        }
        table.get(key).filter(|value| !value.is_table())
    }

    #[cfg(test)]
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str)
    }
}

enum Line<'a> {
    Section(&'a str),
    Key(&'a str),
    Comment(&'a str),
    Empty,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let key = |text: &'a str| {
            let (name, _) = text.split_once(" = ")?;
            let is_name =
                |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
            (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
        };
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            return Self::Section(name);
        }
        match line.strip_prefix('#') {
            Some(comment) => {
                let words = comment.strip_prefix(' ').unwrap_or(comment);
                key(words).map_or(Self::Comment(words), Self::Key)
            }
            None => key(line).map_or(Self::Empty, Self::Key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_and_without_a_default_get_their_comments() {
        let manual = Manual::read(
            "# The file.\n\n# A section.\n[one.two]\n# Both\n# of them.\na = 1\nb = \"x\"\n\n# None:\n# c = 3\nd = []\n",
        );
        assert_eq!(manual.text("one.two"), Some("A section."));
        for key in ["one.two.a", "one.two.b"] {
            assert_eq!(manual.text(key), Some("Both\nof them."), "{key}");
        }
        assert_eq!(manual.text("one.two.c"), Some("None:"));
        assert_eq!(manual.default("one.two.a"), Some(&toml::Value::Integer(1)));
        assert_eq!(manual.default("one.two.c"), None);
        assert_eq!(manual.default("one.two"), None);
        assert_eq!(manual.paths().count(), 5);
    }
}
