//! Which symbols a row of limits is for.
//!
//! Thread:      main reads them; the order core asks once for each symbol

use protocol::types::Symbol;

/// Which symbols are meant: those that begin so, or this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Symbols {
    begin: [u8; 8],
    len: u8,
    is_whole: bool,
}

impl Symbols {
    /// Reads a symbol, or how symbols begin with a `*` behind it: `ZVZZT`, `ZV*`, `*`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\": expected a symbol, 1 to 8 characters, or its beginning and *");
        let (begin, is_whole) = match text.strip_suffix('*') {
            Some(begin) => (begin, false),
            None => (text, true),
        };
        if begin.is_empty() && !is_whole {
            return Ok(Self::default());
        }
        if begin.contains('*') {
            return Err(wrong());
        }
        let Symbol(bytes) = Symbol::new(begin).ok_or_else(wrong)?;
        Ok(Self {
            begin: bytes,
            len: u8::try_from(begin.len()).map_err(|_| wrong())?,
            is_whole,
        })
    }

    /// Whether a symbol is one of them.
    #[must_use]
    pub fn has(&self, symbol: Symbol) -> bool {
        let len = usize::from(self.len);
        if self.is_whole {
            symbol.0 == self.begin
        } else {
            symbol.0.get(..len) == self.begin.get(..len)
        }
    }

    /// As a configuration has it, then zeros.
    pub(crate) fn text(&self) -> [u8; 9] {
        let mut text = [0; 9];
        let len = usize::from(self.len);
        let begin = self.begin.iter().take(len);
        let end = (!self.is_whole).then_some(&b'*');
        for (to, from) in text.iter_mut().zip(begin.chain(end)) {
            *to = *from;
        }
        text
    }
}

/// As a configuration has it.
impl std::fmt::Display for Symbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let begin = self.begin.get(..usize::from(self.len)).unwrap_or_default();
        let end = if self.is_whole { "" } else { "*" };
        write!(f, "{}{end}", String::from_utf8_lossy(begin).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> Symbol {
        Symbol::new(name).unwrap()
    }

    #[test]
    fn symbols_are_one_or_those_that_begin_so_or_all() {
        for (text, yes, no) in [
            ("ZVZZT", "ZVZZT", "ZVZZ"),
            ("ZV*", "ZVZZT", "ZX"),
            ("ZV*", "ZV", "Z"),
            ("ABCDEFGH*", "ABCDEFGH", "ABCDEFG"),
        ] {
            let symbols = Symbols::parse(text).unwrap();
            assert!(
                symbols.has(symbol(yes)) && !symbols.has(symbol(no)),
                "{text}"
            );
        }
        for text in ["ZVZZT", "ZV*", "ABCDEFGH*", "*", "A"] {
            assert_eq!(Symbols::parse(text).unwrap().to_string(), text);
        }
        assert!(Symbols::parse("*").unwrap().has(symbol("A")));
        for text in ["", "A*B", "**", "ABCDEFGHI", "ABCDEFGHI*", "Ä"] {
            assert!(Symbols::parse(text).is_err(), "{text}");
        }
    }
}
