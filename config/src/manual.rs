//! The manual, `default.toml`, read for its comments: what each key means.
//!
//! ```text
//! # What it means.          a key with a default
//! key = 1
//! # What it means.
//! # key = "example"         a key without one: it must be given
//! ```

use toml::Table;

/// What the manual says about keys and sections, by their path: `template.feed.af_xdp.mode`.
#[derive(Debug, Default)]
pub(crate) struct Manual {
    entries: Vec<Entry>,
    defaults: Table,
}

/// A section or a key of the manual.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: String,
    /// What it means; empty: nothing is said.
    pub(crate) text: String,
    pub(crate) what: What,
}

/// What the manual has words for.
#[derive(Debug, PartialEq)]
pub(crate) enum What {
    Section,
    Key {
        /// The value that is shown: the default, or an example of a key that has none.
        shown: Option<toml::Value>,
        /// The words are those of the key before it, too.
        is_shared: bool,
    },
}

impl Manual {
    /// Reads what has the form of `default.toml`. Text that is no TOML has no defaults.
    pub(crate) fn read(text: &str) -> Self {
        let mut manual = Self {
            entries: Vec::new(),
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
                    manual.entries.push(Entry {
                        path: section.clone(),
                        text: last.clone(),
                        what: What::Section,
                    });
                }
                Line::Key(name, value) => {
                    // Keys that follow one another share what stands before the first.
                    let is_shared = comment.is_empty();
                    if !is_shared {
                        last = comment.join("\n");
                        comment.clear();
                    }
                    let shown = format!("x = {value}").parse::<Table>().ok();
                    let shown = shown.and_then(|mut it| it.remove("x"));
                    manual.entries.push(Entry {
                        path: format!("{section}.{name}"),
                        text: last.clone(),
                        what: What::Key { shown, is_shared },
                    });
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
        let entry = self.entries.iter().find(|it| it.path == path)?;
        (!entry.text.is_empty()).then_some(entry.text.as_str())
    }

    /// Sections and keys, in the manual's order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
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
        self.entries.iter().map(|it| it.path.as_str())
    }
}

impl What {
    /// Whether it has the words of the key before it.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(
            self,
            Self::Key {
                is_shared: true,
                ..
            }
        )
    }
}

enum Line<'a> {
    Section(&'a str),
    Key(&'a str, &'a str),
    Comment(&'a str),
    Empty,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let key = |text: &'a str| {
            let (name, value) = text.split_once(" = ")?;
            let is_name =
                |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
            (!name.is_empty() && name.bytes().all(is_name)).then_some(Self::Key(name, value))
        };
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            return Self::Section(name);
        }
        match line.strip_prefix('#') {
            Some(comment) => {
                let words = comment.strip_prefix(' ').unwrap_or(comment);
                key(words).unwrap_or(Self::Comment(words))
            }
            None => key(line).unwrap_or(Self::Empty),
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
        let shown = |path: &str| {
            let mut entries = manual.entries().iter();
            let entry = entries.find(|it| it.path == path).unwrap();
            let What::Key { shown, is_shared } = &entry.what else {
                panic!("{path} is a section");
            };
            (shown.clone(), *is_shared)
        };
        assert_eq!(shown("one.two.b"), (Some("x".into()), true));
        assert_eq!(shown("one.two.c"), (Some(3.into()), false));
    }
}
