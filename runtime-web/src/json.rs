//! Writes JSON text. Numbers are at most 2^53 in checked plans, so none loses digits.

use std::fmt::{Display, Write};

/// A JSON text in the making.
#[derive(Default)]
pub struct Json(pub String);

impl Json {
    /// A separator, unless something was just opened.
    fn next(&mut self) -> &mut Json {
        if !self.0.is_empty() && !self.0.ends_with(['[', '{', ':']) {
            self.0.push(',');
        }
        self
    }

    pub fn key(&mut self, key: &str) -> &mut Json {
        self.text(key);
        self.0.push(':');
        self
    }

    /// A number, `true`, `false` or `null`.
    pub fn value(&mut self, value: impl Display) -> &mut Json {
        self.next();
        // writing to a String does not fail
        let _ = write!(self.0, "{value}");
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Json {
        self.next();
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.0.extend(['\\', c]),
                c if c < ' ' => {
                    let _ = write!(self.0, "\\u{:04x}", c as u32);
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
        self
    }

    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, each: impl Fn(&mut Json, T)) {
        self.next().0.push('[');
        items.into_iter().for_each(|item| each(self, item));
        self.0.push(']');
    }

    pub fn numbers<T: Display>(&mut self, numbers: impl IntoIterator<Item = T>) {
        self.list(numbers, |j, n| {
            j.value(n);
        });
    }

    pub fn object(&mut self, fields: impl FnOnce(&mut Json)) {
        self.next().0.push('{');
        fields(self);
        self.0.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_escapes() {
        let mut j = Json::default();
        j.object(|j| {
            j.key("a \"b\"").text("line\nend \\ é");
            j.key("n").numbers([1, 2, 3]);
            j.key("none").list(Vec::<u8>::new(), |_, _| {});
            j.key("o").object(|_| {});
            j.key("x").value("null");
        });
        let expected = r#"{"a \"b\"":"line\u000aend \\ é","n":[1,2,3],"none":[],"o":{},"x":null}"#;
        assert_eq!(j.0, expected);
    }
}
